//! How long to wait after what waiting can mend.

/// The first wait.
const FIRST_MS: u64 = 500;
/// No wait is longer, apart from a random part.
const LONGEST_MS: u64 = 30_000;

/// Waits that double up to half a minute, each up to a quarter longer or shorter, so that the clients of a coordinator that was
/// away do not come back all at once. There is no last attempt: a laptop may sleep through the night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    attempts: u32,
    /// State of the random part (xorshift).
    random: u64,
}

impl Patience {
    /// Clients with different seeds wait differently long.
    pub fn new(seed: u64) -> Self {
        Self { attempts: 0, random: seed | 1 }
    }

    /// Failures since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    pub fn succeeded(&mut self) {
        self.attempts = 0;
    }

    /// Milliseconds to wait after one more failure.
    pub fn failed(&mut self) -> u64 {
        let wait = (FIRST_MS << self.attempts.min(16)).min(LONGEST_MS);
        self.attempts = self.attempts.saturating_add(1);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        wait * 3 / 4 + (self.random >> 32) % (wait / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_differ() {
        let waits = |seed| {
            let mut patience = Patience::new(seed);
            (0..12).map(|_| patience.failed()).collect::<Vec<u64>>()
        };
        for (attempt, wait) in waits(3).into_iter().enumerate() {
            let nominal = (500u64 << attempt).min(30_000);
            assert!((nominal * 3 / 4..=nominal * 5 / 4).contains(&wait), "{attempt}: {wait}");
        }
        assert_ne!(waits(3), waits(4));
        let mut patience = Patience::new(3);
        for _ in 0..100 {
            patience.failed();
        }
        assert_eq!(patience.attempts(), 100);
        patience.succeeded();
        assert!(patience.failed() <= 625);
    }
}
