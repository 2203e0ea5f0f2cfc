//! Training and mapping: starting them, following them, and carrying on after the engine was lost.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::app::acts::{keep, split};
use crate::app::link;
use crate::app::plain::weights;
use crate::app::settings::SplitMode;
use crate::app::state::{CurvePoint, JobState, Model, Overlay, Run, Step, Store};
use crate::app::view::layers;
use crate::engine::message::{
    Checkpoint, Command, Event, MapBy, MapRows, ModelInfo, Phase, Progress, RunResult, TrainJob,
};
use crate::labels::{Class, Split};
use crate::train::{TrainConfig, Tuning};

/// All that is needed to carry on with the running job in a new worker.
struct Running {
    kind: Kind,
    checkpoint: Option<Checkpoint>,
    finished: usize,
}

enum Kind {
    /// `start`: the weights it starts from, in words.
    Train { config: TrainConfig, classes: Vec<Class>, splits: Vec<Split>, start: Option<String> },
    /// `weights`: those that map by themselves, in words; without them the current model maps.
    Map { test: Option<Split>, classes: Vec<Class>, config: TrainConfig, weights: Option<String> },
}

impl Kind {
    fn classes(&self) -> &Vec<Class> {
        match self {
            Self::Train { classes, .. } | Self::Map { classes, .. } => classes,
        }
    }

    fn config(&self) -> &TrainConfig {
        match self {
            Self::Train { config, .. } | Self::Map { config, .. } => config,
        }
    }

    fn start(&self) -> Option<String> {
        match self {
            Self::Train { start, .. } => start.clone(),
            Self::Map { weights, .. } => weights.clone(),
        }
    }
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
    /// A job that was paused when the engine was lost is paused again as soon as it runs.
    static PAUSE_AGAIN: Cell<bool> = const { Cell::new(false) };
}

/// Draws the splits where needed, then trains on each.
pub fn train(store: Store) {
    if store.job.get_untracked().is_running() {
        return;
    }
    // At once, so that a second press finds a job.
    let before = store.job.get_untracked();
    store.job.set(JobState::Preparing);
    let refuse = move |sentence: String| {
        store.job.set(before);
        store.fail(sentence);
    };
    spawn_local(async move {
        // A split file that was opened before it was known which pixels have data.
        let from_file = store.split_mode.get_untracked() == SplitMode::File;
        if (from_file || store.splits.with_untracked(Vec::is_empty))
            && let Err(sentence) = split::draw(store).await
        {
            refuse(sentence);
            return;
        }
        let splits = store.splits.get_untracked();
        let mut trained: Vec<u8> =
            splits.iter().flat_map(|split| split.train.iter().map(|pixel| pixel.class)).collect();
        trained.sort_unstable();
        trained.dedup();
        if trained.len() < 2 {
            refuse("Training needs labelled pixels of at least two classes; brush or import some in step 2.".into());
            return;
        }
        let mut config = store.config.get_untracked();
        let start = store
            .weights
            .loaded
            .with_untracked(|loaded| loaded.as_ref().map(|loaded| weights::start(&loaded.summary, &config.tuning)));
        if start.is_none() {
            // The choice is kept for the next weights; from scratch everything is trained.
            config.tuning = Tuning::Full;
        }
        let kind = Kind::Train { config, classes: store.classes.get_untracked(), splits, start };
        begin(store, kind);
    });
}

/// Maps the open scene with the current model.
pub fn map(store: Store) {
    if store.job.get_untracked().is_running() {
        return;
    }
    let Some(model) = store.model.get_untracked() else {
        store.fail("There is no model yet; train one or open a model file in step 3.");
        return;
    };
    let classes = match &model.info {
        Some(info) => info.classes.clone(),
        None => store.classes.get_untracked(),
    };
    let config = model.info.as_ref().map_or_else(|| store.config.get_untracked(), |info| info.config.clone());
    begin(store, Kind::Map { test: first_split(store), classes, config, weights: None });
}

/// Maps the open scene with the loaded weights, which are a whole network.
pub fn map_by_weights(store: Store) {
    if store.job.get_untracked().is_running() {
        return;
    }
    let found = store.weights.loaded.with_untracked(|loaded| {
        let loaded = loaded.as_ref()?;
        Some((loaded.model.as_ref()?.as_ref().clone(), weights::as_they_are(&loaded.summary)))
    });
    let Some((ModelInfo { classes, config, .. }, words)) = found else { return };
    begin(store, Kind::Map { test: first_split(store), classes, config, weights: Some(words) });
}

