//! Weights on the CPU: eight outputs side by side, so that a vector of weights meets one number of x.
//!
//! Float kinds lie `[N/8, K, 8]`. Quantized kinds lie block by block, `[N/8, K/32]`, as the pairs along k that an integer
//! product sums: `[16, 8, 2]` bytes, for Q4_0 `[8, 8, 2]` with pair i in the low and pair i + 8 in the high halves. Outputs
//! beyond the last are zeros.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::block::{self, WeightKind};
use crate::kernels::products::{BLOCK, PANEL, PanelBlock};

/// The weights of a matrix.
#[derive(Debug)]
pub struct Panels {
    pub outputs: usize,
    pub inputs: usize,
    quants: Quants,
    /// Of the quantized kinds, `[N/8, K/32]`.
    scales: Vec<[f32; PANEL]>,
}

#[derive(Debug)]
enum Quants {
    F32(Vec<[f32; PANEL]>),
    F16(Vec<[f16; PANEL]>),
    Q8(Vec<[[[i8; 2]; PANEL]; BLOCK / 2]>),
    Q4(Vec<[[[u8; 2]; PANEL]; BLOCK / 4]>),
}

impl Panels {
    /// Rearranges stored rows; the sizes have been checked.
    pub fn new(kind: WeightKind, [outputs, inputs]: [usize; 2], bytes: &[u8]) -> Self {
        let blocks = inputs / BLOCK; // of a row
        let panels = outputs.div_ceil(PANEL);
        let mut scales = Vec::new();
        if kind.is_quantized() {
            scales = vec![[0.0; PANEL]; panels * blocks];
        }
        let mut quants = match kind {
            WeightKind::F32 => Quants::F32(vec![[0.0; PANEL]; panels * inputs]),
            WeightKind::F16 => Quants::F16(vec![[f16::ZERO; PANEL]; panels * inputs]),
            WeightKind::Q8_0 => Quants::Q8(vec![[[[0; 2]; PANEL]; BLOCK / 2]; panels * blocks]),
            WeightKind::Q4_0 => Quants::Q4(vec![[[[0x88; 2]; PANEL]; BLOCK / 4]; panels * blocks]),
        };
        for (at, bytes) in bytes.chunks_exact(kind.block_bytes()).enumerate() {
            let (output, block) = (at / blocks, at % blocks);
            let (panel, lane) = (output / PANEL, output % PANEL);
            let place = panel * blocks + block;
            if kind.is_quantized() {
                scales[place][lane] = block::scale(bytes).to_f32();
            }
            match &mut quants {
                Quants::F32(rows) => {
                    for (row, value) in rows[place * BLOCK..].iter_mut().zip(block::floats(bytes)) {
                        row[lane] = value;
                    }
                }
                Quants::F16(rows) => {
                    for (row, bits) in rows[place * BLOCK..].iter_mut().zip(block::halves(bytes)) {
                        row[lane] = f16::from_bits(bits);
                    }
                }
                Quants::Q8(blocks) => {
                    for (k, q) in block::integers(kind, bytes).into_iter().enumerate() {
                        blocks[place][k / 2][lane][k % 2] = q;
                    }
                }
                Quants::Q4(blocks) => {
                    for (k, q) in block::integers(kind, bytes).into_iter().enumerate() {
                        let byte = &mut blocks[place][k / 2 % (BLOCK / 4)][lane][k % 2];
                        let q = (q + 8).cast_unsigned();
                        *byte = if k < BLOCK / 2 { *byte & 0xf0 | q } else { *byte & 0x0f | q << 4 };
                    }
                }
            }
        }
        Self { outputs, inputs, quants, scales }
    }

