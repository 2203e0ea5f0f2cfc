//! The JSON bodies of requests and answers. Times are durations of the coordinator's clock in milliseconds.

use serde::{Deserialize, Serialize};

use super::{ClientId, Definition, Encoding, FederationId, Hash, Reason, Why};
use crate::scope::Target;

/// The answer to everything that has no answer of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub reason: Reason,
    /// For people.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A federation has been created. The token is told this one time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    pub reason: Reason,
    pub federation: FederationId,
    pub invite_token: String,
}

/// A new invite token; the former one is void.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invited {
    pub reason: Reason,
    pub invite_token: String,
}

/// A client wants to join.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    pub version: u32,
}

/// A client has joined. The token is told this one time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Joined {
    pub reason: Reason,
    pub client: ClientId,
    pub client_token: String,
}

/// Where a federation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Gathering,
    Statistics,
    Training,
    Aggregating,
    Finished,
    Paused,
}

impl Phase {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gathering => "gathering",
            Self::Statistics => "statistics",
            Self::Training => "training",
            Self::Aggregating => "aggregating",
            Self::Finished => "finished",
            Self::Paused => "paused",
        }
    }
}

/// What a federation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederationView {
    pub federation: FederationId,
    pub definition: Definition,
    pub limits: ServerLimits,
    pub state: StateView,
}

/// What this coordinator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLimits {
    /// Chunks of an upload have this length, the last one what is left.
    pub chunk_bytes: u64,
    /// No update is longer; `null` until the model is there.
    pub update_bytes: Option<u64>,
}

/// Where a federation is, for whoever polls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateView {
    pub phase: Phase,
    /// Why it does not go on, where it does not. Coordinators of former builds do not tell.
    #[serde(default)]
    pub why: Option<Why>,
    /// 0: band statistics; training begins with 1.
    pub round: u32,
    pub rounds: u32,
    /// The common model now; fetch it under `blobs/`. `null` until the host has uploaded it.
    pub model: Option<Hash>,
    /// The common projection, a JSON document under `blobs/`.
    pub projection: Option<Hash>,
    /// Members, departed ones not counted.
    pub clients: u32,
    /// Members that have asked for something lately.
    pub present: u32,
    /// Updates (or band statistics) accepted in this round.
    pub accepted: u32,
    /// Whether the one who asks has submitted in this round.
    pub submitted: bool,
    /// Until the round's deadline; negative once it is over and the quorum is not there.
    pub remaining_ms: Option<i64>,
    /// When to ask again.
    pub retry_after_ms: u64,
}

/// The last message of an upload: all chunks are there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishUpload {
    pub sha256: Hash,
    pub bytes: u64,
    /// Labelled pixels the client has trained on (an update), 0 otherwise.
    #[serde(default)]
    pub samples: u64,
    /// Of the client's own model after training, on its held-out pixels.
    #[serde(default)]
    pub metrics: Option<Metrics>,
}

/// Which chunks of an upload are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub chunk_bytes: u64,
    /// Indices, rising.
    pub received: Vec<u32>,
    /// Whether the upload has been accepted as a whole.
    pub accepted: Option<Hash>,
}

/// How good a model is on one client's held-out pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Held-out pixels
    pub samples: u64,
    #[serde(default)]
    pub loss: Option<f64>,
    /// 0 to 1
    #[serde(default)]
    pub overall_accuracy: Option<f64>,
    /// 0 to 1
    #[serde(default)]
    pub average_accuracy: Option<f64>,
    /// −1 to 1
    #[serde(default)]
    pub kappa: Option<f64>,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundView {
    pub round: u32,
    /// The model with which it began.
    pub model: Hash,
    /// The scopes to which its clients are pulled: those of the model in the first round, fused ones later.
    pub targets: Vec<LayerTarget>,
    /// Accepted updates by hash, not who sent them.
    pub updates: Vec<UpdateEntry>,
    /// The model that came out, once there is one.
    pub result: Option<Hash>,
    /// Of the model with which it began, on all clients' held-out pixels.
    pub evaluation: Evaluation,
    /// Of the model that came out.
    pub result_evaluation: Evaluation,
    /// Of the clients' own models after training.
    pub local: Evaluation,
}

/// A target scope by its layer's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerTarget {
    pub name: String,
    pub mean: f64,
    pub deviation: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UpdateEntry {
    pub sha256: Hash,
    pub samples: u64,
    pub norm: f64,
}

/// Metrics of several clients.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    pub clients: u32,
    pub loss: Option<Spread>,
    pub overall_accuracy: Option<Spread>,
    pub average_accuracy: Option<Spread>,
    pub kappa: Option<Spread>,
}

