//! How long until the next look: the interval and its jitter, nearer to an expiry sooner, after a failure by its back-off.

use std::time::Duration;

/// How far a wait may differ from the interval, as a part of it, so that agents that started together drift apart.
const JITTER: f64 = 0.1;

/// First bound of the back-off.
/// Source: Key Vault throttling guidance, which starts at one second and doubles.
const BACKOFF_START: Duration = Duration::from_secs(1);

/// Last bound of the back-off, so that an agent which looks once a day does not wait a day after one lost packet.
const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// Longest `Retry-After` that is obeyed: a mistaken or hostile answer must not park the agent for hours.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// From how long before an expiry on a secret is looked at sooner: whoever rotates by expiry has mostly done so by then.
const EXPIRY_NEAR: Duration = Duration::from_hours(24);

/// Shortest wait near an expiry. Ten thousand agents that share a secret then spend 1,700 of the 4,000 requests that a
/// vault grants in ten seconds.
const EXPIRY_WAIT_MIN: Duration = Duration::from_mins(1);

/// How long after an expiry its successor is still looked for sooner. After that it is not coming soon.
const EXPIRY_LATE: Duration = Duration::from_hours(1);

/// How many times an agent looks, at least, in what is left until an expiry.
const EXPIRY_LOOKS: u32 = 8;

/// How often to look while all goes well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time between two looks at all secrets.
    pub interval: Duration,
    /// The longest time between two fetches of one secret, whatever lists say.
    pub full_refresh: Duration,
}

impl Pace {
    /// The wait after the first look: any part of the interval.
    #[must_use]
    pub fn phase(&self, dice: f64) -> Duration {
        self.interval.mul_f64(dice)
    }

    /// The wait after every other look: the interval, give or take ten per cent.
    #[must_use]
    pub fn wait(&self, dice: f64) -> Duration {
        self.interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * dice)
    }

    /// The longest wait for the next fetch of one secret after one that brought it. The first is any part of
    /// `full_refresh`, so that fetches spread over the hour; later ones are up to a fifth sooner than it.
    #[must_use]
    pub fn wait_full(&self, is_first: bool, dice: f64) -> Duration {
        self.full_refresh.mul_f64(if is_first { dice } else { 1.0 - 2.0 * JITTER * dice })
    }

    /// The wait for a secret that expires in `left` seconds, or expired so long ago where it is negative. None where the
    /// interval is soon enough.
    #[must_use]
    pub fn wait_near_expiry(&self, left: i64) -> Option<Duration> {
        let ahead = Duration::from_secs(left.unsigned_abs());
        let wait = match left {
            0.. if ahead <= EXPIRY_NEAR => (ahead / EXPIRY_LOOKS).max(EXPIRY_WAIT_MIN),
            ..0 if ahead <= EXPIRY_LATE => EXPIRY_WAIT_MIN,
            _ => return None,
        };
        (wait < self.interval).then_some(wait)
    }

    /// The wait after the `attempt`-th failure in a row, counted from 0.
    #[must_use]
    pub fn wait_failed(&self, attempt: u32, retry_after: Option<Duration>, dice: f64) -> Duration {
        respite(retry_after) + backoff(attempt, self.interval, dice)
    }
}

/// A wait drawn from zero up to a bound that doubles with every attempt until it reaches `limit` or five minutes.
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, where full jitter causes the fewest calls.
#[must_use]
pub fn backoff(attempt: u32, limit: Duration, dice: f64) -> Duration {
    let limit = limit.min(BACKOFF_MAX);
    let bound = 2_u32.checked_pow(attempt).map_or(limit, |factor| BACKOFF_START.saturating_mul(factor));
    bound.min(limit).mul_f64(dice)
}

/// How much of what a vault asks to wait is granted to it.
#[must_use]
pub fn respite(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { interval: Duration::from_mins(2), full_refresh: Duration::from_hours(1) };
    const DAILY: Pace = Pace { interval: Duration::from_hours(24), full_refresh: Duration::from_hours(24) };

    #[test]
    fn the_first_wait_is_a_random_part_of_the_interval_and_later_ones_are_within_ten_per_cent() {
        let seconds = |wait: fn(&Pace, f64) -> Duration| [0.0, 0.25, 0.5, 1.0].map(|dice| wait(&PACE, dice).as_secs());
        assert_eq!(seconds(Pace::phase), [0, 30, 60, 120]);
        assert_eq!(seconds(Pace::wait), [108, 114, 120, 132]);
    }

    #[test]
    fn every_secret_is_fetched_within_the_full_refresh_and_not_with_all_others() {
        let seconds = |is_first| [0.0, 0.5, 1.0].map(|dice| PACE.wait_full(is_first, dice).as_secs());
        assert_eq!(seconds(true), [0, 1_800, 3_600]);
        assert_eq!(seconds(false), [3_600, 3_240, 2_880]);
    }

    #[test]
    fn failures_double_the_bound_up_to_the_interval_or_five_minutes() {
        let bounds =
            |pace: Pace| [0, 1, 2, 3, 6, 7, 8, 9, 31, 32, 99].map(|n| pace.wait_failed(n, None, 1.0).as_secs());
        assert_eq!(bounds(PACE), [1, 2, 4, 8, 64, 120, 120, 120, 120, 120, 120]);
        assert_eq!(bounds(DAILY), [1, 2, 4, 8, 64, 128, 256, 300, 300, 300, 300]);
        assert_eq!(PACE.wait_failed(9, None, 0.0), Duration::ZERO, "full jitter");
        let quick = Pace { interval: Duration::from_millis(200), ..PACE };
        assert_eq!(quick.wait_failed(0, None, 1.0), Duration::from_millis(200));
    }

    #[test]
    fn the_vaults_own_wish_is_obeyed_up_to_its_cap() {
        let wish = |seconds| PACE.wait_failed(0, Some(Duration::from_secs(seconds)), 0.0).as_secs();
        assert_eq!([0, 20, 300, 86_400].map(wish), [0, 20, 300, 300]);
    }

    #[test]
    fn a_secret_near_its_expiry_is_looked_at_sooner() {
        const HOUR: i64 = 3_600;
        let rows = [
            ("far away", 25 * HOUR, None),
            ("within a day", 24 * HOUR, Some(3 * 3_600)),
            ("within hours", 8 * HOUR, Some(3_600)),
            ("within minutes", 600, Some(75)),
            ("at once", 0, Some(60)),
            ("just over", -1, Some(60)),
            ("over for an hour", -HOUR, Some(60)),
            ("long over", -HOUR - 1, None),
        ];
        for (row, left, expected) in rows {
            assert_eq!(DAILY.wait_near_expiry(left).map(|wait| wait.as_secs()), expected, "{row}");
        }
        assert_eq!(PACE.wait_near_expiry(8 * HOUR), None, "the interval is sooner");
        assert_eq!(PACE.wait_near_expiry(i64::MIN), None);
    }
}
