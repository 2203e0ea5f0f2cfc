//! The innermost loops on the CPU: a tile of rows times a panel of outputs, in vectors of four lanes (SSE and NEON natively,
//! simd128 in the browser).
//!
//! Both operands come interleaved, so that a step reads one address of each: a panel holds [`PANEL`] outputs side by side
//! for every k, a tile [`TILE`] rows. Eight sums, two weights and one broadcast number fit the sixteen vector registers of
//! x86-64, with which a browser has to do.

use wide::bytemuck::cast;
use wide::{f32x4, i16x8, i32x4};

/// Outputs of a panel.
pub const PANEL: usize = 8;
/// Rows of a tile.
pub const TILE: usize = 4;
/// Weights of a block, which share a scale.
pub const BLOCK: usize = 32;

/// The sums of a tile and a panel, `[TILE][PANEL]`.
pub type Sums = [[f32; PANEL]; TILE];

/// Two neighbouring numbers along k.
pub type Pair = [i16; 2];

/// One block of a panel, ready to be multiplied: pairs along k of all outputs.
pub type PanelBlock = [[Pair; PANEL]; BLOCK / 2];

/// The same block of a tile.
pub type TileBlock = [[Pair; TILE]; BLOCK / 2];

/// `sums[row][out] += Σ_k x[k][row] · w[k][out]`
#[inline]
pub fn float(x: &[[f32; TILE]], w: &[[f32; PANEL]], sums: &mut Sums) {
    let mut total = sums.map(halves);
    for (x, &w) in x.iter().zip(w) {
        let [low, high] = halves(w);
        for (total, &x) in total.iter_mut().zip(x) {
            let x = f32x4::splat(x);
            total[0] += x * low;
            total[1] += x * high;
        }
    }
    *sums = total.map(|[low, high]| join(low, high));
}

/// `sums[row][out] += Σ_blocks x_scale[row] · w_scale[out] · Σ_k x[k][row] · w[k][out]`, the inner sum exact in integers: at
/// most 32 · 32767 · 128 < 2^31.
#[inline]
pub fn integer(
    x: &[TileBlock],
    x_scales: &[[f32; TILE]],
    w: &[PanelBlock],
    w_scales: &[[f32; PANEL]],
    sums: &mut Sums,
) {
    let mut total = sums.map(halves);
    for (((x, x_scale), w), &w_scale) in x.iter().zip(x_scales).zip(w).zip(w_scales) {
        let mut exact = [[i32x4::ZERO; 2]; TILE];
        for (x, w) in x.iter().zip(w) {
            let [low, high]: [i16x8; 2] = cast(*w);
            for (exact, &x) in exact.iter_mut().zip(x) {
                let x: i16x8 = cast(i32x4::splat(cast(x)));
                exact[0] += x.dot(low);
                exact[1] += x.dot(high);
            }
        }
        let [low, high] = halves(w_scale);
        for ((total, exact), &scale) in total.iter_mut().zip(exact).zip(x_scale) {
            let scale = f32x4::splat(scale);
            total[0] += exact[0].round_float() * (scale * low);
            total[1] += exact[1].round_float() * (scale * high);
        }
    }
    *sums = total.map(|[low, high]| join(low, high));
}

/// Rows of `width` numbers, four side by side: `[rows/4, width, 4]`, zeros after the last.
pub fn tiles(x: &[f32], width: usize) -> Vec<[f32; TILE]> {
    let mut tiles = vec![[0.0; TILE]; (x.len() / width).div_ceil(TILE) * width];
    for (row, numbers) in x.chunks_exact(width).enumerate() {
        for (quad, &number) in tiles[row / TILE * width..].iter_mut().zip(numbers) {
            quad[row % TILE] = number;
        }
    }
    tiles
}

#[inline(always)]
fn halves(row: [f32; PANEL]) -> [f32x4; 2] {
    let [a, b, c, d, e, f, g, h] = row;
    [f32x4::new([a, b, c, d]), f32x4::new([e, f, g, h])]
}

#[inline(always)]
fn join(low: f32x4, high: f32x4) -> [f32; PANEL] {
    let ([a, b, c, d], [e, f, g, h]) = (low.to_array(), high.to_array());
    [a, b, c, d, e, f, g, h]
}
