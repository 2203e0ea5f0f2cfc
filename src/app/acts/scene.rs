//! Opening a scene, drawing it, reading its spectra.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::File;

use crate::app::acts::{keep, labels, no_data, split};
use crate::app::link;
use crate::app::plain::presets::{self, Preset};
use crate::app::state::{JobState, OpenScene, Overlay, Pin, Question, Role, Step, Store};
use crate::app::view::layers;
use crate::engine::message::{Command, Event, Failure, Render, SceneOpened};
use crate::scene::{Kind, OpenOptions};

/// Longest side of the picture that the engine draws; a larger scene is drawn every few pixels.
const PICTURE_SIDE: usize = 2048;
/// Spectra that fit legibly into one plot.
const MOST_PINS: usize = 8;

/// Where the open scene comes from, to open it again after the engine was lost.
#[derive(Clone)]
pub enum Origin {
    Files(Vec<File>, OpenOptions),
    Teaching { seed: u64 },
}

impl Origin {
    pub fn command(&self) -> (Command, Vec<File>) {
        match self {
            Self::Files(files, options) => (Command::OpenScene(options.clone()), files.clone()),
            Self::Teaching { seed } => (Command::OpenTeachingScene { seed: *seed }, Vec::new()),
        }
    }
}

thread_local! {
    static ORIGIN: RefCell<Option<Origin>> = const { RefCell::new(None) };
    /// Files that wait for the answer to a [`Question`].
    static PENDING: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
    static DRAWING: Cell<bool> = const { Cell::new(false) };
    static DRAW_AGAIN: Cell<bool> = const { Cell::new(false) };
    static READING: Cell<bool> = const { Cell::new(false) };
}

pub fn origin() -> Option<Origin> {
    ORIGIN.with_borrow(Clone::clone)
}

/// Keeps files until the user has answered.
pub fn set_pending(files: Vec<File>) {
    PENDING.set(files);
}

pub fn take_pending() -> Vec<File> {
    PENDING.take()
}

/// The names of files for a sentence.
pub fn names(files: &[File]) -> String {
    files.iter().map(File::name).collect::<Vec<_>>().join(", ")
}

/// Opens files as the scene. `true` when it is open.
pub async fn open(store: Store, origin: Origin) -> bool {
    if store.job.get_untracked().is_running() {
        store.fail("A job is running on the open scene; cancel it before you open another one.");
        return false;
    }
    if store.weights.on_the_way.with_untracked(Option::is_some) {
        store.fail("Weights are being loaded; open the scene when they are here, or cancel that in step 3.");
        return false;
    }
    let (command, files) = origin.command();
    let name = if files.is_empty() { "the teaching scene".to_owned() } else { names(&files) };
    store.busy.set(Some(format!("Opening {name}")));
    let result = link::call(command, &files).await;
    store.busy.set(None);
    match result {
        Ok(Event::SceneOpened(opened)) => {
            ORIGIN.set(Some(origin.clone()));
            settle(store, *opened).await;
            keep::remember_scene(store, &origin).await;
            true
        }
        Ok(_) => false,
        Err(failure) => {
            ask_or_fail(store, failure, files, Role::Scene);
            false
        }
    }
}

/// A failure that offers variables becomes a question; any other becomes a notice.
pub fn ask_or_fail(store: Store, failure: Failure, files: Vec<File>, role: Role) {
    match failure.choices {
        Some(choices) if !choices.is_empty() => {
            let name = names(&files);
            set_pending(files);
            store.question.set(Some(Question::Variable { name, choices, role }));
        }
        _ => store.fail(failure.message),
    }
}

pub fn open_teaching(store: Store, seed: u64) {
    spawn_local(async move {
        open(store, Origin::Teaching { seed }).await;
    });
}

