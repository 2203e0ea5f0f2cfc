//! The learning rate over a run: linear warm-up, then half a cosine.

use std::f64::consts::PI;

/// Share of the peak rate that the cosine ends on, so that the last epochs still move.
const FLOOR: f64 = 0.01;

/// Linear warm-up to the peak over the first epochs, then half a cosine down to one hundredth of it at the last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    peak: f64,
    warmup: usize,
    epochs: usize,
}

impl Schedule {
    /// `warmup` epochs of `epochs` in all; a warm-up longer than the run is cut to it.
    pub fn new(peak: f64, warmup: usize, epochs: usize) -> Self {
        Self { peak, warmup: warmup.min(epochs), epochs }
    }

    /// The learning rate of 0-based epoch `epoch`; epochs past the end keep the last one's.
    pub fn rate(&self, epoch: usize) -> f64 {
        if epoch < self.warmup {
            return self.peak * (epoch + 1) as f64 / self.warmup as f64;
        }
        let falling = (self.epochs - self.warmup).max(1) as f64;
        let done = ((epoch - self.warmup + 1) as f64 / falling).min(1.0);
        let cosine = 0.5 * (1.0 + (PI * done).cos());
        self.peak * cosine.max(FLOOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_linearly_then_falls_to_the_floor() {
        let schedule = Schedule::new(2e-3, 10, 100);
        assert!((schedule.rate(0) - 2e-4).abs() < 1e-12);
        assert!((schedule.rate(4) - 1e-3).abs() < 1e-12);
        assert!((schedule.rate(9) - 2e-3).abs() < 1e-12);
        // Half-way down the cosine.
        assert!((schedule.rate(54) - 1e-3).abs() < 1e-12);
        assert!((schedule.rate(99) - 2e-5).abs() < 1e-12);
        assert_eq!(schedule.rate(99), schedule.rate(500));
        for epoch in 10..99 {
            assert!(schedule.rate(epoch + 1) <= schedule.rate(epoch));
        }
    }

    #[test]
    fn degenerate_runs_stay_positive_and_finite() {
        for (warmup, epochs) in [(0, 1), (1, 1), (5, 3), (0, 0)] {
            let schedule = Schedule::new(1e-3, warmup, epochs);
            for epoch in 0..10 {
                let rate = schedule.rate(epoch);
                assert!(rate > 0.0 && rate <= 1e-3, "{warmup} of {epochs}, epoch {epoch}: {rate}");
            }
        }
    }
}
