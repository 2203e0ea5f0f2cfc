//! Pre-trained weights: looking at the shelf, loading, unloading, and loading them again after the engine was lost.

mod first;
mod offer;

use std::cell::RefCell;

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::File;

use crate::app::link::{self, Loading};
use crate::app::plain::weights as words;
use crate::app::settings::Start;
use crate::app::state::{Candidate, EngineState, OnTheWay, Store};
use crate::engine::message::{
    Command, Event, FitPurpose, FitQuestion, FitWeights, LoadWeights, WeightsFrom, WeightsLoaded, WeightsProgress,
};

pub use first::choose_size;
pub use offer::{inspect_again, load_offer, offer_address, open, withdraw};

/// What a load asks of the engine, to ask again in another worker.
#[derive(Clone)]
struct Wish {
    name: String,
    load: LoadWeights,
    files: Vec<File>,
}

thread_local! {
    /// What the current weights were loaded by.
    static CURRENT: RefCell<Option<Wish>> = const { RefCell::new(None) };
}

/// Follows what is loaded by itself, and what questions about weights depend on: the engine's first breath, the device, the settings of the network.
pub fn watch(store: Store) {
    Effect::new(move |_| {
        if store.is_ready() {
            spawn_local(look(store, Command::ListWeights));
        }
    });
    first::watch(store);
    let asked = Memo::new(move |_| {
        let network = store.config.with(|config| {
            (config.size, config.tile, config.patch(), config.components, config.tuning.clone(), config.checkpointing)
        });
        let device = store.device.with(|device| device.as_ref().map(|device| device.name.clone()));
        (network, device, store.classes.with(Vec::len), store.is_ready())
    });
    Effect::new(move |_| {
        asked.track();
        store.weights.candidate.track();
        if store.is_ready_untracked() {
            ask_fit(store);
        }
    });
    Effect::new(move |_| {
        asked.track();
        store.weights.quantization.track();
        store.weights.complete.track();
        if store.is_ready_untracked() {
            inspect_again(store);
        }
    });
}

/// Asks for the shelf, or for a change of it.
async fn look(store: Store, command: Command) {
    match link::call(command, &[]).await {
        Ok(Event::WeightsShelf(shelf)) => {
            let gone = |candidate: &Candidate| match candidate {
                Candidate::None => false,
                Candidate::Catalogue(name) => shelf.catalogue.iter().all(|entry| entry.name != *name),
                Candidate::Cached(id) => shelf.cached.iter().all(|kept| kept.id != *id),
            };
            if store.weights.candidate.with_untracked(gone) {
                store.weights.candidate.set(Candidate::None);
            }
            store.weights.shelf.set(Some(*shelf));
        }
        Ok(_) => {}
        // The next engine is asked again.
        Err(_) if !store.is_ready_untracked() => {}
        Err(failure) => store.fail(failure.message),
    }
}

pub fn delete(store: Store, id: String, name: String) {
    spawn_local(async move {
        look(store, Command::DeleteWeights { id }).await;
        store.announcement.set(format!("{name} was deleted from this browser."));
    });
}

pub fn clear(store: Store) {
    spawn_local(async move {
        look(store, Command::ClearWeights).await;
        store.announcement.set("All weights were deleted from this browser.".into());
    });
}

/// Classes that a network would have; two where there are none yet.
pub fn classes(store: Store) -> usize {
    store.classes.with_untracked(Vec::len).max(2)
}

/// Asks whether the device can carry the candidate, or what is loaded.
fn ask_fit(store: Store) {
    let candidate = store.weights.candidate.get_untracked();
    let weights = match &candidate {
        Candidate::None => {
            store.weights.fit.set(None);
            return;
        }
        Candidate::Catalogue(name) => FitWeights::Catalogue(name.clone()),
        Candidate::Cached(id) => FitWeights::Cached(id.clone()),
    };
    let size = store.weights.shelf.with_untracked(|shelf| {
        let shelf = shelf.as_ref()?;
        match &candidate {
            Candidate::None => None,
            Candidate::Catalogue(name) => {
                shelf.catalogue.iter().find(|entry| entry.name == *name).map(|entry| entry.size.clone())
            }
            Candidate::Cached(id) => shelf.cached.iter().find(|kept| kept.id == *id)?.summary.size.clone(),
        }
    });
    let config = words::adopted(&store.config.get_untracked(), words::model_size(size.as_deref()));
    let question = FitQuestion { weights, purpose: FitPurpose::Train, config, classes: classes(store) };
    spawn_local(async move {
        let answer = link::call(Command::AskFit(Box::new(question)), &[]).await;
        // The user may look at something else by now.
        if store.weights.candidate.get_untracked() != candidate {
            return;
        }
        match answer {
            Ok(Event::Fit(fit)) => store.weights.fit.set(Some(*fit)),
            Ok(_) => {}
            Err(_) if !store.is_ready_untracked() => {}
            Err(failure) => {
                store.weights.fit.set(None);
                store.fail(failure.message);
            }
        }
    });
}

