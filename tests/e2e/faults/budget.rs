//! What the rules allow to be asked while something is wrong for some time: intervals, back-off and circuit, in numbers.

use std::time::Duration;

/// Failures in a row after which a vault is left alone, and requests that are under way at once (docs/operations.md).
const FAILURES: usize = 4;
const CONCURRENT: usize = 4;

/// The part of an interval that a wait may be shorter than it.
const JITTER: f64 = 0.1;

/// How many standard deviations the sum of random waits may be below its mean: one in a hundred thousand sums of a dozen is.
const DEVIATIONS: f64 = 4.0;

/// How long something is wrong, and how much of it goes by in each request, such as one that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) whole: Duration,
    pub(crate) request: Duration,
}

/// A vault that cannot be asked: failures until the circuit opens, what is under way then, and one probe after each wait.
pub(crate) fn outage(length: Length, interval: Duration) -> usize {
    FAILURES - 1 + CONCURRENT + waits(length, interval)
}

/// A vault that asks to wait for `asked`: what is under way when it first says so, and one probe after each wait.
pub(crate) fn throttled(length: Duration, asked: Duration) -> usize {
    CONCURRENT + whole(length.as_secs_f64() / asked.as_secs_f64())
}

/// One of the secrets cannot be had, and lists can: lists, what they lead to, and the secret by its own back-off.
pub(crate) fn outage_of_one(length: Length, interval: Duration) -> usize {
    looks(length.whole, interval) + waits(length, interval) + CONCURRENT
}

/// A vault that answers, and refuses: every secret and the list once in an interval.
pub(crate) fn refused(length: Duration, interval: Duration, secrets: usize) -> usize {
    (secrets + 1) * looks(length, interval)
}

/// Looks within `length`: the one at its beginning, one more that a doubt brings, and those after each shortest wait.
fn looks(length: Duration, interval: Duration) -> usize {
    2 + whole(length.as_secs_f64() / (interval.as_secs_f64() * (1.0 - JITTER)))
}

/// How many waits end within `length`, each of which is drawn evenly from zero up to 1 s, 2 s, 4 s and so on, at most up to
/// `limit`: as many as have their mean less five deviations within it.
fn waits(length: Length, limit: Duration) -> usize {
    let (mut mean, mut variance, mut bound) = (0.0, 0.0, 1.0_f64);
    for wait in 0.. {
        let longest = bound.min(limit.as_secs_f64());
        mean += length.request.as_secs_f64() + longest / 2.0;
        variance += longest * longest / 12.0;
        bound *= 2.0;
        if mean - DEVIATIONS * variance.sqrt() > length.whole.as_secs_f64() {
            return wait;
        }
    }
    unreachable!("the mean grows without end, and faster than the deviation")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
fn whole(number: f64) -> usize {
    number as usize
}

#[test]
fn the_rules_allow_few_calls_and_per_second_ever_fewer() {
    let (second, minute, two) = (Duration::from_secs(1), Duration::from_mins(1), Duration::from_mins(2));
    assert_eq!(refused(second * 9, second, 2), 3 * (2 + 10));
    assert_eq!(throttled(second * 9, second * 2), 4 + 4);
    let at_once = |whole| Length { whole, request: Duration::ZERO };
    assert!((24..40).contains(&outage(at_once(minute * 10), two)), "{}", outage(at_once(minute * 10), two));
    assert!((7_300..7_800).contains(&outage(at_once(minute * 60), second)), "two in a second, and a little");
    let slow = Length { whole: second * 35, request: second * 10 };
    assert!((10..=12).contains(&outage(slow, second)), "{}", outage(slow, second));
}
