//! What page and engine say about pretrained weights: the shelf (what is kept in this browser, what is shipped), loading,
//! and whether a device can carry them.
//!
//! | command | answered by |
//! | --- | --- |
//! | [`Command::ListWeights`](super::Command::ListWeights) | [`Event::WeightsShelf`](super::Event::WeightsShelf) |
//! | [`Command::InspectWeights`](super::Command::InspectWeights) | [`Event::WeightsInspected`](super::Event::WeightsInspected) |
//! | [`Command::LoadWeights`](super::Command::LoadWeights), a job | [`Event::WeightsProgress`](super::Event::WeightsProgress)…, [`Event::WeightsLoaded`](super::Event::WeightsLoaded), [`Event::JobFinished`](super::Event::JobFinished); or `Cancelled`, `Failed` |
//! | [`Command::DropWeights`](super::Command::DropWeights) | [`Event::WeightsDropped`](super::Event::WeightsDropped) |
//! | [`Command::DeleteWeights`](super::Command::DeleteWeights), [`Command::ClearWeights`](super::Command::ClearWeights) | [`Event::WeightsShelf`](super::Event::WeightsShelf), as it is afterwards |
//! | [`Command::AskFit`](super::Command::AskFit) | [`Event::Fit`](super::Event::Fit) |
//! | [`Command::AskMemory`](super::Command::AskMemory) | [`Event::Memory`](super::Event::Memory) |

use serde::{Deserialize, Serialize};

pub use crate::shelf::{CachedWeights, CatalogueEntry, Quota, WeightsSummary};
use crate::train::{ModelInfo, TrainConfig};
use crate::weights::{LoadReport, Quantization};

/// Where weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightsFrom {
    /// The files sent beside the message: one `.gguf`, one checkpoint, or the spatial and spectral pair in either order.
    Files,
    /// A GGUF file on the network. `sha256` (hexadecimal) is checked where it is known.
    Url { url: String, sha256: Option<String> },
    /// An entry of the shipped catalogue, by its name.
    Catalogue(String),
    /// An entry of the cache, by its id.
    Cached(String),
}

/// Load weights and make them the current ones, from which training can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadWeights {
    pub from: WeightsFrom,
    /// How the large matrices of a checkpoint are stored when it is converted. A GGUF file stays as it is.
    pub quantization: Quantization,
    /// Checkpoints: keep also what never influences the result.
    pub complete: bool,
    /// Copy a local GGUF file into the cache; otherwise it is read where it lies, for as long as the worker lives. What is
    /// converted or downloaded is always kept, if there is room.
    pub keep: bool,
}

impl LoadWeights {
    /// With the usual choices: Q8_0, only what counts, local files stay where they are.
    pub fn new(from: WeightsFrom) -> Self {
        Self { from, quantization: Quantization::Q8_0, complete: false, keep: false }
    }
}

/// Everything that can be loaded without looking for a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightsShelf {
    /// Newest first.
    pub cached: Vec<CachedWeights>,
    /// Bytes that they take.
    pub bytes_used: u64,
    /// What the browser grants this page and how much of it is taken, in bytes; it says so only roughly.
    pub quota: Option<Quota>,
    pub catalogue: Vec<CatalogueEntry>,
    /// The id of the current weights, if they are kept.
    pub current: Option<String>,
    /// What the user should know: no private file system, a catalogue that cannot be read, entries that were damaged.
    pub notices: Vec<String>,
}

/// What the files sent beside `InspectWeights`, or the file at its address, hold; only headers were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsInspected {
    /// What loading would do with every tensor, at the quantization asked for (a GGUF file: its own). No hashes yet.
    pub report: LoadReport,
    /// True for a GGUF file: nothing is converted, and there is one choice.
    pub converted: bool,
    /// One a quantization that can be chosen.
    pub choices: Vec<WeightsChoice>,
}

/// One way to store what was inspected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsChoice {
    pub quantization: Quantization,
    /// Of the GGUF file; 0 where a server does not tell.
    pub bytes: u64,
    pub fit: Fit,
}

/// What a running `LoadWeights` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsPhase {
    /// Bytes come from the network.
    Downloading,
    /// The connection broke and is being made again; `done` bytes are safe.
    Reconnecting,
    /// A local GGUF file is copied into the cache.
    Copying,
    /// A checkpoint is hashed, read, quantized and written.
    Converting,
    /// What is kept is hashed again.
    Verifying,
}

