//! A scene's statistics as they are sent in round 0.

use crate::federation::protocol::BandStatistics;
use crate::preprocess::BandMoments;

impl From<&BandMoments> for BandStatistics {
    /// Σ x = n x̄ and Σ x xᵀ = (n − 1) C + n x̄ x̄ᵀ, exactly symmetric.
    fn from(moments: &BandMoments) -> Self {
        let BandMoments { pixels, min, max, mean, covariance } = moments;
        let (n, bands) = (*pixels as f64, mean.len());
        let mut scatter = vec![0.0; bands * bands];
        for row in 0..bands {
            for col in 0..=row {
                let value = covariance[row * bands + col] * (n - 1.0).max(1.0) + n * mean[row] * mean[col];
                scatter[row * bands + col] = value;
                scatter[col * bands + row] = value;
            }
        }
        Self { count: *pixels, range: [*min, *max], sum: mean.iter().map(|mean| mean * n).collect(), scatter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::protocol::BandSum;

    #[test]
    fn alone_a_scene_gets_its_own_moments_back() {
        let moments =
            BandMoments { pixels: 50, min: -1.0, max: 9.0, mean: vec![1.5, 4.0], covariance: vec![2.0, 0.5, 0.5, 1.0] };
        let mut sum = BandSum::new(2);
        sum.add(&BandStatistics::from(&moments)).unwrap();
        let back = sum.moments();
        assert_eq!((back.pixels, back.min, back.max), (50, -1.0, 9.0));
        for (a, b) in back.mean.iter().chain(&back.covariance).zip(moments.mean.iter().chain(&moments.covariance)) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }
}
