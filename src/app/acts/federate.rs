//! Taking part in a federation: looking at an invitation, joining, going on after a reload or a lost engine.

use std::cell::Cell;
use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::{Deserialize, Serialize};

use crate::app::acts::split;
use crate::app::link::{self, Loading};
use crate::app::plain::federate::{same_names, wrong_weights};
use crate::app::state::{Area, JobState, Part, Store};
use crate::engine::message::{
    Command, CoordinatorAct, CoordinatorAnswer, CoordinatorRequest, Event, FederateJob, Invitation,
};
use crate::federation::protocol::{Answer, FederationView};

/// Where a tab notes that it takes part, so that it goes on after a reload.
const KEY: &str = "sigmascope-part";

#[derive(Serialize, Deserialize)]
struct Noted {
    link: String,
    mapping: Vec<u8>,
    compare: bool,
}

thread_local! {
    /// Counts looks, so that a slow answer to an earlier one is ignored.
    static LOOK: Cell<u32> = const { Cell::new(0) };
}

fn session_storage() -> Option<web_sys::Storage> {
    web_sys::window()?.session_storage().ok()?
}

fn noted() -> Option<Noted> {
    serde_json::from_str(&session_storage()?.get_item(KEY).ok()??).ok()
}

fn note(noted: Option<&Noted>) {
    let Some(storage) = session_storage() else { return };
    // Without it a reloaded tab asks again; nothing is lost.
    drop(match noted.and_then(|noted| serde_json::to_string(noted).ok()) {
        Some(text) => storage.set_item(KEY, &text),
        None => storage.remove_item(KEY),
    });
}

/// The page was opened with an invitation, or takes part already.
pub fn start(store: Store) {
    let href = web_sys::window().and_then(|window| window.location().href().ok()).unwrap_or_default();
    let link = noted().map(|noted| noted.link);
    if let Some(link) = link.or_else(|| Invitation::from_link(&href).is_ok().then_some(href)) {
        store.area.set(Area::Federate);
        store.federate.link.set(link);
        look(store);
    }
    // A tab that took part before it was reloaded goes on as soon as its scene is back.
    Effect::new(move |_| {
        let ready = store.federate.seen.with(Option::is_some)
            && store.is_ready()
            && store.labelled_classes() > 1
            && misses_weights(store).is_none();
        if ready
            && store.federate.part.get_untracked() == Part::None
            && let Some(noted) = noted()
            && noted.mapping.len() == store.classes.with_untracked(Vec::len)
        {
            store.federate.mapping.set(noted.mapping);
            store.federate.compare.set(noted.compare);
            store.federate.consent.set(true);
            take_part(store);
        }
    });
    // Classes of one name belong together until the user says otherwise.
    Effect::new(move |_| {
        let theirs = store.federate.seen.with(|seen| seen.as_ref().map(|view| view.definition.classes.clone()));
        let own = store.classes.get();
        if let Some(theirs) = theirs {
            let kept = store
                .federate
                .mapping
                .with_untracked(|mapping| mapping.len() == own.len() && mapping.iter().any(|&class| class > 0));
            if !kept {
                store.federate.mapping.set(same_names(&own, &theirs));
            }
        }
    });
}

/// Asks what the federation of the link is.
pub fn look(store: Store) {
    let federate = store.federate;
    let turn = LOOK.get() + 1;
    LOOK.set(turn);
    federate.seen.set(None);
    federate.problem.set(None);
    let invitation = match Invitation::from_link(&federate.link.get_untracked()) {
        Ok(invitation) => invitation,
        Err(error) => {
            federate.invitation.set(None);
            return federate.problem.set(Some(error.to_string()));
        }
    };
    federate.invitation.set(Some(invitation.clone()));
    federate.looking.set(true);
    spawn_local(async move {
        let path = format!("/federations/{}", invitation.federation);
        let answer = ask(&invitation.server, &invitation.token, CoordinatorAct::Get, path).await;
        if LOOK.get() != turn {
            return;
        }
        federate.looking.set(false);
        match answer.and_then(|answer| read::<FederationView>(&answer)) {
            Ok(view) => federate.seen.set(Some(view)),
            Err(sentence) => federate.problem.set(Some(sentence)),
        }
    });
}

/// One request to a coordinator.
pub async fn ask(server: &str, token: &str, act: CoordinatorAct, path: String) -> Result<CoordinatorAnswer, String> {
    let request = CoordinatorRequest { server: server.to_owned(), token: token.to_owned(), act, path };
    match link::call(Command::AskCoordinator(request), &[]).await {
        Ok(Event::CoordinatorAnswered(answer)) => Ok(answer),
        Ok(_) => Err("The engine gave no answer; reload the page.".to_owned()),
        Err(failure) => Err(failure.message),
    }
}

