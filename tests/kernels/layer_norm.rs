//! Layer normalisation as one step of the tape.

use crate::device;
use burn::tensor::{Device, Distribution, Tensor, module};
use sigmascope::kernels::layer_norm;

/// Against burn's own, whose derivative the tape composes.
fn check(name: &str, device: &Device, shape: [usize; 3]) {
    let device = device.clone().autodiff();
    let channels = shape[2];
    let leaf =
        |at: f64| Tensor::<1>::random([channels], Distribution::Uniform(at - 0.3, at + 0.3), &device).require_grad();
    let (gamma, beta) = (leaf(1.0), leaf(0.0));
    let x = Tensor::<3>::random(shape, Distribution::Uniform(-2.0, 3.0), &device).require_grad();
    let upstream = Tensor::<3>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);

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

fn off<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).abs().max().into_data().try_to_vec::<f32>().expect("float32")[0]
}

#[test]
fn gradients_are_those_of_the_composed_operation() {
    for (name, device) in [("flex", Some(Device::flex())), ("Vulkan", device::vulkan())] {
        let Some(device) = device else { continue };
        for shape in [[2, 5, 48], [1, 7, 13], [3, 1, 3]] {
            check(name, &device, shape);
        }
    }
}
