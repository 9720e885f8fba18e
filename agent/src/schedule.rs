//! When to look again: pure rules over durations, with the dice as an argument.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// How far a wait may differ from the interval, as a part of it, so that agents that started together drift apart.
const JITTER: f64 = 0.1;

/// First wait after a failed look, before it is drawn at random.
/// Source: Key Vault throttling guidance, which starts at one second and doubles.
const BACKOFF_START: Duration = Duration::from_secs(1);

/// Longest `Retry-After` that is obeyed: a mistaken or hostile answer must not park the agent for hours.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// How a look went, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Every secret was answered for good: with a value, or with a refusal that waiting does not mend.
    Answered,
    /// At least one secret may succeed when tried again.
    Failed {
        /// The longest wait that the vault asked for.
        retry_after: Option<Duration>,
    },
}

impl Look {
    /// How a look at both went.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed { retry_after: left }, Self::Failed { retry_after: right }) => {
                Self::Failed { retry_after: left.max(right) }
            }
            (failed @ Self::Failed { .. }, Self::Answered) | (Self::Answered, failed) => failed,
        }
    }
}

/// Says how long to wait after each look.
#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    looked: bool,
    backoff: ExponentialBackoff,
}

impl Schedule {
    /// Looks every `interval` while all goes well.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, looked: false, backoff: backoff(interval) }
    }

    /// The wait after a look. `dice` is drawn evenly from 0 up to 1.
    ///
    /// The wait after the first good look is any part of the interval (random phase), later ones differ from it by ten
    /// per cent. After a failed look it is drawn from zero up to a bound that doubles (full jitter) until it reaches the
    /// interval; the vault's own wish comes first, up to five minutes.
    pub fn wait(&mut self, look: Look, dice: f64) -> Duration {
        match look {
            Look::Answered => {
                self.backoff = backoff(self.interval);
                let first = !std::mem::replace(&mut self.looked, true);
                self.interval.mul_f64(if first { dice } else { 1.0 - JITTER + 2.0 * JITTER * dice })
            }
            Look::Failed { retry_after } => {
                let bound = self.backoff.next().unwrap_or(self.interval);
                let wish = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                wish + bound.mul_f64(dice)
            }
        }
    }
}

fn backoff(interval: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(BACKOFF_START.min(interval))
        .with_max_delay(interval)
        .with_factor(2.0)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_mins(2);
    const FAILED: Look = Look::Failed { retry_after: None };

    fn waits(looks: &[Look], dice: f64) -> Vec<u64> {
        let mut schedule = Schedule::new(INTERVAL);
        looks.iter().map(|&look| schedule.wait(look, dice).as_secs()).collect()
    }

    #[test]
    fn the_first_wait_is_a_random_part_of_the_interval() {
        assert_eq!(waits(&[Look::Answered], 0.25), [30]);
    }

    #[test]
    fn later_waits_stay_within_ten_per_cent() {
        assert_eq!(waits(&[Look::Answered; 2], 0.0), [0, 108]);
        assert_eq!(waits(&[Look::Answered; 2], 0.5), [60, 120]);
        assert_eq!(waits(&[Look::Answered; 2], 1.0), [120, 132]);
    }

    #[test]
    fn failures_double_the_bound_up_to_the_interval() {
        assert_eq!(waits(&[FAILED; 9], 1.0), [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(waits(&[FAILED; 3], 0.0), [0, 0, 0], "full jitter");
    }

    #[test]
    fn a_good_look_starts_the_doubling_anew() {
        assert_eq!(waits(&[FAILED, FAILED, Look::Answered, FAILED], 1.0), [1, 2, 120, 1]);
    }

    #[test]
    fn the_vaults_own_wish_is_obeyed_up_to_its_cap() {
        let wish = |seconds| Look::Failed { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(waits(&[wish(20)], 0.0), [20]);
        assert_eq!(waits(&[wish(86_400)], 0.0), [300]);
    }

    #[test]
    fn an_interval_below_the_first_backoff_bounds_it() {
        let mut schedule = Schedule::new(Duration::from_millis(200));
        assert_eq!(schedule.wait(FAILED, 1.0), Duration::from_millis(200));
    }
}
