//! The WGSL kernels on Vulkan.

use crate::official::deviation;
use crate::official::sampling::{Case, RESULTS};
use crate::{case, device};
use burn::backend::Cube;
use burn::tensor::{Device, Tensor, TensorData};
use sigmascope::kernels::{KeyGradient, SamplingInputs, SamplingShape, gpu_backward, self_test};

#[test]
fn vulkan_meets_the_official_code() {
    let Some(vulkan) = device::vulkan() else { return };
    for case in case::all() {
        case.check("Vulkan", &device::run(&case, &vulkan));
    }
}

#[test]
fn vulkan_equals_flex_at_odd_sizes() {
    let Some(vulkan) = device::vulkan() else { return };
    let sizes = [
        // One point; rows that are not read four floats at a time; grids of one row and of one cell.
        (SamplingShape { batch: 1, heads: 1, rows: 1, cols: 7, head_dim: 5, points: 1 }, 2.0),
        (SamplingShape { batch: 2, heads: 1, rows: 1, cols: 1, head_dim: 1, points: 3 }, 1.0),
        (SamplingShape { batch: 1, heads: 3, rows: 5, cols: 3, head_dim: 12, points: 8 }, 1e30),
        // More points than fit a workgroup twice, and one that fills it.
        (SamplingShape { batch: 1, heads: 2, rows: 4, cols: 5, head_dim: 6, points: 33 }, 3.0),
        (SamplingShape { batch: 1, heads: 1, rows: 3, cols: 3, head_dim: 4, points: 64 }, 0.0),
    ];
    for (seed, (shape, reach)) in sizes.into_iter().enumerate() {
        let case = Case::random(shape, reach, seed as u64);
        let (gpu, cpu) = (device::run(&case, &vulkan), device::run(&case, &Device::flex()));
        for ((name, gpu), cpu) in RESULTS.iter().zip(&gpu).zip(&cpu) {
            let largest = deviation(gpu, cpu).unwrap().max_abs;
            let scale = cpu.iter().fold(1.0f32, |m, x| m.max(x.abs()));
            assert!(largest <= 1e-5 * f64::from(scale), "{name} of {}: {largest:e} of {scale}", case.name);
        }
    }
}

/// The backward kernels with a chosen summation, without the tape.
fn backward(case: &Case, device: &Device, key_gradient: KeyGradient) -> [Vec<f32>; 4] {
    let shape = case.shape;
    let qkv = |data: &[f32]| {
        let tensor = Tensor::<4>::from_data(TensorData::new(data.to_vec(), shape.qkv()), device);
        tensor.try_into_primitive::<Cube>().expect("a GPU tensor")
    };
    let offsets = Tensor::<5>::from_data(TensorData::new(case.offsets.clone(), shape.offsets()), device);
    let grad_out = Tensor::<3>::from_data(TensorData::new(case.grad_out.clone(), shape.out()), device);
    let inputs = SamplingInputs {
        q: qkv(&case.q),
        k: qkv(&case.k),
        v: qkv(&case.v),
        offsets: offsets.try_into_primitive::<Cube>().expect("a GPU tensor"),
    };
    let grads = gpu_backward(key_gradient, inputs, grad_out.try_into_primitive::<Cube>().expect("a GPU tensor"), shape);
    [grads.q, grads.k, grads.v, grads.offsets].map(|grad| {
        let bytes = grad.client.read_one(grad.handle).expect("the kernels ran");
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    })
}

#[test]
fn both_summations_give_the_same_gradients() {
    let Some(vulkan) = device::vulkan() else { return };
    let case = Case::random(SamplingShape { batch: 2, heads: 2, rows: 6, cols: 5, head_dim: 16, points: 8 }, 2.0, 3);
    let gather = backward(&case, &vulkan, KeyGradient::Gather);
    for (a, b) in gather.iter().zip(&backward(&case, &vulkan, KeyGradient::CompareAndSwap)) {
        let deviation = deviation(b, a).unwrap();
        assert!(deviation.rel_l2 < 1e-6, "{deviation:?}");
    }
}

#[test]
fn gather_gives_the_same_bits_twice() {
    let Some(vulkan) = device::vulkan() else { return };
    // Offsets of zero: every point of a query lands on the same cell, the longest lists.
    for reach in [0.0, 1.5] {
        let shape = SamplingShape { batch: 1, heads: 3, rows: 9, cols: 9, head_dim: 16, points: 8 };
        let case = Case::random(shape, reach, 8);
        let first = backward(&case, &vulkan, KeyGradient::Gather);
        for _ in 0..3 {
            assert!(first == backward(&case, &vulkan, KeyGradient::Gather), "the gradients differ from run to run");
        }
    }
}

#[test]
fn self_test_passes_here() {
    let devices = [Some(Device::flex()), device::vulkan()];
    for device in devices.into_iter().flatten() {
        let result = cubecl::future::block_on(self_test(&device));
        assert!(result.is_ok(), "{result:?}");
    }
}
