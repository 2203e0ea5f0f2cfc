//! What the signals of the store hold.

use std::sync::Arc;

use crate::engine::message::{ModelInfo, RunResult};
use crate::labels::{Accuracy, Class, CodeUse, LabelMap};
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

/// What became of the codes of the label file that the labels are from.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelCodes {
    pub name: String,
    pub codes: Vec<CodeUse>,
    pub notes: Vec<String>,
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
    /// Taking part in a federation.
    Federating,
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
            Self::Federating => "federating",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    pub fn is_running(self) -> bool {
        matches!(self, Self::Preparing | Self::Training | Self::Mapping | Self::Federating)
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
    /// The weights that training started from and how they were tuned, in words; `None` = from scratch, or not known.
    pub start: Option<String>,
    pub config: TrainConfig,
    pub classes: Vec<Class>,
    /// Class numbers, row-major, 0 = not mapped.
    pub map: Arc<Vec<u8>>,
}

impl Run {
    /// Of a result, with the device and the weights in words.
    pub fn new(
        result: &RunResult,
        config: TrainConfig,
        classes: Vec<Class>,
        (device, start): (String, Option<String>),
        map: Vec<u8>,
    ) -> Self {
        Self {
            split: result.split.clone(),
            seed: result.seed,
            accuracy: result.accuracy.clone(),
            best_epoch: result.best_epoch,
            train_s: result.train_s,
            map_s: result.map_s,
            device,
            start,
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
    Weights,
}

/// What the browser kept from an earlier visit and cannot reopen by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub scene_name: String,
}
