//! What page and engine say to each other.
//!
//! A message is one postcard-encoded `Uint8Array`; its buffer is transferred, never copied. Dropped `File`s travel beside
//! the bytes as `{ bytes, files }`, because they cannot be encoded. The worker posts [`Event::Ready`] when it can listen;
//! whatever is posted before that is lost.

mod federation;
mod training;
mod weights;

use serde::{Deserialize, Serialize};

use crate::labels::{CodeChoices, CodeUse, LabelMap, Split};
use crate::scene::{OpenOptions, SceneInfo, Variable};
pub use crate::train::ModelInfo;
use crate::train::{SharedNetwork, TrainConfig};
use crate::weights::Quantization;
pub use federation::{
    Bytes, CoordinatorAct, CoordinatorAnswer, CoordinatorRequest, FederateJob, FederatedMap, FederatedModel,
    FederationEnd, FederationProgress, FederationRounds, Invitation, Ledger, LocalPhase, LocalProgress, OwnScope,
    Place, Stage, Traffic,
};
pub use training::{Checkpoint, MapRows, Phase, Progress, RunResult, TrainJob};
pub use weights::{
    CachedWeights, CatalogueEntry, DeviceBytes, Fit, FitLimits, FitPurpose, FitQuestion, FitSuggestion, FitVerdict,
    FitWeights, LoadWeights, MapBy, MemoryUse, Quota, WeightsChoice, WeightsDropped, WeightsFrom, WeightsInspected,
    WeightsLoaded, WeightsPhase, WeightsProgress, WeightsShelf, WeightsSummary,
};

/// A number that the page chooses; events that answer a request carry it back.
pub type RequestId = u32;

