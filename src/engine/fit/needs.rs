//! How many bytes a network needs, by formula.
//!
//! With N tokens of D channels (the larger encoder counts), H heads, B bytes a number (4) and one tile a step. Full attention is
//! one kernel forward, without its weights; on the way back they exist for a block at a time, small ones are kept:
//!
//! | what | bytes |
//! | --- | --- |
//! | weights | projections of the blocks as they are stored (or B a number, where everything is trained); all else B a number |
//! | activations, mapping | B · (the tile + the largest of: its patches; 4 kept features N·D + the largest moment of a block, attention 8·N·D + offsets or MLP 10·N·D; features + head) |
//! | activations, training | B · (the tile + per block 22·N·D + offsets or small weights + 2·H·N² once + head), all of which the backward pass reads; with checkpointing N·D a block and all of one |
//! | offsets | of sparse sampling: 2·H·P offsets and 2·H·P weights a token |
//! | head | 4·K·rows·cols and, where a feature is doubled, 4·D² twice |
//! | training | gradients, two moments, the running average and the next value: 5 · B a trained number |
//!
//! `tests/shelf/fit.rs` compares them with what a forward pass and a training step really take.

use super::super::message::{DeviceBytes, FitPurpose};
use crate::kernels::full_attention::KEPT;
use crate::model::{Config, Scale, Task, names};
use crate::train::{Lora, LoraTargets, Tuning};
use crate::weights::Quantization;

/// Bytes of a number that is computed with.
const NUMBER: u64 = 4;

/// Who is to do what.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    pub network: Config,
    pub quantization: Quantization,
    pub purpose: FitPurpose,
    pub tuning: Tuning,
    /// A running average of the weights is kept.
    pub average: bool,
    /// Blocks are computed again on the way back.
    pub checkpointing: bool,
}

/// Bytes that a [`Work`] needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    pub bytes: DeviceBytes,
    /// The largest buffer that cannot be split, and what it is.
    pub largest: (u64, &'static str),
}

impl Work {
    /// By the formulas above.
    pub fn needs(&self) -> Needs {
        let trains = self.purpose == FitPurpose::Train;
        let everything = trains && self.tuning == Tuning::Full;
        let network = Config { complete: false, ..self.network.clone() };
        let (mut weights, mut trained) = (0, 0);
        let mut largest = (0, "");
        for (name, shape) in names::live(&network) {
            let values = shape.iter().map(|&side| side as u64).product::<u64>();
            let kind = self.quantization.of(&name, &shape);
            // Large matrices outside the blocks are unpacked.
            let frozen = !everything && is_projection(&name);
            if frozen {
                weights += kind.bytes(values).unwrap_or(NUMBER * values);
                weights += adapter(&self.tuning, trains, &name, &shape).unwrap_or(0) * NUMBER;
                trained += adapter(&self.tuning, trains, &name, &shape).unwrap_or(0);
                continue;
            }
            weights += NUMBER * values;
            keep(&mut largest, NUMBER * values, "one matrix of weights");
            let in_block = name.contains(".blocks.");
            trained += if trains && (everything || !in_block) { values } else { 0 };
        }
        let (activations, moment) = activations(&network, trains, self.checkpointing);
        keep(&mut largest, moment.0, moment.1);
        let kept = if self.average { 5 } else { 4 };
        let bytes = DeviceBytes { weights, activations, training: kept * NUMBER * trained };
        Needs { bytes, largest }
    }
}

fn keep(largest: &mut (u64, &'static str), bytes: u64, what: &'static str) {
    if bytes > largest.0 {
        *largest = (bytes, what);
    }
}

fn is_projection(name: &str) -> bool {
    let ends = [".attn.qkv.weight", ".attn.proj.weight", ".mlp.fc1.weight", ".mlp.fc2.weight"];
    name.contains(".blocks.") && ends.iter().any(|end| name.ends_with(end))
}

/// Numbers of the adapter of a projection.
fn adapter(tuning: &Tuning, trains: bool, name: &str, shape: &[usize]) -> Option<u64> {
    let Tuning::Lora(Lora { rank, targets, .. }) = tuning else { return None };
    let included = LoraTargets::include(*targets, name.strip_suffix(".weight")?);
    (trains && included).then(|| (*rank * (shape[0] + shape[1])) as u64)
}

/// Bytes of activations, and the largest of them.
fn activations(network: &Config, trains: bool, checkpointing: bool) -> (u64, (u64, &'static str)) {
    let Config { rows, cols, components, classes, embed_dim, depth, heads, mlp_ratio, points, .. } = *network;
    let [dim, heads, points] = [embed_dim, heads, points].map(|value| value as u64);
    let mlp = mlp_ratio as u64;
    let [grid_rows, grid_cols] = network.grid();
    let spatial = (grid_rows * grid_cols) as u64;
    let spectral = network.spectral_tokens as u64;
    let pixels = (rows * cols) as u64;
    let mut largest = (0, "");

    // Forward, full attention never holds its weights; on the way back those of one block exist twice, and small ones are kept.
    let weights = |tokens: u64| heads * tokens * tokens;
    let offsets = |tokens: u64, full: bool| if full { 0 } else { 4 * heads * points * tokens };
    // A block's largest moment, and all that its backward pass reads.
    let moment = |tokens: u64, full: bool| {
        let attends = 8 * tokens * dim + offsets(tokens, full);
        attends.max((2 + 2 * mlp) * tokens * dim)
    };
    let kept = |tokens: u64, full: bool| {
        let small = full && weights(tokens) <= KEPT as u64;
        (14 + 2 * mlp) * tokens * dim + offsets(tokens, full) + if small { weights(tokens) } else { 0 }
    };
    let blocks = |tokens: u64, count: usize| -> (u64, u64) {
        let each = || (0..count).map(|index| network.attends_fully(index));
        let most = each().map(|full| moment(tokens, full)).max().unwrap_or(0);
        let all = each().map(|full| kept(tokens, full));
        let read = if checkpointing { all.max().unwrap_or(0) + count as u64 * tokens * dim } else { all.sum() };
        (most, read + if each().any(|full| full) { 2 * weights(tokens) } else { 0 })
    };
    let (spatial_moment, spatial_kept) = blocks(spatial, depth);
    let (spectral_moment, spectral_kept) = blocks(spectral, network.spectral_blocks);

    let tile = components as u64 * pixels;
    let doubled = network.scales().contains(&Scale::Double);
    let head = match network.task {
        Task::Segmentation => 4 * classes as u64 * pixels + if doubled { 8 * dim * dim } else { 0 },
        Task::Classification => 8 * spatial * dim,
    };
    // Bands are averaged into tokens before or after they are mapped; the pooled image is the larger of the two.
    let pooled = spectral.min(components as u64) * pixels;
    let numbers = if trains {
        2 * tile + pooled + spatial_kept + spectral_kept + 2 * head + 4 * spatial * dim
    } else {
        let blocks = spectral_moment.max(4 * spatial * dim + spatial_moment);
        tile + blocks.max(tile + pooled).max(4 * spatial * dim + head)
    };
    keep(&mut largest, NUMBER * mlp * spatial.max(spectral) * dim, "the tokens inside an MLP");
    keep(&mut largest, NUMBER * pixels * components as u64, "the tile");
    keep(&mut largest, NUMBER * pixels * classes as u64, "the classes of the tile");
    if trains && (0..depth).any(|index| network.attends_fully(index)) {
        keep(&mut largest, NUMBER * heads * spatial * spatial, "the weights of full attention");
    }
    (NUMBER * numbers, largest)
}
