//! `sigmascope pretrain`: a network learns from generated scenes, and becomes a weights file to start from.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::read_sync;
use clap::{Args, ValueEnum};

use super::Outcome;
use super::evaluate::Compute;
use super::setting::with_setting;
use super::terminal::say;
use crate::train::pretrain::{PretrainConfig, Pretrainer, write_gguf};
use crate::weights::{OutputFile, Quantization};

/// Pre-trains a small network on generated scenes and writes it as a GGUF file to start from.
///
/// One line of JSON an epoch goes to standard error, and to the log where one is named. A run that was stopped continues
/// from its checkpoint, and ends as if it had never been stopped.
#[derive(Debug, Args)]
pub struct Pretrain {
    /// Where to write the weights.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite the weights if they exist.
    #[arg(long)]
    force: bool,
    /// Kept up to date while it runs; where it exists, the run continues from it.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Epochs between two checkpoints.
    #[arg(long, default_value_t = 5)]
    checkpoint_every: usize,
    /// Appends the lines of JSON to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How the projections of the blocks are stored; everything else stays f32.
    #[arg(long, short, value_enum, default_value = "q8_0")]
    quantization: Kind,
    #[arg(long, value_enum, default_value = "cpu")]
    device: Compute,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long)]
    epochs: Option<usize>,
    /// Any other setting as FIELD=VALUE, for example `autoencoding=1`, `episodes=0` or `tile=32`.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8,
}

impl From<Kind> for Quantization {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::F32 => Self::F32,
            Kind::F16 => Self::F16,
            Kind::Q8 => Self::Q8_0,
        }
    }
}

impl Pretrain {
    /// Runs to the end and writes the weights.
    pub fn run(self) -> Outcome {
        let mut config = PretrainConfig { seed: self.seed, ..PretrainConfig::default() };
        config.epochs = self.epochs.unwrap_or(config.epochs);
        for given in &self.set {
            config =
                with_setting(&config, given).map_err(|reason| format!("--set {given} cannot be used: {reason}"))?;
        }
        // A place that cannot be written is noticed now, not after hours.
        let mut out = OutputFile::create(&self.out, self.force)?;
        let mut run = Pretrainer::new(config, &self.device.device())?;
        if let Some(path) = self.checkpoint.as_deref().filter(|path| path.exists()) {
            let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            run.resume(&bytes)?;
            say(&format!("continuing after epoch {}", run.history().len()));
        }
        let started = Instant::now();
        while let Some(report) = read_sync(run.epoch())? {
            let seconds = started.elapsed().as_secs_f64();
            let mut line = serde_json::to_value(report)?;
            line["seconds"] = seconds.into();
            self.report(&line.to_string())?;
            let due = report.epoch.is_multiple_of(self.checkpoint_every.max(1)) || run.finished();
            if let Some(path) = self.checkpoint.as_deref().filter(|_| due) {
                let mut file = OutputFile::create(path, true)?;
                file.write_all(&read_sync(run.checkpoint())?)?;
                file.finish()?;
            }
        }
        let weights = read_sync(run.weights())?;
        write_gguf(run.config(), run.shape(), run.history(), &weights, self.quantization.into(), &mut out)?;
        out.finish()?;
        let numbers: usize = weights.iter().map(|(_, values)| values.len()).sum();
        let bytes = std::fs::metadata(&self.out)?.len();
        Ok(format!("{}: {} tensors, {numbers} numbers, {bytes} bytes", self.out.display(), weights.len()))
    }

    fn report(&self, line: &str) -> Result<(), Box<dyn std::error::Error>> {
        say(line);
        let Some(path) = &self.log else { return Ok(()) };
        let unwritable = |error: &std::io::Error| format!("{} cannot be written: {error}", path.display());
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.map_err(|error| unwritable(&error))?;
        writeln!(file, "{line}").map_err(|error| unwritable(&error))?;
        Ok(())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("the checkpoint {} cannot be read: {error}", path.display())
}
