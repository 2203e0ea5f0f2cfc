//! Layer normalisation as one step of the tape.

use crate::device;
use burn::backend::Cube;
use burn::backend::wgpu::CubeTensor;
use burn::tensor::{Device, Tensor, TensorData, module};
use sigmascope::kernels::layer_norm;
use sigmascope::kernels::layer_norm::{backward_across, forward_across};

/// Against burn's own, whose derivative the tape composes.
fn check(name: &str, device: &Device, shape: [usize; 3]) {
    let device = device.clone().autodiff();
    let channels = shape[2];
    let gamma = wave([channels], 1.0, 0.3, 0.9, &device).require_grad();
    let beta = wave([channels], 0.0, 0.3, 2.3, &device).require_grad();
    let x = wave(shape, 0.5, 2.5, 1.7, &device).require_grad();
    let upstream = wave(shape, 0.0, 1.0, 1.3, &device);

    let ours = layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-6);
    let burns = module::layer_norm(x.clone(), gamma.clone(), Some(beta.clone()), 1e-6);
    let grads = (ours.clone() * upstream.clone()).sum().backward();
    let expected = (burns.clone() * upstream).sum().backward();
    let mut largest: Vec<f32> = vec![off(ours.inner(), burns.inner())];
    largest.push(off(x.grad(&grads).expect("a gradient"), x.grad(&expected).expect("a gradient")));
    for leaf in [&gamma, &beta] {
        largest.push(off(leaf.grad(&grads).expect("a gradient"), leaf.grad(&expected).expect("a gradient")));
    }
    println!("layer norm on {name}, {shape:?}: y, x, gamma, beta off by {largest:?}");
    assert!(largest.iter().all(|&off| off < 2e-5), "{largest:?}");
}

/// Numbers in `middle ± reach`: the same every time, and no row of three nearly constant, where the derivative would be
/// ill-conditioned.
fn wave<const D: usize>(shape: [usize; D], middle: f64, reach: f64, step: f64, device: &Device) -> Tensor<D> {
    let len = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..len).map(|i| (middle + reach * (i as f64 * step + 0.5).sin()) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn off<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).abs().max().into_data().try_to_vec::<f32>().expect("float32")[0]
}

#[test]
fn gradients_are_those_of_the_composed_operation() {
    for (name, device) in [("flex", Some(Device::flex())), ("Vulkan", device::vulkan())] {
        let Some(device) = device else { continue };
        for shape in [[2, 5, 48], [1, 7, 13], [3, 1, 3], [1, 70, 768], [5, 13, 64]] {
            check(name, &device, shape);
        }
    }
}

/// A software adapter takes one invocation a row, a GPU a workgroup: both are right on any adapter.
#[test]
fn rows_shared_by_a_workgroup_are_the_same() {
    let Some(device) = device::vulkan() else { return };
    for shape in [[5, 48], [70, 768], [3, 5], [130, 64]] {
        let gamma = wave([shape[1]], 1.0, 0.3, 0.9, &device);
        let beta = wave([shape[1]], 0.0, 0.3, 2.3, &device);
        let (x, grad) = (wave(shape, 0.5, 2.5, 1.7, &device), wave(shape, 0.0, 1.0, 1.3, &device));
        let run = |across| {
            let y = forward_across(cube(&x), cube(&gamma), cube(&beta), 1e-6, across);
            let [grad_x, grad_gamma, grad_beta] = backward_across(cube(&x), cube(&gamma), cube(&grad), 1e-6, across);
            let columns = [grad_gamma, grad_beta].map(Tensor::<1>::from_primitive::<Cube>);
            ([y, grad_x].map(Tensor::<2>::from_primitive::<Cube>), columns)
        };
        let ((alone, alone_columns), (together, together_columns)) = (run(1), run(64));
        for (a, b) in alone.into_iter().zip(together) {
            assert!(off(a, b) < 2e-5, "{shape:?}");
        }
        for (a, b) in alone_columns.into_iter().zip(together_columns) {
            assert!(off(a, b) < 1e-4, "{shape:?}");
        }
    }
}

fn cube<const D: usize>(tensor: &Tensor<D>) -> CubeTensor {
    tensor.clone().try_into_primitive::<Cube>().expect("a GPU tensor")
}
