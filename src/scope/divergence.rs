//! How far a layer's scope is from its target, and which way back.

use super::{Scope, Target};

/// The smallest standard deviation that enters the divergence; smaller ones count as this.
///
/// Without it a constant tensor would be infinitely far from any target, and no step would be small enough. Weights are f32
/// numbers of magnitude 10⁻² to 1: a layer whose weights differ by less than a millionth is constant for all purposes.
pub const DEVIATION_FLOOR: f64 = 1e-6;

/// KL(N(μ̂, σ̂²) ‖ N(μ, σ²)) = ln(σ/σ̂) + (σ̂² + (μ̂ − μ)²) / (2σ²) − ½ in nats; both deviations at least
/// [`DEVIATION_FLOOR`].
pub fn kl(current: Target, target: Target) -> f64 {
    let sigma_hat = current.deviation.max(DEVIATION_FLOOR);
    let sigma = target.deviation.max(DEVIATION_FLOOR);
    let shift = (current.mean - target.mean) / sigma;
    let ratio = sigma_hat / sigma;
    // Rounding may leave −10⁻¹⁷ where both are the same.
    (0.5 * (ratio * ratio + shift * shift - 1.0) - ratio.ln()).max(0.0)
}

/// The gradient of [`kl`] with respect to each weight of the layer:
/// ∂KL/∂wᵢ = (1/n) [ (μ̂ − μ)/σ² + (wᵢ − μ̂)(1/σ² − 1/σ̂²) ], affine in wᵢ.
///
/// Where the floor holds σ̂, the divergence does not depend on it, and only the first term is left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlGradient {
    /// μ̂
    pub mean: f64,
    /// Gradient of a weight that equals μ̂.
    pub offset: f64,
    /// Added for every unit above μ̂.
    pub slope: f64,
}

impl KlGradient {
    /// `current` is the scope of the weights at which the gradient is taken.
    pub fn new(current: &Scope, target: Target) -> Self {
        let n = current.count.max(1) as f64;
        let variance = target.deviation.max(DEVIATION_FLOOR).powi(2);
        let slope = if current.deviation <= DEVIATION_FLOOR {
            0.0
        } else {
            (1.0 / variance - 1.0 / (current.deviation * current.deviation)) / n
        };
        Self { mean: current.mean, offset: (current.mean - target.mean) / (variance * n), slope }
    }

    /// The gradient for one weight.
    pub fn at(&self, weight: f64) -> f64 {
        self.offset + self.slope * (weight - self.mean)
    }

    /// Adds `strength ×` the gradient of each weight; both slices in the same order.
    pub fn add_to(&self, weights: &[f32], strength: f64, gradient: &mut [f32]) {
        for (weight, out) in weights.iter().zip(gradient) {
            *out += (strength * self.at(f64::from(*weight))) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ScopeStatistics;
    use super::*;

    /// In f64, so that differences of nearly equal divergences mean something.
    fn kl_of(weights: &[f64], target: Target) -> f64 {
        let n = weights.len() as f64;
        let mean = weights.iter().sum::<f64>() / n;
        let variance = weights.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / n;
        kl(Target { mean, deviation: variance.sqrt() }, target)
    }

    fn compare(weights: &[f32], target: Target, step: f64) -> Result<(), String> {
        let scope = Scope::of(weights).unwrap();
        let gradient = KlGradient::new(&scope, target);
        let mut values: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
        let scale = values.iter().map(|&w| gradient.at(w).abs()).fold(1e-6, f64::max);
        for i in 0..values.len() {
            let value = values[i];
            values[i] = value + step;
            let above = kl_of(&values, target);
            values[i] = value - step;
            let below = kl_of(&values, target);
            values[i] = value;
            let (given, expected) = (gradient.at(value), (above - below) / (2.0 * step));
            if (given - expected).abs() > 1e-4 * scale {
                return Err(format!("weight {i}: {given} and by differences {expected}"));
            }
        }
        Ok(())
    }

    #[test]
    fn known_values() {
        let unit = Target { mean: 0.0, deviation: 1.0 };
        assert_eq!(kl(unit, unit), 0.0);
        assert!((kl(Target { mean: 1.0, ..unit }, unit) - 0.5).abs() < 1e-15);
        // ln(1/2) + 4/2 − 1/2
        assert!((kl(Target { mean: 0.0, deviation: 2.0 }, unit) - (1.5 - 2f64.ln())).abs() < 1e-15);
        // ln(2) + (1/4)/2 − 1/2: not symmetric.
        assert!((kl(Target { mean: 0.0, deviation: 0.5 }, unit) - (2f64.ln() - 0.375)).abs() < 1e-15);
    }

    #[test]
    fn constant_layers_and_targets_stay_finite() {
        let target = Target { mean: 0.1, deviation: 0.02 };
        let constant = Scope::of(&[0.3; 8]).unwrap();
        assert!(kl(constant.target(), target).is_finite());
        let gradient = KlGradient::new(&constant, target);
        assert_eq!(gradient.slope, 0.0);
        assert!((gradient.at(0.3) - (f64::from(0.3f32) - 0.1) / (0.02 * 0.02 * 8.0)).abs() < 1e-12);
        assert!(kl(target, Target { mean: 0.0, deviation: 0.0 }).is_finite());
        assert!(KlGradient::new(&constant, Target { mean: 0.0, deviation: 0.0 }).at(0.3).is_finite());
    }

    #[test]
    fn below_the_floor_the_gradient_is_that_of_the_value() {
        // Steps of 10⁻⁹ keep the deviation below the floor.
        let weights = [0.25f32, 0.25 + 3e-8, 0.25 - 3e-8, 0.25];
        compare(&weights, Target { mean: 0.2, deviation: 0.1 }, 1e-9).unwrap();
    }

    #[test]
    fn steps_against_the_gradient_reach_the_target() {
        let mut weights: Vec<f32> = (0..256).map(|i| (i as f32 * 0.37).sin() * 0.2 + 0.1).collect();
        let target = Target { mean: 0.0, deviation: 0.05 };
        let mut before = f64::INFINITY;
        for _ in 0..200 {
            let scope = Scope::of(&weights).unwrap();
            let now = kl(scope.target(), target);
            assert!(now <= before + 1e-9, "{now} after {before}");
            before = now;
            let mut gradient = vec![0.0; weights.len()];
            KlGradient::new(&scope, target).add_to(&weights, 0.1, &mut gradient);
            weights.iter_mut().zip(&gradient).for_each(|(weight, gradient)| *weight -= gradient);
        }
        assert!(before < 1e-3, "{before}");
    }

    proptest! {
        #[test]
        fn as_by_finite_differences(
            weights in prop::collection::vec(-1f32..1.0, 2..24), mean in -0.5f64..0.5, deviation in 0.05f64..2.0,
        ) {
            let mut statistics = ScopeStatistics::default();
            statistics.add(&weights);
            prop_assume!(statistics.scope().unwrap().deviation > 0.02);
            let compared = compare(&weights, Target { mean, deviation }, 1e-6);
            prop_assert!(compared.is_ok(), "{:?}", compared);
        }

        #[test]
        fn never_negative(a in -2f64..2.0, s in 0f64..2.0, b in -2f64..2.0, t in 0f64..2.0) {
            let (current, target) = (Target { mean: a, deviation: s }, Target { mean: b, deviation: t });
            prop_assert!(kl(current, target) >= 0.0 && kl(current, target).is_finite());
            prop_assert!(kl(current, current) < 1e-15);
        }
    }
}
