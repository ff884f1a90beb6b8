//! The time that an epoch takes, over all programs that worked on it.

use web_time::Instant;

/// Counts the seconds of an epoch, from what was counted before the run was interrupted.
pub(super) struct EpochClock {
    before: f64,
    started: Instant,
}

impl EpochClock {
    /// Starts to count; the epoch has taken so many seconds already.
    pub(super) fn resume(before: f64) -> Self {
        Self { before, started: Instant::now() }
    }

    /// Seconds that the epoch has taken so far.
    pub(super) fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}
