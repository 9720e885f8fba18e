//! Log Analytics, Application Insights and diagnostic settings.

use super::*;

fn logs(azure: &Azure) -> String {
    format!("{}/providers/Microsoft.OperationalInsights/workspaces/la", azure.group())
}

fn ready_logs(azure: &Azure) -> String {
    let path = logs(azure);
    azure.put(&path, &json!({ "location": "westeurope", "properties": {} })).expect(201);
    azure.pass(30);
    path
}

#[test]
fn a_log_workspace_says_creating_until_it_succeeds() {
    let azure = Azure::new();
    let path = logs(&azure);
    let body =
        json!({ "location": "westeurope", "properties": { "sku": { "name": "PerGB2018" }, "retentionInDays": 30 } });
    let made = azure.put(&path, &body).expect(201);
    assert_eq!(made.state(), "Creating");
    assert_eq!(
        made.header("location"),
        Some(format!("https://management.azure.com{path}?api-version=2025-04-01").as_str())
    );
    assert_eq!(made.body["properties"]["features"]["searchVersion"], 1);
    assert_eq!(azure.get(&path).expect(200).state(), "Creating");
    azure.pass(30);
    assert_eq!(azure.get(&path).expect(200).state(), "Succeeded");
    assert_eq!(azure.put(&path, &body).expect(200).state(), "Succeeded");
}

#[test]
fn a_deleted_log_workspace_comes_back_as_itself_unless_it_was_forced() {
    let azure = Azure::new();
    let path = ready_logs(&azure);
    let customer = |reply: &Reply| reply.body["properties"]["customerId"].clone();
    let body = json!({ "location": "westeurope", "properties": {} });
    let first = customer(&azure.get(&path));
    azure.delete(&path).expect(200);
    assert_eq!(customer(&azure.put(&path, &body).expect(201)), first);
    azure.delete(&format!("{path}?force=true")).expect(200);
    assert_ne!(customer(&azure.put(&path, &body).expect(201)), first);
    azure.delete(&path).expect(200);
    let second = customer(&azure.put(&path, &body));
    azure.delete(&path).expect(200);
    azure.pass(14 * 86_400);
    assert_ne!(customer(&azure.put(&path, &body).expect(201)), second, "after a fortnight");
}

#[test]
fn a_component_is_made_at_once_in_a_hand_of_its_own() {
    let azure = Azure::new();
    let logs = ready_logs(&azure);
    let path = format!("{}/providers/Microsoft.Insights/components/ai", azure.group());
    let body = json!({
        "location": "westeurope", "kind": "web",
        "properties": { "Application_Type": "web", "WorkspaceResourceId": logs },
    });
    let made = azure.put(&path, &body).expect(200);
    assert!(made.text.starts_with("{\r\n  \""), "{}", made.text);
    assert_eq!(made.body["id"], path.replace("Microsoft.Insights", "microsoft.insights"));
    assert_eq!(made.body["type"], "microsoft.insights/components");
    let key = made.body["properties"]["InstrumentationKey"].as_str().unwrap();
    assert!(
        made.body["properties"]["ConnectionString"]
            .as_str()
            .unwrap()
            .starts_with(&format!("InstrumentationKey={key};"))
    );
    let again = azure.put(&path, &body).expect(200);
    assert_eq!(again.body["properties"]["InstrumentationKey"], key);
    azure.delete(&path).expect(200);
    azure.delete(&path).expect(204);
}

#[test]
fn a_component_needs_a_log_workspace_that_is_there() {
    let azure = Azure::new();
    let path = format!("{}/providers/microsoft.insights/components/ai", azure.group());
    let put = |workspace: Value| {
        let properties = json!({ "Application_Type": "web", "WorkspaceResourceId": workspace });
        azure.put(&path, &json!({ "location": "westeurope", "kind": "web", "properties": properties }))
    };
    for workspace in [Value::Null, json!("la"), json!(logs(&azure)), json!(azure.group())] {
        let reply = put(workspace.clone()).expect(400);
        assert_eq!(reply.message(), "Provided WorkspaceResourceId is invalid", "{workspace}");
    }
    azure.put(&logs(&azure), &json!({ "location": "westeurope" })).expect(201);
    put(json!(logs(&azure))).expect(200);
}

#[test]
fn a_diagnostic_setting_hangs_on_a_vault_and_goes_with_it() {
    let azure = Azure::new();
    let logs = ready_logs(&azure);
    let vault = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.KeyVault/vaults/kv-seeded");
    let path = format!("{vault}/providers/Microsoft.Insights/diagnosticSettings/audit");
    let body = |workspace: &str| {
        let entries = json!([{ "categoryGroup": "audit", "enabled": true }]);
        json!({ "properties": { "workspaceId": workspace, "logs": entries } })
    };
    assert_eq!(azure.get(&path).expect(404).code(), "ResourceNotFound");
    let made = azure.put(&path, &body(&logs)).expect(200);
    let id = format!("{}/providers/microsoft.insights/diagnosticSettings/audit", vault.to_lowercase());
    assert_eq!(made.body["id"], id);
    let entry = json!({
        "category": null, "categoryGroup": "audit", "enabled": true, "retentionPolicy": { "enabled": false, "days": 0 },
    });
    assert_eq!(made.body["properties"]["logs"], json!([entry]));
    assert_eq!(azure.get(&path).expect(200).body, made.body);
    let all = format!("{vault}/providers/Microsoft.Insights/diagnosticSettings");
    assert_eq!(azure.get(&all).expect(200).body["value"], json!([made.body]));
    assert_eq!(azure.put(&path, &body("la")).expect(400).code(), "LinkedInvalidPropertyId");
    azure.put(&path, &body(&format!("{logs}x"))).expect(404);
    azure.put(&path, &json!({ "properties": { "logs": [] } })).expect(400);
    azure.put(&path.replace("kv-seeded", "kv-none"), &body(&logs)).expect(404);
    azure.delete(&path).expect(200);
    azure.delete(&path).expect(204);
    azure.put(&path, &body(&logs)).expect(200);
    azure.delete(&vault).expect(200);
    azure.put(&vault, &vault_body(&json!({ "createMode": "recover" }))).expect(200);
    azure.get(&path).expect(404);
}
