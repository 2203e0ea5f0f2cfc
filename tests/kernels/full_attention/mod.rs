//! Full attention against plain loops in float64.

mod case;

use crate::device;
use burn::tensor::{Device, Tensor, TensorData, activation::softmax};
use case::{SHAPES, Shape, compare, inputs, tensors};
use sigmascope::kernels::full_attention::{AttentionShape, cpu_forward, full_attention};

fn check(name: &str, run: impl Fn(Shape, &[Vec<f32>; 3]) -> Vec<f32>) {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        // Soft attention; one that nearly picks a key, whose largest logit keeps growing.
        for size in [1.0, 8.0] {
            let inputs = inputs(shape, size, seed as u64);
            println!("{}", compare(name, shape, size, &inputs, &run(shape, &inputs)).unwrap());
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

/// Against the same attention as the tape composes it: one whose softmax is kept, and one that is too large for that.
#[test]
fn gradients_are_those_of_the_composed_operation() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        for shape in [[2, 3, 11, 8], [1, 1, 2060, 2]] {
            check_gradients(&device.clone().autodiff(), shape);
        }
    }
}

fn check_gradients(device: &Device, shape: Shape) {
    let [batch, heads, tokens, width] = shape;
    let inputs = inputs(shape, 1.5, 4);
    let ours = tensors(shape, &inputs, device).map(Tensor::require_grad);
    let plain = tensors(shape, &inputs, device).map(Tensor::require_grad);
    let out = [batch, tokens, heads * width];
    let weight = Tensor::<3>::from_data(TensorData::new(inputs[0].clone(), out), device);
    let [q, k, v] = ours.clone();
    let y = full_attention(q, k, v);
    let grads = (y.clone() * weight.clone()).sum().backward();
    let [q, k, v] = plain.clone();
    let mixed = softmax(q.matmul(k.transpose()) * (width as f32).powf(-0.5), 3).matmul(v);
    let mixed = mixed.swap_dims(1, 2).reshape(out);
    let expected = (mixed.clone() * weight).sum().backward();
    assert!(largest((y - mixed).inner()) < 1e-5, "{shape:?}");
    for (ours, plain) in ours.iter().zip(&plain) {
        let gradient = plain.grad(&expected).expect("a gradient");
        let size = largest(gradient.clone()).max(1.0);
        let off = largest(ours.grad(&grads).expect("a gradient") - gradient);
        assert!(off < 1e-5 * size, "{shape:?}: {off:e}");
    }
}

fn largest<const D: usize>(tensor: Tensor<D>) -> f32 {
    tensor.abs().max().into_data().try_to_vec::<f32>().expect("float32")[0]
}
