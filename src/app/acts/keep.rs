//! What survives a reload: labels and results of each scene, and which scene was open.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use gloo_timers::callback::Timeout;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::{Deserialize, Serialize};

use crate::app::acts::{job, model, scene};
use crate::app::state::{Kept, Overlay, Run, Store};
use crate::app::storage;
use crate::labels::{Accuracy, Class, LabelMap};
use crate::train::TrainConfig;

const SESSION: &str = "session";
/// Quiet time after the last change before labels are written.
const PAUSE_MS: u32 = 300;

/// Which scene was open.
#[derive(Serialize, Deserialize)]
enum Session {
    Teaching { seed: u64 },
    File { name: String },
}

#[derive(Serialize, Deserialize)]
struct KeptRun {
    split: String,
    seed: u64,
    accuracy: Option<Accuracy>,
    best_epoch: usize,
    train_s: f64,
    map_s: f64,
    device: String,
    start: Option<String>,
    config: TrainConfig,
    classes: Vec<Class>,
    #[serde(with = "serde_bytes")]
    map: Vec<u8>,
}

/// What was kept of a scene.
#[derive(Default)]
pub struct Restored {
    pub labels: Option<LabelMap>,
    pub runs: Vec<Run>,
}

thread_local! {
    static TIMER: RefCell<Option<Timeout>> = const { RefCell::new(None) };
    /// Counts changes of the labels.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    static WRITING: Cell<bool> = const { Cell::new(false) };
    /// Said once a visit, not at every stroke.
    static COMPLAINED: Cell<bool> = const { Cell::new(false) };
}

/// A file name from a fingerprint, which may hold any character (FNV-1a).
fn file_name(kind: &str, fingerprint: &str) -> String {
    let hash = fingerprint
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{kind}-{hash:016x}")
}

async fn write<T: Serialize>(store: Store, name: &str, value: &T) {
    match postcard::to_stdvec(value) {
        Ok(bytes) => write_bytes(store, name, &bytes).await,
        Err(error) => complain(store, &error.to_string()),
    }
}

async fn write_bytes(store: Store, name: &str, bytes: &[u8]) {
    if let Err(error) = storage::write(name, bytes).await {
        complain(store, &crate::app::link::text(&error));
    }
}

fn complain(store: Store, reason: &str) {
    if !COMPLAINED.replace(true) {
        store.tell(format!(
            "This browser cannot keep labels and models between visits ({reason}); take them away in step 5."
        ));
    }
}

/// Writes the labels a moment after every change.
pub fn watch(store: Store, saved: RwSignal<bool>) {
    Effect::new(move |_| {
        store.labels.track();
        store.classes.track();
        if store.scene.with(Option::is_none) {
            return;
        }
        saved.set(false);
        CHANGES.set(CHANGES.get() + 1);
        write_later(store, saved);
    });
}

/// One write at a time, so that the last one stays.
fn write_later(store: Store, saved: RwSignal<bool>) {
    let later = Timeout::new(PAUSE_MS, move || {
        if WRITING.get() {
            write_later(store, saved);
        } else {
            spawn_local(write_labels(store, saved));
        }
    });
    TIMER.set(Some(later));
}

async fn write_labels(store: Store, saved: RwSignal<bool>) {
    let change = CHANGES.get();
    if let (Some(fingerprint), Some(map)) = (fingerprint(store), store.label_map()) {
        WRITING.set(true);
        write(store, &file_name("labels", &fingerprint), &map).await;
        WRITING.set(false);
        // What changed meanwhile is not on the disk yet.
        if CHANGES.get() == change {
            saved.set(true);
        }
    }
}

/// Writes the finished runs of the open scene.
pub fn save_runs(store: Store) {
    let Some(fingerprint) = fingerprint(store) else { return };
    let runs: Vec<KeptRun> = store.runs.with_untracked(|runs| runs.iter().map(|run| KeptRun::of(run)).collect());
    spawn_local(async move { write(store, &file_name("runs", &fingerprint), &runs).await });
}

fn model_name(fingerprint: &str, run: usize) -> String {
    format!("{}-{run}", file_name("model", fingerprint))
}

fn fingerprint(store: Store) -> Option<String> {
    store.scene.with_untracked(|scene| Some(scene.as_ref()?.fingerprint.clone()))
}

/// Writes the model of a run of the open scene.
pub fn save_model(store: Store, run: usize, bytes: Arc<Vec<u8>>) {
    let Some(fingerprint) = fingerprint(store) else { return };
    spawn_local(async move { write_bytes(store, &model_name(&fingerprint, run), &bytes).await });
}

