//! A role assignment, whose name follows from what it says, so that nobody makes it twice.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arm::Call;
use crate::azure::Azure;
use crate::config::Principal;
use crate::id::{ArmId, derived};
use crate::item::{Item, Known, Label, Observed};
use crate::roles::Role;

const API: &str = "2022-04-01";

/// What Azure says of a principal that not all of its directory knows yet.
const TOO_NEW: &[&str] = &["PrincipalNotFound"];

/// A role for somebody on something.
#[derive(Debug)]
pub struct Assignment {
    /// Whom it is for.
    pub principal: Principal,
    /// Which role.
    pub role: Role,
    /// On what.
    pub scope: ArmId,
    /// The subscription, which the role's definition is looked up in.
    pub subscription: Uuid,
    /// The estate's number: an equal assignment of another estate has another name, and is not ours to remove.
    pub estate: String,
}

impl Assignment {
    fn path(&self, name: Uuid) -> String {
        format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version={API}", self.scope)
    }

    fn name(&self, principal: Uuid) -> Uuid {
        derived(&["role", &self.estate, self.scope.as_str(), &principal.to_string(), &self.role.id().to_string()])
    }

    fn definition(&self) -> String {
        let id = self.role.id();
        format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{id}", self.subscription)
    }

    /// Whether `document` is this assignment, under whatever name.
    fn is(&self, document: &Value, principal: Uuid) -> bool {
        let text = |member: &str| document.pointer(&format!("/properties/{member}")).and_then(Value::as_str);
        let definition = text("roleDefinitionId").and_then(|id| id.rsplit('/').next());
        definition.and_then(|id| id.parse().ok()) == Some(self.role.id())
            && text("principalId").and_then(|id| id.parse().ok()) == Some(principal)
            && text("scope").is_none_or(|scope| self.scope.same_as(scope))
    }

    async fn under_another_name(&self, azure: &Azure, principal: Uuid) -> Result<Option<Value>> {
        let filter = format!("$filter=principalId%20eq%20'{principal}'");
        let path =
            format!("{}/providers/Microsoft.Authorization/roleAssignments?api-version={API}&{filter}", self.scope);
        let all = azure.arm.list(&self.label(), &path).await?;
        Ok(all.into_iter().find(|one| self.is(one, principal)))
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agent => formatter.write_str("the agent"),
            Self::Workspace => formatter.write_str("the workspace"),
            Self::Operator => formatter.write_str("the operator"),
            Self::Object(id, _) => id.fmt(formatter),
        }
    }
}

#[async_trait]
impl Item for Assignment {
    fn label(&self) -> Label {
        let name = format!("{} for {} on {}", self.role, self.principal, self.scope.name());
        Label { kind: "role assignment", name }
    }

    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed> {
        let Some((principal, _)) = known.principal(&self.principal, azure) else { return Ok(Observed::absent()) };
        let label = self.label();
        if let Some(document) = azure.arm.get(&label, &self.path(self.name(principal))).await? {
            if self.is(&document, principal) {
                return Ok(Observed::present(document, true));
            }
            return Ok(Observed::refused(format!(
                "a role assignment with the name {} says something else: remove it",
                self.name(principal)
            )));
        }
        let other = self.under_another_name(azure, principal).await?;
        Ok(other.map_or_else(Observed::absent, |document| Observed::present(document, false)))
    }

    async fn write(&self, azure: &Azure, known: &Known, _observed: &Observed) -> Result<Value> {
        let label = self.label();
        let (principal, kind) = known
            .principal(&self.principal, azure)
            .with_context(|| format!("{} has no identity that a role could be given to", self.principal))?;
        let body = json!({"properties": {"roleDefinitionId": self.definition(), "principalId": principal,
            "principalType": kind}});
        let passing = Some((TOO_NEW, azure.arm.patience().propagation));
        let path = self.path(self.name(principal));
        let call = Call { body: Some(body), passing, ..Call::new(&label, "create", Method::Put, path) };
        match azure.arm.send(&call).await {
            Ok(answer) => Ok(answer.body),
            // Somebody was faster, under another name.
            Err(error) if error.code() == "RoleAssignmentExists" => Ok(Value::Null),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove(&self, azure: &Azure, known: &Known, _purge: bool) -> Result<Option<String>> {
        let Some((principal, _)) = known.principal(&self.principal, azure) else { return Ok(None) };
        let label = self.label();
        azure.arm.remove(&Call::new(&label, "delete", Method::Delete, self.path(self.name(principal)))).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINCIPAL: Uuid = uuid::uuid!("00000000-0000-4000-8000-000000000009");

    fn assignment() -> Assignment {
        let scope = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv";
        Assignment {
            principal: Principal::Agent,
            role: Role::SECRETS_USER,
            scope: scope.parse().expect("an id"),
            subscription: uuid::uuid!("00000000-0000-4000-8000-000000000001"),
            estate: "e".to_owned(),
        }
    }

    #[test]
    fn an_equal_assignment_is_recognised_in_whatever_case_azure_writes_it() {
        let one = assignment();
        let said = |scope: &str, role: &str| {
            json!({"properties": {"scope": scope, "principalId": PRINCIPAL, "roleDefinitionId":
                format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role}")}})
        };
        let (scope, role) =
            (one.scope.to_string().to_ascii_lowercase(), one.role.id().to_string().to_ascii_uppercase());
        assert!(one.is(&said(&scope, &role), PRINCIPAL));
        assert!(!one.is(&said(&scope, &Role::SECRETS_OFFICER.id().to_string()), PRINCIPAL));
        assert!(!one.is(&said("/subscriptions/x", &role), PRINCIPAL), "a wider scope is another assignment");
        assert!(!one.is(&said(&scope, &role), Uuid::nil()));
    }

    #[test]
    fn its_name_follows_from_estate_scope_principal_and_role() {
        let one = assignment();
        assert_eq!(one.name(PRINCIPAL), assignment().name(PRINCIPAL));
        assert_ne!(one.name(PRINCIPAL), Assignment { role: Role::CONTRIBUTOR, ..assignment() }.name(PRINCIPAL));
        assert_ne!(one.name(PRINCIPAL), one.name(Uuid::nil()));
        assert_ne!(one.name(PRINCIPAL), Assignment { estate: "f".to_owned(), ..assignment() }.name(PRINCIPAL));
    }
}
