//! From a checkpoint to a GGUF file, piece by piece.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::gguf::{Layout, Writer};
use super::loading::Plan;
use super::{
    Checkpoint, Counts, Description, LoadReport, Origin, Procedure, Quantization, Status, Take, Target, TensorInfo,
    WeightsError, encode, plan,
};
use crate::model::Config;

/// Numbers that are read, quantized and written at once: whole blocks, 1 MiB.
const PIECE: usize = 256 << 10;
/// Bytes that are hashed at once.
const HASHED: usize = 1 << 20;

/// What a user can choose about a conversion.
#[derive(Debug, Clone)]
pub struct ConversionOptions {
    pub quantization: Quantization,
    /// Keep what never influences the result: late spectral blocks, unused layers.
    pub complete: bool,
    /// How official pre-trained encoders are loaded; all else is loaded by names.
    pub procedure: Procedure,
    /// What the network is for. `None`: what it was fine-tuned for; for pre-trained encoders the official segmentation, on
    /// which only the report depends (and, with [`Procedure::InitWeights`], the position table).
    pub target: Option<Target>,
    /// SPDX identifier, or words.
    pub license: Option<String>,
    pub source_url: Option<String>,
}

impl Default for ConversionOptions {
    fn default() -> Self {
        Self {
            quantization: Quantization::Q8_0,
            complete: false,
            procedure: Procedure::Frameworks,
            target: None,
            license: None,
            source_url: None,
        }
    }
}

/// How far a conversion is, in bytes read for the hash and bytes written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// A conversion that goes step by step: first the inputs are hashed, then the output is written from its first byte to its last.
/// Its memory does not grow with the network.
pub struct Conversion {
    checkpoint: Checkpoint,
    description: Description,
    takes: Vec<Take>,
    /// As they are written; one a take.
    outputs: Vec<TensorInfo>,
    report: LoadReport,
    phase: Phase,
    hashed: u64,
}

enum Phase {
    Hash { input: usize, at: u64, hasher: Sha256 },
    Write { writer: Writer, tensor: usize, at: usize },
    Done,
}

impl Conversion {
    /// Plans a conversion. Nothing but names and shapes has been read then, and the report is complete but for the hashes.
    ///
    /// # Errors
    /// [`WeightsError`] when the checkpoint does not fit the network, or nothing of it does.
    pub fn new(checkpoint: Checkpoint, options: &ConversionOptions) -> Result<Self, WeightsError> {
        let known = checkpoint.description();
        let inputs = checkpoint.inputs();
        let name = inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(" and ");
        let network = Config { complete: options.complete, ..target_network(&name, &checkpoint, options.target)? };
        let procedure = if checkpoint.is_official_pretraining() { options.procedure } else { Procedure::Names };
        let grid = (known.network.patch > 0).then(|| known.network.grid());
        let Plan { takes, mut tensors } = plan(&name, checkpoint.found(), grid, procedure, &network)?;
        if takes.is_empty() {
            return Err(WeightsError::Nothing { name });
        }
        let outputs: Vec<TensorInfo> = takes.iter().map(|take| output(take, options.quantization)).collect();
        for (take, output) in takes.iter().zip(&outputs) {
            if let Some(entry) = tensors.iter_mut().find(|entry| entry.name == take.name) {
                entry.written = Some(output.kind);
            }
        }

        let mut description = known.clone();
        description.network = match known.origin {
            Origin::FineTuning => network.clone(),
            Origin::Pretraining => {
                // A position table is for the tile it was resized to; all else is for any tile.
                let table = takes.iter().any(|take| take.name == "spat_encoder.pos_embed");
                let of = if table { &network } else { &known.network };
                let Config { rows, cols, patch, components, .. } = *of;
                Config { rows, cols, patch, components, complete: options.complete, ..known.network.clone() }
            }
        };
        description.quantization = options.quantization;
        description.license = options.license.clone().or(description.license);
        description.source_url = options.source_url.clone().or(description.source_url);
        // As long as the real ones, so that the size of the output is known before they are.
        description.sources = inputs.iter().map(|input| (input.name.clone(), "0".repeat(64))).collect();

        let report = LoadReport {
            inputs,
            origin: known.origin,
            size: known.size.clone(),
            quantization: Some(options.quantization),
            bytes: layout(&description, &outputs)?.len(),
            counts: Counts::of(&tensors),
            notes: notes(&tensors, &network, known.origin),
            network,
            tensors,
        };
        let phase = Phase::Hash { input: 0, at: 0, hasher: Sha256::new() };
        Ok(Self { checkpoint, description, takes, outputs, report, phase, hashed: 0 })
    }

