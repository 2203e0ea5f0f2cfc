//! `sigmascope evaluate`: train on every split of a scene, map it, and measure the map; the figures of the page, without
//! the page.

mod arguments;
mod given;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use burn::tensor::read_sync;
use serde::Serialize;
use thiserror::Error;

use arguments::configuration;
pub use arguments::{Compute, EvaluateArgs, Model};
use given::{Code, Given};

use super::quantized::{self, QuantizedRun};
use super::terminal::say;
use crate::labels::{Accuracy, AccuracyError, Class, ClassSamples, GroundTruthError, LabelMap, Split};
use crate::labels::{
    SplitError, SplitFileError, Spread, Summary, class_samples, random_split, read_split_file, sample_warnings,
};
use crate::preprocess::{PreprocessError, Projection, data_mask, fit_projection};
use crate::scene::{Cube, FileSource, SceneError, SourceError};
use crate::train::{
    ArtifactError, BaseWeights, CubeView, Mapper, ProjectedScene, TrainConfig, TrainError, TrainedModel, Trainer,
    TrainingData, TrainingReport,
};
use crate::weights::{Pretrained, WeightsError};

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
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
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
    /// Where the labelled pixels of each class went.
    pub samples: Vec<ClassSamples>,
    /// What those numbers warn of.
    pub warnings: Vec<String>,
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
    /// Those that were trained.
    pub trained: u64,
    /// What the runs started from.
    pub base: Option<BaseWeights>,
    pub config: TrainConfig,
    pub classes: Vec<String>,
    /// What became of each code of the ground truth.
    pub codes: Vec<Code>,
    /// Of the scene's file, the ground truth's and the split's.
    pub notes: Vec<String>,
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
    let pretrained = match &args.weights {
        None => None,
        Some(path) => Some(Rc::new(Pretrained::open(Rc::new(FileSource::open(path)?))?)),
    };
    let mut config = configuration(args, pretrained.as_deref())?;
    let started = Instant::now();
    let Given { cube, labels, codes, mut notes } = given::open(args)?;
    let has_data = data_mask(cube.as_ref())?;
    let (mut splits, labels) = splits(args, labels, &has_data, &mut notes)?;
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
    let mut info = None;
    for index in chosen {
        let config = TrainConfig { seed: config.seed + index as u64, ..config.clone() };
        let scene = (cube.as_ref(), &projection);
        let split = &splits[index];
        let samples = class_samples(&labels.labels, &labels.classes, &has_data, split);
        let warnings = sample_warnings(&samples);
        for warning in &warnings {
            say(&format!("{}: {warning}", split.name));
        }
        let (run, model) = run(args, scene, config, split, &labels.classes, pretrained.as_ref())?;
        let run = Run { samples, warnings, ..run };
        if runs.is_empty() {
            save(args, &model)?;
        }
        info = Some(model.info());
        say(&format!(
            "{}: OA {:.2} AA {:.2} kappa {:.2}, {:.0} s training, {:.0} s mapping",
            run.split,
            100.0 * run.accuracy.overall,
            100.0 * run.accuracy.average,
            100.0 * run.accuracy.kappa,
            run.train_s,
            run.map_s
        ));
        runs.push(run);
    }
    let accuracies: Vec<Accuracy> = runs.iter().map(|run| run.accuracy.clone()).collect();
    Ok(Report {
        scene: cube.info().name.clone(),
        split: args.split.clone(),
        device: args.device,
        parameters: info.as_ref().map_or(0, |info| info.parameters),
        trained: info.as_ref().map_or(0, |info| info.trained),
        base: info.and_then(|info| info.base).map(|base| *base),
        config,
        classes: labels.classes.iter().map(|class| class.name.clone()).collect(),
        codes,
        notes,
        prepare_s,
        summary: Summary::of(&accuracies),
        runs,
    })
}

