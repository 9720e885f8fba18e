//! When a request is sent again, and after which pause: one rule for Resource Manager and for vaults.

use std::error::Error;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// First and longest pause between two tries that nobody asks to wait for.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(20);

/// Shortest pause where Azure asks for one: it is known to ask for none at all, and would be asked without end.
const ASKED_MIN: Duration = Duration::from_secs(1);

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Trying again changes nothing.
    Final,
    /// The token was rejected.
    WithAnotherToken,
    /// It may pass; within the limit where one is given.
    Again(Option<Duration>),
}

impl Verdict {
    /// What follows from the HTTP status of an answer alone.
    pub(crate) fn on(status: u16) -> Self {
        match status {
            401 => Self::WithAnotherToken,
            408 | 429 | 500 | 502 | 503 | 504 => Self::Again(None),
            _ => Self::Final,
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    start: Instant,
    pause: Pause,
    rejected: bool,
    patience: Duration,
}

impl Tries {
    /// The first try begins now; the last one ends after `patience`, where a verdict sets no other limit.
    pub(crate) fn new(patience: Duration, pause: Pause) -> Self {
        Self { start: Instant::now(), pause, rejected: false, patience }
    }

    /// Waits until the next try after `error`; whether there is one. A token that expired on the way is rejected once;
    /// its successor is not.
    pub(crate) async fn goes_on(
        &mut self,
        error: &(dyn Error + Sync),
        verdict: Verdict,
        asked: Option<Duration>,
    ) -> bool {
        let limit = match verdict {
            Verdict::Final => return false,
            Verdict::WithAnotherToken => return !std::mem::replace(&mut self.rejected, true),
            Verdict::Again(limit) => limit.unwrap_or(self.patience),
        };
        let wait = self.pause.next(asked);
        if self.start.elapsed() + wait > limit {
            return false;
        }
        tracing::debug!(%error, ?wait, "trying again");
        tokio::time::sleep(wait).await;
        true
    }
}

/// The pauses between tries: as long as Azure asks, else longer each time.
#[derive(Debug)]
pub(crate) struct Pause(ExponentialBackoff, Duration);

impl Pause {
    pub(crate) fn new() -> Self {
        Self::between(PAUSE_FIRST, PAUSE_LAST)
    }

    pub(crate) fn between(first: Duration, last: Duration) -> Self {
        let builder = ExponentialBuilder::default().with_min_delay(first).with_max_delay(last).with_factor(1.5);
        Self(builder.without_max_times().build(), last)
    }

    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.0.next().unwrap_or(self.1);
        asked.map_or(own, |asked| asked.max(ASKED_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_pass_are_told_from_those_that_stay() {
        let again = Verdict::Again(None);
        let rows = [
            (401, Verdict::WithAnotherToken),
            (408, again),
            (429, again),
            (500, again),
            (501, Verdict::Final),
            (503, again),
            (505, Verdict::Final),
            (400, Verdict::Final),
            (403, Verdict::Final),
        ];
        for (status, expected) in rows {
            assert_eq!(Verdict::on(status), expected, "{status}");
        }
    }

    #[test]
    fn pauses_grow_unless_azure_asks_for_one() {
        let mut pause = Pause::new();
        assert_eq!(pause.next(None), Duration::from_millis(500));
        assert_eq!(pause.next(Some(Duration::from_secs(17))), Duration::from_secs(17));
        assert_eq!(pause.next(Some(Duration::ZERO)), ASKED_MIN, "no pause at all is none that is kept");
        assert!(pause.next(None) > Duration::from_secs(1));
        for _ in 0..50 {
            assert!(pause.next(None) <= PAUSE_LAST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_goes_on_within_its_patience_and_with_another_token_once() {
        let error = std::fmt::Error;
        let mut tries = Tries::new(Duration::from_secs(5), Pause::new());
        assert!(!tries.goes_on(&error, Verdict::Final, None).await);
        assert!(tries.goes_on(&error, Verdict::WithAnotherToken, None).await);
        assert!(!tries.goes_on(&error, Verdict::WithAnotherToken, None).await, "its successor is rejected, too");
        assert!(tries.goes_on(&error, Verdict::Again(None), Some(Duration::from_secs(4))).await);
        assert!(!tries.goes_on(&error, Verdict::Again(None), Some(Duration::from_secs(4))).await);
        assert!(
            tries.goes_on(&error, Verdict::Again(Some(Duration::from_mins(1))), Some(Duration::from_secs(4))).await
        );
    }
}
