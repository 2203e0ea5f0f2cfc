//! Whether a definition can be carried out: every field within its range.

use thiserror::Error;

use super::super::VERSION;
use super::{Algorithm, Deadlines, Definition, Input, LocalWork, Quorum, Robust, ServerOptimizer, Trainable};
use crate::preprocess::Method;

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
pub(in super::super) const SAMPLES_MAX: u64 = 1 << 30;
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
        let document = include_str!("../../../../docs/federation.md");
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
