//! How long a phase has taken and will take.

use super::super::clock::now_s;

/// Measures one phase. Paused time counts as elapsed but not towards the estimate.
pub(super) struct Pace {
    started_s: f64,
    last_s: f64,
    /// Seconds a step, smoothed, so that a slow first step (shader compilation) is soon forgotten.
    step_s: Option<f64>,
    last_done: usize,
}

impl Pace {
    /// A phase of which `done` steps are behind it already (a resumed job).
    pub(super) fn start(done: usize) -> Self {
        let now = now_s();
        Self { started_s: now, last_s: now, step_s: None, last_done: done }
    }

    /// Time spent waiting (paused) does not belong to a step.
    pub(super) fn skip_wait(&mut self, waited_s: f64) {
        self.last_s += waited_s;
    }

    /// `done` of `total` steps are behind us now: (elapsed, remaining) in seconds.
    pub(super) fn at(&mut self, done: usize, total: usize) -> (f64, Option<f64>) {
        let now = now_s();
        if done > self.last_done {
            let step = (now - self.last_s).max(0.0) / (done - self.last_done) as f64;
            self.step_s = Some(self.step_s.map_or(step, |old| 0.7 * old + 0.3 * step));
            self.last_s = now;
            self.last_done = done;
        }
        (now - self.started_s, self.step_s.map(|step| step * total.saturating_sub(done) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_before_the_first_step() {
        let mut pace = Pace::start(0);
        assert_eq!(pace.at(0, 10).1, None);
        let (elapsed, remaining) = pace.at(1, 10);
        assert!(elapsed >= 0.0 && remaining.is_some_and(|seconds| seconds >= 0.0));
        assert_eq!(pace.at(10, 10).1, Some(0.0));
    }
}
