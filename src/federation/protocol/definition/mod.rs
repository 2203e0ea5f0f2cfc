//! What a federation fixes once and for all.

mod checking;

use serde::{Deserialize, Serialize};

use super::{Encoding, Hash};
use crate::preprocess::FitOptions;
use crate::scope::Fusion;
pub use checking::DefinitionError;
pub(super) use checking::SAMPLES_MAX;

/// What a federation fixes when it is created. Everybody who joins sees all of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Version of the protocol, 1.
    pub version: u32,
    /// For people: 1 to 120 characters.
    pub title: String,
    pub model: Model,
    pub trainable: Trainable,
    pub input: Input,
    pub classes: Vec<Class>,
    pub algorithm: Algorithm,
    pub local: LocalWork,
    pub encoding: Encoding,
    pub quorum: Quorum,
    pub deadlines: Deadlines,
    /// Rounds of training, 1 to 10 000.
    pub rounds: u32,
    #[serde(default)]
    pub start: Start,
    pub limits: Limits,
    #[serde(default)]
    pub privacy: Privacy,
}

/// Which network, and which weights it begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// For people and clients: "HyperSIGMA Nano".
    pub name: String,
    /// The safetensors file that the rounds change. Its trainable tensors are F32.
    pub weights: BlobRef,
    /// Frozen weights that clients get elsewhere, where the rounds change adapters and heads only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<BlobRef>,
    /// What clients need to build the network; nothing to the coordinator.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub settings: serde_json::Value,
}

/// A content, named by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobRef {
    pub sha256: Hash,
    /// Length
    pub bytes: u64,
}

/// Which tensors of the weights file are trained and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    All,
    /// By name.
    Tensors(Vec<String>),
}

/// One input space for all scenes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Band centres, rising; every client resamples its scenes to them. 1 to 512.
    pub wavelengths_nm: Vec<f64>,
    /// With this, round 0 gathers band statistics and returns one projection for all; without, values go in as resampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<FitOptions>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub name: String,
    /// sRGB
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<[u8; 3]>,
}

/// How clients train and how their updates become one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// μ of FedProx (Li et al. 2020, arXiv 1812.06127): clients add μ/2 · ‖w − w_global‖² to their loss. 0 is FedAvg.
    #[serde(default)]
    pub proximal: f64,
    #[serde(default)]
    pub server: ServerOptimizer,
    #[serde(default)]
    pub robust: Robust,
    /// Longer updates are scaled down to this norm before they are aggregated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Weight scope alignment; without, scopes are gathered and shown but pull nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wsa: Option<Wsa>,
}

/// What the coordinator does with the aggregated update Δ (Reddi et al. 2021, arXiv 2003.00295, algorithm 2).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerOptimizer {
    /// w ← w + Δ (McMahan et al. 2017, arXiv 1602.05629).
    #[default]
    FedAvg,
    /// v ← β v + Δ; w ← w + η v (Hsu et al. 2019, arXiv 1909.06335).
    FedAvgM { rate: f64, momentum: f64 },
    /// m ← β₁ m + (1 − β₁) Δ; v ← β₂ v + (1 − β₂) Δ²; w ← w + η m / (√v + τ).
    FedAdam { rate: f64, beta1: f64, beta2: f64, tau: f64 },
    /// As FedAdam, but v ← v − (1 − β₂) Δ² sign(v − Δ²).
    FedYogi { rate: f64, beta1: f64, beta2: f64, tau: f64 },
}

/// How the updates of a round become one Δ, coordinate by coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Robust {
    /// The mean, weighted by sample counts.
    #[default]
    Mean,
    /// The mean, not weighted, without the `trim` share at either end (Yin et al. 2018, arXiv 1803.01498); 0 ≤ trim < 0.5.
    TrimmedMean { trim: f64 },
    /// The median, not weighted; of an even number the mean of both in the middle.
    Median,
}

/// Weight scope alignment (arXiv 2408.12237).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wsa {
    /// λ: how strongly clients are pulled to the target scopes.
    pub lambda: f64,
    #[serde(default)]
    pub fusion: Fusion,
    #[serde(default)]
    pub schedule: WsaSchedule,
}

/// How λ changes over a client's local work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WsaSchedule {
    #[default]
    Constant,
    /// Rises from 0 to λ over so many local steps.
    WarmUp { steps: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalWork {
    Epochs(u32),
    Steps(u32),
}

/// How many clients a round needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// No round closes with fewer updates.
    pub min_clients: u32,
    /// Of the clients that are present, this share must have answered when the deadline closes a round.
    pub min_fraction: f64,
    /// Nobody joins beyond these.
    pub max_clients: u32,
}

/// All in seconds of the coordinator's own clock; clients need no right time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    pub statistics_s: f64,
    pub round_s: f64,
    /// A client counts as present for so long after its last request.
    pub presence_s: f64,
}

/// When training begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// When the host says so.
    #[default]
    Manual,
    /// As soon as `min_clients` have joined and the model is there.
    AtQuorum,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Updates with a larger Euclidean norm are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f64>,
    /// No client counts for more samples; at most 2³⁰.
    pub max_samples: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Keep single updates after their round, so that the whole history can be aggregated again. Otherwise they are deleted
    /// once the round's model exists.
    #[serde(default)]
    pub keep_updates: bool,
}
