//! The model file: opening one, going back to one that was kept.

use std::sync::Arc;

use leptos::prelude::*;
use serde_bytes::ByteBuf;
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use crate::app::link;
use crate::app::state::{Model, Store};
use crate::engine::message::{Command, Event};

/// Opens a model file.
pub async fn open(store: Store, file: File) {
    let name = file.name();
    store.busy.set(Some(format!("Opening {name}")));
    let result = match JsFuture::from(file.array_buffer()).await {
        Ok(buffer) => give(store, js_sys::Uint8Array::new(&buffer).to_vec(), name.clone()).await,
        Err(_) => Err(format!("{name} could not be read; check that the file still exists and open it again.")),
    };
    store.busy.set(None);
    match result {
        Ok(()) => store.announcement.set(format!("The model {name} is open.")),
        Err(sentence) => store.fail(sentence),
    }
}

/// Gives model bytes to the engine as its current model.
///
/// # Errors
/// A sentence for the user.
pub async fn give(store: Store, bytes: Vec<u8>, origin: String) -> Result<(), String> {
    let bytes = Arc::new(bytes);
    let command = Command::OpenModel { bytes: Some(ByteBuf::from(bytes.as_ref().clone())) };
    match link::call(command, &[]).await {
        Ok(Event::ModelOpened(info)) => {
            // Loaded weights are of one size; the model maps with its own settings anyway.
            let size = store.config.with_untracked(|config| config.size);
            if info.config.size == size || store.weights.loaded.with_untracked(Option::is_none) {
                store.config.set(info.config.clone());
            }
            store.model.set(Some(Model { info: Some(*info), origin, bytes }));
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.message),
    }
}
