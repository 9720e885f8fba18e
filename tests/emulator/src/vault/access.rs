//! Who may do what in a vault: by role assignments, or by access policies.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::operation::{Operation, Permission};
use super::roles;

/// Which of the two ways a vault decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Authorization {
    Rbac(Vec<RoleAssignment>),
    AccessPolicies(Vec<AccessPolicy>),
}

/// A role that a principal has within a scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoleAssignment {
    pub(crate) id: Uuid,
    pub(crate) principal: Uuid,
    pub(crate) role: Uuid,
    /// The resource id that it reaches from: a vault, one of its secrets, or anything above.
    pub(crate) scope: String,
    /// Unix milliseconds from which it acts.
    pub(crate) acts_from: i64,
    /// Unix milliseconds from which it acts no more, once it is removed.
    pub(crate) acts_until: Option<i64>,
}

/// What an access policy grants a principal on every secret of a vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessPolicy {
    pub(crate) principal: Uuid,
    pub(crate) secrets: Vec<Permission>,
}

impl RoleAssignment {
    fn acts_at(&self, now: Timestamp) -> bool {
        let now = now.as_millisecond();
        self.acts_from <= now && self.acts_until.is_none_or(|until| now < until)
    }

    fn reaches(&self, resource: &str) -> bool {
        let (scope, resource) = (self.scope.to_ascii_lowercase(), resource.to_ascii_lowercase());
        let rest = resource.strip_prefix(scope.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
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
    /// Decides whether `principal` may do `operation` on `resource` at `now`.
    pub(crate) fn decide(&self, principal: Uuid, operation: &Operation, resource: &str, now: Timestamp) -> Decision {
        match self {
            Authorization::Rbac(assignments) => {
                let grants = |assignment: &&RoleAssignment| {
                    assignment.principal == principal
                        && assignment.acts_at(now)
                        && assignment.reaches(resource)
                        && roles::grants(assignment.role, operation.data_action())
                };
                let found = assignments.iter().find(grants);
                found.map_or(Decision::DeniedByRbac, |assignment| Decision::Allowed(Some(assignment.id)))
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

    const VAULT: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";
    const AGENT: Uuid = Uuid::from_u128(1);

    fn get(name: &str) -> Operation {
        Operation::Get { name: name.into(), version: None }
    }

    fn assignment(role: &str, scope: &str) -> RoleAssignment {
        let role = roles::find(role).unwrap();
        RoleAssignment {
            id: Uuid::from_u128(7),
            principal: AGENT,
            role,
            scope: scope.into(),
            acts_from: 1_000,
            acts_until: Some(2_000),
        }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn a_role_reaches_its_scope_and_everything_below() {
        let secret = format!("{VAULT}/secrets/db");
        let rows = [
            (VAULT.to_string(), true),
            (VAULT.to_uppercase(), true),
            (format!("{VAULT}/"), true),
            (secret.clone(), true),
            ("/subscriptions/s".into(), true),
            (format!("{VAULT}/secrets/d"), false),
            (format!("{VAULT}/secrets/other"), false),
            ("/subscriptions/other".into(), false),
        ];
        for (scope, expected) in rows {
            let rbac = Authorization::Rbac(vec![assignment("Key Vault Secrets User", &scope)]);
            let decision = rbac.decide(AGENT, &get("db"), &secret, at(1_500));
            assert_eq!(decision != Decision::DeniedByRbac, expected, "{scope}");
        }
    }

    #[test]
    fn a_role_on_one_secret_does_not_list_the_vault() {
        let rbac = Authorization::Rbac(vec![assignment("Key Vault Secrets User", &format!("{VAULT}/secrets/db"))]);
        assert_eq!(rbac.decide(AGENT, &Operation::List, VAULT, at(1_500)), Decision::DeniedByRbac);
    }

    #[test]
    fn an_assignment_acts_between_its_two_instants_and_for_its_principal() {
        let rbac = Authorization::Rbac(vec![assignment("Key Vault Secrets User", VAULT)]);
        let rows = [
            (AGENT, 999, false),
            (AGENT, 1_000, true),
            (AGENT, 1_999, true),
            (AGENT, 2_000, false),
            (Uuid::nil(), 1_500, false),
        ];
        for (principal, now, expected) in rows {
            let decision = rbac.decide(principal, &get("db"), VAULT, at(now));
            assert_eq!(decision == Decision::Allowed(Some(Uuid::from_u128(7))), expected, "{principal} at {now}");
        }
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
            let decision = policies(granted.clone()).decide(AGENT, &operation, VAULT, at(0));
            assert_eq!(decision == Decision::Allowed(None), expected, "{granted:?} for {operation:?}");
        }
    }
}
