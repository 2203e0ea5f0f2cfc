//! Sparse sampling attention arranged for SIMD: the main path of the page without a GPU (one thread, wasm simd128).
//!
//! The same arithmetic as [`reference`](super::reference) in another order. A sampled key is never formed: the four
//! corners' dot products with the query are weighted instead, which costs 8 D floating point operations a point instead of
//! 10 D and gives the offset gradient's inner products for nothing. All inner loops run over the D contiguous channels of
//! one head in explicit four-float vectors (SSE and NEON natively, simd128 in the browser); scratch is allocated once a call.

use super::SamplingShape;
use super::reference::Gradients;
use wide::f32x4;

/// One sample position: where its four corners are and what they weigh. A corner outside the grid points at the first cell
/// with weight and slopes zero.
#[derive(Clone, Copy, Default)]
struct Tap {
    /// First element of each corner's row in an `[N, D]` plane.
    start: [usize; 4],
    weight: [f32; 4],
    /// Derivatives of the weights along x and y.
    slope_x: [f32; 4],
    slope_y: [f32; 4],
    /// No corner is inside: logit 0, value 0, no gradient.
    outside: bool,
}

impl Tap {
    #[inline]
    fn new(shape: &SamplingShape, row: usize, col: usize, offset: &[f32]) -> Self {
        let (x, y) = (col as f32 + offset[0], row as f32 + offset[1]);
        let (left, top) = (x.floor(), y.floor());
        let (rows, cols) = (shape.rows as f32, shape.cols as f32);
        // The corner cells span left..=left+1, top..=top+1. False for NaN as well.
        if !(left >= -1.0 && left < cols && top >= -1.0 && top < rows) {
            return Self { outside: true, ..Self::default() };
        }
        let (fx, fy) = (x - left, y - top);
        // -1..=cols and -1..=rows by now, so the conversions are exact.
        let (left, top) = (left as isize, top as isize);
        let inside_x = [left >= 0, left + 1 < shape.cols as isize];
        let inside_y = [top >= 0, top + 1 < shape.rows as isize];
        let (weight_x, slope_x) = ([1.0 - fx, fx], [-1.0, 1.0]);
        let (weight_y, slope_y) = ([1.0 - fy, fy], [-1.0, 1.0]);
        let mut tap = Self::default();
        for corner in 0..4 {
            let (i, j) = (corner / 2, corner % 2);
            if inside_y[i] && inside_x[j] {
                let cell = (top + i as isize) as usize * shape.cols + (left + j as isize) as usize;
                tap.start[corner] = cell * shape.head_dim;
                tap.weight[corner] = weight_y[i] * weight_x[j];
                tap.slope_x[corner] = weight_y[i] * slope_x[j];
                tap.slope_y[corner] = slope_y[i] * weight_x[j];
            }
        }
        tap
    }

    /// The corners' rows of an `[N, D]` plane.
    #[inline]
    fn rows<'a>(&self, plane: &'a [f32], d: usize) -> [&'a [f32]; 4] {
        self.start.map(|start| &plane[start..start + d])
    }
}

/// Forward pass: `out` `[B, N, H * D]` from `q`, `k`, `v` `[B, H, N, D]` and `offsets` `[B, H, N, P, 2]`.
pub fn forward(shape: &SamplingShape, q: &[f32], k: &[f32], v: &[f32], offsets: &[f32]) -> Vec<f32> {
    let (n, d, p) = (shape.tokens(), shape.head_dim, shape.points);
    let scale = shape.scale() as f32;
    let mut out = vec![0.0; shape.batch * n * shape.heads * d];
    let mut taps = vec![Tap::default(); p];
    let mut attention = vec![0.0; p];
    for plane in 0..shape.batch * shape.heads {
        let (batch, head) = (plane / shape.heads, plane % shape.heads);
        let keys = &k[plane * n * d..][..n * d]; // [N, D]
        let values = &v[plane * n * d..][..n * d]; // [N, D]
        for token in 0..n {
            let (row, col) = (token / shape.cols, token % shape.cols);
            let query = &q[(plane * n + token) * d..][..d];
            let points = &offsets[(plane * n + token) * p * 2..][..p * 2]; // [P, 2]
            for ((tap, logit), point) in taps.iter_mut().zip(&mut attention).zip(points.chunks_exact(2)) {
                *tap = Tap::new(shape, row, col, point);
                *logit = if tap.outside { 0.0 } else { scale * weigh(&tap.weight, &dot4(query, tap.rows(keys, d))) };
            }
            softmax(&mut attention);
            let sum = &mut out[((batch * n + token) * shape.heads + head) * d..][..d];
            for (tap, &a) in taps.iter().zip(&attention) {
                if !tap.outside {
                    add4(sum, tap.weight.map(|w| a * w), tap.rows(values, d));
                }
            }
        }
    }
    out
}

