//! `sigmascope evaluate`: train on every split of a scene, map it, and measure the map; the figures of the page, without
//! the page.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, DeviceKind, read_sync};
use clap::{Args, ValueEnum};
use serde::Serialize;
use thiserror::Error;

use super::quantized::{self, QuantizedRun};
use crate::labels::{Accuracy, AccuracyError, Class, LabelMap, Split, SplitError, SplitFileError, Spread, Summary};
use crate::labels::{GroundTruthError, random_split, read_labels, read_split_file};
use crate::preprocess::{PreprocessError, Projection, fit_projection};
use crate::scene::{Cube, OpenOptions, SceneError, open_path};
use crate::train::{
    ArtifactError, CubeView, Mapper, ModelSize, ProjectedScene, TrainConfig, TrainError, TrainedModel, Trainer,
    TrainingData, TrainingReport,
};
use crate::weights::Quantization;

/// Trains on every split, maps, and prints accuracies: each seed's, their mean and population standard deviation.
#[derive(Debug, Clone, Args)]
pub struct EvaluateArgs {
    /// The scene (for ENVI the header or the data).
    #[arg(long)]
    pub scene: PathBuf,
    /// The data file of an ENVI header, where it is not beside it under the usual name.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// The variable of the scene's file, where it holds several.
    #[arg(long)]
    pub variable: Option<String>,
    /// The ground truth.
    #[arg(long)]
    pub labels: PathBuf,
    /// The variable of the ground truth's file, where it holds several.
    #[arg(long)]
    pub labels_variable: Option<String>,
    /// A split file, or `N+M`: N training and M validation pixels a class at random, by seeds 0, 1, …
    #[arg(long)]
    pub split: String,
    #[arg(long, value_enum, default_value = "nano")]
    pub model: Model,
    /// The preset for scenes whose classes are hardly larger than a pixel.
    #[arg(long)]
    pub mixed_pixels: bool,
    /// Train on the validation pixels too; they then choose nothing. For splits that bring none of their own, where a fifth
    /// of the training pixels would be held out.
    #[arg(long)]
    pub merge_validation: bool,
    /// How many splits (seeds) to run; a split file that holds fewer runs all it has.
    #[arg(long, default_value_t = 5)]
    pub seeds: usize,
    /// Run only this split (0-based).
    #[arg(long)]
    pub only: Option<usize>,
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Compute,
    /// Epochs; without, as many as the number of training pixels asks for.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Spatial patch in pixels.
    #[arg(long)]
    pub patch: Option<usize>,
    /// Any other training setting as FIELD=VALUE, for example `learning_rate=1e-3` or `augmentation.jitter=2`.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// Write the model of the first run to this file.
    #[arg(long)]
    pub save_model: Option<PathBuf>,
    /// Also map with the trained network's projections quantized: `f16`, `q8_0`, `q4_0`, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = quantized::quantization)]
    pub quantizations: Vec<Quantization>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// A size of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    Tiny,
    Nano,
    Base,
    Large,
    Huge,
}

impl From<Model> for ModelSize {
    fn from(model: Model) -> Self {
        match model {
            Model::Tiny => Self::Tiny,
            Model::Nano => Self::Nano,
            Model::Base => Self::Base,
            Model::Large => Self::Large,
            Model::Huge => Self::Huge,
        }
    }
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    Cpu,
    /// The first Vulkan adapter.
    Vulkan,
}

impl Compute {
    fn device(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
            Self::Vulkan => Device::wgpu(DeviceKind::DefaultDevice),
        }
    }
}

