//! A vault's throttle: how many calls it answers within a window of time.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::access::milliseconds_after;

/// A limit on the calls within one window. Refused calls do not count, as Azure documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Throttle {
    calls: u32,
    window: Duration,
    /// Unix milliseconds at which the current window ends.
    window_ends: i64,
    counted: u32,
}

impl Throttle {
    pub(crate) fn new(calls: u32, window: Duration) -> Throttle {
        Throttle { calls, window, window_ends: 0, counted: 0 }
    }

    /// Counts a call at `now`; false where the window has no room left for it.
    pub(crate) fn admits(&mut self, now: Timestamp) -> bool {
        if now.as_millisecond() >= self.window_ends {
            self.window_ends = milliseconds_after(now, self.window);
            self.counted = 0;
        }
        let admitted = self.counted < self.calls;
        self.counted += u32::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_admits_its_calls_and_the_next_one_starts_anew() {
        let mut throttle = Throttle::new(2, Duration::from_secs(10));
        let at = |second| Timestamp::from_second(second).unwrap();
        let admitted = [100, 101, 102, 109, 110, 111, 112].map(|second| throttle.admits(at(second)));
        assert_eq!(admitted, [true, true, false, false, true, true, false]);
    }
}
