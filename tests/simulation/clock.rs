//! The time of a simulation: that of the runtime's timer, which is paused and jumps to whatever is due next.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyside::clock::Clock;
use tokio::time::Instant;

/// A clock that starts with the simulation, on the first day of 2026. Clones are the same one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerClock(Instant);

impl TimerClock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time of day so long after the start.
    pub(crate) fn date(passed: Duration) -> Timestamp {
        let start = Timestamp::from_second(1_767_225_600).expect("in range");
        start + SignedDuration::try_from(passed).expect("a simulation is short")
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        Self::date(self.uptime())
    }

    fn uptime(&self) -> Duration {
        self.0.elapsed()
    }
}