/// Puts a freshly opened scene on the screen and takes everything of the former one away.
async fn settle(store: Store, opened: SceneOpened) {
    let SceneOpened { info, fingerprint, labels: ground_truth } = opened;
    layers::clear();
    store.has_data.set(None);
    store.pins.set(Vec::new());
    store.hover.set(None);
    store.hover_spectrum.set(None);
    split::replace(store, Vec::new());
    store.file_splits.set(Vec::new());
    store.split_file.set(None);
    store.curves.set(Vec::new());
    store.runs.set(Vec::new());
    store.shown_run.set(None);
    store.map.set(Vec::new());
    store.map_classes.set(Vec::new());
    store.progress.set(None);
    store.job.set(JobState::Idle);
    store.swipe.set(None);
    store.overlay.set(Overlay::All);
    store.kept.set(None);
    store.preset.set(presets::first_choice(&info));
    store.band.set(presets::first_band(&info));
    store.viewport.update(|viewport| viewport.forget(info.rows, info.cols));
    store
        .announcement
        .set(format!("{} is open: {} rows, {} columns, {} bands.", info.name, info.rows, info.cols, info.bands));
    if info.kind == Kind::Labels {
        store.tell(format!(
            "{} holds class numbers rather than spectra; if it is the ground truth, open the scene first and add it in step 2.",
            info.name
        ));
    }
    let empty = crate::labels::LabelMap {
        rows: info.rows,
        cols: info.cols,
        labels: vec![0; info.rows * info.cols],
        classes: Vec::new(),
    };
    let labels_now = ground_truth.clone().unwrap_or(empty);
    let restored = keep::restore(store, &fingerprint).await;
    store.scene.set(Some(OpenScene { info, fingerprint, ground_truth }));
    labels::replace(store, restored.labels.unwrap_or(labels_now), false);
    if !restored.runs.is_empty() {
        keep::show_runs(store, restored.runs);
    }
    store.step.set(Step::Classes);
    draw(store);
    no_data::look(store);
}

/// Asks the engine for the picture that the controls describe. While one is being drawn, later wishes are merged into one.
pub fn draw(store: Store) {
    if !store.is_ready_untracked() {
        // Drawn as soon as the engine is where the page is.
        return;
    }
    if DRAWING.replace(true) {
        DRAW_AGAIN.set(true);
        return;
    }
    spawn_local(async move {
        loop {
            DRAW_AGAIN.set(false);
            if let Some(render) = wish(store) {
                match link::call(Command::Render(render), &[]).await {
                    Ok(Event::Image(image)) => {
                        layers::set_picture(&image);
                        store.redraw();
                    }
                    Ok(_) => {}
                    Err(failure) if store.is_ready_untracked() => store.fail(failure.message),
                    Err(_) => {}
                }
            }
            if !DRAW_AGAIN.get() {
                break;
            }
        }
        DRAWING.set(false);
    });
}

fn wish(store: Store) -> Option<Render> {
    let cut = store.stretch.get_untracked();
    let band = store.band.get_untracked();
    let preset = store.preset.get_untracked();
    store.scene.with_untracked(|scene| {
        let info = &scene.as_ref()?.info;
        let bands = match preset {
            Preset::Band => vec![band.min(info.bands.saturating_sub(1))],
            _ => presets::bands(preset, info)?.to_vec(),
        };
        Some(Render { bands, stretch: (cut, 100.0 - cut), max_side: PICTURE_SIDE })
    })
}

async fn spectrum(row: usize, col: usize) -> Result<Option<Pin>, Failure> {
    match link::call(Command::ReadSpectrum { row, col }, &[]).await? {
        Event::Spectrum { row, col, values } => Ok(Some(Pin { row, col, values: Arc::new(values) })),
        _ => Ok(None),
    }
}

/// Follows the pointer: reads the spectrum under it, one at a time.
pub fn hover(store: Store, pixel: Option<(usize, usize)>) {
    if store.hover.get_untracked() == pixel {
        return;
    }
    store.hover.set(pixel);
    if pixel.is_none() {
        store.hover_spectrum.set(None);
        return;
    }
    if !store.is_ready_untracked() || READING.replace(true) {
        return;
    }
    spawn_local(async move {
        while let Some((row, col)) = store.hover.get_untracked() {
            match spectrum(row, col).await {
                Ok(Some(pin)) if store.hover.get_untracked().is_some() => store.hover_spectrum.set(Some(pin)),
                // A pixel that cannot be read is told when it is pinned, not on every move of the pointer.
                _ => break,
            }
            if store.hover.get_untracked() == Some((row, col)) {
                break;
            }
        }
        READING.set(false);
    });
}

/// Keeps the spectrum of a pixel in the plot.
pub fn pin(store: Store, row: usize, col: usize) {
    spawn_local(async move {
        match spectrum(row, col).await {
            Ok(Some(pin)) => {
                store.pins.update(|pins| {
                    pins.retain(|old| (old.row, old.col) != (row, col));
                    if pins.len() == MOST_PINS {
                        pins.remove(0);
                    }
                    pins.push(pin);
                });
                store.redraw();
            }
            Ok(None) => {}
            Err(failure) => store.fail(failure.message),
        }
    });
}

pub fn unpin(store: Store, row: usize, col: usize) {
    store.pins.update(|pins| pins.retain(|pin| (pin.row, pin.col) != (row, col)));
    store.redraw();
}