    /// Panels of eight outputs, the last perhaps filled up with zeros.
    pub fn count(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    pub fn bytes(&self) -> usize {
        let quants = match &self.quants {
            Quants::F32(quants) => size_of_val(quants.as_slice()),
            Quants::F16(quants) => size_of_val(quants.as_slice()),
            Quants::Q8(quants) => size_of_val(quants.as_slice()),
            Quants::Q4(quants) => size_of_val(quants.as_slice()),
        };
        quants + size_of_val(self.scales.as_slice())
    }

    pub fn is_quantized(&self) -> bool {
        matches!(self.quants, Quants::Q8(_) | Quants::Q4(_))
    }

    /// Some blocks of a panel as integers of 16 bits in `buffer`, and their scales. Of quantized kinds only.
    pub fn integers(&self, panel: usize, blocks: Range<usize>, buffer: &mut Vec<PanelBlock>) -> &[[f32; PANEL]] {
        let first = panel * (self.inputs / BLOCK);
        let range = first + blocks.start..first + blocks.end;
        buffer.clear();
        match &self.quants {
            Quants::Q8(quants) => {
                buffer
                    .extend(quants[range.clone()].iter().map(|block| block.map(|k| k.map(|pair| pair.map(i16::from)))));
            }
            Quants::Q4(quants) => {
                for block in &quants[range.clone()] {
                    let mut out = [[[0; 2]; PANEL]; BLOCK / 2];
                    let (low, high) = out.split_at_mut(BLOCK / 4);
                    for ((bytes, low), high) in block.iter().zip(low).zip(high) {
                        *low = bytes.map(|pair| pair.map(|byte| i16::from(byte & 15) - 8));
                        *high = bytes.map(|pair| pair.map(|byte| i16::from(byte >> 4) - 8));
                    }
                    buffer.push(out);
                }
            }
            Quants::F32(_) | Quants::F16(_) => unreachable!("float weights have no integers"),
        }
        &self.scales[range]
    }

    /// Some blocks of a panel as float32, `[32 · blocks, 8]`; in `buffer` unless they are stored so.
    pub fn floats<'a>(
        &'a self,
        panel: usize,
        blocks: Range<usize>,
        buffer: &'a mut Vec<[f32; PANEL]>,
    ) -> &'a [[f32; PANEL]] {
        let first = panel * (self.inputs / BLOCK);
        let range = first + blocks.start..first + blocks.end;
        let weights = range.start * BLOCK..range.end * BLOCK;
        buffer.clear();
        match &self.quants {
            Quants::F32(quants) => return &quants[weights],
            Quants::F16(quants) => {
                buffer.resize(weights.len(), [0.0; PANEL]);
                for (out, row) in buffer.iter_mut().zip(&quants[weights]) {
                    row.convert_to_f32_slice(out);
                }
            }
            Quants::Q8(quants) => {
                for (block, scale) in quants[range.clone()].iter().zip(&self.scales[range]) {
                    for pairs in block {
                        let row = |i: usize| std::array::from_fn(|lane| f32::from(pairs[lane][i]) * scale[lane]);
                        buffer.extend([row(0), row(1)]);
                    }
                }
            }
            Quants::Q4(quants) => {
                for (block, scale) in quants[range.clone()].iter().zip(&self.scales[range]) {
                    for shift in [0, 4] {
                        for pairs in block {
                            let q = |byte: u8| f32::from((byte >> shift & 15).cast_signed() - 8);
                            let row = |i: usize| std::array::from_fn(|lane| q(pairs[lane][i]) * scale[lane]);
                            buffer.extend([row(0), row(1)]);
                        }
                    }
                }
            }
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quantized::block::dequantize;

    /// Bytes without a pattern, scales near one.
    fn rows(kind: WeightKind, blocks: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut bytes: Vec<u8> = (0..blocks * kind.block_bytes())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let exponents: &[(usize, u8)] = match kind {
            WeightKind::F32 => &[(4, 0x3f)],
            WeightKind::F16 => &[(2, 0x3c)],
            WeightKind::Q8_0 => &[(34, 0x3c)],
            WeightKind::Q4_0 => &[(18, 0x3c)],
        };
        for &(step, exponent) in exponents {
            let at = if kind.is_quantized() { 1 } else { step - 1 };
            bytes.iter_mut().skip(at).step_by(step).for_each(|byte| *byte = exponent);
        }
        bytes
    }

    #[test]
    fn panels_hold_every_weight() {
        let (outputs, inputs) = (19, 96);
        for kind in WeightKind::ALL {
            let bytes = rows(kind, outputs * inputs / BLOCK);
            let blocks = bytes.chunks_exact(kind.block_bytes());
            let expected: Vec<f32> = blocks.flat_map(|block| dequantize(kind, block)).collect();
            let panels = Panels::new(kind, [outputs, inputs], &bytes);
            let (mut floats, mut integers) = (Vec::new(), Vec::new());
            for output in 0..panels.count() * PANEL {
                let (panel, lane) = (output / PANEL, output % PANEL);
                let weights: Vec<f32> = panels.floats(panel, 1..3, &mut floats).iter().map(|row| row[lane]).collect();
                let row: Vec<f32> = match expected.get(output * inputs..(output + 1) * inputs) {
                    Some(row) => row[32..].to_vec(),
                    None => vec![0.0; 64],
                };
                assert_eq!(weights, row, "{kind:?}, output {output}");
                if panels.is_quantized() {
                    let scales = panels.integers(panel, 1..3, &mut integers);
                    let product =
                        |k: usize| f32::from(integers[k / BLOCK][k % BLOCK / 2][lane][k % 2]) * scales[k / BLOCK][lane];
                    assert_eq!((0..64).map(product).collect::<Vec<_>>(), row, "{kind:?}, output {output}");
                }
            }
        }
    }
}
