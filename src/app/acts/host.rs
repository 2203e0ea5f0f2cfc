//! Hosting a federation: creating it, watching it, starting and ending it.

use std::cell::Cell;

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::{Deserialize, Serialize};

use crate::app::acts::federate::{ask, read};
use crate::app::acts::{neighbours, take_away};
use crate::app::link;
use crate::app::plain::host::{Beginning, definition, network};
use crate::app::plain::weights::in_words;
use crate::app::state::{Hosted, Store};
use crate::engine::message::{Command, CoordinatorAct, Event, FederatedModel, Invitation, Place};
use crate::federation::protocol::{Answer, BlobRef, Created, FederationId, FederationView, Phase, RoundView};

/// Where a tab notes what it hosts, until it is closed.
const KEY: &str = "sigmascope-hosted";
/// Milliseconds between two looks, and after the end, when clients still report how good the last model is.
const EVERY_MS: u32 = 2000;
const AFTERWARDS_MS: u32 = 10_000;

#[derive(Serialize, Deserialize)]
struct Noted {
    server: String,
    federation: FederationId,
    admin: String,
    invite: String,
}

thread_local! {
    /// Counts watches, so that one that was replaced ends.
    static WATCH: Cell<u32> = const { Cell::new(0) };
}

/// The address of this page, which is also its coordinator's.
fn own_server() -> String {
    let href = web_sys::window().and_then(|window| window.location().href().ok()).unwrap_or_default();
    let plain = href.split(['#', '?']).next().unwrap_or_default();
    plain.rfind('/').map_or_else(|| "/".to_owned(), |at| plain[..=at].to_owned())
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.session_storage().ok()?
}

/// A reloaded tab hosts what it hosted before.
pub fn start(store: Store) {
    let noted = storage().and_then(|storage| storage.get_item(KEY).ok()?);
    if let Some(Noted { server, federation, admin, invite }) = noted.and_then(|text| serde_json::from_str(&text).ok()) {
        host(store, server, federation, admin, invite);
    }
}

fn host(store: Store, server: String, federation: FederationId, admin: String, invite: String) {
    let noted = Noted { server: server.clone(), federation, admin: admin.clone(), invite: invite.clone() };
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(&noted)) {
        // Without it a reloaded tab no longer knows what it hosts; the federation goes on.
        drop(storage.set_item(KEY, &text));
    }
    let place = Place { server: server.clone(), federation, token: admin };
    let invitation = Invitation { server, federation, token: invite };
    neighbours::clear(store);
    store.federate.hosted.set(Some(Hosted { place, invitation }));
    watch(store);
}

/// What has to be there before one can create a federation.
pub fn missing(store: Store) -> Option<&'static str> {
    if store.scene.with(Option::is_none) {
        Some("Open a scene in Classify first: its bands and classes become the federation's.")
    } else if store.classes.with(Vec::len) < 2 {
        Some("Name at least two classes in Classify first.")
    } else if store.federate.admin_token.with(|token| token.trim().is_empty()) {
        Some("Give the admin token of this coordinator; its operator has it.")
    } else {
        None
    }
}

/// Creates the federation and brings it its first model.
pub fn create(store: Store) {
    let federate = store.federate;
    if federate.creating.get_untracked() {
        return;
    }
    federate.creating.set(true);
    spawn_local(async move {
        let created = create_now(store).await;
        federate.creating.set(false);
        if let Err(sentence) = created {
            store.fail(sentence);
        }
    });
}

async fn create_now(store: Store) -> Result<(), String> {
    let info = store.scene.with_untracked(|scene| scene.as_ref().map(|scene| scene.info.clone()));
    let info = info.ok_or("Open a scene first.")?;
    let classes = store.classes.get_untracked();
    let loaded = store.weights.loaded.with_untracked(|loaded| loaded.as_ref().map(|loaded| in_words(&loaded.summary)));
    let network = network(&info, &store.config.get_untracked(), loaded.is_some());
    let command = Command::MakeFederatedModel { network: Box::new(network.clone()), classes: classes.len() };
    let FederatedModel { bytes, sha256, backbone } =
        match link::call(command, &[]).await.map_err(|failure| failure.message)? {
            Event::FederatedModel(model) => model,
            _ => return Err("The engine made no model; reload the page.".into()),
        };
    let weights = BlobRef { sha256, bytes: bytes.len() as u64 };
    let beginning = Beginning { weights, backbone: backbone.zip(loaded) };
    let definition = definition(&store.federate.draft.get_untracked(), &info, &classes, &network, beginning)?;
    let json = serde_json::to_string(&definition).map_err(|error| error.to_string())?;
    let (server, admin) = (own_server(), store.federate.admin_token.get_untracked().trim().to_owned());
    let created: Created = read(&ask(&server, &admin, CoordinatorAct::Post(Some(json)), "/federations".into()).await?)?;
    let place = Place { server: server.clone(), federation: created.federation, token: admin.clone() };
    match link::call(Command::UploadFederatedModel { place, bytes }, &[]).await.map_err(|failure| failure.message)? {
        Event::CoordinatorAnswered(answer) => drop(read::<Answer>(&answer)?),
        _ => return Err("The engine gave no answer; reload the page.".into()),
    }
    host(store, server, created.federation, admin, created.invite_token);
    Ok(())
}

