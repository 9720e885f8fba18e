//! Resource groups.

use super::*;

#[test]
fn a_group_is_made_at_once_and_answers_in_the_services_case() {
    let azure = Azure::new();
    let path = format!("{SUBSCRIPTION}/resourcegroups/RG-One");
    let made = azure.put(&path, &json!({ "location": "West Europe", "tags": { "a": "b" } })).expect(201);
    let expected = json!({
        "id": format!("{SUBSCRIPTION}/resourceGroups/RG-One"),
        "name": "RG-One",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westeurope",
        "tags": { "a": "b" },
        "properties": { "provisioningState": "Succeeded" },
    });
    assert_eq!(made.body, expected);
    let again =
        azure.put(&path.replace("RG-One", "rg-one"), &json!({ "location": "westeurope", "tags": { "a": "b" } }));
    assert_eq!(again.expect(200).body, expected);
    assert_eq!(azure.get(&path.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions")).expect(200).body, expected);
    let head = |path: &str| azure.call_as(OWNER, ("HEAD", path), &Value::Null).status;
    assert_eq!((head(&path), head(&format!("{path}x"))), (204, 404));
    let listed = azure.get(&format!("{SUBSCRIPTION}/resourceGroups?$filter=tagName eq 'a' and tagValue eq 'b'"));
    assert_eq!(listed.expect(200).body["value"], json!([expected]));
}

#[test]
fn a_group_stays_where_it_is_and_takes_new_tags() {
    let azure = Azure::new();
    let group = azure.group();
    let moved = azure.put(&group, &json!({ "location": "eastus" })).expect(409);
    assert_eq!(moved.code(), "InvalidResourceGroupLocation");
    assert_eq!(azure.put(&format!("{group}2"), &json!({})).expect(400).code(), "LocationRequired");
    assert_eq!(
        azure.put(&format!("{group}."), &json!({ "location": "eastus" })).expect(400).code(),
        "InvalidResourceGroup"
    );
    let patched = azure.patch(&group, &json!({ "tags": { "tag1": "valueA" } })).expect(200);
    assert_eq!(patched.body["tags"], json!({ "tag1": "valueA" }));
    assert_eq!(azure.patch(&group, &json!({})).expect(200).body["tags"], json!({ "tag1": "valueA" }));
}

#[test]
fn a_deletion_is_followed_at_its_own_address() {
    let azure = Azure::new();
    let group = azure.group();
    let accepted = azure.delete(&group).expect(202);
    assert_eq!((accepted.text.as_str(), accepted.header("retry-after")), ("", Some("15")));
    let poll = accepted.header("location").unwrap().to_string();
    assert!(
        poll.starts_with(&format!("https://management.azure.com{SUBSCRIPTION}/operationresults/"))
            && poll.len() > 3_000
    );
    assert_eq!(azure.get(&poll).expect(202).header("location"), Some(poll.as_str()));
    assert_eq!(azure.get(&group).expect(200).state(), "Deleting");
    let refused = azure.put(&group, &json!({ "location": "westeurope" })).expect(409);
    assert_eq!(refused.code(), "ResourceGroupBeingDeleted");
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/kv-new");
    assert_eq!(azure.put(&vault, &vault_body(&json!({}))).expect(409).code(), "ResourceGroupBeingDeleted");
    azure.pass(120);
    let complete = azure.get(&poll).expect(200);
    assert_eq!((complete.text.as_str(), complete.header("retry-after")), ("", None));
    assert_eq!(azure.get(&group).expect(404).code(), "ResourceGroupNotFound");
    assert_eq!(azure.delete(&group).expect(404).code(), "ResourceGroupNotFound");
    azure.put(&group, &json!({ "location": "eastus" })).expect(201);
}

#[test]
fn a_poll_address_is_good_only_as_it_was_given() {
    let azure = Azure::new();
    let poll = azure.delete(&azure.group()).expect(202).header("location").unwrap().to_string();
    let tampered = azure.get(&format!("{poll}A")).expect(403);
    assert_eq!(tampered.code(), "InvalidAsyncOperationSignature");
    let rebuilt = poll.split("&t=").next().unwrap();
    azure.get(rebuilt).expect(403);
    azure.send(("GET", &poll), None, b"").expect(401);
}

#[test]
fn what_was_in_a_group_goes_with_it_and_its_vaults_can_be_recovered() {
    let azure = Azure::new();
    let group = azure.group();
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/kv-new");
    let identity = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent");
    azure.put(&vault, &vault_body(&json!({}))).expect(200);
    azure.put(&identity, &json!({ "location": "westeurope" })).expect(201);
    let resources = azure.get(&format!("{group}/resources")).expect(200);
    let types: Vec<_> = resources.body["value"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect();
    assert_eq!(types, ["Microsoft.ManagedIdentity/userAssignedIdentities", "Microsoft.KeyVault/vaults"]);
    let filter = "$filter=resourceType eq 'microsoft.keyvault/Vaults'";
    let vaults = azure.get(&format!("{SUBSCRIPTION}/resources?{filter}")).expect(200);
    assert_eq!(vaults.body["value"].as_array().unwrap().len(), 3, "two of the seed, and the new one");
    azure.delete(&group).expect(202);
    assert!(azure.vaults.exists("kv-new"), "a deletion under way has deleted nothing yet");
    azure.pass(120);
    assert!(!azure.vaults.exists("kv-new"));
    azure.group();
    assert_eq!(azure.get(&identity).expect(404).code(), "ResourceNotFound");
    let name = json!({ "name": "kv-new", "type": "Microsoft.KeyVault/vaults" });
    let check = azure.post(&format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/checkNameAvailability"), &name);
    assert_eq!(check.expect(200).body["nameAvailable"], false);
    assert_eq!(azure.put(&vault, &vault_body(&json!({}))).expect(409).code(), "ConflictError");
    azure.put(&vault, &vault_body(&json!({ "createMode": "recover" }))).expect(200);
}
