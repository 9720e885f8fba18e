//! What time it is, as an argument: only [`SystemClock`] reads the machine's clocks.

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Tells the time of day and how much time has passed. Waiting is the runtime's business and follows its monotonic timer.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, which people and other machines set: it may jump.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment, in which the machine slept included. It never jumps, so durations are measured
    /// by it.
    fn uptime(&self) -> Duration;

    /// Both at once.
    fn moment(&self) -> Moment {
        Moment { wall: self.now(), uptime: self.uptime() }
    }
}

/// One moment, as people date it and as durations are measured from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// [`Clock::uptime`].
    pub uptime: Duration,
}

impl Moment {
    /// How long ago `earlier` was.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.uptime.saturating_sub(earlier.uptime)
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// `CLOCK_BOOTTIME`, which goes on while the machine is suspended (`clock_gettime(2)`); the runtime's own does not.
    fn uptime(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
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

    #[test]
    fn what_passed_is_measured_whatever_the_time_of_day_was_set_to() {
        let at = |wall, uptime| Moment {
            wall: Timestamp::from_second(wall).expect("in range"),
            uptime: Duration::from_secs(uptime),
        };
        assert_eq!(at(0, 25).since(at(86_400, 10)), Duration::from_secs(15));
        assert_eq!(at(0, 10).since(at(0, 25)), Duration::ZERO);
    }

    #[test]
    fn the_machine_has_been_up_for_a_while() {
        let first = SystemClock.uptime();
        assert!(first > Duration::ZERO && SystemClock.uptime() >= first);
    }
}
