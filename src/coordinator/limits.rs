//! How often somebody may ask.

use std::time::Duration;

/// A bucket of requests that fills steadily and is emptied by asking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    left: f64,
    at: Duration,
}

impl Bucket {
    /// A full one, with ten seconds' worth of requests.
    pub(super) fn new(rate: f64, now: Duration) -> Self {
        Self { left: Self::size(rate), at: now }
    }

    fn size(rate: f64) -> f64 {
        (rate * 10.0).max(1.0)
    }

    /// Takes one request, or says in how many milliseconds there will be one. `rate` a second.
    pub(super) fn take(&mut self, rate: f64, now: Duration) -> Result<(), u64> {
        self.left = (self.left + now.saturating_sub(self.at).as_secs_f64() * rate).min(Self::size(rate));
        self.at = now;
        if self.left < 1.0 {
            return Err(((1.0 - self.left) / rate * 1000.0).ceil() as u64);
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(2.0, Duration::ZERO);
        assert_eq!((0..30).filter(|_| bucket.take(2.0, Duration::ZERO).is_ok()).count(), 20);
        assert_eq!(bucket.take(2.0, Duration::ZERO), Err(500));
        assert_eq!(bucket.take(2.0, Duration::from_millis(500)), Ok(()));
        let passed = (1..=1000u64).filter(|i| bucket.take(2.0, Duration::from_millis(500 + i * 10)).is_ok()).count();
        assert!((19..=21).contains(&passed), "{passed}");
    }
}
