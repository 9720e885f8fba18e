//! Which refusals of Resource Manager pass with time; pure.

use std::time::Duration;

use super::{ArmError, Problem};
use crate::retry::Verdict;

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
        409 if BUSY.contains(&refusal.code.as_str()) => Verdict::Again(None),
        status => Verdict::on(status),
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
}
