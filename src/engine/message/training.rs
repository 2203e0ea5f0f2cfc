//! Training and mapping: what the page asks for and hears about it.

use serde::{Deserialize, Serialize};

use crate::labels::{Accuracy, Class, Split};
use crate::train::TrainConfig;

/// A training job: one run a split, so that several seeds give a mean and a spread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainJob {
    pub config: TrainConfig,
    pub classes: Vec<Class>,
    /// Run i uses `splits[i]` and the seed `config.seed + i`.
    pub splits: Vec<Split>,
    /// Start from the current weights (see [`Command::LoadWeights`](super::Command::LoadWeights)); size, patch and embedded components become theirs.
    pub pretrained: bool,
    /// Resume the first unfinished run from here.
    pub resume: Option<Checkpoint>,
    /// Runs already finished before the interruption: skip as many splits.
    pub finished_runs: usize,
}

/// Everything that resumes a training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    pub bytes: serde_bytes::ByteBuf,
    /// Finished epochs.
    pub epoch: usize,
    /// Seconds spent on them.
    pub train_s: f64,
}

/// The phase of a running job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Preparing,
    Training,
    Mapping,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    /// Which split, 0-based, and of how many.
    pub run: usize,
    pub runs: usize,
    /// Epochs while training, tiles while mapping, rows while preparing.
    pub done: usize,
    pub total: usize,
    pub elapsed_s: f64,
    /// Of this phase; `None` until it can be estimated.
    pub remaining_s: Option<f64>,
    /// Training only: mean loss of the epoch.
    pub loss: Option<f32>,
    pub learning_rate: Option<f64>,
    /// Only in epochs that validate: overall accuracy on the validation pixels, 0..=1, and their loss.
    pub val_accuracy: Option<f32>,
    pub val_loss: Option<f32>,
}

impl Progress {
    /// The start of a phase of a job of one run.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            run: 0,
            runs: 1,
            done: 0,
            total: 0,
            elapsed_s: 0.0,
            remaining_s: None,
            loss: None,
            learning_rate: None,
            val_accuracy: None,
            val_loss: None,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MapRows {
    /// First row and column of the block and its size.
    pub row: usize,
    pub col: usize,
    pub rows: usize,
    pub cols: usize,
    /// Class numbers (1-based), row-major; 0 where the scene is masked.
    pub labels: serde_bytes::ByteBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    pub run: usize,
    pub split: String,
    pub seed: u64,
    /// `None` without test pixels.
    pub accuracy: Option<Accuracy>,
    pub best_epoch: usize,
    pub train_s: f64,
    pub map_s: f64,
    /// The trained model as a file, so that it survives the worker.
    pub model: serde_bytes::ByteBuf,
}