/// Page → engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub id: RequestId,
    pub command: Command,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Command {
    /// Choose the device for all later jobs; answered by [`Event::Device`].
    SelectDevice(DeviceChoice),
    /// Open the files sent beside this message as the scene (data and header in either order); answered by [`Event::SceneOpened`].
    OpenScene(OpenOptions),
    /// Make the teaching scene; answered by [`Event::SceneOpened`] with its ground truth.
    OpenTeachingScene {
        seed: u64,
    },
    /// Draw bands of the scene; answered by [`Event::Image`].
    Render(Render),
    /// The spectrum of one pixel; answered by [`Event::Spectrum`].
    ReadSpectrum {
        row: usize,
        col: usize,
    },
    /// Open the files sent beside this message as ground truth of the open scene; answered by [`Event::LabelsOpened`].
    /// What the user says of its codes goes before what the file says.
    OpenLabels {
        options: OpenOptions,
        choices: CodeChoices,
    },
    /// How many bands the files sent beside this message have, without opening them as anything; answered by
    /// [`Event::Bands`].
    CountBands,
    /// Which pixels of the open scene have data; answered by [`Event::DataFound`].
    FindData,
    /// Draw a random split of the labels; answered by [`Event::SplitMade`].
    RandomSplit {
        labels: LabelMap,
        train_per_class: usize,
        val_per_class: usize,
        seed: u64,
    },
    /// Read the split file sent beside this message; answered by [`Event::SplitsOpened`].
    OpenSplit {
        labels: LabelMap,
    },
    /// Train on the first split, map, measure; then on the next. Answered by [`Event::Progress`], [`Event::Checkpoint`],
    /// [`Event::MapRows`], [`Event::RunFinished`] for each split and [`Event::JobFinished`].
    Train(Box<TrainJob>),
    /// Map the open scene without training. Answered like the second half of `Train`.
    Map {
        by: MapBy,
        test: Option<Split>,
    },
    Pause,
    Resume,
    /// Stop the running job as soon as possible and throw its result away.
    Cancel,
    /// Stop training now, keep the best model so far, go on to mapping.
    FinishEarly,
    /// The current model as a file; answered by [`Event::File`].
    SaveModel,
    /// Open the model file sent beside this message (or `bytes`, when the page kept it); answered by [`Event::ModelOpened`].
    OpenModel {
        bytes: Option<serde_bytes::ByteBuf>,
    },
    /// The map as ENVI classification (`.hdr` and `.img`); answered by two [`Event::File`].
    ExportEnvi {
        labels: LabelMap,
    },
    /// What weights are kept and shipped; answered by [`Event::WeightsShelf`].
    ListWeights,
    /// Read the headers of the weights files sent beside this message, or of the GGUF file at an address; answered by
    /// [`Event::WeightsInspected`].
    InspectWeights {
        url: Option<String>,
        /// For the report; every choice gets its size and fit.
        quantization: Quantization,
        complete: bool,
        config: Box<TrainConfig>,
        classes: usize,
        purpose: FitPurpose,
    },
    /// Convert, download or open weights and make them the current ones; a job, answered by [`Event::WeightsProgress`],
    /// [`Event::WeightsLoaded`] and [`Event::JobFinished`].
    LoadWeights(LoadWeights),
    /// Let go of the current weights and free what they take; answered by [`Event::WeightsDropped`].
    DropWeights,
    /// Remove an entry of the cache; answered by [`Event::WeightsShelf`].
    DeleteWeights {
        id: String,
    },
    /// Remove all entries of the cache; answered by [`Event::WeightsShelf`].
    ClearWeights,
    /// Whether the chosen device can carry weights; answered by [`Event::Fit`].
    AskFit(Box<FitQuestion>),
    /// What the engine holds; answered by [`Event::Memory`].
    AskMemory,
    /// One small request to a coordinator of federated rounds; answered by [`Event::CoordinatorAnswered`].
    AskCoordinator(CoordinatorRequest),
    /// The weights with which a federation begins: of the whole network, or of adapters of the loaded weights; answered by
    /// [`Event::FederatedModel`].
    MakeFederatedModel {
        network: Box<SharedNetwork>,
        classes: usize,
    },
    /// Bring a federation its first model, as its host; answered by [`Event::CoordinatorAnswered`].
    UploadFederatedModel {
        place: Place,
        bytes: serde_bytes::ByteBuf,
    },
    /// A content of a federation; answered by [`Event::File`].
    FetchContent {
        place: Place,
        sha256: crate::federation::protocol::Hash,
        name: String,
    },
    /// Take part in a federation: see [`FederateJob`].
    Federate(Box<FederateJob>),
    /// Run the benchmark page's cases; answered by [`Event::BenchResult`] each and [`Event::JobFinished`].
    Bench(Vec<BenchCase>),
    /// For tests: destroy the GPU device, as a driver reset would.
    DestroyDevice,
}

impl Command {
    /// True for what runs long beside other commands: one at a time, and it hears `Pause`, `Resume`, `Cancel`.
    pub fn is_job(&self) -> bool {
        matches!(
            self,
            Command::Train(_)
                | Command::Map { .. }
                | Command::Bench(_)
                | Command::LoadWeights(_)
                | Command::Federate(_)
        )
    }
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// WebGPU on a real adapter, the CPU otherwise.
    Auto,
    Webgpu,
    Cpu,
}

/// Which bands to draw and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Render {
    /// One band (grey) or three (red, green, blue), 0-based.
    pub bands: Vec<usize>,
    /// Percentiles of the unmasked values that become black and white, e.g. 2 and 98.
    pub stretch: (f32, f32),
    /// Longest side of the picture; larger scenes are drawn every `step` pixels.
    pub max_side: usize,
}

