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
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// How long it is from `then` to `now`; nothing when the clock was set back meanwhile.
#[must_use]
pub fn between(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
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