/// The user looks at a line of the list; the first one is a choice in itself.
pub fn choose(store: Store, candidate: Candidate) {
    if candidate == Candidate::None {
        store.weights.start.set(Start::Scratch);
    }
    store.weights.fit.set(None);
    store.weights.candidate.set(candidate);
}

/// Loads what the user has chosen from the list.
pub fn load_candidate(store: Store, name: String) {
    let from = match store.weights.candidate.get_untracked() {
        Candidate::None => return,
        Candidate::Catalogue(name) => WeightsFrom::Catalogue(name),
        Candidate::Cached(id) => WeightsFrom::Cached(id),
    };
    start(store, Wish { name, load: LoadWeights::new(from), files: Vec::new() });
}

fn start(store: Store, wish: Wish) {
    if store.job.get_untracked().is_running() {
        store.fail("A job is running; weights can be loaded when it has finished.");
        return;
    }
    if store.weights.on_the_way.with_untracked(Option::is_some) {
        store.fail("Other weights are being loaded; cancel that first.");
        return;
    }
    store.weights.freed.set(None);
    store.announcement.set(format!("Loading {}.", wish.name));
    spawn_local(async move {
        let end = loop {
            match carry_out(store, &wish, false).await {
                // The request waits at the gate until the next worker listens. What was downloaded is still there.
                Loading::Lost if !matches!(store.engine.get_untracked(), EngineState::Failed(_)) => {}
                end => break end,
            }
        };
        match end {
            Loading::Done => {
                remember(store, &wish.load.from);
                CURRENT.set(Some(wish));
                store.weights.offer.set(None);
                store.weights.candidate.set(Candidate::None);
            }
            Loading::Cancelled => store.announcement.set("Loading was cancelled.".into()),
            Loading::Failed(failure) => store.fail(failure.message),
            // The engine's own sentence is on the screen.
            Loading::Lost => {}
        }
        // A broken download is kept for the next attempt.
        look(store, Command::ListWeights).await;
    });
}

/// The id of the current weights, if this browser keeps them.
fn kept_id(store: Store) -> Option<String> {
    store.weights.loaded.with_untracked(|loaded| loaded.as_ref().filter(|loaded| loaded.stored)?.id.clone())
}

/// The next visit starts from the same weights, where they are still there.
fn remember(store: Store, from: &WeightsFrom) {
    match (from, kept_id(store)) {
        (WeightsFrom::Catalogue(_), _) => store.weights.start.set(Start::Shipped),
        (_, Some(id)) => store.weights.start.set(Start::Kept(id)),
        (_, None) => {}
    }
}

async fn carry_out(store: Store, wish: &Wish, ahead: bool) -> Loading {
    store.weights.on_the_way.set(Some(OnTheWay { name: wish.name.clone(), progress: None }));
    let end = link::load_weights(Command::LoadWeights(wish.load.clone()), &wish.files, ahead).await;
    store.weights.on_the_way.set(None);
    end
}

pub fn cancel() {
    link::tell(Command::Cancel);
}

pub fn on_progress(store: Store, progress: WeightsProgress) {
    store.weights.on_the_way.update(|on_the_way| {
        if let Some(on_the_way) = on_the_way {
            on_the_way.progress = Some(progress);
        }
    });
}

/// The engine has new current weights: the network takes their size.
pub fn on_loaded(store: Store, loaded: WeightsLoaded) {
    let size = words::model_size(loaded.summary.size.as_deref());
    store.config.update(|config| *config = words::adopted(config, size));
    if let Some(notice) = &loaded.notice {
        store.tell(notice.clone());
    }
    store.announcement.set(format!("{} is loaded.", loaded.summary.title));
    store.weights.loaded.set(Some(loaded));
}

/// The user trains from scratch.
pub fn unload(store: Store) {
    store.weights.start.set(Start::Scratch);
    spawn_local(let_go(store));
}

/// Lets go of the current weights.
async fn let_go(store: Store) {
    match link::call(Command::DropWeights, &[]).await {
        Ok(Event::WeightsDropped(dropped)) => {
            CURRENT.take();
            store.weights.loaded.set(None);
            let sentence = words::freed(&dropped);
            store.announcement.set(sentence.clone());
            store.weights.freed.set(Some(sentence));
            look(store, Command::ListWeights).await;
        }
        Ok(_) => {}
        Err(failure) => store.fail(failure.message),
    }
}

/// Gives the weights of the former worker to a new one: from the cache where they are kept, else from where they came.
pub async fn bring_back(store: Store) {
    let Some(mut wish) = CURRENT.with_borrow(Clone::clone) else { return };
    if let Some(id) = kept_id(store) {
        wish.load.from = WeightsFrom::Cached(id);
        wish.files.clear();
    }
    // Others may wait at the gate to be loaded.
    let waiting = store.weights.on_the_way.get_untracked();
    let end = carry_out(store, &wish, true).await;
    store.weights.on_the_way.set(waiting);
    match end {
        Loading::Done | Loading::Lost => {}
        Loading::Cancelled => forget(store),
        Loading::Failed(failure) => {
            forget(store);
            store.fail(format!("The weights {} could not be loaded again: {}", wish.name, failure.message));
        }
    }
}

fn forget(store: Store) {
    CURRENT.take();
    store.weights.loaded.set(None);
}
