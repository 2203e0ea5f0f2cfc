//! Sparse sampling attention arranged for SIMD: the main path of the page without a GPU (one thread, wasm simd128).
//!
//! The same arithmetic as [`reference`](super::reference) in another order, in explicit vectors of four floats (SSE and NEON
//! natively, simd128 in the browser). A sampled key is never formed: the four corners' dot products with the query are
//! weighted instead, which costs 8 D floating point operations a point instead of 10 D and gives the offset gradient's inner
//! products for nothing. Scratch is allocated once a call. Rows of D channels are read as [`Quad`]s; where D is not a
//! multiple of four (no size of HyperSIGMA), the reference computes.

use super::SamplingShape;
use super::reference::{self, Gradients};
use wide::f32x4;

/// Four neighbouring channels.
type Quad = [f32; 4];

/// One sample position: where its four corners are and what they weigh. A corner outside the grid points at the first cell
/// with weight and slopes zero.
#[derive(Clone, Copy)]
struct Tap {
    /// First quad of each corner's row in a plane.
    start: [usize; 4],
    weight: f32x4,
    /// Derivatives of the weights along x and y.
    slope_x: f32x4,
    slope_y: f32x4,
}

impl Tap {
    /// No corner is inside: logit 0, value 0, no gradient.
    const OUTSIDE: Tap = Tap { start: [0; 4], weight: f32x4::ZERO, slope_x: f32x4::ZERO, slope_y: f32x4::ZERO };

    /// The tap of a point at (row + dy, col + dx) for rows of `quads` quads; `None` when no corner is inside.
    #[inline(always)]
    fn new(shape: &SamplingShape, quads: usize, row: usize, col: usize, dx: f32, dy: f32) -> Option<Self> {
        let (x, y) = (col as f32 + dx, row as f32 + dy);
        let (left, top) = (x.floor(), y.floor());
        // The corner cells span left..=left+1, top..=top+1. False for NaN as well.
        if !(left >= -1.0 && left < shape.cols as f32 && top >= -1.0 && top < shape.rows as f32) {
            return None;
        }
        let (fx, fy) = (x - left, y - top);
        // -1..=cols and -1..=rows by now, so the conversions are exact.
        let (left, top) = (left as isize, top as isize);
        let weight_x = f32x4::new([1.0 - fx, fx, 1.0 - fx, fx]);
        let weight_y = f32x4::new([1.0 - fy, 1.0 - fy, fy, fy]);
        let slope_x = f32x4::new([-1.0, 1.0, -1.0, 1.0]) * weight_y;
        let slope_y = f32x4::new([-1.0, -1.0, 1.0, 1.0]) * weight_x;
        let weight = weight_x * weight_y;
        let (right, bottom) = (left + 1 < shape.cols as isize, top + 1 < shape.rows as isize);
        if left >= 0 && top >= 0 && right && bottom {
            let first = (top as usize * shape.cols + left as usize) * quads;
            let below = first + shape.cols * quads;
            return Some(Self { start: [first, first + quads, below, below + quads], weight, slope_x, slope_y });
        }
        let inside = [(left >= 0) & (top >= 0), right & (top >= 0), (left >= 0) & bottom, right & bottom];
        let mut start = [0; 4];
        for corner in 0..4 {
            if inside[corner] {
                let (row, col) = (top + (corner / 2) as isize, left + (corner % 2) as isize);
                start[corner] = (row as usize * shape.cols + col as usize) * quads;
            }
        }
        let mask = f32x4::new(inside.map(|inside| if inside { 1.0 } else { 0.0 }));
        Some(Self { start, weight: weight * mask, slope_x: slope_x * mask, slope_y: slope_y * mask })
    }

    /// The corners' rows of a plane.
    #[inline(always)]
    fn rows<'a>(&self, plane: &'a [Quad], quads: usize) -> [&'a [Quad]; 4] {
        self.start.map(|start| &plane[start..start + quads])
    }
}

/// Where the tokens of all planes lie in the tensors.
fn tokens(shape: &SamplingShape) -> impl Iterator<Item = Place> {
    let SamplingShape { heads, rows, cols, .. } = *shape;
    (0..shape.batch * heads).flat_map(move |plane| {
        (0..rows).flat_map(move |row| {
            (0..cols).map(move |col| {
                let token = row * cols + col;
                let query = plane * rows * cols + token;
                let out = ((plane / heads) * rows * cols + token) * heads + plane % heads;
                Place { plane, row, col, query, out }
            })
        })
    })
}

struct Place {
    /// batch * H + head
    plane: usize,
    row: usize,
    col: usize,
    /// Row of q and of the offsets, plane * N + token.
    query: usize,
    /// Row of `out` as `[B, N, H]`.
    out: usize,
}

