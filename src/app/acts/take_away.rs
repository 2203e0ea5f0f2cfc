//! Files for the user: map, figures, model, labels.

use std::sync::Arc;

use js_sys::{Array, Uint8Array};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use crate::app::acts::keep;
use crate::app::link;
use crate::app::panel::size_word;
use crate::app::state::Store;
use crate::app::view::legend;
use crate::engine::message::{Command, Event};
use crate::labels::LabelMap;

/// The scene's file name without extension.
fn stem(store: Store) -> String {
    store.scene.with_untracked(|scene| {
        let name = scene.as_ref().map_or("scene", |scene| scene.info.name.as_str());
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        stem.replace(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)), "_")
    })
}

/// Hands a blob to the browser's downloads.
fn save_blob(name: &str, blob: &Blob) -> Option<()> {
    let url = Url::create_object_url_with_blob(blob).ok()?;
    let document = web_sys::window()?.document()?;
    let anchor: HtmlAnchorElement = document.create_element("a").ok()?.dyn_into().ok()?;
    anchor.set_href(&url);
    anchor.set_download(name);
    anchor.click();
    // The download has taken hold of the blob long before a minute is over.
    gloo_timers::callback::Timeout::new(60_000, move || drop(Url::revoke_object_url(&url))).forget();
    Some(())
}

fn save(store: Store, name: &str, mime: &str, bytes: &[u8]) {
    let options = BlobPropertyBag::new();
    options.set_type(mime);
    let parts = Array::of1(&Uint8Array::from(bytes));
    let saved =
        Blob::new_with_u8_array_sequence_and_options(&parts, &options).ok().and_then(|blob| save_blob(name, &blob));
    match saved {
        Some(()) => store.announcement.set(format!("{name} is in your downloads.")),
        None => store.fail(format!("{name} could not be saved; check that this browser allows downloads.")),
    }
}

/// Bytes as a file.
pub fn bytes(store: Store, name: &str, bytes: &[u8]) {
    save(store, name, "application/octet-stream", bytes);
}

/// Text as a file.
pub fn text(store: Store, name: &str, mime: &str, text: &str) {
    save(store, name, mime, text.as_bytes());
}

/// The map on the screen with its classes.
fn map(store: Store) -> Option<LabelMap> {
    let (rows, cols) = store.shape()?;
    let map = LabelMap { rows, cols, labels: store.map.get_untracked(), classes: store.map_classes.get_untracked() };
    (map.labels.len() == rows * cols).then_some(map)
}

/// The class map as a picture with legend.
pub fn png(store: Store) {
    let (Some(map), Some(run)) = (map(store), untrack(move || store.current_run())) else { return };
    let name = format!("{}-map.png", stem(store));
    let title = store.scene.with_untracked(|scene| scene.as_ref().map_or_else(String::new, |s| s.info.name.clone()));
    let Some(canvas) = legend::draw(&title, &map, &run) else {
        store.fail("The picture could not be drawn; the map may be too large for this browser's canvas.");
        return;
    };
    let done = Closure::once_into_js(move |blob: Option<Blob>| match blob.and_then(|blob| save_blob(&name, &blob)) {
        Some(()) => store.announcement.set(format!("{name} is in your downloads.")),
        None => store.fail("The picture could not be saved; the map may be too large for this browser's canvas."),
    });
    if canvas.to_blob(done.unchecked_ref()).is_err() {
        store.fail("The picture could not be saved; check that this browser allows downloads.");
    }
}

fn envi_files(store: Store, labels: LabelMap, kind: &'static str) {
    spawn_local(async move {
        match link::call_many(Command::ExportEnvi { labels }, 2).await {
            Ok(events) => {
                for event in events {
                    if let Event::File { name, mime, bytes } = event {
                        // The engine names every classification "…_map".
                        save(store, &name.replace("_map.", &format!("_{kind}.")), &mime, &bytes);
                    }
                }
            }
            Err(failure) => store.fail(failure.message),
        }
    });
}

/// The map as ENVI classification.
pub fn envi(store: Store) {
    if let Some(map) = map(store) {
        envi_files(store, map, "map");
    }
}

/// The labels as ENVI classification.
pub fn labels(store: Store) {
    if let Some(labels) = store.label_map() {
        envi_files(store, labels, "labels");
    }
}

/// The figures of all runs.
pub fn csv(store: Store) {
    let runs = store.runs.get_untracked();
    let figures: Vec<_> = runs
        .iter()
        .filter_map(|run| {
            let accuracy = run.accuracy.as_ref()?;
            Some(crate::labels::RunFigures { split: &run.split, seed: run.seed, accuracy })
        })
        .collect();
    let text = crate::labels::accuracy_csv(&figures, &store.map_classes.get_untracked());
    save(store, &format!("{}-accuracy.csv", stem(store)), "text/csv", text.as_bytes());
}

/// The trained model of the run on the screen.
pub fn model(store: Store) {
    let Some(current) = store.model.get_untracked() else { return };
    let name = format!("{}-{}.safetensors", stem(store), store.config.with_untracked(|config| size_word(config.size)));
    let last = store.runs.with_untracked(Vec::len).saturating_sub(1);
    let wanted = store.shown_run.get_untracked().unwrap_or(last);
    spawn_local(async move {
        let bytes =
            if wanted == last { Some(current.bytes) } else { keep::read_model(store, wanted).await.map(Arc::new) };
        match bytes {
            Some(bytes) => save(store, &name, "application/octet-stream", &bytes),
            None => {
                store.fail("This browser did not keep the model of that run; the last run's model is still at hand.")
            }
        }
    });
}