/// One metric over the clients that told it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Weighted by held-out pixels.
    pub mean: f64,
    /// Weighted standard deviation over clients.
    pub deviation: f64,
    pub min: f64,
    pub max: f64,
}

/// One of the [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Loss,
    OverallAccuracy,
    AverageAccuracy,
    Kappa,
}

impl LayerTarget {
    pub fn new(name: &str, target: Target) -> Self {
        Self { name: name.into(), mean: target.mean, deviation: target.deviation }
    }

    pub fn target(&self) -> Target {
        Target { mean: self.mean, deviation: self.deviation }
    }
}

impl Metrics {
    /// The value of one of them.
    pub fn get(&self, statistic: Statistic) -> Option<f64> {
        match statistic {
            Statistic::Loss => self.loss,
            Statistic::OverallAccuracy => self.overall_accuracy,
            Statistic::AverageAccuracy => self.average_accuracy,
            Statistic::Kappa => self.kappa,
        }
    }

    /// # Errors
    /// [`Reason::MetricsInvalid`] when one of them lies outside its range.
    pub fn check(&self) -> Result<(), Reason> {
        let within =
            |statistic, low: f64, high: f64| self.get(statistic).is_none_or(|value| (low..=high).contains(&value));
        let fits = within(Statistic::Loss, -1e12, 1e12)
            && within(Statistic::OverallAccuracy, 0.0, 1.0)
            && within(Statistic::AverageAccuracy, 0.0, 1.0)
            && within(Statistic::Kappa, -1.0, 1.0)
            && self.samples <= super::definition::SAMPLES_MAX;
        if fits { Ok(()) } else { Err(Reason::MetricsInvalid) }
    }
}

impl Evaluation {
    /// Weighted mean and spread; clients without held-out pixels do not count. Does not depend on the order.
    pub fn of(metrics: &[Metrics]) -> Self {
        let counted: Vec<&Metrics> = metrics.iter().filter(|metrics| metrics.samples > 0).collect();
        let spread = |statistic| {
            let told: Vec<(f64, u64)> =
                counted.iter().filter_map(|metrics| Some((metrics.get(statistic)?, metrics.samples))).collect();
            spread(&told)
        };
        Self {
            clients: counted.len() as u32,
            loss: spread(Statistic::Loss),
            overall_accuracy: spread(Statistic::OverallAccuracy),
            average_accuracy: spread(Statistic::AverageAccuracy),
            kappa: spread(Statistic::Kappa),
        }
    }
}

fn spread(told: &[(f64, u64)]) -> Option<Spread> {
    let total: u64 = told.iter().map(|(_, samples)| samples).sum();
    let (mut sum, mut squares) = (crate::scope::ExactSum::default(), crate::scope::ExactSum::default());
    told.iter().try_for_each(|&(value, samples)| sum.add(value, samples)).ok()?;
    if total == 0 {
        return None;
    }
    let mean = sum.divided_by(total);
    told.iter().try_for_each(|&(value, samples)| squares.add_square(value - mean, samples)).ok()?;
    let (min, max) = told.iter().fold((f64::MAX, f64::MIN), |(min, max), &(value, _)| (min.min(value), max.max(value)));
    Some(Spread { mean, deviation: squares.divided_by(total).sqrt(), min, max })
}

/// An encoding in words, for people.
impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(samples: u64, overall_accuracy: f64) -> Metrics {
        Metrics { samples, overall_accuracy: Some(overall_accuracy), ..Metrics::default() }
    }

    #[test]
    fn a_mean_is_weighted_by_pixels() {
        let evaluation = Evaluation::of(&[metrics(1, 0.5), metrics(3, 0.9), metrics(0, 0.0)]);
        let accuracy = evaluation.overall_accuracy.unwrap();
        assert_eq!(evaluation.clients, 2);
        assert!((accuracy.mean - 0.8).abs() < 1e-15 && (accuracy.deviation - 0.03f64.sqrt()).abs() < 1e-12);
        assert_eq!((accuracy.min, accuracy.max, evaluation.kappa), (0.5, 0.9, None));
        assert_eq!(Evaluation::of(&[]), Evaluation::default());
    }

    #[test]
    fn metrics_outside_their_range_are_refused() {
        assert!(metrics(5, 1.0).check().is_ok());
        assert_eq!(metrics(5, 1.1).check(), Err(Reason::MetricsInvalid));
        assert_eq!(metrics(u64::MAX, 0.5).check(), Err(Reason::MetricsInvalid));
        assert_eq!(Metrics { kappa: Some(f64::NAN), ..metrics(5, 0.5) }.check(), Err(Reason::MetricsInvalid));
    }
}