fn first_split(store: Store) -> Option<Split> {
    store.splits.with_untracked(|splits| splits.first().cloned())
}

fn begin(store: Store, kind: Kind) {
    let Some((rows, cols)) = store.shape() else { return };
    store.curves.set(Vec::new());
    store.runs.set(Vec::new());
    store.shown_run.set(None);
    store.map.set(vec![0; rows * cols]);
    store.map_classes.set(kind.classes().clone());
    layers::set_map(rows, cols, &[], &[]);
    // All labels would hide the map that is about to appear.
    if store.overlay.get_untracked() == Overlay::All {
        store.overlay.set(Overlay::Training);
    }
    store.redraw();
    store.paused.set(false);
    store.progress.set(None);
    store.job.set(JobState::Preparing);
    store.announcement.set("Preparing the scene.".into());
    RUNNING.set(Some(Running { kind, checkpoint: None, finished: 0 }));
    send();
}

/// (Re)sends the job as far as it has come.
fn send() {
    let command = RUNNING.with_borrow(|running| {
        running.as_ref().map(|running| match &running.kind {
            Kind::Train { config, classes, splits, start } => Command::Train(Box::new(TrainJob {
                config: config.clone(),
                classes: classes.clone(),
                splits: splits.clone(),
                resume: running.checkpoint.clone(),
                finished_runs: running.finished,
                pretrained: start.is_some(),
            })),
            Kind::Map { test, weights, .. } => {
                let by = if weights.is_some() { MapBy::Weights } else { MapBy::Model };
                Command::Map { by, test: test.clone() }
            }
        })
    });
    if let Some(command) = command {
        link::begin_job(command);
    }
}

/// Carries on in a new worker; says from where.
pub fn resume_after_loss(store: Store) -> Option<String> {
    let from = RUNNING.with_borrow(|running| {
        running.as_ref().map(|running| match (&running.kind, &running.checkpoint) {
            (Kind::Map { .. }, _) => "mapping starts again".to_owned(),
            (_, Some(checkpoint)) => format!("training goes on from epoch {}", checkpoint.epoch),
            (_, None) if running.finished > 0 => format!("training goes on with run {}", running.finished + 1),
            (_, None) => "training starts again".to_owned(),
        })
    })?;
    let (finished, epoch) = RUNNING.with_borrow(|running| {
        running
            .as_ref()
            .map_or((0, 0), |r| (r.finished, r.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch)))
    });
    store.curves.update(|curves| {
        curves.truncate(finished + 1);
        if let Some(curve) = curves.get_mut(finished) {
            curve.retain(|point| point.epoch <= epoch);
        }
    });
    store.job.set(JobState::Preparing);
    store.progress.set(None);
    send();
    PAUSE_AGAIN.set(store.paused.get_untracked());
    Some(from)
}

pub fn pause(store: Store) {
    link::tell(if store.paused.get_untracked() { Command::Resume } else { Command::Pause });
}

pub fn cancel() {
    link::tell(Command::Cancel);
}

pub fn finish_early() {
    link::tell(Command::FinishEarly);
}

/// Takes an event of the running job.
pub fn on_event(store: Store, event: Event) {
    match event {
        Event::Progress(progress) => on_progress(store, progress),
        Event::Checkpoint(checkpoint) => RUNNING.with_borrow_mut(|running| {
            if let Some(running) = running {
                running.checkpoint = Some(checkpoint);
            }
        }),
        Event::MapRows(rows) => on_map_rows(store, &rows),
        Event::RunFinished(result) => on_run_finished(store, *result),
        Event::JobFinished => {
            RUNNING.take();
            store.progress.set(None);
            store.paused.set(false);
            store.job.set(JobState::Finished);
            store.step.set(Step::TakeAway);
            store.announcement.set(summary(store));
            keep::save_runs(store);
        }
        Event::Cancelled => {
            RUNNING.take();
            end_without_result(store, JobState::Cancelled);
            store.announcement.set("Cancelled.".into());
        }
        Event::Paused => store.paused.set(true),
        Event::Resumed => store.paused.set(false),
        _ => {}
    }
}