/// Backward pass for the upstream gradient `grad_out` `[B, N, H * D]`; the formulas stand at
/// [`reference::backward`](super::reference::backward).
pub fn backward(
    shape: &SamplingShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    offsets: &[f32],
    grad_out: &[f32],
) -> Gradients<f32> {
    let (n, d, p) = (shape.tokens(), shape.head_dim, shape.points);
    let scale = shape.scale() as f32;
    let mut grads = Gradients {
        q: vec![0.0; q.len()],
        k: vec![0.0; k.len()],
        v: vec![0.0; v.len()],
        offsets: vec![0.0; offsets.len()],
    };
    let mut taps = vec![Tap::default(); p];
    let mut attention = vec![0.0; p];
    let mut key_dots = vec![[0.0; 4]; p]; // q · k[corner]
    let mut value_dots = vec![[0.0; 4]; p]; // g · v[corner]
    for plane in 0..shape.batch * shape.heads {
        let (batch, head) = (plane / shape.heads, plane % shape.heads);
        let keys = &k[plane * n * d..][..n * d]; // [N, D]
        let values = &v[plane * n * d..][..n * d]; // [N, D]
        let grad_keys = &mut grads.k[plane * n * d..][..n * d]; // [N, D]
        let grad_values = &mut grads.v[plane * n * d..][..n * d]; // [N, D]
        for token in 0..n {
            let (row, col) = (token / shape.cols, token % shape.cols);
            let query = &q[(plane * n + token) * d..][..d];
            let upstream = &grad_out[((batch * n + token) * shape.heads + head) * d..][..d];
            let points = &offsets[(plane * n + token) * p * 2..][..p * 2]; // [P, 2]
            for i in 0..p {
                let tap = Tap::new(shape, row, col, &points[i * 2..][..2]);
                taps[i] = tap;
                if tap.outside {
                    (key_dots[i], value_dots[i], attention[i]) = ([0.0; 4], [0.0; 4], 0.0);
                } else {
                    key_dots[i] = dot4(query, tap.rows(keys, d));
                    value_dots[i] = dot4(upstream, tap.rows(values, d));
                    attention[i] = scale * weigh(&tap.weight, &key_dots[i]);
                }
            }
            softmax(&mut attention);
            let mean: f32 = (0..p).map(|i| attention[i] * weigh(&taps[i].weight, &value_dots[i])).sum();

            let grad_query = &mut grads.q[(plane * n + token) * d..][..d];
            let grad_points = &mut grads.offsets[(plane * n + token) * p * 2..][..p * 2];
            for i in 0..p {
                let (tap, a) = (&taps[i], attention[i]);
                if tap.outside {
                    continue;
                }
                // Both scaled: ∂k̂ = grad_logit · q, ∂v̂ = a · g.
                let grad_logit = scale * a * (weigh(&tap.weight, &value_dots[i]) - mean);
                add4(grad_query, tap.weight.map(|w| grad_logit * w), tap.rows(keys, d));
                let mut along = [0.0; 4]; // ∂k̂ · k[corner] + ∂v̂ · v[corner]
                for c in 0..4 {
                    along[c] = grad_logit * key_dots[i][c] + a * value_dots[i][c];
                    if tap.weight[c] != 0.0 {
                        let start = tap.start[c];
                        scatter(&mut grad_keys[start..start + d], tap.weight[c] * grad_logit, query);
                        scatter(&mut grad_values[start..start + d], tap.weight[c] * a, upstream);
                    }
                }
                grad_points[i * 2] = weigh(&tap.slope_x, &along);
                grad_points[i * 2 + 1] = weigh(&tap.slope_y, &along);
            }
        }
    }
    grads
}

