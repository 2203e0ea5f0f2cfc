//! Full attention on the CPU: both products by the panels of [`products`], a tile of queries at a time.

use std::num::NonZero;
use std::thread::available_parallelism;

use wide::f32x4;

use super::AttentionShape;
use crate::kernels::products::{self, PANEL, TILE};

/// Products of a plane for which a thread is worth its start.
const THREAD_FLOP: usize = 1 << 21;

/// `[B, N, H * D]` of q, k and v `[B, H, N, D]`.
pub fn forward(shape: &AttentionShape, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let &AttentionShape { batch, heads, tokens, head_dim } = shape;
    let size = tokens * head_dim; // of a plane
    let planes = batch * heads;
    let mut mixed = vec![0.0; q.len()]; // [B, H, N, D]
    let threads = if cfg!(target_family = "wasm") { 1 } else { available_parallelism().map_or(1, NonZero::get) };
    let least = THREAD_FLOP.div_ceil(4 * tokens * size);
    let share = planes.div_ceil(threads).max(least).max(1);
    let attend = |first: usize, out: &mut [f32]| {
        let mut plane = Plane::new(shape);
        for (i, out) in out.chunks_exact_mut(size).enumerate() {
            let [q, k, v] = [q, k, v].map(|tensor| &tensor[(first + i) * size..][..size]);
            plane.attend(q, k, v, out);
        }
    };
    if share >= planes {
        attend(0, &mut mixed);
    } else {
        std::thread::scope(|scope| {
            for (i, out) in mixed.chunks_mut(share * size).enumerate() {
                let attend = &attend;
                scope.spawn(move || attend(i * share, out));
            }
        });
    }
    if heads == 1 {
        return mixed;
    }
    let mut out = vec![0.0; q.len()];
    for (plane, mixed) in mixed.chunks_exact(size).enumerate() {
        for (token, mixed) in mixed.chunks_exact(head_dim).enumerate() {
            let row = (plane / heads * tokens + token) * heads + plane % heads;
            out[row * head_dim..][..head_dim].copy_from_slice(mixed);
        }
    }
    out
}

/// One head of one sample, and what it needs of memory.
struct Plane {
    tokens: usize,
    head_dim: usize,
    scale: f32,
    // Zeros after the last key and the last channel stay.
    /// `[N/8, D, 8]`
    keys: Vec<[f32; PANEL]>,
    /// `[D/8, N, 8]`
    values: Vec<[f32; PANEL]>,
    /// `[N, 4]`
    logits: Vec<[f32; TILE]>,
}

impl Plane {
    fn new(shape: &AttentionShape) -> Self {
        let &AttentionShape { tokens, head_dim, .. } = shape;
        Self {
            tokens,
            head_dim,
            scale: shape.scale() as f32,
            keys: vec![[0.0; PANEL]; tokens.div_ceil(PANEL) * head_dim],
            values: vec![[0.0; PANEL]; head_dim.div_ceil(PANEL) * tokens],
            logits: vec![[0.0; TILE]; tokens.next_multiple_of(PANEL)],
        }
    }

    /// q, k, v and out `[N, D]`.
    fn attend(&mut self, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32]) {
        let &mut Self { tokens, head_dim, scale, ref mut keys, ref mut values, ref mut logits } = self;
        for token in 0..tokens {
            let row = token * head_dim;
            for channel in 0..head_dim {
                keys[token / PANEL * head_dim + channel][token % PANEL] = k[row + channel];
                values[channel / PANEL * tokens + token][channel % PANEL] = v[row + channel];
            }
        }
        for (tile, queries) in products::tiles(q, head_dim).chunks_exact_mut(head_dim).enumerate() {
            queries.as_flattened_mut().iter_mut().for_each(|x| *x *= scale);
            for (keys, logits) in keys.chunks_exact(head_dim).zip(logits.as_chunks_mut::<PANEL>().0) {
                let mut sums = [[0.0; PANEL]; TILE];
                products::float(queries, keys, &mut sums);
                for (key, logits) in logits.iter_mut().enumerate() {
                    *logits = sums.map(|row| row[key]);
                }
            }
            let norms = powers(&mut logits[..tokens]);
            for (panel, values) in values.chunks_exact(tokens).enumerate() {
                let mut sums = [[0.0; PANEL]; TILE];
                products::float(&logits[..tokens], values, &mut sums);
                let first = panel * PANEL;
                let width = PANEL.min(head_dim - first);
                for (i, (sums, norm)) in sums.iter().zip(norms).enumerate().take(tokens - tile * TILE) {
                    let out = &mut out[(tile * TILE + i) * head_dim + first..][..width];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum / norm);
                }
            }
        }
    }
}

/// Logits `[N, 4]` → `exp(logit − largest)` of each of the four queries, and their sums.
fn powers(logits: &mut [[f32; TILE]]) -> [f32; TILE] {
    let lowest = f32x4::splat(f32::NEG_INFINITY);
    let largest = logits.iter().fold(lowest, |m, &x| m.max(f32x4::from(x)));
    let mut norm = f32x4::ZERO;
    for logits in logits {
        let power = (f32x4::from(*logits) - largest).exp();
        norm += power;
        *logits = power.to_array();
    }
    norm.to_array()
}
