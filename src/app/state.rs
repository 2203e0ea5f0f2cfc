//! Everything the page knows, as signals. Components read it, [`acts`](crate::app::acts) change it.
//!
//! [`Store`] is a bundle of copyable handles: it is passed by value and lives as long as the page.

use std::sync::Arc;

use leptos::prelude::*;

use crate::app::plain::presets::Preset;
use crate::app::plain::viewport::Viewport;
use crate::app::settings::{Settings, SplitMode};
use crate::engine::message::{DeviceChoice, DeviceInfo, ModelInfo, Progress, RunResult};
use crate::labels::{Accuracy, Class, LabelMap, Split};
use crate::scene::{SceneInfo, Variable};
use crate::train::TrainConfig;

/// The three areas of the laboratory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    Classify,
    Federate,
    Learn,
}

/// The five steps of the rail, in the order of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Scene,
    Classes,
    Model,
    Train,
    TakeAway,
}

/// What a narrow window shows under the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Steps,
    View,
    Results,
}

/// How far the engine is.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineState {
    /// Bytes of the module received so far; the total is unknown where the server compresses on the fly.
    Fetching {
        received: u64,
        total: Option<u64>,
    },
    Starting,
    Ready,
    Restarting,
    /// It cannot be started; the sentence says why and what helps.
    Failed(String),
}

/// The open scene.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenScene {
    pub info: SceneInfo,
    pub fingerprint: String,
    /// Ground truth that came with it (teaching scene).
    pub ground_truth: Option<LabelMap>,
}

/// What a press on the image does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Drag to move, click to pin a spectrum.
    Look,
    Brush,
    Erase,
}

/// Which labels are drawn over the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlay {
    Off,
    All,
    /// Only the pixels that train the first split.
    Training,
}

/// A spectrum kept in the plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Pin {
    pub row: usize,
    pub col: usize,
    pub values: Arc<Vec<f32>>,
}

/// What is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    Idle,
    Preparing,
    Training,
    Mapping,
    Finished,
    Cancelled,
    Failed,
}

impl JobState {
    /// The value of `job-state` for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preparing => "preparing",
            Self::Training => "training",
            Self::Mapping => "mapping",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    pub fn is_running(self) -> bool {
        matches!(self, Self::Preparing | Self::Training | Self::Mapping)
    }
}

/// One epoch of the curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    pub epoch: usize,
    pub loss: f32,
    pub val_accuracy: Option<f32>,
    pub val_loss: Option<f32>,
}

/// A finished run: figures and map. Its model, tens of megabytes, is the current model or lies in the browser's storage.
#[derive(Debug, Clone)]
pub struct Run {
    pub split: String,
    pub seed: u64,
    pub accuracy: Option<Accuracy>,
    pub best_epoch: usize,
    pub train_s: f64,
    pub map_s: f64,
    /// The device that computed it, in words.
    pub device: String,
    pub config: TrainConfig,
    pub classes: Vec<Class>,
    /// Class numbers, row-major, 0 = not mapped.
    pub map: Arc<Vec<u8>>,
}

impl Run {
    pub fn new(result: &RunResult, config: TrainConfig, classes: Vec<Class>, device: String, map: Vec<u8>) -> Self {
        Self {
            split: result.split.clone(),
            seed: result.seed,
            accuracy: result.accuracy.clone(),
            best_epoch: result.best_epoch,
            train_s: result.train_s,
            map_s: result.map_s,
            device,
            config,
            classes,
            map: Arc::new(map),
        }
    }
}

/// The model that "Map the scene" would use.
#[derive(Debug, Clone)]
pub struct Model {
    pub info: Option<ModelInfo>,
    /// Where it comes from: a file's name, or "trained here".
    pub origin: String,
    pub bytes: Arc<Vec<u8>>,
}

/// How serious a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something failed: what happened and what helps.
    Error,
    /// Something worth knowing.
    Quiet,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub id: u32,
    pub tone: Tone,
    pub text: String,
}