fn summary(store: Store) -> String {
    let accuracies: Vec<f64> =
        store.runs.with_untracked(|runs| runs.iter().filter_map(|run| Some(run.accuracy.as_ref()?.overall)).collect());
    if accuracies.is_empty() {
        return "Finished. The map is drawn; there are no test pixels to measure it on.".into();
    }
    let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
    format!("Finished. Overall accuracy {:.1} percent.", 100.0 * mean)
}

/// The job failed; nothing else changed.
pub fn on_failure(store: Store, message: String) {
    RUNNING.take();
    end_without_result(store, JobState::Failed);
    store.fail(message);
}

fn end_without_result(store: Store, state: JobState) {
    store.progress.set(None);
    store.paused.set(false);
    store.job.set(state);
    if store.runs.with_untracked(Vec::is_empty) {
        store.map.set(Vec::new());
        store.map_classes.set(Vec::new());
        layers::clear_map();
        store.redraw();
    } else {
        show(store, None);
        keep::save_runs(store);
    }
}

fn on_progress(store: Store, progress: Progress) {
    if PAUSE_AGAIN.take() {
        link::tell(Command::Pause);
    }
    let state = match progress.phase {
        Phase::Preparing => JobState::Preparing,
        Phase::Training => JobState::Training,
        Phase::Mapping => JobState::Mapping,
    };
    if store.job.get_untracked() != state {
        store.job.set(state);
        store.announcement.set(match state {
            JobState::Training => format!("Training run {} of {}.", progress.run + 1, progress.runs),
            JobState::Mapping => "Mapping the scene.".into(),
            _ => "Preparing the scene.".into(),
        });
    }
    if let (Phase::Training, Some(loss)) = (progress.phase, progress.loss) {
        let point =
            CurvePoint { epoch: progress.done, loss, val_accuracy: progress.val_accuracy, val_loss: progress.val_loss };
        store.curves.update(|curves| {
            if curves.len() <= progress.run {
                curves.resize(progress.run + 1, Vec::new());
            }
            let curve = &mut curves[progress.run];
            // A validation may be told after its epoch.
            match curve.last_mut() {
                Some(last) if last.epoch == point.epoch => *last = point,
                _ => curve.push(point),
            }
        });
    }
    store.progress.set(Some(progress));
}

fn on_map_rows(store: Store, block: &MapRows) {
    let Some((rows, cols)) = store.shape() else { return };
    let fits = block.row + block.rows <= rows
        && block.col + block.cols <= cols
        && block.labels.len() == block.rows * block.cols
        && store.map.with_untracked(|map| map.len() == rows * cols);
    if !fits {
        return;
    }
    store.map.update(|map| {
        for (row, line) in block.labels.chunks(block.cols.max(1)).enumerate() {
            let start = (block.row + row) * cols + block.col;
            map[start..start + block.cols].copy_from_slice(line);
        }
    });
    store.map_classes.with_untracked(|classes| layers::touch_map(block, classes));
    store.redraw();
}

fn on_run_finished(store: Store, result: RunResult) {
    let Some((config, classes, start)) = RUNNING.with_borrow_mut(|running| {
        running.as_mut().map(|running| {
            running.finished = result.run + 1;
            running.checkpoint = None;
            (running.kind.config().clone(), running.kind.classes().clone(), running.kind.start())
        })
    }) else {
        return;
    };
    let device = store.device.with_untracked(|device| device.as_ref().map_or_else(String::new, |d| d.name.clone()));
    let run = Run::new(&result, config, classes, (device, start), store.map.get_untracked());
    if !result.model.is_empty() {
        let bytes = Arc::new(result.model.into_vec());
        keep::save_model(store, store.runs.with_untracked(Vec::len), bytes.clone());
        store.model.set(Some(Model { info: None, origin: "trained here".into(), bytes }));
    }
    store.runs.update(|runs| runs.push(Arc::new(run)));
}

/// Puts the map of a run on the screen; `None` = the last.
pub fn show(store: Store, index: Option<usize>) {
    store.shown_run.set(index);
    let run = store.runs.with_untracked(|runs| index.map_or_else(|| runs.last(), |index| runs.get(index)).cloned());
    if let (Some(run), Some((rows, cols))) = (run, store.shape()) {
        store.map.set(run.map.as_ref().clone());
        // Names and colours may have been edited since.
        let classes = store.classes.get_untracked();
        let classes = if classes.len() == run.classes.len() { classes } else { run.classes.clone() };
        layers::set_map(rows, cols, &run.map, &classes);
        store.map_classes.set(classes);
        store.redraw();
    }
}
