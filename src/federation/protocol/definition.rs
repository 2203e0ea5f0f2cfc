//! What a federation fixes once and for all.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Encoding, Hash, VERSION};
use crate::preprocess::{FitOptions, Method};
use crate::scope::Fusion;

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

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DefinitionError {
    #[error("version {found} of the protocol is not spoken here, only {VERSION}")]
    Version { found: u32 },
    #[error("{field} is {value}, but must be {range}")]
    Range { field: &'static str, value: String, range: &'static str },
    #[error("wavelengths must be finite, above 0 and rise; number {index} does not")]
    Wavelengths { index: usize },
    #[error("tensor {name} is listed twice")]
    Twice { name: String },
    #[error(
        "minimum noise fractions need neighbouring pixels, which band statistics do not tell; choose another projection"
    )]
    NoiseFraction,
}

/// Largest count of samples of one client.
pub(super) const SAMPLES_MAX: u64 = 1 << 30;
/// Largest number of clients: with [`SAMPLES_MAX`] it bounds the sums of the aggregation.
const CLIENTS_MAX: u32 = 1 << 20;
/// Largest model that rounds change.
const MODEL_BYTES_MAX: u64 = 4 << 30;

impl Definition {
    /// # Errors
    /// [`DefinitionError`] with the first field that is out of its range.
    pub fn check(&self) -> Result<(), DefinitionError> {
        if self.version != VERSION {
            return Err(DefinitionError::Version { found: self.version });
        }
        let text = |field, text: &str| {
            check(field, text.chars().count(), (1..=120).contains(&text.chars().count()), "1 to 120 characters long")
        };
        text("title", &self.title)?;
        text("model.name", &self.model.name)?;
        let bytes = self.model.weights.bytes;
        check("model.weights.bytes", bytes, (9..=MODEL_BYTES_MAX).contains(&bytes), "9 bytes to 4 GiB")?;
        if let Trainable::Tensors(names) = &self.trainable {
            check("trainable", names.len(), (1..=100_000).contains(&names.len()), "1 to 100 000 names")?;
            let mut sorted: Vec<_> = names.iter().collect();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(DefinitionError::Twice { name: twice[0].clone() });
            }
        }
        self.input.check()?;
        check("classes", self.classes.len(), (1..=1000).contains(&self.classes.len()), "1 to 1000 classes")?;
        self.classes.iter().try_for_each(|class| text("classes.name", &class.name))?;
        self.algorithm.check()?;
        let (LocalWork::Epochs(work) | LocalWork::Steps(work)) = self.local;
        check("local", work, (1..=1_000_000).contains(&work), "1 to 1 000 000")?;
        let Quorum { min_clients, min_fraction, max_clients } = self.quorum;
        check("quorum.min_clients", min_clients, (1..=max_clients).contains(&min_clients), "1 to max_clients")?;
        check("quorum.max_clients", max_clients, max_clients <= CLIENTS_MAX, "at most 2^20")?;
        check("quorum.min_fraction", min_fraction, (0.0..=1.0).contains(&min_fraction), "0 to 1")?;
        let Deadlines { statistics_s, round_s, presence_s } = self.deadlines;
        for (field, value) in [
            ("deadlines.statistics_s", statistics_s),
            ("deadlines.round_s", round_s),
            ("deadlines.presence_s", presence_s),
        ] {
            check(field, value, (0.1..=1e7).contains(&value), "0.1 to 10 000 000 seconds")?;
        }
        check("rounds", self.rounds, (1..=10_000).contains(&self.rounds), "1 to 10 000")?;
        let samples = self.limits.max_samples;
        check("limits.max_samples", samples, (1..=SAMPLES_MAX).contains(&samples), "1 to 2^30")?;
        self.limits.max_norm.map_or(Ok(()), |norm| check("limits.max_norm", norm, norm > 0.0, "above 0"))
    }
}

impl Input {
    fn check(&self) -> Result<(), DefinitionError> {
        let bands = self.wavelengths_nm.len();
        check("input.wavelengths_nm", bands, (1..=512).contains(&bands), "1 to 512 bands")?;
        let mut before = 0.0;
        for (index, &wavelength) in self.wavelengths_nm.iter().enumerate() {
            if !(wavelength.is_finite() && wavelength > before) {
                return Err(DefinitionError::Wavelengths { index });
            }
            before = wavelength;
        }
        match self.projection.map(|fit| fit.method) {
            Some(Method::NoiseFraction { .. }) => Err(DefinitionError::NoiseFraction),
            Some(Method::Pca { components, .. } | Method::NoiseAdjusted { components, .. }) => {
                check(
                    "input.projection.components",
                    components,
                    (1..=bands).contains(&components),
                    "1 to the number of bands",
                )?;
                let Some(Method::NoiseAdjusted { whitening, .. }) = self.projection.map(|fit| fit.method) else {
                    return Ok(());
                };
                check("input.projection.whitening", whitening, (0.0..=1.0).contains(&whitening), "0 to 1")
            }
            Some(Method::Standardise) | None => Ok(()),
        }
    }
}