/// Engine → page. `id` is the request that caused it, `None` for what happens by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reply {
    pub id: Option<RequestId>,
    pub event: Event,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Event {
    /// The worker listens.
    Ready,
    Device(DeviceInfo),
    SceneOpened(Box<SceneOpened>),
    Image(Image),
    Spectrum {
        row: usize,
        col: usize,
        values: Vec<f32>,
    },
    LabelsOpened {
        /// The file's name.
        name: String,
        labels: LabelMap,
        /// What became of each code of the file.
        codes: Vec<CodeUse>,
        notes: Vec<String>,
    },
    Bands(usize),
    /// A byte a pixel, row-major: 1 where every usable band has a value.
    DataFound(serde_bytes::ByteBuf),
    SplitMade(Split),
    SplitsOpened {
        splits: Vec<Split>,
        labels: Option<LabelMap>,
        notes: Vec<String>,
    },
    Progress(Progress),
    /// Hand it back in [`TrainJob::resume`] when the worker is gone.
    Checkpoint(Checkpoint),
    /// Rows of the map, as they are computed.
    MapRows(MapRows),
    RunFinished(Box<RunResult>),
    JobFinished,
    Cancelled,
    Paused,
    Resumed,
    File {
        name: String,
        mime: String,
        bytes: serde_bytes::ByteBuf,
    },
    ModelOpened(Box<ModelInfo>),
    BenchResult(BenchResult),
    WeightsShelf(Box<WeightsShelf>),
    WeightsInspected(Box<WeightsInspected>),
    WeightsProgress(WeightsProgress),
    WeightsLoaded(Box<WeightsLoaded>),
    WeightsDropped(WeightsDropped),
    Fit(Box<Fit>),
    Memory(MemoryUse),
    CoordinatorAnswered(CoordinatorAnswer),
    FederatedModel(FederatedModel),
    Federation(Box<FederationProgress>),
    FederationRounds(Box<FederationRounds>),
    FederationEnded(Box<FederationEnd>),
    /// The GPU is gone. The page restarts the worker and resumes from the last checkpoint.
    DeviceLost {
        reason: String,
    },
    /// The GPU has no memory left and the engine is about to stop. The page restarts the worker; resuming the job would only
    /// repeat it.
    OutOfMemory {
        /// For people: what happened and what can be done.
        message: String,
    },
    /// The engine hit a bug and is about to stop. The page restarts the worker and resumes like after a lost device.
    Crashed {
        message: String,
    },
    /// The request failed; nothing else changed.
    Failed(Failure),
}

/// A request that failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// One sentence: what happened, where, and what the user can do.
    pub message: String,
    /// Set when the file holds several arrays: ask, then open again.
    pub choices: Option<Vec<Variable>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    pub choice: DeviceChoice,
    /// What computes: [`DeviceChoice::Webgpu`] or [`DeviceChoice::Cpu`].
    pub active: DeviceChoice,
    /// "Intel Iris Xe" or "CPU, WebAssembly SIMD".
    pub name: String,
    /// Why: "no WebGPU adapter", "software adapter SwiftShader is slower than the CPU path", "you chose it".
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SceneOpened {
    pub info: SceneInfo,
    /// Identifies name, size and shape, so that kept labels find their scene again.
    pub fingerprint: String,
    /// Ground truth that comes with the scene (the teaching scene).
    pub labels: Option<LabelMap>,
}

/// A picture of the scene, ready to draw.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    pub render: Render,
    pub rows: usize,
    pub cols: usize,
    /// One picture pixel stands for `step × step` scene pixels.
    pub step: usize,
    /// RGBA, row-major; masked pixels are transparent.
    pub rgba: serde_bytes::ByteBuf,
    /// The values that became black and white, one pair a band.
    pub limits: Vec<(f32, f32)>,
}

/// One thing to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BenchCase {
    SsaForward,
    SsaBackward,
    FullAttentionBlock,
    NanoForward,
    BaseForward,
    #[serde(rename = "nano_forward_q8_0")]
    NanoForwardQ8,
    #[serde(rename = "nano_forward_q4_0")]
    NanoForwardQ4,
    #[serde(rename = "base_forward_q8_0")]
    BaseForwardQ8,
    #[serde(rename = "base_forward_q4_0")]
    BaseForwardQ4,
    /// Tiny on a 32 × 32 × 8 tile, small enough for software adapters.
    TinyForward,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BenchResult {
    pub case: BenchCase,
    pub device: DeviceInfo,
    /// Seconds of each repetition after the first.
    pub seconds: Vec<f64>,
    /// Seconds of the first, with compilation.
    pub first_s: f64,
    /// Floating-point operations of one repetition.
    pub flop: f64,
    /// Sum and L2 of the output, to compare runtimes.
    pub output_sum: f64,
    pub output_l2: f64,
}
