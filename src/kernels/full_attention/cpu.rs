//! Full attention on the CPU: both products by the panels of [`products`], a tile of queries at a time.

use wide::f32x4;

use super::AttentionShape;
use crate::kernels::products::{self, PANEL, TILE};

/// `[B, N, H * D]` of q, k and v `[B, H, N, D]`.
pub fn forward(shape: &AttentionShape, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let &AttentionShape { batch, heads, tokens, head_dim } = shape;
    let scale = shape.scale() as f32;
    let mut out = vec![0.0; q.len()];
    // Zeros after the last key and the last channel stay.
    let mut keys = vec![[0.0; PANEL]; tokens.div_ceil(PANEL) * head_dim]; // [N/8, D, 8]
    let mut values = vec![[0.0; PANEL]; head_dim.div_ceil(PANEL) * tokens]; // [D/8, N, 8]
    let mut logits = vec![[0.0; TILE]; tokens.next_multiple_of(PANEL)]; // [N, 4]
    for plane in 0..batch * heads {
        let [q, k, v] = [q, k, v].map(|tensor| &tensor[plane * tokens * head_dim..][..tokens * head_dim]);
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
                    let row = (plane / heads * tokens + tile * TILE + i) * heads + plane % heads;
                    let out = &mut out[row * head_dim + first..][..width];
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum / norm);
                }
            }
        }
    }
    out
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