impl WeightsPhase {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downloading => "Downloading",
            Self::Reconnecting => "Reconnecting",
            Self::Copying => "Copying",
            Self::Converting => "Converting",
            Self::Verifying => "Verifying",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsProgress {
    pub phase: WeightsPhase,
    /// Bytes.
    pub done: u64,
    /// Bytes; `None` where a server does not say.
    pub total: Option<u64>,
    pub elapsed_s: f64,
    /// Of this phase; `None` until it can be estimated.
    pub remaining_s: Option<f64>,
}

/// The current weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsLoaded {
    /// SHA-256 of the GGUF file; `None` for a local file that is read where it lies, which nobody has hashed.
    pub id: Option<String>,
    pub name: String,
    pub summary: WeightsSummary,
    /// What became of every tensor.
    pub report: Box<LoadReport>,
    /// True when they are kept and will be there after a reload.
    pub stored: bool,
    /// What the user should know: held in memory because there is no room, or read where they lie.
    pub notice: Option<String>,
    pub fit: Fit,
    /// How they map by themselves; `None` where the file lacks head, classes or preprocessing, so that a training has to come
    /// first.
    pub model: Option<Box<ModelInfo>>,
}

/// What the scene is mapped with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapBy {
    /// The current model, trained or opened.
    Model,
    /// The current weights, where they are a whole network ([`WeightsLoaded::model`]).
    Weights,
}

/// Which weights a question of fit is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FitWeights {
    /// The current weights.
    Current,
    /// Of the cache, by id.
    Cached(String),
    /// Of the catalogue, by name.
    Catalogue(String),
    /// A size of the paper or our own by its name, without a file.
    Size { size: String, quantization: Quantization, complete: bool },
}

/// What the weights are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitPurpose {
    /// Map tiles; nothing is trained, and projections stay as they are stored.
    Map,
    /// Train as [`TrainConfig::tuning`] says: everything, or low-rank additions to frozen projections.
    Train,
}

/// Can this device do that?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitQuestion {
    pub weights: FitWeights,
    pub purpose: FitPurpose,
    /// Tile, patch, components and tuning are taken from here; the size is that of the weights.
    pub config: TrainConfig,
    pub classes: usize,
}

/// Bytes on the device, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceBytes {
    /// Weights as they are stored there.
    pub weights: u64,
    /// What a tile needs while it passes through the network (kept for the backward pass when training).
    pub activations: u64,
    /// Gradients, both moments of AdamW and the running average of what is trained.
    pub training: u64,
}

impl DeviceBytes {
    pub const fn total(self) -> u64 {
        self.weights.saturating_add(self.activations).saturating_add(self.training)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FitVerdict {
    /// There is room, as far as the device tells.
    Fits,
    /// It may work; the device does not tell, or it is close.
    Uncertain,
    /// It cannot work here.
    TooLarge,
}

/// What the chosen device allows, in bytes; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitLimits {
    /// Largest buffer (`maxBufferSize`).
    pub buffer: Option<u64>,
    /// Largest part of a buffer that a kernel sees at once (`maxStorageBufferBindingSize`); larger matrices are split.
    pub binding: Option<u64>,
    /// Memory in all: 4 GiB of WebAssembly on the CPU; a GPU's is not told.
    pub memory: Option<u64>,
}

/// Whether a device can do something with weights, and what could be done instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    pub verdict: FitVerdict,
    pub needs: DeviceBytes,
    /// The largest single buffer among them that cannot be split.
    pub largest_binding: u64,
    pub limits: FitLimits,
    /// For people: the verdict and its reason.
    pub sentence: String,
    /// What would fit, best first; empty when this does.
    pub suggestions: Vec<FitSuggestion>,
}

/// A change that would make it fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitSuggestion {
    pub size: String,
    pub quantization: Quantization,
    /// Longest side of the tile in pixels.
    pub tile: usize,
    /// Training low-rank adapters instead of everything.
    pub adapters: bool,
    pub needs: DeviceBytes,
    /// For people: "Base at Q4_0 needs 180 MiB".
    pub sentence: String,
}

/// What the engine holds, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The heap of the worker's WebAssembly, which never shrinks; `None` natively.
    pub heap_bytes: Option<u64>,
    /// In use on the GPU by tensors; `None` on the CPU.
    pub gpu_bytes: Option<u64>,
    /// Taken from the GPU, with what is kept for the next tensors.
    pub gpu_reserved_bytes: Option<u64>,
}

/// What dropping the current weights freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsDropped {
    pub before: MemoryUse,
    pub after: MemoryUse,
}
