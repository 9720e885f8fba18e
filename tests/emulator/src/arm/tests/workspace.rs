//! Machine learning workspaces.

use super::*;

struct Parts {
    vault: String,
    storage: String,
    component: String,
    workspace: String,
}

/// The resources that a workspace needs, just made: those of `azure` that take their time are under way.
fn parts(azure: &Azure) -> Parts {
    let provider = format!("{}/providers", azure.group());
    let logs = format!("{provider}/Microsoft.OperationalInsights/workspaces/la");
    azure.put(&logs, &json!({ "location": "westeurope" }));
    azure.pass(30);
    let parts = Parts {
        vault: format!("{provider}/Microsoft.KeyVault/vaults/kv-new"),
        storage: format!("{provider}/Microsoft.Storage/storageAccounts/stnew"),
        component: format!("{provider}/microsoft.insights/components/ai"),
        workspace: format!("{provider}/Microsoft.MachineLearningServices/workspaces/mlw"),
    };
    let component = json!({
        "location": "westeurope", "kind": "web",
        "properties": { "Application_Type": "web", "WorkspaceResourceId": logs },
    });
    azure.put(&parts.component, &component).expect(200);
    azure.put(&parts.vault, &vault_body(&json!({ "enableRbacAuthorization": true }))).expect(200);
    let account = json!({ "location": "westeurope", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
    azure.put(&parts.storage, &account).expect(202);
    parts
}

fn ready_parts(azure: &Azure) -> Parts {
    let parts = parts(azure);
    azure.pass(31);
    parts
}

fn body(parts: &Parts) -> Value {
    json!({
        "location": "westeurope",
        "identity": { "type": "SystemAssigned" },
        "properties": {
            "keyVault": parts.vault, "storageAccount": parts.storage, "applicationInsights": parts.component,
        },
    })
}

/// A workspace that is complete.
pub(super) fn ready(azure: &Azure) -> String {
    let parts = ready_parts(azure);
    azure.put(&parts.workspace, &body(&parts)).expect(202);
    azure.pass(32);
    parts.workspace
}

#[test]
fn a_workspace_is_accepted_with_two_addresses_and_answers_in_its_own_case() {
    let azure = Azure::new();
    let parts = ready_parts(&azure);
    let accepted = azure.put(&parts.workspace, &body(&parts)).expect(202);
    assert_eq!((accepted.text.as_str(), accepted.header("retry-after")), ("", None));
    let [state, result] = ["azure-asyncoperation", "location"].map(|name| accepted.header(name).unwrap().to_string());
    assert!(
        state.contains("/workspaceOperationsStatus/")
            && state.contains("type=async")
            && result.contains("type=location")
    );
    assert_eq!(azure.get(&state).expect(200).body["status"], "InProgress");
    azure.get(&result).expect(202);
    assert_eq!(azure.get(&parts.workspace).expect(200).state(), "Creating");
    assert_eq!(azure.put(&parts.workspace, &body(&parts)).expect(409).code(), "AnotherOperationInProgress");
    azure.pass(32);
    assert_eq!(azure.get(&state).expect(200).body, json!({ "status": "Succeeded", "percentComplete": 100.0 }));
    let shown = azure.get(&parts.workspace).expect(200);
    assert_eq!(azure.get(&result).expect(200).body, shown.body);
    let properties = &shown.body["properties"];
    assert_eq!(properties["keyVault"], parts.vault.replace("Microsoft.KeyVault", "Microsoft.Keyvault"));
    assert_eq!(properties["applicationInsights"], parts.component.replace("microsoft.insights", "Microsoft.insights"));
    assert_eq!((shown.state(), &shown.body["sku"]), ("Succeeded", &json!({ "name": "Basic", "tier": "Basic" })));
    assert_eq!(properties["discoveryUrl"], "https://westeurope.api.azureml.ms/discovery");
    let principal = shown.body["identity"]["principalId"].as_str().unwrap();
    let again = azure.put(&parts.workspace, &shown.body).expect(202);
    assert!(again.header("azure-asyncoperation").is_some(), "a replacement is an operation too");
    azure.pass(32);
    assert_eq!(azure.get(&parts.workspace).expect(200).body["identity"]["principalId"], principal);
}

#[test]
fn a_workspace_demands_what_it_is_linked_to() {
    let azure = Azure::new();
    let parts = ready_parts(&azure);
    let with = |name: &str, value: Value| {
        let mut body = body(&parts);
        body["properties"][name] = value;
        body
    };
    let mut without_identity = body(&parts);
    without_identity.as_object_mut().unwrap().remove("identity");
    let account = |name: &str, sku: &str, hns: bool| {
        let path = parts.storage.replace("stnew", name);
        let properties = json!({ "isHnsEnabled": hns });
        azure.put(
            &path,
            &json!({ "location": "westeurope", "kind": "StorageV2", "sku": { "name": sku }, "properties": properties }),
        );
        path
    };
    let (premium, hierarchical) = (account("stpremium", "Premium_LRS", false), account("sthns", "Standard_LRS", true));
    azure.pass(17);
    let missing = "Missing dependent resources in workspace json";
    let rows = [
        (json!({ "location": "westeurope", "sku": { "name": "Basic" } }), "ValidationError", missing),
        (with("keyVault", Value::Null), "ValidationError", missing),
        (with("storageAccount", Value::Null), "ValidationError", missing),
        (with("applicationInsights", Value::Null), "ValidationError", missing),
        (without_identity, "ValidationError", "Make sure to create your workspace using a client which support MSI"),
        (with("keyVault", json!("https://kv-new.vault.azure.net/")), "LinkedInvalidPropertyId", "properties.keyVault"),
        (with("keyVault", json!(parts.storage)), "LinkedInvalidPropertyId", "properties.keyVault"),
        (with("keyVault", json!(format!("{}x", parts.vault))), "ValidationError", "does not exist"),
        (with("storageAccount", json!(format!("{}x", parts.storage))), "ValidationError", "does not exist"),
        (with("storageAccount", json!(premium)), "ValidationError", "premium"),
        (with("storageAccount", json!(hierarchical)), "ValidationError", "hierarchical"),
        (json!({}), "LocationRequired", ""),
    ];
    for (body, code, part) in rows {
        let reply = azure.put(&parts.workspace, &body).expect(400);
        assert!(reply.code() == code && reply.message().contains(part), "{body}: {reply:?}");
    }
    assert_eq!(azure.put(&parts.workspace.replace("mlw", "m"), &body(&parts)).expect(400).code(), "ValidationError");
    azure.get(&parts.workspace).expect(404);
}

#[test]
fn what_a_workspace_is_linked_to_must_be_provisioned() {
    let azure = Azure::new();
    let parts = parts(&azure);
    let refused = azure.put(&parts.workspace, &body(&parts)).expect(400);
    assert!(refused.message().contains("vaults/kv-new is not in the state Succeeded"), "{refused:?}");
    azure.pass(31);
    azure.put(&parts.workspace, &body(&parts)).expect(202);
}

#[test]
fn what_is_fixed_at_creation_stays() {
    let azure = Azure::new();
    let workspace = ready(&azure);
    let shown = azure.get(&workspace).body;
    let seeded = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.KeyVault/vaults/kv-seeded");
    let rows = [("keyVault", json!(seeded)), ("hbiWorkspace", json!(true)), ("enableDataIsolation", json!(true))];
    for (name, value) in rows {
        let mut body = shown.clone();
        body["properties"][name] = value.clone();
        for reply in [azure.put(&workspace, &body), azure.patch(&workspace, &json!({ "properties": { name: value } }))]
        {
            let reply = reply.expect(400);
            assert!(reply.code() == "ValidationError" && reply.message().contains(name), "{reply:?}");
        }
    }
    let mut moved = shown.clone();
    moved["location"] = "eastus".into();
    assert_eq!(azure.put(&workspace, &moved).expect(409).code(), "InvalidResourceLocation");
    let patch = json!({ "tags": { "a": "b" }, "properties": { "friendlyName": "Pipelines", "publicNetworkAccess": "Disabled" } });
    azure.patch(&workspace, &patch).expect(202);
    assert_eq!(azure.get(&workspace).expect(200).state(), "Updating");
    azure.pass(32);
    let patched = azure.get(&workspace).expect(200).body;
    assert_eq!((&patched["properties"]["friendlyName"], &patched["tags"]["a"]), (&json!("Pipelines"), &json!("b")));
    assert_eq!(patched["properties"]["keyVault"], shown["properties"]["keyVault"]);
    let old = azure.patch(&format!("{workspace}?api-version=2020-08-01"), &json!({ "tags": {} })).expect(200);
    assert_eq!((old.state(), &old.body["tags"]), ("Succeeded", &json!({})));
}

#[test]
fn the_identity_of_a_workspace_is_in_the_directory_and_welcome_in_its_vault() {
    let azure = Azure::new();
    let mut parts = ready_parts(&azure);
    parts.vault = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.KeyVault/vaults/kv-policies");
    azure.put(&parts.workspace, &body(&parts)).expect(202);
    azure.pass(90);
    let principal: Uuid =
        azure.get(&parts.workspace).body["identity"]["principalId"].as_str().unwrap().parse().unwrap();
    assert_eq!(azure.directory.principal_type(principal, azure.now.get()), Some("ServicePrincipal"));
    assert_eq!(azure.vault_status("kv-policies", principal, "/secrets"), 200, "it wrote itself a policy");
    assert_eq!(azure.vault_status("kv-policies", OWNER, "/secrets"), 200, "and left the others");
    let policies = azure.get(&parts.vault).body["properties"]["accessPolicies"].clone();
    assert_eq!(policies.as_array().unwrap().len(), 2);
    azure.delete(&parts.workspace).expect(202);
    azure.pass(60);
    assert_eq!(azure.directory.principal_type(principal, azure.now.get()), None);
}

#[test]
fn a_deleted_workspace_is_gone_when_the_operation_is_complete() {
    let azure = Azure::new();
    let workspace = ready(&azure);
    let accepted = azure.delete(&workspace).expect(202);
    let [state, result] = ["azure-asyncoperation", "location"].map(|name| accepted.header(name).unwrap().to_string());
    assert_eq!(azure.get(&workspace).expect(200).state(), "Deleting");
    azure.get(&result).expect(202);
    azure.pass(60);
    assert_eq!(azure.get(&state).expect(200).body["status"], "Succeeded");
    azure.get(&result).expect(204);
    assert_eq!(azure.get(&workspace).expect(404).code(), "ResourceNotFound");
    azure.delete(&workspace).expect(204);
}
