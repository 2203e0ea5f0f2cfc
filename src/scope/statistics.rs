//! The scope of a weight tensor, in one pass.

use serde::{Deserialize, Serialize};

use super::Target;

/// The first four moments of a weight tensor, gathered value by value.
///
/// One pass, without the cancellation of raw sums of powers (Pébay 2008, SAND2008-6212, equations 2.1 and 3.1). How the values
/// were cut into pieces does not matter: `add(a); add(b)` is `add(ab)` bit for bit. Parts gathered elsewhere are
/// [merged](Self::merge); that is exact up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScopeStatistics {
    count: u64,
    mean: f64,
    /// Sums of the second to fourth powers of what differs from the mean.
    powers: [f64; 3],
}

/// A layer's weight scope, with two more moments that say how Gaussian it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// μ̂ of the weights
    pub mean: f64,
    /// σ̂ of the weights (divided by their number, not one less)
    pub deviation: f64,
    /// Number of weights
    pub count: u64,
    /// Third standardised moment; 0 for a Gaussian, and where all weights are alike
    pub skewness: f64,
    /// Fourth standardised moment less 3; 0 for a Gaussian, and where all weights are alike
    pub excess_kurtosis: f64,
}

impl ScopeStatistics {
    /// Adds weights, in the order in which they are stored.
    pub fn add(&mut self, weights: &[f32]) {
        for &weight in weights {
            self.add_value(f64::from(weight));
        }
    }

    fn add_value(&mut self, value: f64) {
        let before = self.count as f64;
        self.count += 1;
        let n = self.count as f64;
        let delta = value - self.mean;
        let step = delta / n;
        let square = step * step;
        let term = delta * step * before;
        let [m2, m3, m4] = self.powers;
        self.mean += step;
        self.powers = [
            m2 + term,
            m3 + term * step * (n - 2.0) - 3.0 * step * m2,
            m4 + term * square * (n * n - 3.0 * n + 3.0) + 6.0 * square * m2 - 4.0 * step * m3,
        ];
    }

    /// Adds what another pass has gathered.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let n = a + b;
        let delta = other.mean - self.mean;
        let ([a2, a3, a4], [b2, b3, b4]) = (self.powers, other.powers);
        let step = delta / n;
        self.mean += step * b;
        self.powers = [
            a2 + b2 + delta * step * a * b,
            a3 + b3 + delta * step * step * a * b * (a - b) + 3.0 * step * (a * b2 - b * a2),
            a4 + b4
                + delta * step * step * step * a * b * (a * a - a * b + b * b)
                + 6.0 * step * step * (a * a * b2 + b * b * a2)
                + 4.0 * step * (a * b3 - b * a3),
        ];
        self.count += other.count;
    }

    /// Number of weights so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The scope; `None` without weights, or when one of them is not finite.
    pub fn scope(&self) -> Option<Scope> {
        let n = self.count as f64;
        let [m2, m3, m4] = self.powers;
        if self.count == 0 || !self.mean.is_finite() || !m2.is_finite() {
            return None;
        }
        let variance = (m2 / n).max(0.0);
        let deviation = variance.sqrt();
        let alike = variance == 0.0;
        let skewness = if alike { 0.0 } else { m3 / n / (variance * deviation) };
        let excess_kurtosis = if alike { 0.0 } else { m4 / n / (variance * variance) - 3.0 };
        // The powers of numbers near the limits of f32 stay finite in f64, those of numbers near its smallest may not.
        let told = |moment: f64| if moment.is_finite() { moment } else { 0.0 };
        Some(Scope {
            mean: self.mean,
            deviation,
            count: self.count,
            skewness: told(skewness),
            excess_kurtosis: told(excess_kurtosis),
        })
    }
}

impl Scope {
    /// Of one weight tensor; `None` where it is empty or not finite.
    pub fn of(weights: &[f32]) -> Option<Self> {
        let mut statistics = ScopeStatistics::default();
        statistics.add(weights);
        statistics.scope()
    }

