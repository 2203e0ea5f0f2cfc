//! Weight scope regularisation: training is pulled towards target scopes (Xu, Li, Gan, Zhan, 2024, arXiv 2408.12237).
//!
//! The penalty is λ · Σ_layers KL(N(μ̂, σ̂²) ‖ N(μ, σ²)) with the scope N(μ̂, σ̂²) of the layer's current weights and its target
//! N(μ, σ²); [`crate::scope`] has the arithmetic for numbers on the host, and here it is on the device, in one pass over the
//! weights and without reading anything back.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::regularizer::{Regularizer, Weight};
use crate::scope::{DEVIATION_FLOOR, Target};

/// How λ changes over the steps of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ramp {
    #[default]
    Constant,
    /// From 0 at the first step to λ after so many.
    WarmUp { steps: u32 },
}

impl Ramp {
    /// The share of λ after `steps` steps, 0..=1.
    pub fn share(self, steps: u32) -> f64 {
        match self {
            Self::WarmUp { steps: whole } if steps < whole => f64::from(steps) / f64::from(whole),
            Self::Constant | Self::WarmUp { .. } => 1.0,
        }
    }
}

/// Pulls layers (weight tensors of two or more dimensions) to target scopes. Layers without a target are left alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ScopeAlignment {
    lambda: f64,
    ramp: Ramp,
    targets: BTreeMap<String, Target>,
}

impl ScopeAlignment {
    /// `targets` by official name. λ = 0 changes no bit of a run.
    pub fn new(lambda: f64, ramp: Ramp, targets: impl IntoIterator<Item = (String, Target)>) -> Self {
        Self { lambda, ramp, targets: targets.into_iter().collect() }
    }
}

