//! Storage accounts.

use super::*;

fn account(azure: &Azure, name: &str) -> String {
    format!("{}/providers/Microsoft.Storage/storageAccounts/{name}", azure.group())
}

fn body(properties: &Value) -> Value {
    json!({ "location": "West Europe", "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": properties })
}

#[test]
fn an_account_is_accepted_and_then_whole_at_the_operations_address() {
    let azure = Azure::new();
    let path = account(&azure, "stnew");
    let accepted = azure.put(&path, &body(&json!({ "allowBlobPublicAccess": false }))).expect(202);
    assert_eq!((accepted.text.as_str(), accepted.header("retry-after")), ("", Some("17")));
    assert_eq!(accepted.header("azure-asyncoperation"), None);
    let poll = accepted.header("location").unwrap().to_string();
    assert!(poll.contains("/locations/westeurope/asyncoperations/") && poll.contains("monitor=true"), "{poll}");
    azure.get(&poll).expect(202);
    assert_eq!(azure.get(&path).expect(200).state(), "Creating");
    azure.pass(17);
    let whole = azure.get(&poll).expect(200);
    assert_eq!((whole.state(), &whole.body["id"]), ("Succeeded", &json!(path)));
    assert_eq!(whole.body["sku"], json!({ "name": "Standard_LRS", "tier": "Standard" }));
    assert_eq!(whole.body["properties"]["primaryEndpoints"]["blob"], "https://stnew.blob.core.windows.net/");
    assert_eq!(azure.get(&path).expect(200).body, whole.body);
    assert_eq!(
        azure.put(&path, &body(&json!({}))).expect(200).state(),
        "Succeeded",
        "an existing one is changed at once"
    );
    let patched = azure.patch(&path, &json!({ "properties": { "allowSharedKeyAccess": false }, "tags": { "a": "b" } }));
    let patched = patched.expect(200);
    assert_eq!(
        (&patched.body["properties"]["allowSharedKeyAccess"], &patched.body["tags"]["a"]),
        (&json!(false), &json!("b"))
    );
    azure.call_as(OWNER, ("HEAD", &path), &Value::Null).expect(204);
    azure.delete(&path).expect(200);
    azure.delete(&path).expect(204);
    azure.call_as(OWNER, ("HEAD", &path), &Value::Null).expect(404);
    assert_eq!(azure.get(&path).expect(404).code(), "ResourceNotFound");
}

#[test]
fn what_an_account_cannot_be_is_refused() {
    let azure = Azure::new();
    let path = account(&azure, "stnew");
    azure.put(&path, &body(&json!({}))).expect(202);
    let other = path.replace("/rg/", "/old/");
    let taken = azure.put(&other, &body(&json!({}))).expect(409);
    assert_eq!(taken.code(), "StorageAccountAlreadyTaken");
    assert_eq!(taken.message(), "The storage account named stnew is already taken.");
    let rows = [
        ("St-New", body(&json!({})), 400, "AccountNameInvalid"),
        ("stother", json!({ "kind": "StorageV2" }), 400, "LocationRequired"),
        ("stother", json!({ "location": "westeurope", "kind": "StorageV2" }), 400, "BadRequest"),
        ("stnew", body(&json!({ "isHnsEnabled": true })), 400, "PropertyUpdateNotAllowed"),
    ];
    for (name, body, status, code) in rows {
        let reply = azure.put(&account(&azure, name), &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{name}");
    }
    let check = format!("{SUBSCRIPTION}/providers/Microsoft.Storage/checkNameAvailability");
    for (name, available, reason) in
        [("stnew", false, "AlreadyExists"), ("stother", true, ""), ("St", false, "AccountNameInvalid")]
    {
        let reply =
            azure.post(&check, &json!({ "name": name, "type": "Microsoft.Storage/storageAccounts" })).expect(200);
        assert_eq!(reply.body["nameAvailable"], available, "{name}");
        assert_eq!(reply.body["reason"].as_str().unwrap_or(""), reason, "{name}");
    }
    let mut moved = body(&json!({}));
    moved["location"] = "eastus".into();
    assert_eq!(azure.put(&path, &moved).expect(409).code(), "InvalidResourceLocation");
}
