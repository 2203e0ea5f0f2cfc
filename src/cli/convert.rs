//! `sigmascope convert`: official checkpoints into one GGUF file, with a report of every tensor.

use std::fmt::Write as _;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, ValueEnum};

use super::Outcome;
use crate::model::Task;
use crate::scene::{FileSource, SharedSource};
use crate::weights::{
    Checkpoint, Conversion, ConversionOptions, LoadReport, Origin, OutputFile, Procedure, Quantization, Role, SIZES,
    Size, Status, Target, WeightsError,
};

/// Converts HyperSIGMA weights (.pth, .safetensors, .gguf) into one GGUF file, tensor by tensor.
#[derive(Debug, Args)]
pub struct Convert {
    /// A fine-tuned checkpoint, or any file that holds both encoders.
    #[arg(required_unless_present_any = ["spatial", "spectral"], conflicts_with_all = ["spatial", "spectral"])]
    file: Option<PathBuf>,
    /// The spatial checkpoint of the pre-training (spat-vit-…-checkpoint-1599.pth).
    #[arg(long, value_name = "FILE")]
    spatial: Option<PathBuf>,
    /// The spectral checkpoint of the pre-training (spec-vit-…-checkpoint-1599.pth).
    #[arg(long, value_name = "FILE")]
    spectral: Option<PathBuf>,
    /// Where to write the GGUF file. Without it nothing is written: the report says what would be.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the output if it exists.
    #[arg(long)]
    force: bool,
    /// How large matrices are stored; everything small stays f32.
    #[arg(long, short, value_enum, default_value = "q8_0")]
    quantization: Kind,
    /// Keep what never influences the result: late spectral blocks, unused layers.
    #[arg(long)]
    complete: bool,
    /// The size of the network, if the shapes do not tell it: base, large, huge, nano, tiny.
    #[arg(long, value_parser = size)]
    size: Option<Size>,
    /// How pre-trained encoders are loaded: as the segmentation and classification frameworks do, or as `init_weights` does,
    /// which resizes position tables.
    #[arg(long, value_enum, default_value = "frameworks")]
    procedure: Loading,
    /// What the network is for; with the next four it says with what the file is compared, and the grid of a resized
    /// position table.
    #[arg(long, value_enum)]
    task: Option<For>,
    /// Side of the tile in pixels, or ROWSxCOLS.
    #[arg(long, value_parser = tile)]
    tile: Option<[usize; 2]>,
    /// Side of a patch in pixels.
    #[arg(long)]
    patch: Option<usize>,
    /// Components of the spectra.
    #[arg(long)]
    components: Option<usize>,
    #[arg(long)]
    classes: Option<usize>,
    /// The licence of the weights, kept in the file.
    #[arg(long)]
    license: Option<String>,
    /// Where the weights come from, kept in the file.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Print the report as JSON, with every tensor.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Kind {
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8,
    #[value(name = "q4_0")]
    Q4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Loading {
    Frameworks,
    InitWeights,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Segmentation,
    Classification,
}

fn size(name: &str) -> Result<Size, String> {
    Size::named(name).ok_or_else(|| format!("a size is one of {}", SIZES.map(|size| size.name).join(", ")))
}

fn tile(text: &str) -> Result<[usize; 2], String> {
    let (rows, cols) = text.split_once('x').unwrap_or((text, text));
    match (rows.parse(), cols.parse()) {
        (Ok(rows), Ok(cols)) => Ok([rows, cols]),
        _ => Err("a tile is its side in pixels, or ROWSxCOLS".to_owned()),
    }
}

impl Convert {
    /// Plans the conversion, writes the output if one is named, and reports.
    pub fn run(self) -> Outcome {
        let checkpoint = self.open()?;
        let options = ConversionOptions {
            quantization: match self.quantization {
                Kind::F32 => Quantization::F32,
                Kind::F16 => Quantization::F16,
                Kind::Q8 => Quantization::Q8_0,
                Kind::Q4 => Quantization::Q4_0,
            },
            complete: self.complete,
            procedure: match self.procedure {
                Loading::Frameworks => Procedure::Frameworks,
                Loading::InitWeights => Procedure::InitWeights,
            },
            target: self.target(&checkpoint),
            license: self.license.clone(),
            source_url: self.source.clone(),
        };
        let mut conversion = Conversion::new(checkpoint, &options)?;
        if let Some(path) = &self.out {
            write(&mut conversion, path, self.force)?;
        }
        let report = conversion.report();
        Ok(if self.json { serde_json::to_string(report)? } else { summary(report, self.out.as_deref())? })
    }

