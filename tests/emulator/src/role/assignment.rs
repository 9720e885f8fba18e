//! Who has which role where: one register for the whole emulator, which vaults and Resource Manager both ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A role that a principal has within a scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoleAssignment {
    pub(crate) id: Uuid,
    pub(crate) principal: Uuid,
    /// What Azure calls its kind, such as `ServicePrincipal`.
    pub(crate) principal_type: String,
    pub(crate) role: Uuid,
    /// The resource id that it reaches from: a vault, one of its secrets, or anything above.
    pub(crate) scope: String,
    pub(crate) description: Option<String>,
    pub(crate) created: Timestamp,
    /// Who made it; none for what a seed declares.
    pub(crate) created_by: Option<Uuid>,
    /// Unix milliseconds from which it acts.
    pub(crate) acts_from: i64,
    /// Unix milliseconds from which it acts no more, once it is removed.
    pub(crate) acts_until: Option<i64>,
}

impl RoleAssignment {
    /// One that acts from `acts_from` and that nobody in particular has made.
    pub(crate) fn given(principal: Uuid, role: Uuid, scope: String, acts_from: i64) -> RoleAssignment {
        RoleAssignment {
            id: Uuid::new_v4(),
            principal,
            principal_type: "ServicePrincipal".into(),
            role,
            scope,
            description: None,
            created: Timestamp::from_millisecond(acts_from).unwrap_or(Timestamp::MAX),
            created_by: None,
            acts_from,
            acts_until: None,
        }
    }

    fn acts_at(&self, now: Timestamp) -> bool {
        let now = now.as_millisecond();
        self.acts_from <= now && self.acts_until.is_none_or(|until| now < until)
    }

    /// Whether `resource` is its scope or lies below it.
    pub(crate) fn reaches(&self, resource: &str) -> bool {
        is_within(resource, &self.scope)
    }
}

/// Whether the id `resource` is `scope` or lies below it, in any case.
fn is_within(resource: &str, scope: &str) -> bool {
    let (scope, resource) = (scope.to_ascii_lowercase(), resource.to_ascii_lowercase());
    let rest = resource.strip_prefix(scope.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every role assignment. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoleAssignments {
    // A std Mutex, because no section that holds it waits for anything.
    entries: Arc<Mutex<Vec<RoleAssignment>>>,
}

impl RoleAssignments {
    pub(crate) fn new(entries: Vec<RoleAssignment>) -> RoleAssignments {
        RoleAssignments { entries: Arc::new(Mutex::new(entries)) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RoleAssignment>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of every one, for the state file.
    pub(crate) fn snapshot(&self) -> Vec<RoleAssignment> {
        self.lock().clone()
    }

    /// Every one that has not been removed.
    pub(crate) fn standing(&self) -> Vec<RoleAssignment> {
        self.lock().iter().filter(|assignment| assignment.acts_until.is_none()).cloned().collect()
    }

    pub(crate) fn add(&self, assignment: RoleAssignment) {
        self.lock().push(assignment);
    }

    /// The assignment through which `principal` may do on `resource` what `grants` says of a role.
    pub(crate) fn permitting(
        &self,
        (principal, resource): (Uuid, &str),
        grants: impl Fn(Uuid) -> bool,
        now: Timestamp,
    ) -> Option<Uuid> {
        let permits = |assignment: &&RoleAssignment| {
            assignment.principal == principal
                && assignment.acts_at(now)
                && assignment.reaches(resource)
                && grants(assignment.role)
        };
        self.lock().iter().find(permits).map(|assignment| assignment.id)
    }

    /// The roles that act for `principal` on `resource` now.
    pub(crate) fn acting(&self, principal: Uuid, resource: &str, now: Timestamp) -> Vec<Uuid> {
        let own = |one: &&RoleAssignment| one.principal == principal && one.acts_at(now) && one.reaches(resource);
        self.lock().iter().filter(own).map(|one| one.role).collect()
    }

    /// Removes the first standing one that `matches`, which acts on until `acts_until`.
    pub(crate) fn remove(&self, matches: impl Fn(&RoleAssignment) -> bool, acts_until: i64) -> Option<RoleAssignment> {
        let mut entries = self.lock();
        let found = entries.iter_mut().find(|one| one.acts_until.is_none() && matches(one))?;
        found.acts_until = Some(acts_until);
        Some(found.clone())
    }

    /// Forgets everything at or below the resource `scope`, as Azure does when it is deleted.
    pub(crate) fn forget_within(&self, scope: &str) {
        self.lock().retain(|assignment| !is_within(&assignment.scope, scope));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";
    const AGENT: Uuid = Uuid::from_u128(1);
    const ROLE: Uuid = Uuid::from_u128(2);

    fn register(scope: &str) -> RoleAssignments {
        let mut assignment = RoleAssignment::given(AGENT, ROLE, scope.into(), 1_000);
        assignment.acts_until = Some(2_000);
        RoleAssignments::new(vec![assignment])
    }

    fn permitted(register: &RoleAssignments, principal: Uuid, resource: &str, milliseconds: i64) -> bool {
        let now = Timestamp::from_millisecond(milliseconds).unwrap();
        register.permitting((principal, resource), |role| role == ROLE, now).is_some()
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
            assert_eq!(permitted(&register(&scope), AGENT, &secret, 1_500), expected, "{scope}");
        }
    }

    #[test]
    fn an_assignment_acts_between_its_two_instants_and_for_its_principal() {
        let rows = [
            (AGENT, 999, false),
            (AGENT, 1_000, true),
            (AGENT, 1_999, true),
            (AGENT, 2_000, false),
            (Uuid::nil(), 1_500, false),
        ];
        for (principal, now, expected) in rows {
            assert_eq!(permitted(&register(VAULT), principal, VAULT, now), expected, "{principal} at {now}");
        }
    }

    #[test]
    fn what_is_forgotten_with_a_resource_is_what_lies_within_it() {
        let rows = [(VAULT, true), ("/subscriptions/s/resourceGroups/rg", false), ("/subscriptions/s", false)];
        for (scope, forgotten) in rows {
            let register = register(scope);
            register.forget_within(VAULT);
            assert_eq!(register.snapshot().is_empty(), forgotten, "{scope}");
        }
    }
}