/// What an answer holds, or what a refusal says.
pub fn read<T: for<'a> Deserialize<'a>>(answer: &CoordinatorAnswer) -> Result<T, String> {
    if answer.status < 300 {
        return serde_json::from_str(&answer.body)
            .map_err(|error| format!("the coordinator's answer cannot be read ({error}); reload the page"));
    }
    let refusal = serde_json::from_str::<Answer>(&answer.body).map(|answer| answer.message);
    Err(refusal.unwrap_or_else(|_| format!("the server answers with status {}; check the link", answer.status)))
}

/// What is wrong with the loaded weights, where the federation trains adapters of some.
pub fn misses_weights(store: Store) -> Option<&'static str> {
    store.federate.seen.with(|seen| {
        let definition = &seen.as_ref()?.definition;
        store
            .weights
            .loaded
            .with(|loaded| wrong_weights(definition, loaded.as_ref().map(|loaded| loaded.id.as_deref())))
    })
}

/// What has to be there before one can take part.
pub fn missing(store: Store) -> Option<&'static str> {
    let federate = store.federate;
    if federate.seen.with(Option::is_none) {
        Some("Open an invitation first.")
    } else if store.scene.with(Option::is_none) {
        Some("Open your scene in Classify first.")
    } else if let Some(sentence) = misses_weights(store) {
        Some(sentence)
    } else if store.labelled_classes() < 2 {
        Some("Label pixels of at least two classes in Classify first.")
    } else if federate.mapping.with(|mapping| mapping.iter().all(|&class| class == 0)) {
        Some("Say which of your classes are which of the federation's.")
    } else if !federate.consent.get() {
        Some("Agree to what leaves this machine.")
    } else if store.job.get().is_running() {
        Some("Another job is running; let it finish or stop it first.")
    } else {
        None
    }
}

/// Joins, or goes on where this tab was.
pub fn take_part(store: Store) {
    let federate = store.federate;
    let Some(invitation) = federate.invitation.get_untracked() else { return };
    if store.job.get_untracked().is_running() {
        return;
    }
    store.job.set(JobState::Federating);
    store.paused.set(false);
    federate.part.set(Part::Running);
    federate.end.set(None);
    federate.progress.set(None);
    store.announcement.set("Taking part in the federation.".into());
    spawn_local(async move {
        if store.splits.with_untracked(Vec::is_empty)
            && let Err(sentence) = split::draw(store).await
        {
            return end(store, Part::Failed, Some(sentence));
        }
        let Some(split) = store.splits.with_untracked(|splits| splits.first().cloned()) else {
            return end(store, Part::Failed, Some("No split could be drawn; label more pixels.".to_owned()));
        };
        let (classes, compare) = (federate.mapping.get_untracked(), federate.compare.get_untracked());
        note(Some(&Noted { link: invitation.link(), mapping: classes.clone(), compare }));
        let job = FederateJob { invitation, split, classes, compare, simulated: false };
        loop {
            match link::federate(Command::Federate(Box::new(job.clone()))).await {
                Loading::Done if federate.end.with_untracked(Option::is_none) => return end(store, Part::Left, None),
                Loading::Done => return end(store, Part::Finished, None),
                Loading::Cancelled => return end(store, Part::Away, None),
                Loading::Failed(failure) => return end(store, Part::Failed, Some(failure.message)),
                Loading::Lost if federate.part.get_untracked() != Part::Running => return,
                // The next worker takes it up again: this waits until it is there.
                Loading::Lost => {}
            }
        }
    });
}

fn end(store: Store, part: Part, problem: Option<String>) {
    store.job.set(JobState::Idle);
    store.paused.set(false);
    store.federate.part.set(part);
    // Only a tab that was taking part goes on by itself after a reload.
    note(None);
    store.announcement.set(format!("Federation: {}.", part.word()));
    if let Some(problem) = problem {
        store.fail(problem);
    }
}

/// The engine cannot go on; the tab's place is kept.
pub fn on_failure(store: Store, message: String) {
    end(store, Part::Failed, Some(message));
}

/// Takes an event of the running part.
pub fn on_event(store: Store, event: Event) {
    let federate = store.federate;
    match event {
        Event::Federation(progress) => {
            federate.told_ms.set(js_sys::Date::now());
            federate.progress.set(Some(*progress));
        }
        Event::FederationRounds(rounds) => federate.rounds.set(Some(Arc::new(*rounds))),
        Event::FederationEnded(end) => federate.end.set(Some(Arc::new(*end))),
        _ => {}
    }
}

/// Stops here; the place is kept, and the federation goes on without this tab.
pub fn stop() {
    link::tell(Command::Cancel);
}

/// Leaves for good.
pub fn leave() {
    link::tell(Command::FinishEarly);
}
