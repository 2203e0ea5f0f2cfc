//! When the engine is lost (GPU gone, worker killed, panic): a new worker, the same device choice, the same scene, the
//! same model and weights, and the job from its last checkpoint. Labels, maps and models live in the page and are never lost.

use std::cell::{Cell, RefCell};

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_bytes::ByteBuf;

use crate::app::acts::{job, scene, weights};
use crate::app::link;
use crate::app::plain::number;
use crate::app::state::{EngineState, JobState, Store};
use crate::engine::message::{Command, DeviceChoice, Event};

/// More losses than this within [`WINDOW_MS`] mean that restarting does not help.
const MOST_LOSSES: usize = 3;
const WINDOW_MS: f64 = 60_000.0;

thread_local! {
    static LOSSES: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
    /// Why the engine was lost, until the new one has taken over.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Counts workers that came to listen, so that a slow recovery notices that it is outdated.
    static TURN: Cell<u32> = const { Cell::new(0) };
}

/// The engine is gone: starts a new one, unless that has just failed several times.
pub fn engine_gone(store: Store, reason: String) {
    let now = js_sys::Date::now();
    let losses = LOSSES.with_borrow_mut(|losses| {
        losses.retain(|time| now - time < WINDOW_MS);
        losses.push(now);
        losses.len()
    });
    store.busy.set(None);
    TURN.set(TURN.get() + 1);
    if losses > MOST_LOSSES {
        link::stop();
        let sentence = format!(
            "The engine stopped {losses} times within a minute ({reason}). Labels and finished models are safe; choose \
             another device in the menu at the top, or restart the engine there."
        );
        if store.job.get_untracked().is_running() {
            super::fail_running(store, sentence.clone());
        } else {
            store.fail(sentence.clone());
        }
        store.engine.set(EngineState::Failed(sentence));
        return;
    }
    REASON.set(Some(reason));
    store.engine.set(EngineState::Restarting);
    link::start(store);
}

/// The device, or the tab, has no memory left: what was going on ends with a sentence, and the next worker does not take it up
/// again.
pub fn out_of_memory(store: Store, sentence: String) {
    if store.job.get_untracked().is_running() {
        job::on_failure(store, sentence);
    } else if !link::fail_loading(&sentence) {
        store.fail(sentence);
    }
    engine_gone(store, "it ran out of memory".into());
}

/// WebAssembly did not get so many bytes.
pub fn heap_full(bytes: u64) -> String {
    format!(
        "This tab has no memory left for this: {} more were needed and could not be had. Choose a smaller tile, size or \
         quantisation, or close other tabs; labels and finished models are safe.",
        number::memory(bytes)
    )
}

/// The user wants a fresh engine.
pub fn restart(store: Store) {
    LOSSES.take();
    TURN.set(TURN.get() + 1);
    REASON.set(Some("you restarted it".into()));
    store.engine.set(EngineState::Restarting);
    link::start(store);
}

/// A worker listens: brings it to where the page is, then lets waiting requests through.
pub fn engine_ready(store: Store) {
    let turn = TURN.get() + 1;
    TURN.set(turn);
    spawn_local(async move {
        select(store, store.device_choice.get_untracked()).await;
        let reason = REASON.take();
        if reason.is_some() {
            reopen_scene(store).await;
            weights::bring_back(store).await;
        }
        if TURN.get() != turn {
            // This worker is gone as well; its successor does all that.
            REASON.with_borrow_mut(|now| *now = now.take().or(reason));
            return;
        }
        store.engine.set(EngineState::Ready);
        link::open_gate();
        if let Some(reason) = reason {
            let idle = || match store.job.get_untracked() {
                JobState::Federating => "the federation goes on where this tab was".to_owned(),
                _ => "nothing was lost".to_owned(),
            };
            let goes_on = job::resume_after_loss(store).unwrap_or_else(idle);
            store.tell(format!("The engine stopped ({reason}) and was restarted; {goes_on}."));
        }
        // Whatever was on the screen may be half drawn.
        scene::draw(store);
    });
}

/// The scene and the model that the former worker had.
async fn reopen_scene(store: Store) {
    let Some(origin) = scene::origin() else { return };
    let (command, files) = origin.command();
    if let Err(failure) = link::call_ahead(command, &files).await {
        if store.engine.get_untracked() == EngineState::Restarting {
            store.fail(format!("The scene could not be opened again: {}", failure.message));
        }
        return;
    }
    if let Some(model) = store.model.get_untracked() {
        let bytes = Some(ByteBuf::from(model.bytes.as_ref().clone()));
        // The page still has the model; a training job makes a new one anyway.
        drop(link::call_ahead(Command::OpenModel { bytes }, &[]).await);
    }
}

/// Asks for a device; where the wish cannot be granted, says so and lets the adapter decide.
async fn select(store: Store, choice: DeviceChoice) {
    let turn = TURN.get();
    match link::call_ahead(Command::SelectDevice(choice), &[]).await {
        Ok(Event::Device(info)) => store.device.set(Some(info)),
        Ok(_) => {}
        Err(_) if TURN.get() != turn => {}
        Err(failure) => {
            store.fail(failure.message);
            if choice != DeviceChoice::Auto {
                store.device_choice.set(DeviceChoice::Auto);
                if let Ok(Event::Device(info)) = link::call_ahead(Command::SelectDevice(DeviceChoice::Auto), &[]).await
                {
                    store.device.set(Some(info));
                }
            }
        }
    }
}

/// The user chooses where to compute.
pub fn choose_device(store: Store, choice: DeviceChoice) {
    store.device_choice.set(choice);
    if store.job.get_untracked().is_running() {
        store.tell("The device changes with the next job; the running one stays where it is.");
    }
    if matches!(store.engine.get_untracked(), EngineState::Failed(_)) {
        restart(store);
    } else if store.is_ready_untracked() {
        spawn_local(select(store, choice));
    }
}
