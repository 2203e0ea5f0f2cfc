//! Weights on the GPU: rearranged once, so that every load is aligned and neighbouring invocations read neighbouring words.
//!
//! Four outputs make a quad. The words of a quad lie together, a vector of four a load, for four numbers along k (F32: four
//! loads of one output each; F16: two of two numbers; Q8_0: one) or eight (Q4_0: byte i of a word holds numbers i and i + 4).
//! Quads of a part lie side by side, then along k: `[K/4, N/4]`. Scales stay F16, two a word: `[K/32, N/4]` of two words.
//! Outputs beyond the last are zeros.

use cubecl::client::Client;
use cubecl::server::Handle;
use wide::bytemuck;

use super::block::{self, WeightKind};
use crate::kernels::products::BLOCK;

/// Outputs whose words lie together.
pub const QUAD: usize = 4;

/// A matrix on the GPU.
#[derive(Debug)]
pub struct Upload {
    pub kind: WeightKind,
    pub outputs: usize,
    pub inputs: usize,
    pub parts: Vec<Part>,
}

/// Some outputs of a matrix: what one kernel binds.
#[derive(Debug)]
pub struct Part {
    /// The first output.
    pub first: usize,
    pub outputs: usize,
    pub quants: Handle,
    /// Of quantized kinds.
    pub scales: Option<Handle>,
}

impl Upload {
    /// Rearranges stored rows; the sizes have been checked.
    pub fn new(
        kind: WeightKind,
        [outputs, inputs]: [usize; 2],
        bytes: &[u8],
        client: &Client,
        binding_limit: Option<usize>,
    ) -> Self {
        // What the adapter binds at once, and what a shader counts in 32 bits.
        let bindable = usize::try_from(client.properties().memory.max_page_size).unwrap_or(usize::MAX).min(1 << 31);
        let limit = outputs_of_a_part(kind, [outputs, inputs], bindable.min(binding_limit.unwrap_or(usize::MAX)));
        let row_bytes = inputs / BLOCK * kind.block_bytes();
        let parts = (0..outputs)
            .step_by(limit)
            .map(|first| {
                let count = limit.min(outputs - first);
                let words = Words::new(kind, inputs, count, &bytes[first * row_bytes..][..count * row_bytes]);
                let upload = |words: &[u32]| client.create_from_slice(bytemuck::cast_slice(words));
                let scales = kind.is_quantized().then(|| upload(&words.scales));
                Part { first, outputs: count, quants: upload(&words.quants), scales }
            })
            .collect();
        Self { kind, outputs, inputs, parts }
    }

    /// Bytes of the GPU's memory.
    pub fn bytes(&self) -> usize {
        let quants = Words::of(self.kind);
        let scales = if self.kind.is_quantized() { QUAD / 2 } else { 0 };
        let blocks = |part: &Part| part.outputs.div_ceil(QUAD) * (self.inputs / BLOCK);
        self.parts.iter().map(|part| blocks(part) * (QUAD * quants + scales) * size_of::<u32>()).sum()
    }
}

/// Outputs whose words fit a buffer of so many bytes: whole quads, at least one. The words are the larger of the two buffers
/// of a part.
fn outputs_of_a_part(kind: WeightKind, [outputs, inputs]: [usize; 2], bindable: usize) -> usize {
    let output_bytes = inputs / BLOCK * Words::of(kind) * size_of::<u32>();
    (bindable / output_bytes / QUAD * QUAD).clamp(QUAD, outputs.next_multiple_of(QUAD))
}

/// A part as the shaders read it.
#[derive(Debug)]
struct Words {
    quants: Vec<u32>,
    scales: Vec<u32>,
}

impl Words {
    /// Words of 32 weights of one output, without the scale.
    fn of(kind: WeightKind) -> usize {
        match kind {
            WeightKind::F32 => 32,
            WeightKind::F16 => 16,
            WeightKind::Q8_0 => 8,
            WeightKind::Q4_0 => 4,
        }
    }

