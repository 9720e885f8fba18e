//! What time it is, as an argument: only [`SystemClock`] reads the wall clock.

use std::time::Duration;

use jiff::Timestamp;

/// Tells the time of day. Waiting is the runtime's business and follows its monotonic timer.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// How long it is from `then` to `now`; nothing when the clock was set back meanwhile.
#[must_use]
pub fn between(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// A wall clock that follows the runtime's timer, so that under paused time one sleep moves both.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerClock(tokio::time::Instant);

#[cfg(test)]
impl TimerClock {
    /// A clock that shows 2026-01-01T00:00:00Z now.
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

#[cfg(test)]
impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        const NEW_YEAR_2026: i64 = 1_767_225_600;
        let elapsed = jiff::SignedDuration::try_from(self.0.elapsed()).expect("a test is short");
        Timestamp::from_second(NEW_YEAR_2026).expect("in range") + elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_between_two_moments_is_negative() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(between(at(10), at(25)), Duration::from_secs(15));
        assert_eq!(between(at(25), at(10)), Duration::ZERO);
    }
}