/// Forward pass: `out` `[B, N, H * D]` from `q`, `k`, `v` `[B, H, N, D]` and `offsets` `[B, H, N, P, 2]`.
pub fn forward(shape: &SamplingShape, q: &[f32], k: &[f32], v: &[f32], offsets: &[f32]) -> Vec<f32> {
    if !shape.head_dim.is_multiple_of(4) {
        return reference::forward(shape, q, k, v, offsets);
    }
    let (p, quads) = (shape.points, shape.head_dim / 4);
    let plane_quads = shape.tokens() * quads;
    let scale = shape.scale() as f32;
    let [q, k, v] = [q, k, v].map(|tensor| tensor.as_chunks::<4>().0);
    let mut out = vec![0.0; shape.batch * shape.tokens() * shape.heads * shape.head_dim];
    let out_quads = out.as_chunks_mut::<4>().0;
    let mut taps = vec![Tap::OUTSIDE; p];
    let mut attention = vec![0.0; p];
    for Place { plane, row, col, query, out } in tokens(shape) {
        let keys = &k[plane * plane_quads..][..plane_quads];
        let values = &v[plane * plane_quads..][..plane_quads];
        let vector = &q[query * quads..][..quads];
        let points = offsets[query * p * 2..][..p * 2].as_chunks::<2>().0;
        let mut outside = 0;
        for ((tap, logit), &[dx, dy]) in taps.iter_mut().zip(&mut attention).zip(points) {
            *tap = match Tap::new(shape, quads, row, col, dx, dy) {
                Some(tap) => tap,
                None => {
                    outside += 1;
                    *logit = 0.0;
                    *tap = Tap::OUTSIDE;
                    continue;
                }
            };
            let [a, b, c, d] = products(vector, tap.rows(keys, quads));
            let [wa, wb, wc, wd] = tap.weight.to_array().map(f32x4::splat);
            *logit = scale * ((wa * a + wb * b) + (wc * c + wd * d)).reduce_add();
        }
        if outside == p {
            continue; // the output stays exactly zero
        }
        softmax(&mut attention);
        for (tap, &a) in taps.iter_mut().zip(&attention) {
            tap.weight *= f32x4::splat(a);
        }
        weighted_sum(&mut out_quads[out * quads..][..quads], &taps, values);
    }
    out
}

/// Backward pass for the upstream gradient `grad_out` `[B, N, H * D]`; the formulas stand at
/// [`reference::backward`].
pub fn backward(
    shape: &SamplingShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    offsets: &[f32],
    grad_out: &[f32],
) -> Gradients<f32> {
    if !shape.head_dim.is_multiple_of(4) {
        return reference::backward(shape, q, k, v, offsets, grad_out);
    }
    let (p, quads) = (shape.points, shape.head_dim / 4);
    let plane_quads = shape.tokens() * quads;
    let scale = shape.scale() as f32;
    let mut grads = Gradients {
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
        offsets: vec![0.0; offsets.len()],
    };
    let [q, k, v, grad_out] = [q, k, v, grad_out].map(|tensor| tensor.as_chunks::<4>().0);
    let [grad_q, grad_k, grad_v] = [&mut grads.q, &mut grads.k, &mut grads.v].map(|grad| grad.as_chunks_mut::<4>().0);
    let mut taps = vec![Tap::OUTSIDE; p];
    let mut attention = vec![0.0; p];
    let mut pulls = vec![0.0; p]; // g · v̂
    let mut key_dots = vec![f32x4::ZERO; p]; // q · k[corner]
    let mut value_dots = vec![f32x4::ZERO; p]; // g · v[corner]
    let mut factors = vec![Factor::default(); p];
    for Place { plane, row, col, query, out } in tokens(shape) {
        let keys = &k[plane * plane_quads..][..plane_quads];
        let values = &v[plane * plane_quads..][..plane_quads];
        let grad_keys = &mut grad_k[plane * plane_quads..][..plane_quads];
        let grad_values = &mut grad_v[plane * plane_quads..][..plane_quads];
        let vector = &q[query * quads..][..quads];
        let upstream = &grad_out[out * quads..][..quads];
        let points = offsets[query * p * 2..][..p * 2].as_chunks::<2>().0;
        for i in 0..p {
            match Tap::new(shape, quads, row, col, points[i][0], points[i][1]) {
                Some(tap) => {
                    taps[i] = tap;
                    key_dots[i] = sums(products(vector, tap.rows(keys, quads)));
                    value_dots[i] = sums(products(upstream, tap.rows(values, quads)));
                    attention[i] = scale * (tap.weight * key_dots[i]).reduce_add();
                    pulls[i] = (tap.weight * value_dots[i]).reduce_add();
                }
                None => {
                    taps[i] = Tap::OUTSIDE;
                    (key_dots[i], value_dots[i], attention[i], pulls[i]) = (f32x4::ZERO, f32x4::ZERO, 0.0, 0.0);
                }
            }
        }
        softmax(&mut attention);
        let mean: f32 = attention.iter().zip(&pulls).map(|(a, pull)| a * pull).sum();

        let grad_points = grads.offsets[query * p * 2..][..p * 2].as_chunks_mut::<2>().0;
        for i in 0..p {
            let (tap, a) = (&taps[i], f32x4::splat(attention[i]));
            // Both scaled: ∂k̂ = grad_logit · q, ∂v̂ = a · g.
            let grad_logit = f32x4::splat(scale * attention[i] * (pulls[i] - mean));
            let along = grad_logit * key_dots[i] + a * value_dots[i]; // ∂k̂ · k[corner] + ∂v̂ · v[corner]
            grad_points[i] = [(tap.slope_x * along).reduce_add(), (tap.slope_y * along).reduce_add()];
            factors[i] = Factor { key: (tap.weight * grad_logit).to_array(), value: (tap.weight * a).to_array() };
        }
        let sum = &mut grad_q[query * quads..][..quads];
        for (tap, factor) in taps.iter().zip(&factors) {
            for corner in 0..4 {
                if factor.value[corner] == 0.0 {
                    continue; // outside, or on the opposite edge of the cell
                }
                let start = tap.start[corner];
                let (key, value) = (f32x4::splat(factor.key[corner]), f32x4::splat(factor.value[corner]));
                let row = &keys[start..start + quads];
                let grad_key = &mut grad_keys[start..start + quads];
                let grad_value = &mut grad_values[start..start + quads];
                for at in 0..quads {
                    sum[at] = (f32x4::from(sum[at]) + key * f32x4::from(row[at])).to_array();
                    grad_key[at] = (f32x4::from(grad_key[at]) + key * f32x4::from(vector[at])).to_array();
                    grad_value[at] = (f32x4::from(grad_value[at]) + value * f32x4::from(upstream[at])).to_array();
                }
            }
        }
    }
    grads
}

