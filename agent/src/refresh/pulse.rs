//! Whether the loop lives: it says ahead when it will look next, and when it will be heard of at the latest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How late the loop may be. It never waits for a vault, so only a machine that is too busy to run it makes it late.
const LATE_MAX: Duration = Duration::from_mins(2);

/// What the loop said last. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Beat>>);

#[derive(Debug)]
struct Beat {
    heard_by: Instant,
    next_look: Option<Timestamp>,
    poll_interval: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Beat {
            heard_by: Instant::now() + LATE_MAX,
            next_look: None,
            poll_interval: Duration::ZERO,
        })))
    }
}

impl Pulse {
    /// Whether the loop is within the time that it gave itself.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Instant::now() <= self.beat().heard_by
    }

    /// When the loop looks at all secrets next, once it has begun to.
    #[must_use]
    pub fn next_look(&self) -> Option<Timestamp> {
        self.beat().next_look
    }

    /// How often the loop looks, as it was told last; zero before it has begun to.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        self.beat().poll_interval
    }

    /// Says that the loop sleeps for so long, and how often it looks. A look that is under way leaves the next one as it was
    /// said before.
    pub(super) fn say(&self, next_look: Option<Timestamp>, sleep: Duration, poll_interval: Duration) {
        let mut beat = self.beat();
        beat.poll_interval = poll_interval;
        beat.heard_by = Instant::now() + sleep + LATE_MAX;
        beat.next_look = next_look.or(beat.next_look);
    }

    /// Has the loop be silent for too long.
    #[cfg(test)]
    pub(crate) fn stop(&self) {
        self.beat().heard_by = Instant::now();
    }

    /// Held only to read or write two times.
    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