    fn new(kind: WeightKind, inputs: usize, outputs: usize, bytes: &[u8]) -> Self {
        let quads = outputs.div_ceil(QUAD);
        let blocks = inputs / BLOCK;
        let words = Self::of(kind);
        // The half bytes of a zero are 8.
        let zero = if kind == WeightKind::Q4_0 { 0x8888_8888 } else { 0 };
        let mut quants = vec![zero; quads * QUAD * blocks * words];
        let mut scales = vec![0; if kind.is_quantized() { quads * QUAD / 2 * blocks } else { 0 }];
        for (at, bytes) in bytes.chunks_exact(kind.block_bytes()).enumerate() {
            let (output, block) = (at / blocks, at % blocks);
            let (quad, lane) = (output / QUAD, output % QUAD);
            if kind.is_quantized() {
                let bits = u32::from(block::scale(bytes).to_bits());
                scales[(block * quads + quad) * QUAD / 2 + lane / 2] |= bits << (16 * (lane % 2));
            }
            // The number of a vector of four words along k, before the quads are counted.
            let vector = |vector: usize| ((block * words + vector) * quads + quad) * QUAD;
            match kind {
                WeightKind::F32 => {
                    for (four, numbers) in block::floats(bytes).as_chunks::<4>().0.iter().enumerate() {
                        // The four loads of a quad lie together.
                        let start = (((block * BLOCK / 4 + four) * quads + quad) * QUAD + lane) * 4;
                        quants[start..start + 4].copy_from_slice(&numbers.map(f32::to_bits));
                    }
                }
                WeightKind::F16 => {
                    for (i, &[a, b]) in block::halves(bytes).as_chunks::<2>().0.iter().enumerate() {
                        quants[vector(i) + lane] = u32::from(a) | u32::from(b) << 16;
                    }
                }
                WeightKind::Q8_0 => {
                    for (i, numbers) in block::integers(kind, bytes).as_chunks::<4>().0.iter().enumerate() {
                        quants[vector(i) + lane] = u32::from_le_bytes(numbers.map(i8::cast_unsigned));
                    }
                }
                WeightKind::Q4_0 => {
                    for (i, numbers) in block::integers(kind, bytes).as_chunks::<8>().0.iter().enumerate() {
                        let half = |i: usize| (numbers[i] + 8).cast_unsigned();
                        let packed = [0, 1, 2, 3].map(|i| half(i) | half(i + 4) << 4);
                        quants[vector(i) + lane] = u32::from_le_bytes(packed);
                    }
                }
            }
        }
        Self { quants, scales }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_beyond_what_can_be_bound_is_split_by_outputs() {
        // WebGPU's least: 128 MiB a binding. F32 weights of a layer of 16384 inputs: 64 KiB an output.
        assert_eq!(outputs_of_a_part(WeightKind::F32, [5120, 16384], 128 << 20), 2048);
        assert_eq!(outputs_of_a_part(WeightKind::Q4_0, [5120, 16384], 128 << 20), 5120);
        // Whole quads, the bytes of which fit.
        for kind in WeightKind::ALL {
            for bindable in [5_000, 10_000, 100_000] {
                let outputs = outputs_of_a_part(kind, [1001, 320], bindable);
                let words = Words::new(kind, 320, outputs, &vec![0; outputs * 10 * kind.block_bytes()]);
                assert!(outputs.is_multiple_of(QUAD) && outputs <= 1004, "{kind:?}");
                assert!(words.quants.len() * 4 <= bindable || outputs == QUAD, "{kind:?}, {bindable}");
                assert!(words.scales.len() <= words.quants.len(), "{kind:?}");
            }
        }
        assert_eq!(outputs_of_a_part(WeightKind::F32, [7, 64], 1), QUAD, "at least one quad");
        assert_eq!(outputs_of_a_part(WeightKind::F32, [7, 64], 1 << 30), 8, "no more than there are");
    }
}
