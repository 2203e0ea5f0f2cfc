//! The exact GELU and its derivative.

use crate::device;
use burn::tensor::{Device, Tensor};
use sigmascope::kernels::gelu;

/// The normal distribution function, by Simpson's rule in float64.
fn normal_cdf(x: f64) -> f64 {
    let steps = 2000;
    let h = x / f64::from(steps);
    let inner: f64 = (1..steps).map(|i| density(f64::from(i) * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + h / 3.0 * (density(0.0) + inner + density(x))
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn check(name: &str, device: &Device) {
    // Odd length: a rest that is no whole vector, and no whole workgroup.
    let data: Vec<f32> = (0..1203).map(|i| (i as f32 - 600.0) * 0.0101).collect();
    let x = Tensor::<1>::from_floats(data.as_slice(), &device.clone().autodiff()).require_grad();
    let y = gelu(x.clone());
    let grads = (y.clone() * 3.0).sum().backward();
    let y = y.into_data().try_to_vec::<f32>().expect("float32");
    let slope = x.grad(&grads).expect("a gradient").into_data().try_to_vec::<f32>().expect("float32");
    let (mut largest, mut steepest) = (0.0f64, 0.0f64);
    for ((&x, &y), &slope) in data.iter().zip(&y).zip(&slope) {
        let x = f64::from(x);
        let cdf = normal_cdf(x);
        largest = largest.max((f64::from(y) - x * cdf).abs());
        steepest = steepest.max((f64::from(slope) - 3.0 * (cdf + x * density(x))).abs());
    }
    println!("GELU on {name}: off by {largest:.1e}, its derivative (times 3) by {steepest:.1e}");
    assert!(largest < 2e-6 && steepest < 4e-6);
}

#[test]
fn flex_is_exact() {
    check("flex", &Device::flex());
}

#[test]
fn vulkan_is_exact() {
    if let Some(vulkan) = device::vulkan() {
        check("Vulkan", &vulkan);
    }
}

#[test]
fn rank_and_strides_do_not_matter() {
    for device in [Some(Device::flex()), device::vulkan()].into_iter().flatten() {
        let x = Tensor::<3>::from_floats([[[-1.0, 0.5, 2.0], [0.1, -0.2, 3.0]]], &device);
        let turned = gelu(x.clone().swap_dims(1, 2));
        assert_eq!(turned.dims(), [1, 3, 2]);
        let difference = (turned.swap_dims(1, 2) - gelu(x)).abs().max();
        assert_eq!(difference.into_data().try_to_vec::<f32>().expect("float32"), [0.0]);
    }
}
