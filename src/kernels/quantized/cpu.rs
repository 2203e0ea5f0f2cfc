//! Frozen linear layers on the CPU: both passes, in SIMD of four lanes.

use std::num::NonZero;
use std::ops::Range;
use std::thread::available_parallelism;

use wide::f32x4;

use super::Activation;
use super::panels::Panels;
use super::tuning::CpuMethod;
use crate::kernels::gelu;
use crate::kernels::products::{self, BLOCK, PANEL, PanelBlock, Sums, TILE, TileBlock, tiles};

/// Blocks of 32 along k that are multiplied at a time: a panel of them stays in the first cache (16 KiB).
const FLOAT_BLOCKS: usize = 16;
const INTEGER_BLOCKS: usize = 32;
/// Outputs whose gradients are multiplied at a time: 128 KiB of transposed weights.
const GRADIENT_OUTPUTS: usize = 1024;
/// Rows for which a thread is worth its start and its own unpacking of the weights.
const THREAD_ROWS: usize = 32;

/// `activation(x · Wᵀ + b)`, `[M, N]`. Float weights are multiplied as floats whatever the method.
pub fn forward(
    x: &[f32],
    rows: usize,
    panels: &Panels,
    bias: Option<&[f32]>,
    activation: Activation,
    method: CpuMethod,
) -> Vec<f32> {
    let mut out = vec![0.0; rows * panels.outputs];
    share(x, panels.inputs, &mut out, panels.outputs, |x, out| {
        if method == CpuMethod::Integer && panels.is_quantized() {
            multiply(IntegerTiles::new(x, panels.inputs), panels, bias, activation, out);
        } else {
            multiply(FloatTiles::new(x, panels.inputs), panels, bias, activation, out);
        }
    });
    out
}

/// `∂y · W`, `[M, K]`.
pub fn backward(grad: &[f32], rows: usize, panels: &Panels) -> Vec<f32> {
    let mut out = vec![0.0; rows * panels.inputs];
    share(grad, panels.outputs, &mut out, panels.inputs, |grad, out| multiply_back(grad, panels, out));
    out
}

/// Gives every thread some rows of both matrices. In the browser there is one thread.
fn share(x: &[f32], x_width: usize, out: &mut [f32], out_width: usize, work: impl Fn(&[f32], &mut [f32]) + Sync) {
    let threads = if cfg!(target_family = "wasm") { 1 } else { available_parallelism().map_or(1, NonZero::get) };
    let rows = (out.len() / out_width).div_ceil(threads).next_multiple_of(TILE).max(THREAD_ROWS);
    if rows * out_width >= out.len() {
        return work(x, out);
    }
    std::thread::scope(|scope| {
        for (x, out) in x.chunks(rows * x_width).zip(out.chunks_mut(rows * out_width)) {
            let work = &work;
            scope.spawn(move || work(x, out));
        }
    });
}

/// x, interleaved for one of the products.
trait Tiles {
    /// Blocks along k of one step.
    const BLOCKS: usize;

    /// Adds the products of some blocks of one panel to the sums of every tile.
    fn add(&mut self, panels: &Panels, panel: usize, blocks: Range<usize>, sums: &mut [Sums]);
}

/// `[M/4, K, 4]`
struct FloatTiles {
    tiles: Vec<[f32; TILE]>,
    buffer: Vec<[f32; PANEL]>,
    inputs: usize,
}

impl FloatTiles {
    fn new(x: &[f32], inputs: usize) -> Self {
        Self { tiles: tiles(x, inputs), buffer: Vec::new(), inputs }
    }
}

impl Tiles for FloatTiles {
    const BLOCKS: usize = FLOAT_BLOCKS;

    fn add(&mut self, panels: &Panels, panel: usize, blocks: Range<usize>, sums: &mut [Sums]) {
        let weights = panels.floats(panel, blocks.clone(), &mut self.buffer);
        let k = blocks.start * BLOCK..blocks.end * BLOCK;
        for (tile, sums) in self.tiles.chunks_exact(self.inputs).zip(sums) {
            products::float(&tile[k.clone()], weights, sums);
        }
    }
}

/// `[M/4, K/32]` blocks of 16-bit integers and their scales: the largest number of a block is 32767 steps from zero, so that
/// a number is off by at most 1.5e-5 of it.
struct IntegerTiles {
    tiles: Vec<TileBlock>,
    scales: Vec<[f32; TILE]>,
    buffer: Vec<PanelBlock>,
    blocks: usize,
}

impl IntegerTiles {
    fn new(x: &[f32], inputs: usize) -> Self {
        let blocks = inputs / BLOCK;
        let count = (x.len() / inputs).div_ceil(TILE) * blocks;
        let mut tiles = vec![[[[0; 2]; TILE]; BLOCK / 2]; count];
        let mut scales = vec![[0.0; TILE]; count];
        for (at, numbers) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
            let (row, block) = (at / blocks, at % blocks);
            let place = row / TILE * blocks + block;
            let (scale, quants) = round(numbers);
            scales[place][row % TILE] = scale;
            for (pairs, &pair) in tiles[place].iter_mut().zip(quants.as_chunks::<2>().0) {
                pairs[row % TILE] = pair;
            }
        }
        Self { tiles, scales, buffer: Vec::new(), blocks }
    }
}

