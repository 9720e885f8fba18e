//! How much less often a vault that throttles is looked at: what one agent does not ask, another one is granted.

use std::time::Duration;

use super::next::Pace;

/// A vault is strained that grants fewer requests than this for each one that it throttles. One that is used up well
/// throttles now and then.
const GRANTED_FOR_EACH: u32 = 3;

/// The greatest bound of a wait. The mean of all waits up to it is ten minutes at least, in which ten thousand agents that
/// fetch twenty secrets each spend five sixths of what a vault grants.
const BOUND_MAX: Duration = Duration::from_mins(20);

/// How much strain there is on a vault, as one who fetches each secret feels it.
///
/// Many agents may ask more of a vault than it grants: then some of them would get all that they ask and others nothing.
/// So each that is throttled asks less often, until all of them together ask little more than is granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strain {
    doublings: u32,
    throttled: u32,
    granted: u32,
}

impl Strain {
    /// Notes that the vault throttled a request.
    pub fn throttled(&mut self) {
        self.throttled += 1;
    }

    /// Notes that the vault granted a request.
    pub fn granted(&mut self) {
        self.granted += 1;
    }

    /// The wait from a round to the next one: from the interval up to a bound, which doubles where the vault was strained
    /// since the last round, up to twenty minutes or the full refresh, and halves where it was not.
    pub fn wait(&mut self, pace: &Pace, dice: [f64; 2]) -> Duration {
        let is_felt = self.throttled.saturating_mul(GRANTED_FOR_EACH) > self.granted;
        (self.throttled, self.granted) = (0, 0);
        self.doublings = match is_felt {
            true if self.bound(pace) < bound_max(pace) => self.doublings + 1,
            true => self.doublings,
            false => self.doublings.saturating_sub(1),
        };
        pace.wait(dice[0]) + self.bound(pace).saturating_sub(pace.interval).mul_f64(dice[1])
    }

    fn bound(&self, pace: &Pace) -> Duration {
        let factor = 2_u32.saturating_pow(self.doublings);
        pace.interval.saturating_mul(factor).min(bound_max(pace))
    }
}

fn bound_max(pace: &Pace) -> Duration {
    BOUND_MAX.min(pace.full_refresh).max(pace.interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn pace(minutes: u64) -> Pace {
        Pace { interval: Duration::from_mins(minutes), full_refresh: HOUR.max(Duration::from_mins(minutes)) }
    }

    /// The longest waits, in minutes, after rounds in which so many of twenty requests were throttled.
    fn waits(pace: &Pace, throttled: &[u32]) -> Vec<u64> {
        let mut strain = Strain::default();
        let wait = |throttled: &u32| {
            (0..*throttled).for_each(|_| strain.throttled());
            (*throttled..20).for_each(|_| strain.granted());
            strain.wait(pace, [0.5, 1.0]).as_secs() / 60
        };
        throttled.iter().map(wait).collect()
    }

    #[test]
    fn rounds_that_are_throttled_double_the_bound_and_others_halve_it() {
        let rows: [(&str, &[u32], &[u64]); 6] = [
            ("no strain", &[0; 3], &[2; 3]),
            ("used up well", &[5; 3], &[2; 3]),
            ("once", &[6, 0, 0], &[4, 2, 2]),
            ("for long", &[20; 6], &[4, 8, 16, 20, 20, 20]),
            ("and then no more", &[20, 20, 0, 0, 0], &[4, 8, 4, 2, 2]),
            ("now and then", &[20, 0, 20, 0], &[4, 2, 4, 2]),
        ];
        for (row, throttled, expected) in rows {
            assert_eq!(waits(&pace(2), throttled), expected, "{row}");
        }
    }

    #[test]
    fn however_long_it_lasted_it_is_over_soon() {
        let throttled: Vec<_> = (0..1_000).map(|round| if round < 995 { 20 } else { 0 }).collect();
        assert_eq!(waits(&pace(2), &throttled)[994..], [20, 16, 8, 4, 2, 2]);
    }

    #[test]
    fn nothing_was_asked_and_nothing_was_throttled() {
        let mut strain = Strain::default();
        assert_eq!(strain.wait(&pace(2), [0.5, 1.0]), Duration::from_mins(2));
    }

    #[test]
    fn the_wait_is_any_between_the_interval_and_the_bound() {
        let wait = |dice| {
            let mut strain = Strain { doublings: 2, throttled: 1, granted: 0 };
            strain.wait(&pace(2), [0.5, dice]).as_secs()
        };
        assert_eq!([0.0, 0.5, 1.0].map(wait), [120, 540, 960]);
    }

    #[test]
    fn who_looks_seldom_is_slowed_little_and_never_beyond_the_full_refresh() {
        assert_eq!(waits(&pace(10), &[20; 3]), [20; 3]);
        assert_eq!(waits(&pace(30), &[20; 3]), [30; 3]);
        assert_eq!(waits(&pace(24 * 60), &[20; 3]), [24 * 60; 3]);
        let brisk = Pace { full_refresh: Duration::from_mins(5), ..pace(2) };
        assert_eq!(waits(&brisk, &[20; 3]), [4, 5, 5]);
    }
}