    /// This scope as a target for others.
    pub fn target(&self) -> Target {
        Target { mean: self.mean, deviation: self.deviation }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In two passes, as textbooks define them.
    fn plainly(weights: &[f32]) -> [f64; 4] {
        let n = weights.len() as f64;
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / n;
        let power = |k| weights.iter().map(|&w| (f64::from(w) - mean).powi(k)).sum::<f64>() / n;
        let variance = power(2);
        if variance == 0.0 {
            return [mean, 0.0, 0.0, 0.0];
        }
        [mean, variance.sqrt(), power(3) / variance.powf(1.5), power(4) / variance.powi(2) - 3.0]
    }

    fn close(scope: Scope, expected: [f64; 4]) -> bool {
        let given = [scope.mean, scope.deviation, scope.skewness, scope.excess_kurtosis];
        given.iter().zip(expected).all(|(given, expected)| (given - expected).abs() <= 1e-9 * (1.0 + expected.abs()))
    }

    #[test]
    fn a_small_tensor() {
        let scope = Scope::of(&[1.0, 2.0, 3.0, 10.0]).unwrap();
        // By hand: deviations −3, −2, −1, 6 from the mean 4.
        let expected = [4.0, 12.5f64.sqrt(), 45.0 / 12.5f64.powf(1.5), 348.5 / 12.5f64.powi(2) - 3.0];
        assert!(close(scope, expected), "{scope:?}");
        assert_eq!(scope.count, 4);
    }

    #[test]
    fn a_large_mean_does_not_drown_a_small_deviation() {
        let weights: Vec<f32> = (0..10_000).map(|i| 4096.0 + (i % 2) as f32 / 1024.0).collect();
        let scope = Scope::of(&weights).unwrap();
        assert!((scope.deviation * 2048.0 - 1.0).abs() < 1e-9, "{scope:?}");
        assert!((scope.excess_kurtosis + 2.0).abs() < 1e-6, "{scope:?}");
    }

    #[test]
    fn degenerate_tensors() {
        assert_eq!(Scope::of(&[]), None);
        assert_eq!(Scope::of(&[1.0, f32::NAN]), None);
        assert_eq!(Scope::of(&[f32::INFINITY, 1.0]), None);
        let alike = Scope::of(&[0.25; 7]).unwrap();
        assert_eq!(alike, Scope { mean: 0.25, deviation: 0.0, count: 7, skewness: 0.0, excess_kurtosis: 0.0 });
        let extreme = Scope::of(&[f32::MAX, f32::MIN, f32::MAX, f32::MIN]).unwrap();
        assert!((extreme.deviation / f64::from(f32::MAX) - 1.0).abs() < 1e-12 && extreme.skewness.is_finite());
        let tiny = f32::from_bits(1);
        let small = Scope::of(&[tiny, -tiny]).unwrap();
        assert!(small.deviation > 0.0 && small.excess_kurtosis.is_finite());
    }

    proptest! {
        #[test]
        fn as_in_two_passes(weights in prop::collection::vec(-3f32..3.0, 1..200)) {
            let scope = Scope::of(&weights).unwrap();
            let expected = plainly(&weights);
            prop_assume!(expected[1] == 0.0 || expected[1] > 1e-3);
            prop_assert!(close(scope, expected), "{:?} {:?}", scope, expected);
        }

        #[test]
        fn pieces_do_not_matter_and_parts_merge(weights in prop::collection::vec(-3f32..3.0, 2..200), cut in 0usize..200) {
            let (left, right) = weights.split_at(cut.min(weights.len()));
            let mut pieces = ScopeStatistics::default();
            pieces.add(left);
            pieces.add(right);
            prop_assert_eq!(pieces.scope(), Scope::of(&weights));
            let (mut a, mut b) = (ScopeStatistics::default(), ScopeStatistics::default());
            a.add(left);
            b.add(right);
            a.merge(&b);
            let expected = plainly(&weights);
            prop_assume!(expected[1] > 1e-3);
            prop_assert!(close(a.scope().unwrap(), expected), "{:?} {:?}", a.scope(), expected);
        }
    }
}
