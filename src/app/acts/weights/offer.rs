//! Local weights files: their headers are read first, so that the user sees what they are before anything is converted.

use std::cell::{Cell, RefCell};

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use super::{Wish, classes, start};
use crate::app::acts::{model, scene};
use crate::app::link;
use crate::app::plain::weights::{FileKind, adopted, file_kind, is_trained_here, missing_half, model_size};
use crate::app::state::{Area, Offer, Step, Store, Tab};
use crate::engine::message::{Command, Event, FitPurpose, LoadWeights, WeightsFrom, WeightsInspected};

/// Headers beyond this are no model's.
const MOST_HEADER_BYTES: u64 = 32 << 20;

thread_local! {
    static FILES: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
    /// Counts questions, so that a late answer is ignored.
    static TURN: Cell<u32> = const { Cell::new(0) };
}

/// Files that are weights or models: a model that was trained here is opened, everything else is offered for loading.
pub async fn open(store: Store, files: Vec<File>) {
    let mut weights = Vec::new();
    for file in files {
        match file_kind(&file.name()) {
            FileKind::Safetensors if trained_here(&file).await => model::open(store, file).await,
            _ => weights.push(file),
        }
    }
    if !weights.is_empty() {
        offer(store, weights).await;
    }
}

async fn trained_here(file: &File) -> bool {
    let Some(length) = read(file, 0, 8).await.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) else { return false };
    let length = u64::from_le_bytes(length);
    if length > MOST_HEADER_BYTES {
        return false;
    }
    read(file, 8, length).await.is_some_and(|header| is_trained_here(&header))
}

async fn read(file: &File, from: u64, length: u64) -> Option<Vec<u8>> {
    let blob: &Blob = file;
    let piece = blob.slice_with_f64_and_f64(from as f64, (from + length) as f64).ok()?;
    let buffer: JsValue = JsFuture::from(piece.array_buffer()).await.ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

/// Reads the headers of files and shows what they are. One file beside an earlier half of a pair completes it.
pub async fn offer(store: Store, files: Vec<File>) {
    store.area.set(Area::Classify);
    store.step.set(Step::Model);
    store.tab.set(Tab::Steps);
    let half = store.weights.offer.with_untracked(|offer| {
        offer
            .as_ref()
            .and_then(|offer| offer.inspected.as_ref())
            .is_some_and(|found| missing_half(&found.report).is_some())
    });
    let earlier = if half && files.len() == 1 { FILES.with_borrow(Clone::clone) } else { Vec::new() };
    if !earlier.is_empty() && earlier.iter().all(|file| file.name() != files[0].name()) {
        let pair = [earlier, files.clone()].concat();
        if inspect(store, pair).await.is_ok() {
            return;
        }
    }
    if let Err(sentence) = inspect(store, files).await {
        withdraw(store);
        store.fail(sentence);
    }
}

/// Puts the files on offer and asks the engine what they are.
async fn inspect(store: Store, files: Vec<File>) -> Result<(), String> {
    let turn = TURN.get() + 1;
    TURN.set(turn);
    let names: Vec<String> = files.iter().map(File::name).collect();
    let bytes = files.iter().map(|file| file.size() as u64).sum();
    FILES.set(files.clone());
    let earlier = store.weights.offer.with_untracked(|offer| {
        offer.as_ref().filter(|offer| offer.names == names).and_then(|offer| offer.inspected.clone())
    });
    // The same files keep what is known of them while they are asked again.
    store.weights.offer.set(Some(Offer { names: names.clone(), bytes, inspected: earlier }));
    let mut config = store.config.get_untracked();
    loop {
        let command = Command::InspectWeights {
            quantization: store.weights.quantization.get_untracked(),
            complete: store.weights.complete.get_untracked(),
            config: Box::new(config.clone()),
            classes: classes(store),
            purpose: FitPurpose::Train,
        };
        let answer = link::call(command, &files).await;
        if TURN.get() != turn {
            return Ok(());
        }
        let inspected = match answer {
            Ok(Event::WeightsInspected(inspected)) => inspected,
            Ok(_) => return Ok(()),
            Err(failure) => return Err(failure.message),
        };
        // What it is has just been learned; whether it fits depends on how such a size is trained.
        let own = adopted(&config, model_size(inspected.report.size.as_deref()));
        if own != config {
            config = own;
            continue;
        }
        announce(store, &inspected);
        store.weights.offer.set(Some(Offer { names, bytes, inspected: Some(*inspected) }));
        return Ok(());
    }
}

fn announce(store: Store, inspected: &WeightsInspected) {
    store.announcement.set(match missing_half(&inspected.report) {
        Some(half) => format!("One half of a pair; the {half} checkpoint is missing."),
        None => "The weights can be loaded in step 3.".into(),
    });
}

/// Asks anew what is on offer, after a choice that it depends on.
pub fn inspect_again(store: Store) {
    let files = FILES.with_borrow(Clone::clone);
    if files.is_empty() || store.weights.offer.with_untracked(Option::is_none) {
        return;
    }
    spawn_local(async move {
        if let Err(sentence) = inspect(store, files).await
            && store.is_ready_untracked()
        {
            withdraw(store);
            store.fail(sentence);
        }
    });
}

/// Takes the offer away.
pub fn withdraw(store: Store) {
    TURN.set(TURN.get() + 1);
    FILES.take();
    store.weights.offer.set(None);
}

/// Loads what is on offer.
pub fn load_offer(store: Store) {
    let files = FILES.with_borrow(Clone::clone);
    let load = LoadWeights {
        from: WeightsFrom::Files,
        quantization: store.weights.quantization.get_untracked(),
        complete: store.weights.complete.get_untracked(),
        keep: store.weights.keep.get_untracked(),
    };
    start(store, Wish { name: scene::names(&files), load, files });
}
