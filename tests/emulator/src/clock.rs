//! The emulator's time: the machine's, moved forward by whoever tests an expiry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The time that every part of one emulator agrees on.
///
/// It runs with the machine's clock, plus an offset that only grows, so that a token can expire and a deletion
/// can complete without anyone waiting. Clones share the offset.
#[derive(Clone, Default)]
pub struct Clock {
    offset_milliseconds: Arc<AtomicI64>,
}

impl Clock {
    /// Starts in step with the machine's clock.
    #[must_use]
    pub fn new() -> Clock {
        Clock::default()
    }

    /// Starts as far ahead of the machine's clock as another one was.
    pub(crate) fn ahead_by(offset_milliseconds: i64) -> Clock {
        Clock { offset_milliseconds: Arc::new(AtomicI64::new(offset_milliseconds)) }
    }

    /// How far it is ahead of the machine's clock.
    pub(crate) fn offset_milliseconds(&self) -> i64 {
        self.offset_milliseconds.load(Ordering::Relaxed)
    }

    /// The current time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    pub fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.offset_milliseconds());
        Timestamp::now().saturating_add(offset).unwrap_or(Timestamp::MAX)
    }

    /// Moves the time forward for every clone.
    pub fn advance(&self, by: Duration) {
        let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let _previous = self
            .offset_milliseconds
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |offset| Some(offset.saturating_add(milliseconds)));
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_one_clone_moves_all() {
        let clock = Clock::new();
        let clone = clock.clone();
        let before = clone.now();
        clock.advance(Duration::from_hours(1));
        assert!(clone.now().duration_since(before) >= SignedDuration::from_secs(3600));
    }

    #[test]
    fn an_absurd_advance_stops_at_the_end_of_time() {
        let clock = Clock::new();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
