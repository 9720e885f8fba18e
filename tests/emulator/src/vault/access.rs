//! Who may do what in a vault: by role assignments, or by access policies.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::operation::{Operation, Permission};
use crate::role::{self, RoleAssignments};

/// Which of the two ways a vault decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Authorization {
    Rbac,
    AccessPolicies(Vec<AccessPolicy>),
}

/// What an access policy grants a principal on every secret of a vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessPolicy {
    pub(crate) principal: Uuid,
    pub(crate) secrets: Vec<Permission>,
}

/// What a vault decides about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed, by a role assignment where there is one to name.
    Allowed(Option<Uuid>),
    /// No role assignment grants it.
    DeniedByRbac,
    /// No access policy grants it.
    DeniedByPolicy,
}

impl Authorization {
    /// Decides whether a principal may do `operation` on a resource at `now`.
    pub(crate) fn decide(
        &self,
        assignments: &RoleAssignments,
        (principal, operation, resource): (Uuid, &Operation, &str),
        now: Timestamp,
    ) -> Decision {
        match self {
            Authorization::Rbac => {
                let grants = |role| role::grants(role, operation.data_action());
                let found = assignments.permitting((principal, resource), grants, now);
                found.map_or(Decision::DeniedByRbac, |assignment| Decision::Allowed(Some(assignment)))
            }
            Authorization::AccessPolicies(policies) => {
                let (wanted, _) = operation.permission();
                let grants = |granted: &Permission| *granted == wanted || *granted == Permission::All;
                let mut own = policies.iter().filter(|policy| policy.principal == principal);
                if own.any(|policy| policy.secrets.iter().any(grants)) {
                    Decision::Allowed(None)
                } else {
                    Decision::DeniedByPolicy
                }
            }
        }
    }
}

/// The instant, in Unix milliseconds, that lies `delay` after `now`.
pub(crate) fn milliseconds_after(now: Timestamp, delay: Duration) -> i64 {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    now.saturating_add(delay).map_or(i64::MAX, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::RoleAssignment;

    const VAULT: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";
    const AGENT: Uuid = Uuid::from_u128(1);

    fn get(name: &str) -> Operation {
        Operation::Get { name: name.into(), version: None }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_role_on_one_secret_reads_it_and_does_not_list_the_vault() {
        let role = role::find("Key Vault Secrets User").unwrap();
        let secret = format!("{VAULT}/secrets/db");
        let assignment = RoleAssignment::given(AGENT, role, secret.clone(), 0);
        let id = assignment.id;
        let assignments = RoleAssignments::new(vec![assignment]);
        let read = get("db");
        let decide = |call| Authorization::Rbac.decide(&assignments, call, at(0));
        assert_eq!(decide((AGENT, &read, &secret)), Decision::Allowed(Some(id)));
        assert_eq!(decide((AGENT, &Operation::List, VAULT)), Decision::DeniedByRbac);
    }

    #[test]
    fn an_access_policy_grants_its_permissions_alone() {
        let policies = |secrets| Authorization::AccessPolicies(vec![AccessPolicy { principal: AGENT, secrets }]);
        let rows = [
            (vec![Permission::Get], get("db"), true),
            (vec![Permission::List], get("db"), false),
            (vec![Permission::All], get("db"), true),
            (vec![Permission::Set], Operation::Update { name: "db".into(), version: None }, true),
            (vec![Permission::Get, Permission::List], Operation::Purge { name: "db".into() }, false),
        ];
        for (granted, operation, expected) in rows {
            let decision =
                policies(granted.clone()).decide(&RoleAssignments::default(), (AGENT, &operation, VAULT), at(0));
            assert_eq!(decision == Decision::Allowed(None), expected, "{granted:?} for {operation:?}");
        }
    }
}