impl Regularizer for ScopeAlignment {
    /// λ/n · [ (μ̂ − μ)/σ² + (wᵢ − μ̂)(1/σ² − 1/σ̂²) ], `[n]`; as [`KlGradient`](crate::scope::KlGradient), floor and all.
    fn gradient(&self, weight: &Weight<'_>) -> Option<Tensor<1>> {
        let target = self.targets.get(weight.name).filter(|_| weight.rank > 1)?;
        let strength = self.lambda * self.ramp.share(weight.steps);
        let count = weight.values.dims()[0];
        if strength == 0.0 || count == 0 {
            return None;
        }
        let strength = strength / count as f64;
        let floor = DEVIATION_FLOOR * DEVIATION_FLOOR;
        let precision = 1.0 / (target.deviation * target.deviation).max(floor);
        let mean = weight.values.clone().mean(); // [1]
        let centred = weight.values.clone() - mean.clone(); // [n]
        let variance = centred.clone().mul(centred.clone()).mean(); // [1]
        // Where the floor holds σ̂, the divergence does not depend on it.
        let free = variance.clone().greater_elem(floor).float();
        let stretch = variance.clamp_min(floor).recip().neg().add_scalar(precision) * free;
        let shift = mean.sub_scalar(target.mean).mul_scalar(precision * strength);
        Some(centred * stretch.mul_scalar(strength) + shift)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::scope::{KlGradient, Scope};

    const NAME: &str = "fc_spec1.0.weight";

    fn weights(count: usize, mean: f32, spread: f32) -> Vec<f32> {
        (0..count).map(|i| mean + spread * ((i * i) as f32 * 0.7).sin()).collect()
    }

    fn alignment(lambda: f64, ramp: Ramp, target: Target) -> ScopeAlignment {
        ScopeAlignment::new(lambda, ramp, [(NAME.to_owned(), target)])
    }

    fn gradient(alignment: &ScopeAlignment, values: &[f32], rank: usize, steps: u32) -> Option<Vec<f32>> {
        let values = Tensor::<1>::from_floats(values, &Device::flex());
        let gradient = alignment.gradient(&Weight { name: NAME, rank, values: &values, steps })?;
        Some(gradient.into_data().iter::<f32>().collect())
    }

    fn close(given: &[f32], expected: &[f64], tolerance: f64) {
        let scale = expected.iter().map(|value| value.abs()).fold(1e-12, f64::max);
        for (i, (given, expected)) in given.iter().zip(expected).enumerate() {
            assert!((f64::from(*given) - expected).abs() <= tolerance * scale, "{i}: {given} and {expected}");
        }
    }

    #[test]
    fn equals_the_gradient_on_the_host() {
        for (mean, deviation) in [(0.0, 0.05), (0.3, 0.01), (-0.02, 1.0), (0.0, 0.0)] {
            let (target, values) = (Target { mean, deviation }, weights(500, 0.1, 0.04));
            let host = KlGradient::new(&Scope::of(&values).unwrap(), target);
            let expected: Vec<f64> = values.iter().map(|&w| 0.7 * host.at(f64::from(w))).collect();
            close(&gradient(&alignment(0.7, Ramp::Constant, target), &values, 2, 0).unwrap(), &expected, 2e-5);
        }
    }

    #[test]
    fn a_constant_layer_is_moved_as_one() {
        let target = Target { mean: 0.0, deviation: 0.5 };
        let values = vec![0.25; 64];
        let expected = vec![0.25 / (0.25 * 64.0); 64];
        close(&gradient(&alignment(1.0, Ramp::Constant, target), &values, 2, 0).unwrap(), &expected, 1e-6);
    }

    /// The divergence written out in tensors, as the loss of a training would have it.
    #[test]
    fn equals_autodiff() {
        let device = Device::flex().autodiff();
        let (mean, deviation, lambda) = (0.02, 0.08, 3.0);
        let values = weights(300, 0.1, 0.2);
        let w = Tensor::<1>::from_floats(values.as_slice(), &device).require_grad();
        let own_mean = w.clone().mean();
        let variance = (w.clone() - own_mean.clone()).square().mean();
        let shift = own_mean.sub_scalar(mean).square();
        let kl = variance.clone().log().mul_scalar(-0.5)
            + (variance + shift).div_scalar(2.0 * deviation * deviation)
            + (f64::ln(deviation) - 0.5);
        let gradients = kl.mul_scalar(lambda).backward();
        let expected: Vec<f64> = w.grad(&gradients).unwrap().into_data().iter::<f64>().collect();
        let target = Target { mean, deviation };
        close(&gradient(&alignment(lambda, Ramp::Constant, target), &values, 2, 0).unwrap(), &expected, 2e-5);
    }

    #[test]
    fn equals_finite_differences() {
        let (target, values) = (Target { mean: -0.1, deviation: 0.3 }, weights(40, 0.05, 0.2));
        let given = gradient(&alignment(1.0, Ramp::Constant, target), &values, 2, 0).unwrap();
        let kl = |changed: usize, step: f64| {
            let values = values.iter().enumerate();
            let values: Vec<f64> = values.map(|(i, &w)| f64::from(w) + if i == changed { step } else { 0.0 }).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / n;
            crate::scope::kl(Target { mean, deviation: variance.sqrt() }, target)
        };
        let expected: Vec<f64> = (0..40).map(|i| (kl(i, 1e-5) - kl(i, -1e-5)) / 2e-5).collect();
        close(&given, &expected, 1e-4);
    }

    #[test]
    fn warms_up_and_touches_layers_with_a_target_only() {
        let target = Target { mean: 0.0, deviation: 0.1 };
        let values = weights(50, 0.1, 0.2);
        let warming = alignment(2.0, Ramp::WarmUp { steps: 4 }, target);
        assert_eq!(gradient(&warming, &values, 2, 0), None, "from nothing");
        let whole = gradient(&warming, &values, 2, 4).unwrap();
        assert_eq!(whole, gradient(&warming, &values, 2, 400).unwrap());
        let half: Vec<f64> = whole.iter().map(|&value| f64::from(value) / 2.0).collect();
        close(&gradient(&warming, &values, 2, 2).unwrap(), &half, 1e-6);
        assert_eq!(gradient(&warming, &values, 1, 4), None, "a bias has no scope");
        assert_eq!(gradient(&alignment(0.0, Ramp::Constant, target), &values, 2, 4), None);
        let others = ScopeAlignment::new(1.0, Ramp::Constant, [("other".to_owned(), target)]);
        assert_eq!(gradient(&others, &values, 2, 4), None);
        assert_eq!(Ramp::WarmUp { steps: 0 }.share(0), 1.0);
    }
}
