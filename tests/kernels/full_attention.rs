//! Full attention against plain loops in float64.

use crate::device;
use burn::tensor::{Device, Tensor, TensorData, activation::softmax};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sigmascope::kernels::full_attention::{AttentionShape, cpu_forward, full_attention};

/// B, H, N, D.
type Shape = [usize; 4];

/// Sizes of the models (256 tokens of Base, 100 of its spectral encoder, a head of Huge, Nano) and odd ones.
const SHAPES: [Shape; 7] =
    [[1, 12, 256, 64], [2, 3, 100, 64], [1, 2, 64, 80], [1, 4, 289, 16], [2, 3, 13, 5], [1, 1, 1, 4], [1, 2, 9, 12]];

fn inputs(shape: Shape, size: f32, seed: u64) -> [Vec<f32>; 3] {
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

fn tensors(shape: Shape, inputs: &[Vec<f32>; 3], device: &Device) -> [Tensor<4>; 3] {
    inputs.each_ref().map(|data| Tensor::from_data(TensorData::new(data.clone(), shape), device))
}

fn check(name: &str, run: impl Fn(Shape, &[Vec<f32>; 3]) -> Vec<f32>) {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        // Soft attention; one that nearly picks a key, whose largest logit keeps growing.
        for size in [1.0, 8.0] {
            let inputs = inputs(shape, size, seed as u64);
            let out = run(shape, &inputs);
            let expected = reference(shape, &inputs);
            // Values are below 1 and weights add up to 1, so the output's error is that of the weights, which is that of the
            // logits: at most √D · 2^-24 · 4 of their size, √D size² ; 40 more for the exponential and the sums.
            let d = shape[3] as f64;
            let allowed = (4.0 * d * f64::from(size * size) + 40.0) * 2.0f64.powi(-24);
            let off = out.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
            println!("full attention on {name}, {shape:?}, size {size}: off by {off:.1e}, allowed {allowed:.1e}");
            assert!(off <= allowed && out.len() == expected.len() && out.iter().all(|x| x.is_finite()));
        }
    }
}

fn on(device: &Device) -> impl Fn(Shape, &[Vec<f32>; 3]) -> Vec<f32> {
    |shape, inputs| {
        let [q, k, v] = tensors(shape, inputs, device);
        let out = full_attention(q, k, v);
        assert_eq!(out.dims(), [shape[0], shape[2], shape[1] * shape[3]]);
        out.into_data().try_to_vec::<f32>().expect("float32")
    }
}

/// What the browser runs without a GPU.
#[test]
fn simd_meets_float64() {
    check("SIMD", |[batch, heads, tokens, head_dim], [q, k, v]| {
        cpu_forward(&AttentionShape { batch, heads, tokens, head_dim }, q, k, v)
    });
}

#[test]
fn flex_meets_float64() {
    check("flex", on(&Device::flex()));
}

#[test]
fn vulkan_meets_float64() {
    if let Some(vulkan) = device::vulkan() {
        check("Vulkan", on(&vulkan));
    }
}

/// Against the same attention as the tape composes it.
#[test]
fn gradients_are_those_of_the_composed_operation() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        let device = device.autodiff();
        let shape = [2, 3, 11, 8];
        let inputs = inputs(shape, 1.5, 4);
        let ours = tensors(shape, &inputs, &device).map(Tensor::require_grad);
        let plain = tensors(shape, &inputs, &device).map(Tensor::require_grad);
        let weight = Tensor::<3>::from_data(TensorData::new(inputs[0].clone(), [2, 11, 24]), &device);
        let [q, k, v] = ours.clone();
        let grads = (full_attention(q, k, v) * weight.clone()).sum().backward();
        let [q, k, v] = plain.clone();
        let mixed = softmax(q.matmul(k.transpose()) * 8.0f32.powf(-0.5), 3).matmul(v);
        let expected = (mixed.swap_dims(1, 2).reshape([2, 11, 24]) * weight).sum().backward();
        for (ours, plain) in ours.iter().zip(&plain) {
            let difference = ours.grad(&grads).expect("a gradient") - plain.grad(&expected).expect("a gradient");
            let off = difference.abs().max().into_data().try_to_vec::<f32>().expect("float32")[0];
            assert!(off < 1e-5, "{off:e}");
        }
    }
}