    fn open(&self) -> Result<Checkpoint, WeightsError> {
        let files = [(&self.file, None), (&self.spatial, Some(Role::Spatial)), (&self.spectral, Some(Role::Spectral))];
        let mut sources: Vec<SharedSource> = Vec::new();
        let mut roles = Vec::new();
        for (path, role) in files {
            if let Some(path) = path {
                sources.push(Rc::new(FileSource::open(path)?));
                roles.push(role);
            }
        }
        let checkpoint = Checkpoint::open(&sources, self.size)?;
        // The inputs stand in the order of their roles, not in that of the command line.
        let inputs = checkpoint.inputs();
        for (source, role) in sources.iter().zip(roles) {
            let found = inputs.iter().filter(|input| input.name == source.name());
            let mut roles = found.map(|input| input.role).peekable();
            if let (Some(expected), Some(&found)) = (role, roles.peek())
                && roles.all(|found| found != expected)
            {
                return Err(WeightsError::Role { name: source.name().to_owned(), expected, found });
            }
        }
        Ok(checkpoint)
    }

    /// What the network is for, if anything about it was said: the rest is what the file was made for, or the official demo.
    fn target(&self, checkpoint: &Checkpoint) -> Option<Target> {
        let Self { task, tile, patch, components, classes, .. } = self;
        if task.is_none() && tile.is_none() && patch.is_none() && components.is_none() && classes.is_none() {
            return None;
        }
        let known = checkpoint.description();
        let base = match known.origin {
            Origin::Pretraining => Target::default(),
            Origin::FineTuning => Target::of(&known.network),
        };
        let task = match task {
            Some(For::Segmentation) => Task::Segmentation,
            Some(For::Classification) => Task::Classification,
            None => base.task,
        };
        Some(Target {
            task,
            tile: tile.unwrap_or(base.tile),
            patch: patch.unwrap_or(base.patch),
            components: components.unwrap_or(base.components),
            classes: classes.unwrap_or(base.classes),
        })
    }
}

/// Writes the output beside its place and then gives it its name. Says how far it is where somebody is looking.
fn write(conversion: &mut Conversion, path: &Path, force: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut output = OutputFile::create(path, force)?;
    let watched = stderr().is_terminal();
    let mut shown = u64::MAX;
    while let Some(progress) = conversion.step(&mut output)? {
        let percent = 100 * progress.done / progress.total.max(1);
        if watched && percent != shown {
            eprint!("\r{percent} %");
            shown = percent;
        }
    }
    if watched {
        eprintln!();
    }
    Ok(output.finish()?)
}

/// The report for people: counts and what is noteworthy. The JSON lists every tensor.
fn summary(report: &LoadReport, out: Option<&Path>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let origin = match report.origin {
        Origin::Pretraining => "pre-trained encoders",
        Origin::FineTuning => "a fine-tuned network",
    };
    writeln!(text, "HyperSIGMA {}: {origin}", report.size.as_deref().unwrap_or("of its own shape"))?;
    for input in &report.inputs {
        writeln!(text, "input        {}, {}, {} bytes", input.name, input.format, input.bytes)?;
        if let Some(hash) = &input.sha256 {
            writeln!(text, "sha256       {hash}")?;
        }
    }
    for counts in report.counts.iter().filter(|counts| counts.tensors > 0) {
        let (name, tensors, millions) = (counts.status.name(), counts.tensors, counts.values as f64 / 1e6);
        writeln!(text, "{name:<12} {tensors} tensors, {millions:.2} million numbers")?;
    }
    for tensor in report.of(Status::Resized).chain(report.of(Status::Dropped)) {
        writeln!(text, "  {}: {}", tensor.name, tensor.reason.as_deref().unwrap_or(tensor.status.name()))?;
    }
    for note in &report.notes {
        writeln!(text, "note         {note}")?;
    }
    let kind = report.quantization.map_or("", Quantization::name);
    match out {
        Some(path) => write!(text, "written      {}, {kind}, {} bytes", path.display(), report.bytes)?,
        None => write!(text, "not written  {kind} would take {} bytes; name a file with --out", report.bytes)?,
    }
    Ok(text)
}
