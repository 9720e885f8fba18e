//! Whether the loop lives: it says ahead when it will be heard of next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long the loop may take to start.
const FIRST_BEAT: Duration = Duration::from_mins(2);

/// The time until which the loop will have been heard of. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + FIRST_BEAT)))
    }
}

impl Pulse {
    /// Whether the loop is within the time that it gave itself.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Instant::now() <= *self.expected()
    }

    pub(super) fn expect_within(&self, time: Duration) {
        *self.expected() = Instant::now() + time;
    }

    /// Held only to read or write one instant.
    fn expected(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