/// A question that stands between the user and the next act.
#[derive(Debug, Clone)]
pub enum Question {
    /// The file holds several arrays.
    Variable { name: String, choices: Vec<Variable>, role: Role },
    /// A file was dropped on the page while a scene is open.
    Role { names: String },
}

/// What a file is opened as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Scene,
    Labels,
    Split,
    Model,
}

/// What the browser kept from an earlier visit and cannot reopen by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub scene_name: String,
}

#[derive(Clone, Copy)]
pub struct Store {
    pub area: RwSignal<Area>,
    pub step: RwSignal<Step>,
    pub tab: RwSignal<Tab>,

    pub engine: RwSignal<EngineState>,
    pub device: RwSignal<Option<DeviceInfo>>,
    pub device_choice: RwSignal<DeviceChoice>,

    pub scene: RwSignal<Option<OpenScene>>,
    /// What is being opened or prepared right now, in words.
    pub busy: RwSignal<Option<String>>,

    pub preset: RwSignal<Preset>,
    pub band: RwSignal<usize>,
    /// Percentiles cut at both ends, e.g. 2.
    pub stretch: RwSignal<f32>,
    pub overlay: RwSignal<Overlay>,
    pub map_opacity: RwSignal<f64>,
    /// Share of the width that shows the scene without map, 0..=1; `None` = no swipe.
    pub swipe: RwSignal<Option<f64>>,
    pub viewport: RwSignal<Viewport>,
    pub tool: RwSignal<Tool>,
    pub brush: RwSignal<usize>,
    /// Bumped when the picture, the labels' layer or the map's layer has to be drawn again.
    pub drawn: RwSignal<u32>,
    pub hover: RwSignal<Option<(usize, usize)>>,
    pub hover_spectrum: RwSignal<Option<Pin>>,
    pub pins: RwSignal<Vec<Pin>>,

    pub classes: RwSignal<Vec<Class>>,
    /// One class number a pixel of the open scene.
    pub labels: RwSignal<Vec<u8>>,
    pub chosen_class: RwSignal<u8>,
    pub undo_depth: RwSignal<usize>,

    pub split_mode: RwSignal<SplitMode>,
    pub train_per_class: RwSignal<usize>,
    pub val_per_class: RwSignal<usize>,
    pub split_seed: RwSignal<u64>,
    pub seeds: RwSignal<usize>,
    /// The splits to train on; empty when they have to be drawn anew.
    pub splits: RwSignal<Vec<Split>>,
    /// All splits of the split file.
    pub file_splits: RwSignal<Vec<Split>>,
    pub split_file: RwSignal<Option<String>>,

    pub config: RwSignal<TrainConfig>,
    pub model: RwSignal<Option<Model>>,

    pub job: RwSignal<JobState>,
    pub paused: RwSignal<bool>,
    pub progress: RwSignal<Option<Progress>>,
    pub curves: RwSignal<Vec<Vec<CurvePoint>>>,
    pub runs: RwSignal<Vec<Arc<Run>>>,
    /// The run whose map is shown; `None` = the last one.
    pub shown_run: RwSignal<Option<usize>>,
    /// The map on the screen: class numbers, row-major, 0 = not mapped (yet).
    pub map: RwSignal<Vec<u8>>,
    /// Classes of the map on the screen.
    pub map_classes: RwSignal<Vec<Class>>,

    pub notices: RwSignal<Vec<Notice>>,
    /// Read aloud by screen readers: phases, not epochs.
    pub announcement: RwSignal<String>,
    pub question: RwSignal<Option<Question>>,
    pub kept: RwSignal<Option<Kept>>,
}

