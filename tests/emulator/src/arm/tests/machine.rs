//! Virtual machines and computes, which are given identities.

use super::*;
use crate::directory::Selector;

fn identity(azure: &Azure) -> String {
    let path = format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent", azure.group());
    azure.put(&path, &json!({ "location": "westeurope" })).expect(201);
    path
}

#[test]
fn an_identity_on_a_machine_is_handed_out_there() {
    let azure = Azure::new();
    let machine = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.Compute/virtualMachines/vm");
    let agent = identity(&azure);
    let mut assigned = json!({});
    assigned[&agent] = json!({});
    let body = json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": assigned } });
    assert_eq!(azure.get(&machine).expect(200).body.get("identity"), None);
    let accepted = azure.patch(&machine, &body).expect(200);
    assert_eq!((accepted.state(), accepted.header("retry-after")), ("Updating", Some("10")));
    assert!(accepted.body["identity"]["userAssignedIdentities"][&agent]["clientId"].is_string());
    let poll = accepted.header("azure-asyncoperation").unwrap().to_string();
    assert_eq!(azure.get(&poll).expect(200).body["status"], "InProgress");
    assert_eq!(azure.patch(&machine, &body).expect(409).code(), "AnotherOperationInProgress");
    azure.pass(30);
    assert_eq!(azure.get(&poll).expect(200).body["status"], "Succeeded");
    assert_eq!(azure.get(&machine).expect(200).state(), "Succeeded");
    let selector = Selector::ResourceId(agent.clone());
    assert!(azure.directory.managed_identity(&selector).is_ok());
    let mut removed = json!({});
    removed[&agent] = Value::Null;
    let body = json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": removed } });
    assert_eq!(azure.patch(&machine, &body).expect(200).body["identity"].get("userAssignedIdentities"), None);
    assert!(azure.directory.managed_identity(&selector).is_err());
}

#[test]
fn what_a_machine_cannot_be_given_is_refused() {
    let azure = Azure::new();
    let machine = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.Compute/virtualMachines/vm");
    let give = |id: &str| {
        let mut assigned = json!({});
        assigned[id] = json!({});
        azure.patch(&machine, &json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": assigned } }))
    };
    assert_eq!(give("agent").expect(400).code(), "LinkedInvalidPropertyId");
    let none = format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/none", azure.group());
    assert_eq!(give(&none).expect(404).code(), "ResourceNotFound");
    azure.put(&machine.replace("/vm", "/vm2"), &json!({ "location": "westeurope" })).expect(400);
    azure.delete(&machine).expect(400);
    azure.get(&machine.replace("/vm", "/vm2")).expect(404);
}

#[test]
fn a_compute_is_there_when_its_workspace_is_and_takes_an_identity_by_put() {
    let azure = Azure::new();
    let agent = identity(&azure);
    let workspace = workspace::ready(&azure);
    let cluster = format!("{workspace}/computes/cluster");
    let shown = azure.get(&cluster).expect(200);
    assert_eq!(shown.body["properties"]["computeType"], "AmlCompute");
    let instance = azure.get(&format!("{workspace}/computes/instance")).expect(200);
    assert_eq!(instance.body["properties"]["computeType"], "ComputeInstance");
    let listed = azure.get(&format!("{workspace}/computes")).expect(200);
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 2);
    let mut body = shown.body.clone();
    body["identity"] = json!({ "type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {} });
    body["identity"]["userAssignedIdentities"][&agent] = json!({});
    let accepted = azure.put(&cluster, &body).expect(200);
    assert!(accepted.body["identity"]["principalId"].is_string());
    let poll = accepted.header("azure-asyncoperation").unwrap().to_string();
    azure.pass(30);
    assert_eq!(azure.get(&poll).expect(200).body["status"], "Succeeded");
    assert!(azure.directory.managed_identity(&Selector::ResourceId(agent)).is_ok());
    azure.delete(&workspace).expect(202);
    azure.pass(60);
    azure.get(&cluster).expect(404);
}
