//! Which failures pass with time, and how long to wait between tries; pure.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::{ArmError, Problem};

/// First and longest pause between two tries that nobody asks to wait for.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(20);

/// Conflicts with another operation on the same thing, which end with that operation.
const BUSY: [&str; 7] = [
    "AnotherOperationInProgress",
    "ResourceGroupBeingDeleted",
    "StorageAccountOperationInProgress",
    "OperationInProgress",
    "ConflictingConcurrentWriteNotAllowed",
    "RequestConflict",
    "Conflict",
];

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Trying again changes nothing.
    Final,
    /// The token was rejected.
    WithAnotherToken,
    /// It may pass; within the limit where one is given.
    Again(Option<Duration>),
}

pub(super) fn verdict(error: &ArmError, passing: Option<(&[&str], Duration)>) -> Verdict {
    if matches!(*error.problem, Problem::Unreachable(_)) {
        return Verdict::Again(None);
    }
    let Some(refusal) = error.refusal() else { return Verdict::Final };
    if let Some((codes, limit)) = passing
        && codes.contains(&refusal.code.as_str())
    {
        return Verdict::Again(Some(limit));
    }
    match refusal.status {
        401 => Verdict::WithAnotherToken,
        408 | 429 | 500 | 502 | 503 | 504 => Verdict::Again(None),
        409 if BUSY.contains(&refusal.code.as_str()) => Verdict::Again(None),
        _ => Verdict::Final,
    }
}

/// Shortest pause where Azure asks for one: it is known to ask for none at all, and would be asked without end.
const ASKED_MIN: Duration = Duration::from_secs(1);

/// The pauses between tries: as long as Azure asks, else longer each time.
#[derive(Debug)]
pub(super) struct Pause(ExponentialBackoff, Duration);

impl Pause {
    pub(super) fn new() -> Self {
        Self::between(PAUSE_FIRST, PAUSE_LAST)
    }

    pub(super) fn between(first: Duration, last: Duration) -> Self {
        let builder = ExponentialBuilder::default().with_min_delay(first).with_max_delay(last).with_factor(1.5);
        Self(builder.without_max_times().build(), last)
    }

    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.0.next().unwrap_or(self.1);
        asked.map_or(own, |asked| asked.max(ASKED_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::*;
    use crate::item::Label;

    fn refused(status: u16, code: &str) -> ArmError {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        let refusal = Refusal::read(status, body.as_bytes(), (None, Some(Duration::from_secs(7))));
        let label = Label { kind: "key vault", name: "kv".to_owned() };
        ArmError { label, operation: "create", problem: Box::new(Problem::Refused(refusal)) }
    }

    #[test]
    fn failures_that_pass_are_told_from_those_that_stay() {
        let rows = [
            (429, "SubscriptionRequestsThrottled", Verdict::Again(None)),
            (429, "", Verdict::Again(None)),
            (503, "", Verdict::Again(None)),
            (409, "AnotherOperationInProgress", Verdict::Again(None)),
            (409, "VaultAlreadyExists", Verdict::Final),
            (409, "ConflictError", Verdict::Final),
            (409, "RoleAssignmentExists", Verdict::Final),
            (401, "ExpiredAuthenticationToken", Verdict::WithAnotherToken),
            (400, "PrincipalNotFound", Verdict::Again(Some(Duration::from_mins(2)))),
            (403, "AuthorizationFailed", Verdict::Final),
            (404, "ResourceNotFound", Verdict::Final),
        ];
        let passing: (&[&str], _) = (&["PrincipalNotFound"], Duration::from_mins(2));
        for (status, code, expected) in rows {
            assert_eq!(verdict(&refused(status, code), Some(passing)), expected, "{status} {code}");
        }
        assert_eq!(verdict(&refused(400, "PrincipalNotFound"), None), Verdict::Final);
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
}