/// The model of a run of the open scene.
pub async fn read_model(store: Store, run: usize) -> Option<Vec<u8>> {
    storage::read(&model_name(&fingerprint(store)?, run)).await
}

/// Notes which scene is open.
pub async fn remember_scene(store: Store, origin: &scene::Origin) {
    let session = match origin {
        scene::Origin::Teaching { seed } => Session::Teaching { seed: *seed },
        scene::Origin::Files(..) => {
            let name =
                store.scene.with_untracked(|scene| scene.as_ref().map_or_else(String::new, |s| s.info.name.clone()));
            Session::File { name }
        }
    };
    write(store, SESSION, &session).await;
}

/// Looks up labels and results of a scene.
pub async fn restore(store: Store, fingerprint: &str) -> Restored {
    let mut restored = Restored::default();
    if let Some(bytes) = storage::read(&file_name("labels", fingerprint)).await
        && let Ok(map) = postcard::from_bytes::<LabelMap>(&bytes)
        && map.labels.len() == map.rows * map.cols
    {
        restored.labels = Some(map);
    }
    if let Some(bytes) = storage::read(&file_name("runs", fingerprint)).await
        && let Ok(runs) = postcard::from_bytes::<Vec<KeptRun>>(&bytes)
    {
        restored.runs = runs.into_iter().map(KeptRun::into_run).collect();
    }
    let labelled = restored.labels.as_ref().map_or(0, |map| map.labels.iter().filter(|&&label| label != 0).count());
    if labelled > 0 || !restored.runs.is_empty() {
        store.tell(match restored.runs.len() {
            0 => format!("Your {labelled} labelled pixels of this scene were kept in this browser and are back."),
            1 => "Your labels, the map and the model of this scene were kept in this browser and are back.".to_owned(),
            runs => {
                format!("Your labels and {runs} maps and models of this scene were kept in this browser and are back.")
            }
        });
    }
    restored
}

/// Puts kept runs on the screen and gives the last model back to the engine.
pub fn show_runs(store: Store, runs: Vec<Run>) {
    let last = runs.len().saturating_sub(1);
    store.runs.set(runs.into_iter().map(Arc::new).collect());
    job::show(store, None);
    store.overlay.set(Overlay::Training);
    spawn_local(async move {
        if let Some(bytes) = read_model(store, last).await
            && let Err(sentence) = model::give(store, bytes, "trained here".into()).await
        {
            store.fail(sentence);
        }
    });
}

/// After a reload: the teaching scene opens by itself, a file has to be dropped again.
pub async fn reopen(store: Store) {
    let Some(bytes) = storage::read(SESSION).await else { return };
    match postcard::from_bytes::<Session>(&bytes) {
        Ok(Session::Teaching { seed }) => {
            scene::open(store, scene::Origin::Teaching { seed }).await;
        }
        Ok(Session::File { name }) => store.kept.set(Some(Kept { scene_name: name })),
        Err(_) => {}
    }
}

/// Forgets labels, maps and models of the open scene, and which scene was open.
pub fn forget(store: Store) {
    let Some(fingerprint) = fingerprint(store) else { return };
    TIMER.take();
    let runs = store.runs.with_untracked(Vec::len);
    spawn_local(async move {
        for run in 0..runs {
            storage::remove(&model_name(&fingerprint, run)).await;
        }
        storage::remove(&file_name("labels", &fingerprint)).await;
        storage::remove(&file_name("runs", &fingerprint)).await;
        storage::remove(SESSION).await;
        store.tell(
            "What this browser had kept of this scene is deleted; what is on the screen stays until you close it.",
        );
    });
}

impl KeptRun {
    fn of(run: &Run) -> Self {
        Self {
            split: run.split.clone(),
            seed: run.seed,
            accuracy: run.accuracy.clone(),
            best_epoch: run.best_epoch,
            train_s: run.train_s,
            map_s: run.map_s,
            device: run.device.clone(),
            start: run.start.clone(),
            config: run.config.clone(),
            classes: run.classes.clone(),
            map: run.map.as_ref().clone(),
        }
    }

    fn into_run(self) -> Run {
        Run {
            split: self.split,
            seed: self.seed,
            accuracy: self.accuracy,
            best_epoch: self.best_epoch,
            train_s: self.train_s,
            map_s: self.map_s,
            device: self.device,
            start: self.start,
            config: self.config,
            classes: self.classes,
            map: Arc::new(self.map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn file_names_are_harmless_and_differ() {
        let name = file_name("labels", "../a b/ü:145×145");
        assert_eq!(name.len(), "labels-".len() + 16);
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
        assert_ne!(name, file_name("labels", "../a b/ü:145×146"));
    }
}
