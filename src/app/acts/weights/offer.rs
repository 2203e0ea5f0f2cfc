//! Weights from files and addresses: their headers are read first, so that the user sees what they are, and whether this device
//! can carry them, before anything is converted or downloaded.

use std::cell::{Cell, RefCell};

use js_sys::Uint8Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use super::{Wish, classes, start};
use crate::app::acts::model;
use crate::app::link;
use crate::app::plain::weights::{
    FileKind, adopted, check_address, file_kind, is_trained_here, missing_half, model_size,
};
use crate::app::state::{Area, Offer, Step, Store, Tab};
use crate::engine::message::{Command, Event, FitPurpose, LoadWeights, WeightsFrom, WeightsInspected};
use crate::shelf::file_name;

/// Headers beyond this are no model's.
const MOST_HEADER_BYTES: u64 = 32 << 20;

/// Where what is on offer comes from.
#[derive(Clone)]
enum Origin {
    Files(Vec<File>),
    Address { url: String, sha256: Option<String> },
}

impl Origin {
    fn names(&self) -> Vec<String> {
        match self {
            Self::Files(files) => files.iter().map(File::name).collect(),
            Self::Address { url, .. } => vec![file_name(url)],
        }
    }

    fn files(&self) -> &[File] {
        match self {
            Self::Files(files) => files,
            Self::Address { .. } => &[],
        }
    }
}

thread_local! {
    static OFFERED: RefCell<Option<Origin>> = const { RefCell::new(None) };
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
    let earlier = match OFFERED.with_borrow(Clone::clone) {
        Some(Origin::Files(earlier)) if half && files.len() == 1 => earlier,
        _ => Vec::new(),
    };
    if !earlier.is_empty() && earlier.iter().all(|file| file.name() != files[0].name()) {
        let pair = [earlier, files.clone()].concat();
        if inspect(store, Origin::Files(pair)).await.is_ok() {
            return;
        }
    }
    inspect_or_say(store, Origin::Files(files)).await;
}

/// Reads the header of a GGUF file at an address and shows what it is.
///
/// # Errors
/// A sentence when the address or the hash cannot be one.
pub fn offer_address(store: Store, url: &str, sha256: &str) -> Result<(), String> {
    check_address(url, sha256)?;
    let url = url.trim().to_owned();
    let sha256 = Some(sha256.trim().to_ascii_lowercase()).filter(|hash| !hash.is_empty());
    spawn_local(inspect_or_say(store, Origin::Address { url, sha256 }));
    Ok(())
}

async fn inspect_or_say(store: Store, origin: Origin) {
    if let Err(sentence) = inspect(store, origin).await {
        withdraw(store);
        store.fail(sentence);
    }
}

/// Puts weights on offer and asks the engine what they are.
async fn inspect(store: Store, origin: Origin) -> Result<(), String> {
    let turn = TURN.get() + 1;
    TURN.set(turn);
    let names = origin.names();
    let (url, local) = match &origin {
        Origin::Files(files) => (None, Some(files.iter().map(|file| file.size() as u64).sum())),
        Origin::Address { url, .. } => (Some(url.clone()), None),
    };
    OFFERED.set(Some(origin.clone()));
    let earlier = store.weights.offer.with_untracked(|offer| {
        let same = |offer: &&Offer| offer.names == names && offer.address == url.is_some();
        offer.as_ref().filter(same).and_then(|offer| offer.inspected.clone())
    });
    let show = move |names: Vec<String>, inspected: Option<WeightsInspected>| {
        let told = || inspected.as_ref().map(|found| found.report.bytes).filter(|&bytes| bytes > 0);
        let bytes = local.or_else(told);
        store.weights.offer.set(Some(Offer { names, address: local.is_none(), bytes, inspected }));
    };
    // The same files keep what is known of them while they are asked again.
    show(names.clone(), earlier);
    let mut config = store.config.get_untracked();
    loop {
        let command = Command::InspectWeights {
            url: url.clone(),
            quantization: store.weights.quantization.get_untracked(),
            complete: store.weights.complete.get_untracked(),
            config: Box::new(config.clone()),
            classes: classes(store),
            purpose: FitPurpose::Train,
        };
        let answer = link::call(command, origin.files()).await;
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
        show(names, Some(*inspected));
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
    let Some(origin) = OFFERED.with_borrow(Clone::clone) else { return };
    if store.weights.offer.with_untracked(Option::is_none) {
        return;
    }
    spawn_local(async move {
        if let Err(sentence) = inspect(store, origin).await
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
    OFFERED.take();
    store.weights.offer.set(None);
}

/// Loads what is on offer.
pub fn load_offer(store: Store) {
    let Some(origin) = OFFERED.with_borrow(Clone::clone) else { return };
    let name = origin.names().join(", ");
    let (from, files) = match origin {
        Origin::Files(files) => (WeightsFrom::Files, files),
        Origin::Address { url, sha256 } => (WeightsFrom::Url { url, sha256 }, Vec::new()),
    };
    let load = LoadWeights {
        from,
        quantization: store.weights.quantization.get_untracked(),
        complete: store.weights.complete.get_untracked(),
        keep: store.weights.keep.get_untracked(),
    };
    start(store, Wish { name, load, files });
}
