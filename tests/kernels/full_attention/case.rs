//! Full attention in plain loops of float64. Natively and in the page of `tests/webgpu`.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::official::{Mismatch, ensure};

/// B, H, N, D.
pub type Shape = [usize; 4];

/// Sizes of the models (256 tokens of Base, 100 of its spectral encoder, a head of Huge, Nano) and odd ones.
pub const SHAPES: [Shape; 7] =
    [[1, 12, 256, 64], [2, 3, 100, 64], [1, 2, 64, 80], [1, 4, 289, 16], [2, 3, 13, 5], [1, 1, 1, 4], [1, 2, 9, 12]];

/// q, k and v: q and k of that size, v of size 1.
pub fn inputs(shape: Shape, size: f32, seed: u64) -> [Vec<f32>; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let len = shape.iter().product();
    [size, size, 1.0].map(|size| (0..len).map(|_| rng.random_range(-1.0f32..1.0) * size).collect())
}

fn reference([batch, heads, tokens, width]: Shape, [q, k, v]: &[Vec<f32>; 3]) -> Vec<f64> {
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let mut out = vec![0.0; batch * heads * tokens * width];
    for plane in 0..batch * heads {
        let [q, k, v] = [q, k, v].map(|x| wide(&x[plane * tokens * width..][..tokens * width]));
        for token in 0..tokens {
            let query = &q[token * width..][..width];
            let logit = |key: &[f64]| key.iter().zip(query).map(|(k, q)| k * q).sum::<f64>() / (width as f64).sqrt();
            let logits: Vec<f64> = k.chunks(width).map(logit).collect();
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
            let norm: f64 = powers.iter().sum();
            let row = ((plane / heads * tokens + token) * heads + plane % heads) * width;
            for (value, power) in v.chunks(width).zip(&powers) {
                for (out, value) in out[row..].iter_mut().zip(value) {
                    *out += power / norm * value;
                }
            }
        }
    }
    out
}

pub fn tensors(shape: Shape, inputs: &[Vec<f32>; 3], device: &Device) -> [Tensor<4>; 3] {
    inputs.each_ref().map(|data| Tensor::from_data(TensorData::new(data.clone(), shape), device))
}

/// Compares an output with float64 and gives a line of the report.
pub fn compare(name: &str, shape: Shape, size: f32, inputs: &[Vec<f32>; 3], out: &[f32]) -> Result<String, Mismatch> {
    let expected = reference(shape, inputs);
    // Values are below 1 and weights add up to 1, so the output's error is that of the weights, which is that of the
    // logits: at most √D · 2^-24 · 4 of their size, √D size² ; 40 more for the exponential and the sums.
    let d = shape[3] as f64;
    let allowed = (4.0 * d * f64::from(size * size) + 40.0) * 2.0f64.powi(-24);
    let off = out.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
    let line = format!("full attention on {name}, {shape:?}, size {size}: off by {off:.1e}, allowed {allowed:.1e}");
    let fits = off <= allowed && out.len() == expected.len() && out.iter().all(|x| x.is_finite());
    ensure(fits, || line.clone())?;
    Ok(line)
}
