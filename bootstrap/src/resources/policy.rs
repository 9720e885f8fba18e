//! An access policy of a vault that has no role assignments: added to what others put there, never in place of it.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::vault;
use crate::arm::{ArmError, Call};
use crate::azure::Azure;
use crate::config::Principal;
use crate::declaration::OWNER_TAG;
use crate::id::ArmId;
use crate::item::{Item, Key, Known, Label, Observed, Removal};

/// Permissions on secrets for somebody.
#[derive(Debug)]
pub struct Policy {
    /// Whom it is for.
    pub principal: Principal,
    /// What they may do.
    pub permissions: &'static [&'static str],
    /// In which vault.
    pub vault: ArmId,
    /// The directory of the principal.
    pub tenant: Uuid,
    /// The estate's number, which agent and workspace carry as a tag if this program made them.
    pub estate: String,
}

impl Policy {
    /// What the vault permits the principal now.
    fn found(vault: &Value, principal: Uuid) -> Vec<String> {
        let policies = vault.pointer("/properties/accessPolicies").and_then(Value::as_array);
        let theirs = |policy: &&Value| {
            policy.get("objectId").and_then(Value::as_str).and_then(|id| id.parse().ok()) == Some(principal)
        };
        let secrets = policies.into_iter().flatten().filter(theirs);
        let secrets = secrets.filter_map(|policy| policy.pointer("/permissions/secrets")?.as_array());
        secrets.flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect()
    }

    /// Whom this program made, if it is for them: a policy for what goes is of no use to anybody else.
    fn maker(&self) -> Option<Key> {
        match self.principal {
            Principal::Agent => Some(Key::Identity),
            Principal::Workspace => Some(Key::Workspace),
            Principal::Operator | Principal::Object(..) => None,
        }
    }

    async fn send(&self, azure: &Azure, (operation, verb): (&'static str, &str), known: &Known) -> Result<Value> {
        let label = self.label();
        let (principal, _) = known
            .principal(&self.principal, azure)
            .with_context(|| format!("{} has no identity that a policy could name", self.principal))?;
        let policy = json!({"tenantId": self.tenant, "objectId": principal,
            "permissions": {"secrets": self.permissions}});
        let path = format!("{}/accessPolicies/{verb}?api-version={}", self.vault, vault::API);
        let body = Some(json!({"properties": {"accessPolicies": [policy]}}));
        let call = Call { body, ..Call::new(&label, operation, Method::Put, path) };
        Ok(azure.arm.send(&call).await?.body)
    }

    fn is_met_by(&self, found: &[String]) -> bool {
        self.permissions.iter().all(|wanted| found.iter().any(|word| word == wanted || word == "all"))
    }
}

#[async_trait]
impl Item for Policy {
    fn label(&self) -> Label {
        let name = format!("{} for {} on {}", self.permissions.join("+"), self.principal, self.vault.name());
        Label { kind: "access policy", name }
    }

    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed> {
        let Some((principal, _)) = known.principal(&self.principal, azure) else { return Ok(Observed::absent()) };
        let path = format!("{}?api-version={}", self.vault, vault::API);
        let vault = azure.arm.get(&self.label(), &path).await?.unwrap_or_default();
        let met = self.is_met_by(&Self::found(&vault, principal));
        let made = self.maker().and_then(|key| known.text(key, &format!("/tags/{OWNER_TAG}")));
        let ours = made.as_ref() == Some(&self.estate);
        Ok(if met { Observed::present(Value::Null, ours) } else { Observed::absent() })
    }

    async fn write(&self, azure: &Azure, known: &Known, _observed: &Observed) -> Result<Value> {
        self.send(azure, ("add", "add"), known).await
    }

    async fn remove(&self, azure: &Azure, known: &Known, _purge: bool) -> Result<Option<String>> {
        match self.send(azure, ("take away", "remove"), known).await {
            Err(error) if !error.downcast_ref::<ArmError>().is_some_and(ArmError::is_absence) => Err(error),
            _ => Ok(None),
        }
    }

    /// A vault does not tell who added a policy, so of those in a vault that stays only those for what goes are taken.
    fn removal(&self) -> Removal {
        match self.maker() {
            Some(_) => Removal::With(Key::Vault),
            None => Removal::OnlyWith(Key::Vault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_met_by_the_same_or_wider_permissions_in_any_case() {
        let principal = uuid::uuid!("00000000-0000-4000-8000-000000000009");
        let policy = Policy {
            principal: Principal::Agent,
            permissions: &["get", "list"],
            vault: "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/a/b/kv"
                .parse()
                .expect("an id"),
            tenant: Uuid::nil(),
            estate: "e".to_owned(),
        };
        let vault = |permissions: Value| {
            json!({"properties": {"accessPolicies": [
                {"objectId": Uuid::nil(), "permissions": {"secrets": ["all"]}},
                {"objectId": principal, "permissions": {"secrets": permissions}}]}})
        };
        let rows = [
            (json!(["Get", "List", "Set"]), true),
            (json!(["all"]), true),
            (json!(["get"]), false),
            (json!([]), false),
            (Value::Null, false),
        ];
        for (permissions, met) in rows {
            let found = Policy::found(&vault(permissions.clone()), principal);
            assert_eq!(policy.is_met_by(&found), met, "{permissions}");
        }
    }
}
