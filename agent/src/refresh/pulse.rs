//! Whether the loop lives: it says ahead when it will look next, and when it will be heard of at the latest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How long the loop may take to start. It speaks before its first look, so only a machine that is too busy to run it makes
/// it late; it is given as long as one fetch.
const FIRST_BEAT: Duration = Duration::from_mins(2);

/// What the loop said last. Clones share it.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Beat>>);

#[derive(Debug)]
struct Beat {
    heard_by: Instant,
    next_look: Option<Timestamp>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Beat { heard_by: Instant::now() + FIRST_BEAT, next_look: None })))
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

    pub(crate) fn say(&self, next_look: Timestamp, heard_within: Duration) {
        *self.beat() = Beat { heard_by: Instant::now() + heard_within, next_look: Some(next_look) };
    }

    /// Held only to read or write two times.
    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