    /// What becomes of every tensor.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// What the output will say about itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Does the next piece of work: hashes 1 MiB, or writes up to 1 MiB of numbers. `None` when all is written.
    ///
    /// # Errors
    /// [`WeightsError`] when an input fails or holds numbers that cannot be stored, or the sink fails.
    pub fn step(&mut self, sink: &mut dyn Write) -> Result<Option<Progress>, WeightsError> {
        let written = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Hash { input, at, hasher } => {
                self.phase = self.hash(input, at, hasher)?;
                0
            }
            Phase::Write { mut writer, tensor, at } if tensor < self.takes.len() => {
                let (tensor, at) = self.write(&mut writer, tensor, at, sink)?;
                let written = writer.written();
                self.phase = Phase::Write { writer, tensor, at };
                written
            }
            Phase::Write { writer, .. } => {
                writer.finish(sink).map_err(|error| WeightsError::write(&error, self.report.bytes))?;
                return Ok(None);
            }
            Phase::Done => return Ok(None),
        };
        let inputs: u64 = self.report.inputs.iter().map(|input| input.bytes).sum();
        Ok(Some(Progress { done: self.hashed + written, total: inputs + self.report.bytes }))
    }

    /// Hashes the next piece of an input.
    fn hash(&mut self, input: usize, at: u64, mut hasher: Sha256) -> Result<Phase, WeightsError> {
        let source = self.checkpoint.source(input);
        let mut bytes = vec![0; source.len().saturating_sub(at).min(HASHED as u64) as usize];
        source.read_at(at, &mut bytes)?;
        hasher.update(&bytes);
        self.hashed += bytes.len() as u64;
        let at = at + bytes.len() as u64;
        if at < source.len() {
            return Ok(Phase::Hash { input, at, hasher });
        }
        let hash = hexadecimal(&hasher.finalize());
        self.description.sources[input].1.clone_from(&hash);
        self.report.inputs[input].sha256 = Some(hash);
        if input + 1 < self.report.inputs.len() {
            return Ok(Phase::Hash { input: input + 1, at: 0, hasher: Sha256::new() });
        }
        let writer = Writer::new(layout(&self.description, &self.outputs)?);
        Ok(Phase::Write { writer, tensor: 0, at: 0 })
    }

    /// Writes the next piece of a tensor; gives the place of the piece after it.
    fn write(
        &self,
        writer: &mut Writer,
        tensor: usize,
        at: usize,
        sink: &mut dyn Write,
    ) -> Result<(usize, usize), WeightsError> {
        let (take, output) = (&self.takes[tensor], &self.outputs[tensor]);
        let found = &self.checkpoint.found()[take.found];
        let values = if take.resize.is_some() {
            // Position tables are small and are resized whole.
            self.checkpoint.values(take)?
        } else {
            let mut values = vec![0.0; (output.len() - at).min(PIECE)];
            self.checkpoint.read(found, at, &mut values)?;
            values
        };
        let mut bytes = Vec::with_capacity(values.len() * 4);
        encode(output.kind, &values, &mut bytes).map_err(|index| WeightsError::Number {
            tensor: output.name.clone(),
            index: (at + index) as u64,
            value: values[index].to_string(),
            kind: output.kind.name(),
        })?;
        writer.write(&bytes, sink).map_err(|error| WeightsError::write(&error, self.report.bytes))?;
        let at = at + values.len();
        Ok(if at < output.len() { (tensor, at) } else { (tensor + 1, 0) })
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The network that the tensors are compared with.
fn target_network(name: &str, checkpoint: &Checkpoint, target: Option<Target>) -> Result<Config, WeightsError> {
    let known = checkpoint.description();
    let Config { rows, cols, patch, components, .. } = known.network;
    let converted_before = !checkpoint.is_official_pretraining() && rows > 0 && patch > 0;
    match (known.origin, target) {
        (_, Some(target)) => target.network(name, known),
        (Origin::FineTuning, None) => Ok(known.network.clone()),
        (Origin::Pretraining, None) if converted_before => {
            let components = if components > 0 { components } else { Target::default().components };
            Target { tile: [rows, cols], patch, components, ..Target::default() }.network(name, known)
        }
        (Origin::Pretraining, None) => Target::default().network(name, known),
    }
}

/// What is written for a tensor that is taken.
fn output(take: &Take, quantization: Quantization) -> TensorInfo {
    let (name, shape) = (take.name.clone(), take.shape.clone());
    let kind = quantization.of(&name, &shape);
    TensorInfo { name, shape, kind }
}

fn layout(description: &Description, outputs: &[TensorInfo]) -> Result<Layout, WeightsError> {
    Layout::new(&description.to_metadata(), outputs).map_err(|reason| WeightsError::Write { reason })
}

/// What a person should know about the plan.
pub(super) fn notes(tensors: &[super::TensorReport], network: &Config, origin: Origin) -> Vec<String> {
    let mut notes = Vec::new();
    let values = |tensors: &mut dyn Iterator<Item = &super::TensorReport>| -> f64 {
        tensors.filter_map(|tensor| tensor.found.as_ref()).map(|shape| shape.iter().product::<usize>() as f64).sum()
    };
    let dead = |tensor: &&super::TensorReport| tensor.name.starts_with("spec_encoder.blocks.");
    let left_out = |tensor: &&super::TensorReport| tensor.status == Status::LeftOut;
    let blocks = network.depth - network.spectral_blocks;
    let millions = values(&mut tensors.iter().filter(left_out).filter(dead)) / 1e6;
    if millions > 0.0 {
        notes.push(format!(
            "{blocks} of {} spectral blocks (the last ones, {millions:.1} million numbers) never influence the result and are left out; a complete conversion keeps them",
            network.depth
        ));
    }
    let others = tensors.iter().filter(left_out).filter(|tensor| !dead(tensor)).count();
    if others > 0 {
        notes.push(format!(
            "{others} tensors of layers that nothing uses are left out; a complete conversion keeps them"
        ));
    }
    for (encoder, what) in [("spat_encoder.", "spatial"), ("spec_encoder.", "spectral")] {
        if !tensors.iter().any(|tensor| tensor.name.starts_with(encoder) && tensor.found.is_some()) {
            notes.push(format!("no {what} checkpoint was given; the {what} encoder starts fresh"));
        }
    }
    let fresh = tensors.iter().filter(|tensor| tensor.starts_fresh()).count();
    match origin {
        Origin::Pretraining => notes.push(format!(
            "{fresh} tensors of the network start fresh, as in the official fine-tuning: sampling offsets, embeddings, spectral enhancement, head"
        )),
        Origin::FineTuning if fresh > 0 => notes.push(format!(
            "{fresh} tensors of the network are not taken from this file and start fresh; a fine-tuned checkpoint should have them all"
        )),
        Origin::FineTuning => {}
    }
    notes
}
