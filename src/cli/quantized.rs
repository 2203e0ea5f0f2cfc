//! What quantized projections cost a trained network: the same map again, with the weights as a file would store them.

use std::time::Instant;

use burn::tensor::{Device, read_sync};
use serde::Serialize;

use super::evaluate::EvaluateError;
use crate::labels::{Accuracy, LabelMap, Split, Summary};
use crate::train::{CubeView, Mapper, ProjectedScene, TrainedModel};
use crate::weights::Quantization;

/// The figures of one quantization.
#[derive(Debug, Clone, Serialize)]
pub struct QuantizedRun {
    pub quantization: Quantization,
    pub accuracy: Accuracy,
    /// Pixels of the whole scene whose class differs from that of the network as it was trained.
    pub changed: usize,
    pub map_s: f64,
}

/// For clap: a quantization by its name.
pub fn quantization(name: &str) -> Result<Quantization, String> {
    let names = || Quantization::ALL.map(Quantization::name).join(", ");
    let found = Quantization::ALL.into_iter().find(|quantization| quantization.name() == name);
    found.ok_or_else(|| format!("a quantization is one of {}", names()))
}

/// Maps the scene once more with every quantization and measures as the plain `map` was measured.
///
/// # Errors
/// [`EvaluateError`] when the device fails or F16 cannot hold a weight.
pub fn maps(
    model: &TrainedModel,
    quantizations: &[Quantization],
    view: &CubeView<'_>,
    map: &LabelMap,
    split: &Split,
    device: &Device,
) -> Result<Vec<QuantizedRun>, EvaluateError> {
    let (rows, cols) = view.size();
    let run = |&quantization: &Quantization| {
        let started = Instant::now();
        let mut quantized = LabelMap { labels: vec![0; rows * cols], ..map.clone() };
        let network = model.network_stored(quantization, device)?;
        let mut mapper = Mapper::new(network, rows, cols, model.config(), device)?;
        read_sync(mapper.run(view, &mut quantized))?;
        Ok(QuantizedRun {
            quantization,
            accuracy: Accuracy::of_map(&quantized.labels, &split.test, map.classes.len())?,
            changed: map.labels.iter().zip(&quantized.labels).filter(|(plain, other)| plain != other).count(),
            map_s: started.elapsed().as_secs_f64(),
        })
    };
    quantizations.iter().map(run).collect()
}

/// A line for each quantization: mean accuracies, and how far the overall one is from that of the trained networks.
pub fn table<'a>(runs: impl Iterator<Item = (&'a Accuracy, &'a [QuantizedRun])>) -> Vec<String> {
    let runs: Vec<_> = runs.collect();
    let Some(quantizations) = runs.first().map(|(_, quantized)| quantized.len()) else { return Vec::new() };
    let line = |index: usize| {
        let of = |run: &(&Accuracy, &[QuantizedRun])| run.1[index].accuracy.clone();
        let summary = Summary::of(&runs.iter().map(of).collect::<Vec<_>>())?;
        let costs: Vec<f64> = runs.iter().map(|run| 100.0 * (run.1[index].accuracy.overall - run.0.overall)).collect();
        let mean = costs.iter().sum::<f64>() / costs.len() as f64;
        let worst = costs.iter().copied().fold(f64::INFINITY, f64::min);
        let changed: usize = runs.iter().map(|run| run.1[index].changed).sum();
        Some(format!(
            "{:<6} OA {:.2} ({mean:+.2} points on average, worst {worst:+.2}), AA {:.2}, {} pixels of a map differ",
            runs[0].1[index].quantization.name(),
            100.0 * summary.overall.mean,
            100.0 * summary.average.mean,
            changed / runs.len(),
        ))
    };
    (0..quantizations).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizations_have_the_names_of_files() {
        assert_eq!(quantization("q8_0"), Ok(Quantization::Q8_0));
        assert!(quantization("q5").unwrap_err().contains("q4_0"));
    }
}
