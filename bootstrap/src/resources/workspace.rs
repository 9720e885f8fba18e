//! The Azure Machine Learning workspace, linked at its creation to the resources that it demands.

use serde_json::{Value, json};

use super::{estate, insights, storage, tag_fields, vault};
use crate::config::{Config, Place, Workspace};
use crate::declaration::{ChangedBy, Declaration, Mark, merge};
use crate::field::Field;
use crate::id::ArmId;
use crate::item::Key;

/// The type of workspaces.
pub const KIND: &str = "Microsoft.MachineLearningServices/workspaces";

/// The version of their interface, and of that of their computes.
pub(super) const API: &str = "2025-12-01";

/// The identifier of the vault that the workspace is linked to: of the resource, not the address of its data.
#[must_use]
pub fn vault_id(config: &Config, workspace: &Workspace) -> ArmId {
    match &workspace.own_vault {
        Some(name) => config.id_of(vault::KIND, &Place::Named(name.clone())),
        None => config.id_of(vault::KIND, &config.vault.place),
    }
}

/// The workspace that the configuration names.
#[must_use]
pub fn declare(config: &Config, workspace: &Workspace) -> Declaration {
    let vault = vault_id(config, workspace);
    let storage = config.id_of(storage::KIND, &workspace.storage);
    let insights = config.id_of(insights::KIND, &workspace.insights);
    let mut fields = vec![
        Field::new("location", config.location.as_str()).region().fixed(),
        Field::new("properties.keyVault", vault.as_str()).ignoring_case().fixed(),
        Field::new("properties.storageAccount", storage.as_str()).ignoring_case().fixed(),
        Field::new("properties.applicationInsights", insights.as_str()).ignoring_case(),
    ];
    fields.extend(
        workspace.data_isolation.map(|on| Field::new("properties.enableDataIsolation", on).absent(false).fixed()),
    );
    fields.extend(workspace.friendly_name.as_deref().map(|name| Field::new("properties.friendlyName", name)));
    let access = workspace.public_access.map(vault::access);
    fields.extend(
        access.map(|word| Field::new("properties.publicNetworkAccess", word).ignoring_case().absent("Enabled")),
    );
    fields.extend(tag_fields(config));
    Declaration {
        key: Key::Workspace,
        kind: "machine learning workspace",
        id: config.group_id().resource(KIND, &workspace.name),
        api: API,
        mark: Mark::Tag(estate(config)),
        document: document(config, workspace),
        fields,
        changed_by: ChangedBy::Patch,
        purge_query: "&forceToPurge=true",
    }
}

/// What makes it.
fn document(config: &Config, workspace: &Workspace) -> Value {
    let vault = vault_id(config, workspace);
    let storage = config.id_of(storage::KIND, &workspace.storage);
    let insights = config.id_of(insights::KIND, &workspace.insights);
    let access = vault::access(workspace.public_access.unwrap_or(true));
    let mut document = json!({
        "location": config.location, "tags": config.tags, "kind": "Default",
        "identity": {"type": "SystemAssigned"},
        "sku": {"name": "Basic", "tier": "Basic"},
        "properties": {
            "friendlyName": workspace.friendly_name.as_deref().unwrap_or(&workspace.name),
            "keyVault": vault.as_str(), "storageAccount": storage.as_str(), "applicationInsights": insights.as_str(),
            "publicNetworkAccess": access, "v1LegacyMode": false,
        },
    });
    let isolation = workspace.data_isolation.map(|on| json!({"properties": {"enableDataIsolation": on}}));
    merge(&mut document, isolation.unwrap_or(Value::Null));
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Decision;
    use crate::testing::config;

    fn decision(workspace: &str, change: Value) -> Decision {
        let config = config(&format!("[workspace]\n{workspace}"));
        let workspace = config.workspace.as_ref().expect("the table is there");
        let declaration = declare(&config, workspace);
        let mut actual = declaration.document.clone();
        // As the service answers: in another case, and with members of its own.
        let vault = vault_id(&config, workspace).to_string().replace("KeyVault", "Keyvault");
        let own =
            json!({"properties": {"keyVault": vault, "provisioningState": "Succeeded", "enableDataIsolation": false}});
        merge(&mut actual, own);
        merge(&mut actual, change);
        declaration.judge(Some(actual)).decision
    }

    #[test]
    fn a_workspace_as_azure_shows_it_is_left_alone() {
        assert_eq!(decision("", Value::Null), Decision::Leave);
        assert_eq!(decision("data_isolation = false\npublic_access = true", Value::Null), Decision::Leave);
    }

    #[test]
    fn the_links_and_data_isolation_are_fixed_and_the_rest_can_change() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/other";
        let Decision::Refuse(text) = decision("", json!({"properties": {"keyVault": id}})) else { panic!("refused") };
        assert!(text.contains("vaults/other") && text.contains("mlkv"), "{text}");
        assert_eq!(decision("data_isolation = true", Value::Null).word(), "refuse");
        assert_eq!(decision("", json!({"properties": {"storageAccount": id}})).word(), "refuse");
        assert_eq!(decision("", json!({"properties": {"applicationInsights": id}})).word(), "change");
        assert_eq!(
            decision("friendly_name = 'Vision'", json!({"properties": {"friendlyName": "Old"}})).word(),
            "change"
        );
        assert_eq!(
            decision("public_access = false", json!({"properties": {"publicNetworkAccess": "Enabled"}})).word(),
            "change"
        );
    }
}