/// What the query and its upstream gradient are multiplied with on their way to a tap's corners.
#[derive(Clone, Copy, Default)]
struct Factor {
    key: [f32; 4],
    value: [f32; 4],
}

/// The products of one vector with four rows, each still to be summed over its four lanes.
#[inline(always)]
fn products(vector: &[Quad], rows: [&[Quad]; 4]) -> [f32x4; 4] {
    let rows = rows.map(|row| &row[..vector.len()]);
    let mut sums = [f32x4::ZERO; 4];
    for (i, &x) in vector.iter().enumerate() {
        let x = f32x4::from(x);
        for (sum, row) in sums.iter_mut().zip(&rows) {
            *sum += x * f32x4::from(row[i]);
        }
    }
    sums
}

/// The sums over the lanes of four vectors.
#[inline(always)]
fn sums(products: [f32x4; 4]) -> f32x4 {
    let [a, b, c, d] = f32x4::transpose(products);
    (a + b) + (c + d)
}

/// `sum = Σ_taps Σ_corners weight · row`, four quads of the sum in registers at a time.
#[inline(always)]
fn weighted_sum(sum: &mut [Quad], taps: &[Tap], plane: &[Quad]) {
    let quads = sum.len();
    let (blocks, rest) = sum.as_chunks_mut::<4>();
    let done = blocks.len() * 4;
    for (block, out) in blocks.iter_mut().enumerate() {
        let mut totals = [f32x4::ZERO; 4];
        for tap in taps {
            for (weight, start) in tap.weight.to_array().into_iter().zip(tap.start) {
                let weight = f32x4::splat(weight);
                let row = &plane[start + block * 4..][..4];
                for (total, &x) in totals.iter_mut().zip(row) {
                    *total += weight * f32x4::from(x);
                }
            }
        }
        *out = totals.map(|total| total.to_array());
    }
    for (at, out) in (done..quads).zip(rest) {
        let mut total = f32x4::ZERO;
        for tap in taps {
            for (weight, start) in tap.weight.to_array().into_iter().zip(tap.start) {
                total += f32x4::splat(weight) * f32x4::from(plane[start + at]);
            }
        }
        *out = total.to_array();
    }
}

/// Softmax in place over the P logits of one query.
#[inline(always)]
fn softmax(logits: &mut [f32]) {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, &l| m.max(l));
    let (wide, rest) = logits.as_chunks_mut::<4>();
    let mut sum = 0.0;
    for four in wide.iter_mut() {
        let powers = (f32x4::from(*four) - f32x4::splat(largest)).exp();
        sum += powers.reduce_add();
        *four = powers.to_array();
    }
    for l in rest {
        *l = (*l - largest).exp();
        sum += *l;
    }
    let inverse = 1.0 / sum;
    for l in logits {
        *l *= inverse;
    }
}
