//! The plain reference of sparse sampling attention: readable loops, generic over f32 and f64.
//!
//! Nothing here is arranged for speed. Both passes are the closed form written down; the backward pass is derived by hand
//! (see [`backward`]) and checked against finite differences in `tests/ssa.rs`.

use super::SamplingShape;
use cubecl::num_traits::Float;

/// One of the four grid cells around a sample position.
#[derive(Clone, Copy, Debug)]
pub struct Corner<T> {
    /// Token index of the cell, or `None` outside the grid.
    pub token: Option<usize>,
    /// Bilinear weight.
    pub weight: T,
    /// Derivative of the weight along x (columns).
    pub weight_dx: T,
    /// Derivative of the weight along y (rows).
    pub weight_dy: T,
}

/// The four corners of the sample at `(row + dy, col + dx)` on a grid of `rows` x `cols`.
pub fn corners<T: Float>(shape: &SamplingShape, token: usize, dx: T, dy: T) -> [Corner<T>; 4] {
    let (row, col) = (token / shape.cols, token % shape.cols);
    let x = real::<T>(col as f64) + dx;
    let y = real::<T>(row as f64) + dy;
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let (one, zero) = (T::one(), T::zero());
    let cell = |row: T, col: T| {
        let inside = row >= zero && col >= zero && row < real(shape.rows as f64) && col < real(shape.cols as f64);
        // `inside` keeps both conversions in range.
        inside.then(|| row.to_usize().unwrap_or(0) * shape.cols + col.to_usize().unwrap_or(0))
    };
    [
        Corner { token: cell(top, left), weight: (one - fx) * (one - fy), weight_dx: fy - one, weight_dy: fx - one },
        Corner { token: cell(top, left + one), weight: fx * (one - fy), weight_dx: one - fy, weight_dy: -fx },
        Corner { token: cell(top + one, left), weight: (one - fx) * fy, weight_dx: -fy, weight_dy: one - fx },
        Corner { token: cell(top + one, left + one), weight: fx * fy, weight_dx: fy, weight_dy: fx },
    ]
}

/// Forward pass: `out` `[B, N, H * D]` from `q`, `k`, `v` `[B, H, N, D]` and `offsets` `[B, H, N, P, 2]`.
pub fn forward<T: Float>(shape: &SamplingShape, q: &[T], k: &[T], v: &[T], offsets: &[T]) -> Vec<T> {
    let (n, d, p) = (shape.tokens(), shape.head_dim, shape.points);
    let mut out = vec![T::zero(); shape.batch * n * shape.heads * d];
    for batch in 0..shape.batch {
        for head in 0..shape.heads {
            let plane = batch * shape.heads + head; // which [N, D] plane of q, k, v
            for token in 0..n {
                let query = &q[(plane * n + token) * d..][..d]; // [D]
                let points = &offsets[(plane * n + token) * p * 2..][..p * 2]; // [P, 2]
                let mut logits = Vec::with_capacity(p); // [P]
                let mut values = Vec::with_capacity(p); // [P, D]
                for point in points.chunks_exact(2) {
                    let around = corners(shape, token, point[0], point[1]);
                    let key = sample(&around, &k[plane * n * d..][..n * d], d); // [D]
                    logits.push(dot(query, &key) * real(shape.scale()));
                    values.push(sample(&around, &v[plane * n * d..][..n * d], d));
                }
                let attention = softmax(&logits); // [P]
                let row = &mut out[((batch * n + token) * shape.heads + head) * d..][..d]; // [D]
                for (a, value) in attention.iter().zip(&values) {
                    for (o, &x) in row.iter_mut().zip(value) {
                        *o = *o + *a * x;
                    }
                }
            }
        }
    }
    out
}

/// The gradients of one backward pass, each of its input's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<T> {
    /// `[B, H, N, D]`
    pub q: Vec<T>,
    /// `[B, H, N, D]`
    pub k: Vec<T>,
    /// `[B, H, N, D]`
    pub v: Vec<T>,
    /// `[B, H, N, P, 2]`
    pub offsets: Vec<T>,
}