/// Looks every few seconds where the federation is.
fn watch(store: Store) {
    let turn = WATCH.get() + 1;
    WATCH.set(turn);
    spawn_local(async move {
        let mut seen = None;
        while let Some(hosted) = store.federate.hosted.get_untracked().filter(|_| WATCH.get() == turn) {
            let Place { server, federation, token } = hosted.place;
            let mut pause = EVERY_MS;
            let look = ask(&server, &token, CoordinatorAct::Get, format!("/federations/{federation}")).await;
            if let Ok(view) = look.and_then(|answer| read::<FederationView>(&answer)) {
                let now = (view.state.round, view.state.phase, view.state.accepted);
                let over = view.state.phase == Phase::Finished;
                if over {
                    pause = AFTERWARDS_MS;
                }
                if over || seen != Some(now) {
                    let rounds =
                        ask(&server, &token, CoordinatorAct::Get, format!("/federations/{federation}/history")).await;
                    if let Ok(rounds) = rounds.and_then(|answer| read::<Vec<RoundView>>(&answer)) {
                        store.federate.hosted_rounds.set(rounds);
                    }
                    seen = Some(now);
                }
                store.federate.hosted_view.set(Some(view));
            }
            TimeoutFuture::new(pause).await;
        }
    });
}

/// `start`, `pause`, `resume` or `finish`.
pub fn tell(store: Store, what: &'static str) {
    let Some(hosted) = store.federate.hosted.get_untracked() else { return };
    spawn_local(async move {
        let Place { server, federation, token } = hosted.place;
        let answer =
            ask(&server, &token, CoordinatorAct::Post(None), format!("/federations/{federation}/{what}")).await;
        match answer.and_then(|answer| read::<Answer>(&answer)) {
            Ok(_) => watch(store),
            Err(sentence) => store.fail(sentence),
        }
    });
}

/// Deletes what is hosted from the coordinator; it has finished.
pub fn delete(store: Store) {
    let Some(hosted) = store.federate.hosted.get_untracked() else { return };
    spawn_local(async move {
        let Place { server, federation, token } = hosted.place;
        let answer = ask(&server, &token, CoordinatorAct::Delete, format!("/federations/{federation}")).await;
        match answer.and_then(|answer| read::<Answer>(&answer)) {
            Ok(_) => {
                forget(store);
                store.tell("The federation was deleted from the coordinator.");
            }
            Err(sentence) => store.fail(sentence),
        }
    });
}

/// Forgets here what is hosted; the federation goes on.
pub fn forget(store: Store) {
    WATCH.set(WATCH.get() + 1);
    neighbours::stop(store);
    if let Some(storage) = storage() {
        drop(storage.remove_item(KEY));
    }
    store.federate.hosted.set(None);
    store.federate.hosted_view.set(None);
    store.federate.hosted_rounds.set(Vec::new());
}

/// The common model as a file.
pub fn save_model(store: Store) {
    let model = store.federate.hosted_view.with_untracked(|view| view.as_ref().and_then(|view| view.state.model));
    let (Some(hosted), Some(sha256)) = (store.federate.hosted.get_untracked(), model) else { return };
    spawn_local(async move {
        let name = format!("federated-{}.safetensors", hosted.place.federation);
        match link::call(Command::FetchContent { place: hosted.place, sha256, name }, &[]).await {
            Ok(Event::File { name, bytes, .. }) => take_away::bytes(store, &name, &bytes),
            Ok(_) => {}
            Err(failure) => store.fail(failure.message),
        }
    });
}

/// All rounds as JSON.
pub fn save_history(store: Store) {
    let Some(hosted) = store.federate.hosted.get_untracked() else { return };
    spawn_local(async move {
        let Place { server, federation, token } = hosted.place;
        match ask(&server, &token, CoordinatorAct::Get, format!("/federations/{federation}/history")).await {
            Ok(answer) if answer.status < 300 => {
                take_away::text(store, &format!("federated-{federation}.json"), "application/json", &answer.body);
            }
            Ok(answer) => store.fail(format!("the coordinator answers with status {}", answer.status)),
            Err(sentence) => store.fail(sentence),
        }
    });
}
