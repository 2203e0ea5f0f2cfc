//! When the engine is lost (GPU gone, worker killed, panic): a new worker, the same device choice, the same scene, the
//! same model, and the job from its last checkpoint. Labels, maps and models live in the page and are never lost.

use std::cell::{Cell, RefCell};

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_bytes::ByteBuf;

use crate::app::acts::{job, scene};
use crate::app::link;
use crate::app::state::{EngineState, Store};
use crate::engine::message::{Command, DeviceChoice, Event};

/// More losses than this within [`WINDOW_MS`] mean that restarting does not help.
const MOST_LOSSES: usize = 3;
const WINDOW_MS: f64 = 60_000.0;

thread_local! {
    static LOSSES: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
    /// Why the engine was lost, until the new one has taken over.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    static RECOVERING: Cell<u32> = const { Cell::new(0) };
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
    if losses > MOST_LOSSES {
        link::stop();
        let sentence = format!(
            "The engine stopped {losses} times within a minute ({reason}). Labels and finished models are safe; choose \
             another device in the menu at the top, or restart the engine there."
        );
        if store.job.get_untracked().is_running() {
            job::on_failure(store, sentence.clone());
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

/// The user wants a fresh engine.
pub fn restart(store: Store) {
    LOSSES.take();
    REASON.set(Some("you restarted it".into()));
    store.engine.set(EngineState::Restarting);
    link::start(store);
}

/// A worker listens: brings it to where the page is.
pub fn engine_ready(store: Store) {
    store.engine.set(EngineState::Ready);
    let turn = RECOVERING.get() + 1;
    RECOVERING.set(turn);
    let is_latest = move || RECOVERING.get() == turn;
    spawn_local(async move {
        // A device that fails is told by the engine; what follows then fails with its own sentence.
        select(store, store.device_choice.get_untracked()).await;
        let Some(reason) = REASON.take() else { return };
        if !is_latest() {
            return;
        }
        if let Some(origin) = scene::origin() {
            let (command, files) = origin.command();
            if let Err(failure) = link::call(command, &files).await {
                if is_latest() {
                    store.fail(format!("The scene could not be opened again: {}", failure.message));
                    if job::is_running() {
                        job::on_failure(store, "The job ended with the scene.".into());
                    }
                }
                return;
            }
        }
        if let Some(model) = store.model.get_untracked()
            && is_latest()
        {
            let bytes = Some(ByteBuf::from(model.bytes.as_ref().clone()));
            if let Err(failure) = link::call(Command::OpenModel { bytes }, &[]).await {
                store.fail(failure.message);
            }
        }
        if !is_latest() {
            return;
        }
        let goes_on = job::resume_after_loss(store);
        store.tell(match goes_on {
            Some(goes_on) => format!("The engine stopped ({reason}) and was restarted; {goes_on}."),
            None => format!("The engine stopped ({reason}) and was restarted; nothing was lost."),
        });
        scene::draw(store);
    });
}

async fn select(store: Store, choice: DeviceChoice) {
    match link::call(Command::SelectDevice(choice), &[]).await {
        Ok(Event::Device(info)) => store.device.set(Some(info)),
        Ok(_) => {}
        Err(failure) => store.fail(failure.message),
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
        return;
    }
    if store.is_ready_untracked() {
        spawn_local(select(store, choice));
    }
}