impl Algorithm {
    fn check(&self) -> Result<(), DefinitionError> {
        let bounded = |field, value: f64| check(field, value, (0.0..=1e6).contains(&value), "0 to 1 000 000");
        let positive =
            |field, value: f64| check(field, value, value > 0.0 && value <= 1e6, "above 0 and at most 1 000 000");
        let decay = |field, value: f64| check(field, value, (0.0..1.0).contains(&value), "at least 0 and below 1");
        bounded("algorithm.proximal", self.proximal)?;
        match self.server {
            ServerOptimizer::FedAvg => {}
            ServerOptimizer::FedAvgM { rate, momentum } => {
                positive("algorithm.server.rate", rate)?;
                decay("algorithm.server.momentum", momentum)?;
            }
            ServerOptimizer::FedAdam { rate, beta1, beta2, tau }
            | ServerOptimizer::FedYogi { rate, beta1, beta2, tau } => {
                positive("algorithm.server.rate", rate)?;
                decay("algorithm.server.beta1", beta1)?;
                decay("algorithm.server.beta2", beta2)?;
                check("algorithm.server.tau", tau, (1e-12..=1.0).contains(&tau), "1e-12 to 1")?;
            }
        }
        if let Robust::TrimmedMean { trim } = self.robust {
            check("algorithm.robust.trim", trim, (0.0..0.5).contains(&trim), "at least 0 and below 0.5")?;
        }
        self.clip_norm.map_or(Ok(()), |norm| positive("algorithm.clip_norm", norm))?;
        self.wsa.map_or(Ok(()), |wsa| bounded("algorithm.wsa.lambda", wsa.lambda))
    }
}

fn check(field: &'static str, value: impl ToString, fits: bool, range: &'static str) -> Result<(), DefinitionError> {
    if fits { Ok(()) } else { Err(DefinitionError::Range { field, value: value.to_string(), range }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> serde_json::Value {
        let document = include_str!("../../../docs/federation.md");
        let json = document.split("```json definition\n").nth(1).expect("an example").split("```").next().unwrap();
        serde_json::from_str(json).expect("the example is JSON")
    }

    #[test]
    fn the_example_of_the_document_is_one() {
        let definition: Definition = serde_json::from_value(example()).unwrap();
        definition.check().unwrap();
        let again: Definition = serde_json::from_value(serde_json::to_value(&definition).unwrap()).unwrap();
        assert_eq!(again, definition);
    }

    #[test]
    fn fields_out_of_range_are_named() {
        for (pointer, value) in [
            ("/version", 2.into()),
            ("/title", "".into()),
            ("/input/wavelengths_nm", serde_json::json!([400.0, 400.0])),
            ("/input/wavelengths_nm", serde_json::json!([])),
            ("/input/projection/method", serde_json::json!({"noise_fraction": {"components": 1, "whitening": 0.5}})),
            ("/input/projection/method", serde_json::json!({"pca": {"components": 100_000, "whiten": true}})),
            ("/classes", serde_json::json!([])),
            ("/trainable", serde_json::json!({"tensors": ["a", "b", "a"]})),
            (
                "/algorithm/server",
                serde_json::json!({"fed_adam": {"rate": 0.1, "beta1": 1.0, "beta2": 0.9, "tau": 0.001}}),
            ),
            ("/algorithm/robust", serde_json::json!({"trimmed_mean": {"trim": 0.5}})),
            ("/algorithm/wsa/lambda", (-1.0).into()),
            ("/quorum/min_clients", 0.into()),
            ("/quorum/max_clients", (1u64 << 21).into()),
            ("/quorum/min_fraction", 1.5.into()),
            ("/deadlines/round_s", 0.0.into()),
            ("/rounds", 0.into()),
            ("/limits/max_samples", (1u64 << 31).into()),
            ("/limits/max_norm", 0.0.into()),
        ] {
            let mut json = example();
            *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in the example")) = value;
            let definition: Definition =
                serde_json::from_value(json).unwrap_or_else(|error| panic!("{pointer}: {error}"));
            assert!(definition.check().is_err(), "{pointer}");
        }
        let mut json = example();
        json["quorum"]["minimum"] = 3.into();
        assert!(
            serde_json::from_value::<Definition>(json).is_err(),
            "unknown fields are no typing errors to be ignored"
        );
    }
}
