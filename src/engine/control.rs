//! How a running job hears the user: checked between steps, never in the middle of one.

use std::cell::Cell;

/// Shared by the session, which sets it, and the one running job, which obeys.
#[derive(Debug, Default)]
pub struct Control {
    running: Cell<bool>,
    paused: Cell<bool>,
    cancelled: Cell<bool>,
    finish_early: Cell<bool>,
}

impl Control {
    /// Claims the engine for a job; `None` while another one runs. Dropping the guard releases it.
    pub fn start(&self) -> Option<Running<'_>> {
        if self.running.replace(true) {
            return None;
        }
        self.paused.set(false);
        self.cancelled.set(false);
        self.finish_early.set(false);
        Some(Running(self))
    }

    pub fn is_running(&self) -> bool {
        self.running.get()
    }

    pub fn pause(&self, paused: bool) {
        self.paused.set(paused);
    }

    pub fn is_paused(&self) -> bool {
        self.paused.get()
    }

    pub fn cancel(&self) {
        self.cancelled.set(true);
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    pub fn finish_early(&self) {
        self.finish_early.set(true);
    }

    /// True once after [`Control::finish_early`].
    pub fn take_finish_early(&self) -> bool {
        self.finish_early.replace(false)
    }
}

/// A job holds this while it runs.
pub struct Running<'a>(&'a Control);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_at_a_time() {
        let control = Control::default();
        let first = control.start();
        assert!(first.is_some() && control.start().is_none());
        drop(first);
        assert!(!control.is_running() && control.start().is_some());
    }

    #[test]
    fn a_new_job_starts_without_old_wishes() {
        let control = Control::default();
        control.cancel();
        control.pause(true);
        control.finish_early();
        let _job = control.start();
        assert!(!control.is_cancelled() && !control.is_paused() && !control.take_finish_early());
    }
}