/// A block of x as a scale times integers. Numbers that are not finite make the scale NaN, and with it the row of y.
fn round(numbers: &[f32; BLOCK]) -> (f32, [i16; BLOCK]) {
    let numbers: [f32x4; BLOCK / 4] = std::array::from_fn(|i| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|lane| numbers[4 * i + lane]);
        f32x4::new([a, b, c, d])
    });
    let sizes = numbers.map(f32x4::abs);
    let largest = sizes.iter().fold(f32x4::ZERO, |m, &x| m.fast_max(x)).to_array().into_iter().fold(0.0, f32::max);
    let total = sizes.into_iter().fold(f32x4::ZERO, |sum, x| sum + x).reduce_add();
    if !total.is_finite() {
        return (f32::NAN, [0; BLOCK]);
    }
    if largest < 1e-30 {
        return (0.0, [0; BLOCK]); // its reciprocal might overflow
    }
    let factor = f32x4::splat(32767.0 / largest);
    let mut quants = [0; BLOCK];
    for (quants, x) in quants.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
        *quants = (x * factor).fast_round_int().to_array().map(|q| q as i16);
    }
    (largest / 32767.0, quants)
}

impl Tiles for IntegerTiles {
    const BLOCKS: usize = INTEGER_BLOCKS;

    fn add(&mut self, panels: &Panels, panel: usize, blocks: Range<usize>, sums: &mut [Sums]) {
        let scales = panels.integers(panel, blocks.clone(), &mut self.buffer);
        let tiles = self.tiles.chunks_exact(self.blocks).zip(self.scales.chunks_exact(self.blocks));
        for ((tile, tile_scales), sums) in tiles.zip(sums) {
            products::integer(&tile[blocks.clone()], &tile_scales[blocks.clone()], &self.buffer, scales, sums);
        }
    }
}

/// `activation(x · Wᵀ + b)`, `[M, N]`, panel by panel, with x as tiles.
fn multiply<T: Tiles>(mut x: T, panels: &Panels, bias: Option<&[f32]>, activation: Activation, out: &mut [f32]) {
    let outputs = panels.outputs;
    let mut sums = vec![[[0.0; PANEL]; TILE]; (out.len() / outputs).div_ceil(TILE)];
    for panel in 0..panels.count() {
        let first = panel * PANEL;
        let width = PANEL.min(outputs - first);
        let mut start = [0.0; PANEL];
        if let Some(bias) = bias {
            start[..width].copy_from_slice(&bias[first..first + width]);
        }
        sums.fill([start; TILE]);
        for blocks in chunks(panels.inputs / BLOCK, T::BLOCKS) {
            x.add(panels, panel, blocks, &mut sums);
        }
        if activation == Activation::Gelu {
            for row in sums.as_flattened_mut() {
                gelu::in_place(row);
            }
        }
        for (out, sums) in out.chunks_exact_mut(outputs).zip(sums.as_flattened()) {
            out[first..first + width].copy_from_slice(&sums[..width]);
        }
    }
}

/// `∂y · W`, `[M, K]`: the product of float32, whose panels are eight inputs side by side for every output.
fn multiply_back(grad: &[f32], panels: &Panels, out: &mut [f32]) {
    const PARTS: usize = BLOCK / PANEL; // panels of inputs in a block
    let (outputs, inputs) = (panels.outputs, panels.inputs);
    let tiles = tiles(grad, outputs); // [M/4, N, 4]
    let mut sums = vec![[[[0.0; PANEL]; TILE]; PARTS]; (out.len() / inputs).div_ceil(TILE)];
    let mut buffer = Vec::new();
    let mut turned: [Vec<[f32; PANEL]>; PARTS] = Default::default(); // [N, 8] each
    for block in 0..inputs / BLOCK {
        sums.fill([[[0.0; PANEL]; TILE]; PARTS]);
        for range in chunks(panels.count(), GRADIENT_OUTPUTS / PANEL) {
            turned.iter_mut().for_each(Vec::clear);
            for panel in range.clone() {
                let weights = panels.floats(panel, block..block + 1, &mut buffer); // [32, 8]
                for (turned, weights) in turned.iter_mut().zip(weights.as_chunks::<PANEL>().0) {
                    turned.extend((0..PANEL).map(|lane| weights.map(|row| row[lane])));
                }
            }
            let (first, end) = (range.start * PANEL, (range.end * PANEL).min(outputs));
            for (tile, sums) in tiles.chunks_exact(outputs).zip(&mut sums) {
                for (turned, sums) in turned.iter().zip(sums) {
                    products::float(&tile[first..end], turned, sums);
                }
            }
        }
        for (row, out) in out.chunks_exact_mut(inputs).enumerate() {
            for (part, sums) in sums[row / TILE].iter().enumerate() {
                out[block * BLOCK + part * PANEL..][..PANEL].copy_from_slice(&sums[row % TILE]);
            }
        }
    }
}

/// `0..len` in pieces of `step`.
pub fn chunks(len: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(step).map(move |start| start..(start + step).min(len))
}
