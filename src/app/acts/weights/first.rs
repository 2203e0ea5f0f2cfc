//! Weights that are loaded without being asked for: what is shipped of the chosen size, or what was loaded on the last visit.

use std::cell::RefCell;

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::{Wish, let_go, start};
use crate::app::panel::size_word;
use crate::app::plain::weights as words;
use crate::app::settings::Start;
use crate::app::state::Store;
use crate::engine::message::{LoadWeights, WeightsFrom};
use crate::train::ModelSize;

thread_local! {
    /// What has been tried in this visit: a server that cannot be reached is not asked again and again.
    static TRIED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Loads them when there is a scene to train on.
pub fn watch(store: Store) {
    Effect::new(move |_| {
        let idle = !store.weights.are_loading() && !store.weights.are_loaded() && !store.job.get().is_running();
        if idle
            && store.is_ready()
            && store.scene.with(Option::is_some)
            && let Some(wish) = wish(store)
            && !TRIED.with_borrow(|tried| tried.contains(&wish.name))
        {
            TRIED.with_borrow_mut(|tried| tried.push(wish.name.clone()));
            start(store, wish);
        }
    });
}

fn wish(store: Store) -> Option<Wish> {
    let size = store.config.with(|config| size_word(config.size));
    let (name, from) = store.weights.shelf.with(|shelf| {
        let shelf = shelf.as_ref()?;
        match store.weights.start.get() {
            Start::Scratch => None,
            Start::Shipped => {
                let entry = shelf.catalogue.iter().find(|entry| entry.size == size)?;
                Some((entry.name.clone(), WeightsFrom::Catalogue(entry.name.clone())))
            }
            Start::Kept(id) => {
                let kept = shelf.cached.iter().find(|kept| kept.id == id)?;
                Some((kept.name.clone(), WeightsFrom::Cached(id)))
            }
        }
    })?;
    Some(Wish { name, load: LoadWeights::new(from), files: Vec::new() })
}

/// The user chooses a size: weights of another one are let go.
pub fn choose_size(store: Store, size: ModelSize) {
    let other = store.weights.loaded.with_untracked(|loaded| {
        loaded.as_ref().is_some_and(|loaded| words::model_size(loaded.summary.size.as_deref()) != Some(size))
    });
    TRIED.take();
    if other {
        // Where something is shipped of the other size, that is meant from now on.
        store.weights.start.set(Start::Shipped);
        spawn_local(let_go(store));
    }
    store.config.update(|config| *config = words::adopted(config, Some(size)));
}
