//! Whether an apply could succeed: the caller's rights, names that must be unique in the world, and providers.

use std::io::{self, Write};

use anyhow::Result;
use azure_core::http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::arm::{ArmError, Call};
use crate::azure::Azure;
use crate::config::{Authorization, Config, Place};
use crate::item::Label;
use crate::resources::{storage, vault};

/// What was looked at.
#[derive(Debug, Serialize)]
pub struct Findings {
    findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: String,
    passed: bool,
    detail: String,
}

/// Looks at everything. Writes nothing.
///
/// # Errors
/// When Azure does not answer.
pub async fn look(config: &Config, azure: &Azure) -> Result<Findings> {
    let (operator, kind) = azure.operator();
    let signed_in = format!("{kind} {operator} in tenant {}", config.tenant);
    let mut findings = vec![Finding { check: "sign-in".to_owned(), passed: true, detail: signed_in }];
    for name in names(config) {
        findings.extend(name_is_free(config, azure, &name).await?);
    }
    findings.extend(rights(config, azure).await?);
    Ok(Findings { findings })
}

/// A name that must be unique in the world.
struct Name<'a> {
    text: &'a str,
    kind: &'static str,
    /// Namespace and type, and the version of their interface.
    of_type: &'static str,
    api: &'static str,
}

/// Every name that apply would need, if nobody has it.
fn names(config: &Config) -> Vec<Name<'_>> {
    fn named(place: &Place) -> Option<&str> {
        match place {
            Place::Named(name) => Some(name),
            Place::Existing(_) => None,
        }
    }
    let workspace = config.workspace.as_ref();
    let vaults = [named(&config.vault.place), workspace.and_then(|workspace| workspace.own_vault.as_deref())];
    let vault = |text| Name { text, kind: "key vault", of_type: vault::KIND, api: vault::API };
    let storage = workspace.and_then(|workspace| named(&workspace.storage));
    let storage = storage.map(|text| Name { text, kind: "storage account", of_type: storage::KIND, api: storage::API });
    vaults.into_iter().flatten().map(vault).chain(storage).collect()
}

/// Whether a name can be had; nothing where the resource is there already.
async fn name_is_free(config: &Config, azure: &Azure, name: &Name<'_>) -> Result<Option<Finding>> {
    let &Name { text: name, kind, of_type, api } = name;
    let namespace = of_type.split('/').next().unwrap_or_default();
    let label = Label { kind, name: name.to_owned() };
    let id = config.group_id().resource(of_type, name);
    if azure.arm.get(&label, &format!("{id}?api-version={api}")).await?.is_some() {
        return Ok(None);
    }
    let path =
        format!("/subscriptions/{}/providers/{namespace}/checkNameAvailability?api-version={api}", config.subscription);
    let body = Some(json!({"name": name, "type": of_type}));
    let call = Call { body, ..Call::new(&label, "look for the name of", Method::Post, path) };
    let check = format!("name of {label}");
    Ok(Some(match azure.arm.send(&call).await {
        Ok(answer) => {
            let passed = answer.body.get("nameAvailable") != Some(&Value::Bool(false));
            let message = answer.body.get("message").and_then(Value::as_str).unwrap_or("it is free");
            Finding { check, passed, detail: message.to_owned() }
        }
        // Nobody can tell before the registration, which apply does first.
        Err(error) if error.code() == "MissingSubscriptionRegistration" => {
            let detail = format!("not known before {namespace} is registered, which apply does");
            Finding { check, passed: true, detail }
        }
        Err(error) => return Err(error.into()),
    }))
}

/// What apply does, as Azure names the rights to it.
fn needed(config: &Config) -> Vec<&'static str> {
    let workspace = config.workspace.is_some();
    let rbac = config.vault.authorization == Authorization::Rbac;
    let rows = [
        (true, "Microsoft.Resources/subscriptions/resourceGroups/write"),
        (true, "Microsoft.KeyVault/register/action"),
        (true, "Microsoft.KeyVault/vaults/write"),
        (workspace, "Microsoft.Storage/storageAccounts/write"),
        (workspace, "Microsoft.Insights/components/write"),
        (workspace, "Microsoft.MachineLearningServices/workspaces/write"),
        (config.logs.is_some(), "Microsoft.OperationalInsights/workspaces/write"),
        (config.agent_identity.is_some(), "Microsoft.ManagedIdentity/userAssignedIdentities/write"),
        (config.diagnostics, "Microsoft.Insights/diagnosticSettings/write"),
        (rbac || workspace, "Microsoft.Authorization/roleAssignments/write"),
    ];
    rows.into_iter().filter(|(needed, _)| *needed).map(|(_, action)| action).collect()
}

/// Whether the caller has each right, on the group where it is there, else on the subscription.
async fn rights(config: &Config, azure: &Azure) -> Result<Vec<Finding>, ArmError> {
    let label = Label { kind: "rights on", name: config.group.clone() };
    let query = "providers/Microsoft.Authorization/permissions?api-version=2022-04-01";
    let mut list = azure.arm.get(&label, &format!("{}/{query}", config.group_id())).await?;
    if list.is_none() {
        list = azure.arm.get(&label, &format!("/subscriptions/{}/{query}", config.subscription)).await?;
    }
    let granted = list.as_ref().and_then(|list| list.get("value")?.as_array()).cloned().unwrap_or_default();
    let finding = |action: &str| {
        let passed = permits(&granted, action);
        let detail = if passed { "granted" } else { "ask an owner of the subscription or the group for it" };
        Finding { check: format!("right {action}"), passed, detail: detail.to_owned() }
    };
    Ok(needed(config).into_iter().map(finding).collect())
}

/// Whether one of the permissions grants `action` without taking it back.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/role-definitions>.
fn permits(permissions: &[Value], action: &str) -> bool {
    let lists = |permission: &Value, member: &str| {
        let patterns = permission.get(member).and_then(Value::as_array);
        patterns.into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, action))
    };
    permissions.iter().any(|permission| lists(permission, "actions") && !lists(permission, "notActions"))
}

/// Whether `pattern`, in which `*` stands for anything, covers `action`, whatever the case.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Findings {
    /// Whether nothing is in the way.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.passed)
    }

    /// Shows them to people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for Finding { check, passed, detail } in &self.findings {
            writeln!(out, "{}  {check:width$}  {detail}", if *passed { "ok     " } else { "missing" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_case_does_not_count() {
        let rows = [
            ("*", "Microsoft.KeyVault/vaults/write", true),
            ("*/write", "Microsoft.KeyVault/vaults/write", true),
            ("*/read", "Microsoft.KeyVault/vaults/write", false),
            ("microsoft.keyvault/*", "Microsoft.KeyVault/vaults/write", true),
            ("Microsoft.KeyVault/*/write", "Microsoft.KeyVault/vaults/write", true),
            ("Microsoft.KeyVault/vaults/write", "Microsoft.KeyVault/vaults/write", true),
            ("Microsoft.KeyVault/vaults", "Microsoft.KeyVault/vaults/write", false),
        ];
        for (pattern, action, expected) in rows {
            assert_eq!(matches(pattern, action), expected, "{pattern}");
        }
    }

    #[test]
    fn a_contributor_cannot_assign_roles_and_an_owner_can() {
        let contributor = [json!({"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]})];
        let owner = [json!({"actions": ["*"], "notActions": []})];
        let action = "Microsoft.Authorization/roleAssignments/write";
        assert!(!permits(&contributor, action) && permits(&owner, action));
        assert!(permits(&contributor, "Microsoft.KeyVault/vaults/write"));
        assert!(!permits(&[], action));
    }
}