impl Store {
    pub fn new(settings: &Settings) -> Self {
        Self {
            area: RwSignal::new(Area::Classify),
            step: RwSignal::new(Step::Scene),
            tab: RwSignal::new(Tab::Steps),
            engine: RwSignal::new(EngineState::Fetching { received: 0, total: None }),
            device: RwSignal::new(None),
            device_choice: RwSignal::new(settings.device),
            scene: RwSignal::new(None),
            busy: RwSignal::new(None),
            preset: RwSignal::new(Preset::TrueColour),
            band: RwSignal::new(0),
            stretch: RwSignal::new(2.0),
            overlay: RwSignal::new(Overlay::All),
            map_opacity: RwSignal::new(0.85),
            swipe: RwSignal::new(None),
            viewport: RwSignal::new(Viewport::default()),
            tool: RwSignal::new(Tool::Look),
            brush: RwSignal::new(3),
            drawn: RwSignal::new(0),
            hover: RwSignal::new(None),
            hover_spectrum: RwSignal::new(None),
            pins: RwSignal::new(Vec::new()),
            classes: RwSignal::new(Vec::new()),
            labels: RwSignal::new(Vec::new()),
            chosen_class: RwSignal::new(1),
            undo_depth: RwSignal::new(0),
            split_mode: RwSignal::new(settings.split_mode),
            train_per_class: RwSignal::new(settings.train_per_class),
            val_per_class: RwSignal::new(settings.val_per_class),
            split_seed: RwSignal::new(settings.split_seed),
            seeds: RwSignal::new(settings.seeds),
            splits: RwSignal::new(Vec::new()),
            file_splits: RwSignal::new(Vec::new()),
            split_file: RwSignal::new(None),
            config: RwSignal::new(settings.config.clone()),
            model: RwSignal::new(None),
            job: RwSignal::new(JobState::Idle),
            paused: RwSignal::new(false),
            progress: RwSignal::new(None),
            curves: RwSignal::new(Vec::new()),
            runs: RwSignal::new(Vec::new()),
            shown_run: RwSignal::new(None),
            map: RwSignal::new(Vec::new()),
            map_classes: RwSignal::new(Vec::new()),
            notices: RwSignal::new(Vec::new()),
            announcement: RwSignal::new(String::new()),
            question: RwSignal::new(None),
            kept: RwSignal::new(None),
        }
    }

    /// Rows and columns of the open scene.
    pub fn shape(&self) -> Option<(usize, usize)> {
        self.scene.with_untracked(|scene| scene.as_ref().map(|scene| (scene.info.rows, scene.info.cols)))
    }

    /// The labels with their classes, as the engine wants them.
    pub fn label_map(&self) -> Option<LabelMap> {
        let (rows, cols) = self.shape()?;
        Some(LabelMap { rows, cols, labels: self.labels.get_untracked(), classes: self.classes.get_untracked() })
    }

    /// Pixels of each class, `[0]` = unlabelled.
    pub fn counts(&self) -> Vec<usize> {
        let classes = self.classes.with(Vec::len);
        self.labels.with(|labels| {
            let mut counts = vec![0; classes + 1];
            for &label in labels {
                if let Some(count) = counts.get_mut(usize::from(label)) {
                    *count += 1;
                }
            }
            counts
        })
    }

    pub fn is_ready(&self) -> bool {
        self.engine.with(|engine| *engine == EngineState::Ready)
    }

    pub fn is_ready_untracked(&self) -> bool {
        self.engine.with_untracked(|engine| *engine == EngineState::Ready)
    }

    /// The run on the screen.
    pub fn current_run(&self) -> Option<Arc<Run>> {
        let shown = self.shown_run.get();
        self.runs.with(|runs| match shown {
            Some(index) => runs.get(index).cloned(),
            None => runs.last().cloned(),
        })
    }

    pub fn redraw(&self) {
        self.drawn.update(|count| *count = count.wrapping_add(1));
    }

    pub fn fail(&self, text: impl Into<String>) {
        self.notify(Tone::Error, text.into());
    }

    pub fn tell(&self, text: impl Into<String>) {
        self.notify(Tone::Quiet, text.into());
    }

    fn notify(&self, tone: Tone, text: String) {
        self.notices.update(|notices| {
            notices.retain(|notice| notice.text != text);
            let id = notices.iter().map(|notice| notice.id).max().unwrap_or(0) + 1;
            notices.push(Notice { id, tone, text });
            // The newest few are enough; older ones would push the page down.
            let surplus = notices.len().saturating_sub(4);
            notices.drain(..surplus);
        });
    }
}