/// Writes the files that were asked for.
fn save(args: &EvaluateArgs, model: &TrainedModel) -> Result<(), EvaluateError> {
    let refuse = |path: &PathBuf| {
        let path = path.clone();
        move |error: std::io::Error| EvaluateError::Write { path, reason: error.to_string() }
    };
    if let Some(path) = &args.save_model {
        std::fs::write(path, model.to_bytes()?).map_err(refuse(path))?;
    }
    if let Some(path) = &args.save_merged {
        let mut file = File::create(path).map_err(refuse(path))?;
        for piece in model.merged()? {
            file.write_all(&piece?).map_err(refuse(path))?;
        }
    }
    Ok(())
}

/// Trains, maps and measures one split.
fn run(
    args: &EvaluateArgs,
    (cube, projection): (&dyn Cube, &Projection),
    config: TrainConfig,
    split: &Split,
    classes: &[Class],
    pretrained: Option<&Rc<Pretrained>>,
) -> Result<(Run, TrainedModel), EvaluateError> {
    let view = CubeView { cube, projection };
    let (rows, cols) = view.size();
    let device = args.device.device();
    let started = Instant::now();
    let mut data = TrainingData::new(&view, projection.len(), classes.len(), split, &config)?;
    data.read_all(&view)?;
    let mut trainer = Trainer::starting_from(config.clone(), data, &device, pretrained)?;
    if let Some(pretrained) = pretrained {
        let report = pretrained.report(trainer.shape())?;
        let counts = report.counts.iter().filter(|counts| counts.tensors > 0);
        let counts: Vec<String> = counts.map(|own| format!("{} {}", own.tensors, own.status.name())).collect();
        say(&format!("  {}: {} tensors", pretrained.name(), counts.join(", ")));
    }
    let mut final_loss = f32::NAN;
    while let Some(epoch) = read_sync(trainer.epoch())? {
        final_loss = epoch.loss;
        if let Some(validation) = epoch.validation {
            say(&format!(
                "  epoch {} of {}: loss {:.3}, validation OA {:.1} %, {:.0} s",
                epoch.epoch,
                config.epochs,
                epoch.loss,
                100.0 * validation.accuracy,
                started.elapsed().as_secs_f64()
            ));
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
    let (samples, warnings) = (Vec::new(), Vec::new());
    let split = split.name.clone();
    Ok((Run { split, seed, samples, warnings, accuracy, best_epoch, final_loss, train_s, map_s, quantized }, model))
}

/// The splits to run and the labels they are of (a split file may bring its own). No pixel without data is in any of them.
fn splits(
    args: &EvaluateArgs,
    labels: LabelMap,
    has_data: &[bool],
    notes: &mut Vec<String>,
) -> Result<(Vec<Split>, LabelMap), EvaluateError> {
    let random = args.split.split_once('+').and_then(|(train, val)| Some((train.parse().ok()?, val.parse().ok()?)));
    if let Some((train, val)) = random {
        let seeds = 0..args.seeds.max(args.only.map_or(0, |only| only + 1)) as u64;
        let usable = labels.clone().with_data_only(has_data);
        let splits = seeds.map(|seed| random_split(&usable, train, val, seed)).collect::<Result<_, _>>()?;
        return Ok((splits, labels));
    }
    let path = Path::new(&args.split);
    let bytes = std::fs::read(path)
        .map_err(|error| EvaluateError::Read { path: path.to_owned(), reason: error.to_string() })?;
    let name = path.file_name().map_or_else(|| args.split.clone(), |name| name.to_string_lossy().into_owned());
    let mut file = read_split_file(&name, &bytes, &labels)?;
    for note in &file.notes {
        say(note);
    }
    notes.append(&mut file.notes);
    for split in &mut file.splits {
        split.keep_data_only(has_data);
    }
    Ok((file.splits, file.labels.unwrap_or(labels)))
}

fn table(report: &Report) -> String {
    let mut lines = vec![
        match &report.base {
            None => format!("{}, {}, {} parameters", report.scene, report.split, report.parameters),
            Some(base) => format!(
                "{}, {}, {} parameters, {} trained, from {}",
                report.scene, report.split, report.parameters, report.trained, base.name
            ),
        },
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