/// Why nothing could be evaluated: one sentence.
#[derive(Debug, Error)]
pub enum EvaluateError {
    #[error(transparent)]
    Scene(#[from] SceneError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    #[error(transparent)]
    SplitFile(#[from] SplitFileError),
    #[error(transparent)]
    Split(#[from] SplitError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Accuracy(#[from] AccuracyError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("{path} could not be read ({reason}); check the path")]
    Read { path: PathBuf, reason: String },
    #[error("{path} could not be written ({reason}); choose another place")]
    Write { path: PathBuf, reason: String },
    #[error("--set {given} cannot be used: {reason}")]
    Setting { given: String, reason: String },
    #[error(transparent)]
    Labels(#[from] GroundTruthError),
    #[error("the report could not be written as JSON ({0}); leave --json away")]
    Json(#[from] serde_json::Error),
    #[error("--only {only} asks for a split that is not there: there are {splits}, counted from 0")]
    Only { only: usize, splits: usize },
}

/// One run's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub split: String,
    pub seed: u64,
    pub accuracy: Accuracy,
    /// The epoch that the weights are from.
    pub best_epoch: usize,
    pub final_loss: f32,
    pub train_s: f64,
    pub map_s: f64,
    /// The same network, quantized.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantized: Vec<QuantizedRun>,
}

/// What `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub scene: String,
    pub split: String,
    pub device: Compute,
    pub parameters: u64,
    pub config: TrainConfig,
    pub classes: Vec<String>,
    pub prepare_s: f64,
    pub runs: Vec<Run>,
    pub summary: Option<Summary>,
}

/// Runs everything; gives the report as JSON or as a table.
///
/// # Errors
/// [`EvaluateError`], one sentence for standard error.
pub fn evaluate(args: &EvaluateArgs) -> Result<String, EvaluateError> {
    let report = report(args)?;
    if args.json { Ok(serde_json::to_string_pretty(&report)?) } else { Ok(table(&report)) }
}

/// Runs everything.
///
/// # Errors
/// As [`evaluate`].
pub fn report(args: &EvaluateArgs) -> Result<Report, EvaluateError> {
    let mut config = configuration(args)?;
    let started = Instant::now();
    let options = |variable: &Option<String>| OpenOptions { variable: variable.clone(), ..OpenOptions::default() };
    let cube = open_path(&args.scene, args.data.as_deref(), &options(&args.variable))?;
    let labels = read_labels(open_path(&args.labels, None, &options(&args.labels_variable))?.as_ref())?;
    labels.check_fits(cube.info().rows, cube.info().cols)?;
    let (mut splits, labels) = splits(args, labels)?;
    if args.merge_validation {
        for split in &mut splits {
            split.train.append(&mut split.val);
            split.train.sort_unstable();
        }
    }
    let projection = fit_projection(cube.as_ref(), &config.projection())?;
    let prepare_s = started.elapsed().as_secs_f64();

    let chosen: Vec<usize> = match args.only {
        Some(only) if only >= splits.len() => return Err(EvaluateError::Only { only, splits: splits.len() }),
        Some(only) => vec![only],
        None => (0..splits.len().min(args.seeds)).collect(),
    };
    let epochs_given = args.epochs.is_some() || args.set.iter().any(|given| given.starts_with("epochs="));
    if let (false, Some(&first)) = (epochs_given, chosen.first()) {
        config.epochs = TrainConfig::epochs_for(config.size, splits[first].train.len());
    }
    let mut runs = Vec::with_capacity(chosen.len());
    let mut parameters = 0;
    for index in chosen {
        let config = TrainConfig { seed: config.seed + index as u64, ..config.clone() };
        let (run, model) = run(args, cube.as_ref(), &projection, config, &splits[index], &labels.classes)?;
        parameters = model.info().parameters;
        if let Some(path) = args.save_model.as_ref().filter(|_| runs.is_empty()) {
            let bytes = model.to_bytes()?;
            std::fs::write(path, bytes)
                .map_err(|error| EvaluateError::Write { path: path.clone(), reason: error.to_string() })?;
        }
        eprintln!(
            "{}: OA {:.2} AA {:.2} kappa {:.2}, {:.0} s training, {:.0} s mapping",
            run.split,
            100.0 * run.accuracy.overall,
            100.0 * run.accuracy.average,
            100.0 * run.accuracy.kappa,
            run.train_s,
            run.map_s
        );
        runs.push(run);
    }
    let accuracies: Vec<Accuracy> = runs.iter().map(|run| run.accuracy.clone()).collect();
    Ok(Report {
        scene: cube.info().name.clone(),
        split: args.split.clone(),
        device: args.device,
        parameters,
        config,
        classes: labels.classes.iter().map(|class| class.name.clone()).collect(),
        prepare_s,
        summary: Summary::of(&accuracies),
        runs,
    })
}

/// Trains, maps and measures one split.
fn run(
    args: &EvaluateArgs,
    cube: &dyn Cube,
    projection: &Projection,
    config: TrainConfig,
    split: &Split,
    classes: &[Class],
) -> Result<(Run, TrainedModel), EvaluateError> {
    let view = CubeView { cube, projection };
    let (rows, cols) = view.size();
    let device = args.device.device();
    let started = Instant::now();
    let mut data = TrainingData::new(&view, projection.len(), classes.len(), split, &config)?;
    data.read_all(&view)?;
    let mut trainer = Trainer::new(config.clone(), data, &device)?;
    let mut final_loss = f32::NAN;
    while let Some(epoch) = read_sync(trainer.epoch())? {
        final_loss = epoch.loss;
        if let Some(validation) = epoch.validation {
            eprintln!(
                "  epoch {} of {}: loss {:.3}, validation OA {:.1} %, {:.0} s",
                epoch.epoch,
                config.epochs,
                epoch.loss,
                100.0 * validation.accuracy,
                started.elapsed().as_secs_f64()
            );
        }
    }
    let train_s = started.elapsed().as_secs_f64();

    let (best_epoch, _) = trainer.best();
    let report = TrainingReport { split: split.name.clone(), history: trainer.history().to_vec(), best_epoch };
    let model = TrainedModel::new(&trainer, projection.clone(), classes.to_vec(), cube.info(), report);
    let model = read_sync(model)?;

    let started = Instant::now();
    let mut map = LabelMap { rows, cols, labels: vec![0; rows * cols], classes: classes.to_vec() };
    let mut mapper = Mapper::new(model.network(&device)?, rows, cols, &config, &device)?;
    read_sync(mapper.run(&view, &mut map))?;
    let map_s = started.elapsed().as_secs_f64();

    let accuracy = Accuracy::of_map(&map.labels, &split.test, classes.len())?;
    let quantized = quantized::maps(&model, &args.quantizations, &view, &map, split, &device)?;
    let seed = config.seed;
    let run = Run { split: split.name.clone(), seed, accuracy, best_epoch, final_loss, train_s, map_s, quantized };
    Ok((run, model))
}

/// The splits to run and the labels they are of (a split file may bring its own).
fn splits(args: &EvaluateArgs, labels: LabelMap) -> Result<(Vec<Split>, LabelMap), EvaluateError> {
    let random = args.split.split_once('+').and_then(|(train, val)| Some((train.parse().ok()?, val.parse().ok()?)));
    if let Some((train, val)) = random {
        let seeds = 0..args.seeds.max(args.only.map_or(0, |only| only + 1)) as u64;
        let splits = seeds.map(|seed| random_split(&labels, train, val, seed)).collect::<Result<_, _>>()?;
        return Ok((splits, labels));
    }
    let path = Path::new(&args.split);
    let bytes = std::fs::read(path)
        .map_err(|error| EvaluateError::Read { path: path.to_owned(), reason: error.to_string() })?;
    let name = path.file_name().map_or_else(|| args.split.clone(), |name| name.to_string_lossy().into_owned());
    let file = read_split_file(&name, &bytes, &labels)?;
    for note in &file.notes {
        eprintln!("{note}");
    }
    Ok((file.splits, file.labels.unwrap_or(labels)))
}

/// The preset of the size with everything that the command line changes.
fn configuration(args: &EvaluateArgs) -> Result<TrainConfig, EvaluateError> {
    let preset = if args.mixed_pixels { TrainConfig::for_mixed_pixels } else { TrainConfig::preset };
    let mut config = preset(args.model.into());
    if let Some(epochs) = args.epochs {
        config.epochs = epochs;
    }
    config.patch = args.patch.or(config.patch);
    for given in &args.set {
        config =
            with_setting(&config, given).map_err(|reason| EvaluateError::Setting { given: given.clone(), reason })?;
    }
    config.validate().map_err(TrainError::from)?;
    Ok(config)
}

/// `config` with one field changed, given as `FIELD=VALUE`.
fn with_setting(config: &TrainConfig, given: &str) -> Result<TrainConfig, String> {
    let (field, value) = given.split_once('=').ok_or("write it as FIELD=VALUE")?;
    let mut json = serde_json::to_value(config).map_err(|error| error.to_string())?;
    let mut place = &mut json;
    for part in field.split('.') {
        place = place.get_mut(part).ok_or_else(|| format!("there is no setting {field}"))?;
    }
    *place = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::String(value.to_owned()));
    serde_json::from_value(json).map_err(|error| error.to_string())
}

fn table(report: &Report) -> String {
    let mut lines = vec![
        format!("{}, {}, {} parameters", report.scene, report.split, report.parameters),
        format!("{:<44} {:>6} {:>6} {:>6} {:>8} {:>8}", "split", "OA %", "AA %", "kappa", "train s", "map s"),
    ];
    for run in &report.runs {
        let [overall, average, kappa] =
            [run.accuracy.overall, run.accuracy.average, run.accuracy.kappa].map(|figure| 100.0 * figure);
        let (split, train_s, map_s) = (&run.split, run.train_s, run.map_s);
        lines.push(format!("{split:<44} {overall:>6.2} {average:>6.2} {kappa:>6.2} {train_s:>8.1} {map_s:>8.1}"));
    }
    if let Some(summary) = &report.summary {
        let percent = |spread: &Spread| format!("{:.2} ± {:.2}", 100.0 * spread.mean, 100.0 * spread.std);
        lines.push(format!(
            "mean ± standard deviation of {} runs: OA {}, AA {}, kappa {}",
            report.runs.len(),
            percent(&summary.overall),
            percent(&summary.average),
            percent(&summary.kappa)
        ));
        lines.extend(quantized::table(report.runs.iter().map(|run| (&run.accuracy, run.quantized.as_slice()))));
        for (name, producers) in report.classes.iter().zip(&summary.producers) {
            if let Some(producers) = producers {
                lines.push(format!("  {name:<40} {}", percent(producers)));
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_changed_by_name() {
        let config = with_setting(&TrainConfig::default(), "augmentation.jitter=2").unwrap();
        assert_eq!(config.augmentation.jitter, 2);
        let config = with_setting(&config, "size=tiny").unwrap();
        assert_eq!((config.size, config.augmentation.jitter), (ModelSize::Tiny, 2));
        assert!(with_setting(&config, "augmentation.wobble=2").unwrap_err().contains("wobble"));
        assert!(with_setting(&config, "epochs").is_err());
        assert!(with_setting(&config, "epochs=many").is_err());
    }
}