/// Backward pass for the upstream gradient `grad_out` `[B, N, H * D]`.
///
/// With g the upstream gradient of one query, s = D^-½, w_c the weight of corner c, a the attention:
///
/// ```text
/// ∂a_p   = g · v̂_p                       ∂l_p = a_p (∂a_p − Σ_j a_j ∂a_j)
/// ∂q     = s Σ_p ∂l_p k̂_p                ∂k̂_p = s ∂l_p q        ∂v̂_p = a_p g
/// ∂k[c] += w_c ∂k̂_p                      ∂v[c] += w_c ∂v̂_p
/// ∂x_p   = Σ_c ∂w_c/∂x (∂k̂_p · k[c] + ∂v̂_p · v[c])            likewise y
/// ```
pub fn backward<T: Float>(
    shape: &SamplingShape,
    q: &[T],
    k: &[T],
    v: &[T],
    offsets: &[T],
    grad_out: &[T],
) -> Gradients<T> {
    let (n, d, p) = (shape.tokens(), shape.head_dim, shape.points);
    let scale: T = real(shape.scale());
    let zeros = |source: &[T]| vec![T::zero(); source.len()];
    let mut grads = Gradients { q: zeros(q), k: zeros(k), v: zeros(v), offsets: zeros(offsets) };
    for batch in 0..shape.batch {
        for head in 0..shape.heads {
            let plane = batch * shape.heads + head;
            let keys = &k[plane * n * d..][..n * d]; // [N, D]
            let values = &v[plane * n * d..][..n * d]; // [N, D]
            for token in 0..n {
                let query = &q[(plane * n + token) * d..][..d]; // [D]
                let upstream = &grad_out[((batch * n + token) * shape.heads + head) * d..][..d]; // [D]
                let first = (plane * n + token) * p; // first of the query's points
                let around: Vec<[Corner<T>; 4]> = // [P]
                    (0..p).map(|i| corners(shape, token, offsets[(first + i) * 2], offsets[(first + i) * 2 + 1])).collect();
                let sampled_keys: Vec<Vec<T>> = around.iter().map(|c| sample(c, keys, d)).collect(); // [P, D]
                let sampled_values: Vec<Vec<T>> = around.iter().map(|c| sample(c, values, d)).collect(); // [P, D]

                let logits: Vec<T> = sampled_keys.iter().map(|key| dot(query, key) * scale).collect();
                let attention = softmax(&logits); // [P]
                let grad_attention: Vec<T> = sampled_values.iter().map(|value| dot(upstream, value)).collect();
                let mean = dot(&attention, &grad_attention);

                for i in 0..p {
                    let grad_logit = attention[i] * (grad_attention[i] - mean);
                    for (c, &key) in sampled_keys[i].iter().enumerate() {
                        let at = (plane * n + token) * d + c;
                        grads.q[at] = grads.q[at] + scale * grad_logit * key;
                    }
                    for corner in &around[i] {
                        let Some(cell) = corner.token else { continue };
                        let mut along = T::zero(); // ∂k̂ · k[c] + ∂v̂ · v[c]
                        for c in 0..d {
                            let grad_key = scale * grad_logit * query[c];
                            let grad_value = attention[i] * upstream[c];
                            let at = (plane * n + cell) * d + c;
                            grads.k[at] = grads.k[at] + corner.weight * grad_key;
                            grads.v[at] = grads.v[at] + corner.weight * grad_value;
                            along = along + grad_key * keys[cell * d + c] + grad_value * values[cell * d + c];
                        }
                        let at = (first + i) * 2;
                        grads.offsets[at] = grads.offsets[at] + corner.weight_dx * along;
                        grads.offsets[at + 1] = grads.offsets[at + 1] + corner.weight_dy * along;
                    }
                }
            }
        }
    }
    grads
}

/// The weighted sum of the corners' rows of a `[N, D]` table; corners outside the grid add nothing.
fn sample<T: Float>(corners: &[Corner<T>; 4], table: &[T], d: usize) -> Vec<T> {
    let mut sum = vec![T::zero(); d];
    for corner in corners {
        let Some(cell) = corner.token else { continue };
        for (s, &x) in sum.iter_mut().zip(&table[cell * d..][..d]) {
            *s = *s + corner.weight * x;
        }
    }
    sum
}

fn softmax<T: Float>(logits: &[T]) -> Vec<T> {
    let largest = logits.iter().fold(T::neg_infinity(), |m, &l| m.max(l));
    let powers: Vec<T> = logits.iter().map(|&l| (l - largest).exp()).collect();
    let sum = powers.iter().fold(T::zero(), |s, &e| s + e);
    powers.into_iter().map(|e| e / sum).collect()
}

fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::zero(), |sum, (&x, &y)| sum + x * y)
}

/// A constant of the working type. f32 and f64, the only types used, take every f64.
fn real<T: Float>(value: f64) -> T {
    T::from(value).unwrap_or_else(T::nan)
}