/// Σ_c weight_c · x_c over the four corners.
#[inline(always)]
fn weigh(weight: &[f32; 4], x: &[f32; 4]) -> f32 {
    weight[0] * x[0] + weight[1] * x[1] + (weight[2] * x[2] + weight[3] * x[3])
}

/// The dot products of one vector with four rows. Eight independent accumulators hide the latency of the additions.
#[inline(always)]
fn dot4(vector: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    let (x, tail) = vector.as_chunks::<4>();
    let rows = rows.map(|row| row[..vector.len()].as_chunks::<4>());
    let mut even = [f32x4::ZERO; 4];
    let mut odd = [f32x4::ZERO; 4];
    let pairs = x.len() / 2;
    for i in 0..pairs {
        let (x0, x1) = (f32x4::from(x[2 * i]), f32x4::from(x[2 * i + 1]));
        for c in 0..4 {
            even[c] += x0 * f32x4::from(rows[c].0[2 * i]);
            odd[c] += x1 * f32x4::from(rows[c].0[2 * i + 1]);
        }
    }
    if x.len() % 2 == 1 {
        let last = x.len() - 1;
        for c in 0..4 {
            even[c] += f32x4::from(x[last]) * f32x4::from(rows[c].0[last]);
        }
    }
    // Transposed, so that the four sums are one vector.
    let [a, b, c, d] = f32x4::transpose([even[0] + odd[0], even[1] + odd[1], even[2] + odd[2], even[3] + odd[3]]);
    let mut dots = ((a + b) + (c + d)).to_array();
    for (i, &x) in tail.iter().enumerate() {
        for c in 0..4 {
            dots[c] += x * rows[c].1[i];
        }
    }
    dots
}

/// `sum += Σ_c factor_c · row_c`.
#[inline(always)]
fn add4(sum: &mut [f32], factor: [f32; 4], rows: [&[f32]; 4]) {
    let rows = rows.map(|row| row[..sum.len()].as_chunks::<4>());
    let wide = factor.map(f32x4::splat);
    let (sum, tail) = sum.as_chunks_mut::<4>();
    for (i, s) in sum.iter_mut().enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|c| wide[c] * f32x4::from(rows[c].0[i]));
        *s = (f32x4::from(*s) + ((a + b) + (c + d))).to_array();
    }
    for (i, s) in tail.iter_mut().enumerate() {
        *s += (factor[0] * rows[0].1[i] + factor[1] * rows[1].1[i])
            + (factor[2] * rows[2].1[i] + factor[3] * rows[3].1[i]);
    }
}

/// `row += factor · vector`.
#[inline(always)]
fn scatter(row: &mut [f32], factor: f32, vector: &[f32]) {
    let (vector, vector_tail) = vector[..row.len()].as_chunks::<4>();
    let (row, row_tail) = row.as_chunks_mut::<4>();
    let wide = f32x4::splat(factor);
    for (r, x) in row.iter_mut().zip(vector) {
        *r = (f32x4::from(*r) + wide * f32x4::from(*x)).to_array();
    }
    for (r, &x) in row_tail.iter_mut().zip(vector_tail) {
        *r += factor * x;
    }
}

/// Softmax in place over the P logits of one query.
#[inline(always)]
fn softmax(logits: &mut [f32]) {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, &l| m.max(l));
    let mut sum = 0.0;
    for l in logits.iter_mut() {
        *l = (*l - largest).exp();
        sum += *l;
    }
    let inverse = 1.0 / sum;
    for l in logits.iter_mut() {
        *l *= inverse;
    }
}
