//! Vaults that are deleted, recovered and purged.

use super::*;

fn vaults() -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults")
}

fn deleted(name: &str) -> String {
    format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/{name}")
}

fn azure_with(name: &str, properties: &Value) -> Azure {
    let azure = Azure::new();
    azure.group();
    azure.put(&format!("{}/{name}", vaults()), &vault_body(properties)).expect(200);
    azure
}

#[test]
fn a_deleted_vault_keeps_its_name_and_tells_until_when() {
    let azure = azure_with("Kv-New", &json!({ "softDeleteRetentionInDays": 7 }));
    let path = format!("{}/kv-new", vaults());
    assert_eq!(azure.delete(&path).expect(200).text, "");
    azure.delete(&path).expect(204);
    azure.get(&path).expect(404);
    assert!(!azure.vaults.exists("kv-new"));
    let shown = azure.get(&deleted("kv-new")).expect(200);
    let expected = json!({
        "id": deleted("Kv-New"),
        "name": "Kv-New",
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": format!("{}/Kv-New", vaults()), "location": "westeurope", "tags": {},
            "deletionDate": "2026-05-22T16:43:17Z", "scheduledPurgeDate": "2026-05-29T16:43:17Z",
        },
    });
    assert_eq!(shown.body, expected);
    let listed = azure.get(&format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/deletedVaults")).expect(200);
    assert_eq!(listed.body["value"], json!([expected]));
    assert_eq!(azure.put(&path, &vault_body(&json!({}))).expect(409).code(), "ConflictError");
    let mut elsewhere = vault_body(&json!({ "createMode": "recover" }));
    elsewhere["location"] = "eastus".into();
    assert_eq!(azure.put(&path, &elsewhere).expect(409).code(), "VaultAlreadyExists");
    let old = path.replace("/rg/", "/old/");
    assert_eq!(azure.put(&old, &vault_body(&json!({}))).expect(409).code(), "VaultAlreadyExists");
    azure.pass(7 * 86_400);
    assert_eq!(azure.get(&deleted("kv-new")).expect(404).code(), "DeletedVaultNotFound");
    azure.put(&path, &vault_body(&json!({}))).expect(200);
}

#[test]
fn a_recovered_vault_has_its_secrets_and_settings_and_no_roles() {
    let azure = Azure::new();
    let path = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.KeyVault/vaults/kv-seeded");
    let draft = crate::vault::Draft::plain("value");
    azure.vaults.set_secret("kv-seeded", "db", draft, azure.now.get()).unwrap();
    let grant = crate::vault::RoleGrant { principal: OWNER, role: "Key Vault Secrets User".into(), secret: None };
    azure.vaults.grant_role("kv-seeded", &grant, azure.now.get()).unwrap();
    assert_eq!(azure.vault_status("kv-seeded", OWNER, "/secrets/db"), 200);
    azure.patch(&path, &json!({ "tags": { "kept": "yes" } })).expect(200);
    azure.delete(&path).expect(200);
    let recovered = azure.put(&path, &vault_body(&json!({ "createMode": "recover" }))).expect(200);
    assert_eq!((recovered.state(), &recovered.body["tags"]["kept"]), ("RegisteringDns", &json!("yes")));
    azure.get(&deleted("kv-seeded")).expect(404);
    azure.pass(31);
    assert_eq!(azure.get(&path).expect(200).state(), "Succeeded");
    assert_eq!(azure.vault_status("kv-seeded", OWNER, "/secrets/db"), 403, "the role is lost");
    azure.vaults.grant_role("kv-seeded", &grant, azure.now.get()).unwrap();
    assert_eq!(azure.vault_status("kv-seeded", OWNER, "/secrets/db"), 200, "the secret is not");
}

#[test]
fn a_purge_frees_the_name_when_it_is_complete() {
    let azure = azure_with("kv-new", &json!({}));
    let path = format!("{}/kv-new", vaults());
    azure.delete(&path).expect(200);
    let purge = format!("{}/purge", deleted("kv-new"));
    let accepted = azure.post(&purge, &Value::Null).expect(202);
    assert_eq!(accepted.header("retry-after"), Some("5"));
    let poll = accepted.header("location").unwrap().to_string();
    assert!(poll.contains("/providers/Microsoft.KeyVault/locations/westeurope/operationResults/"), "{poll}");
    assert_eq!(azure.get(&poll).expect(202).body["status"], "NotStarted");
    assert_eq!(azure.post(&purge, &Value::Null).expect(409).code(), "AnotherOperationInProgress");
    assert_eq!(
        azure.put(&path, &vault_body(&json!({ "createMode": "recover" }))).expect(409).code(),
        "AnotherOperationInProgress"
    );
    azure.pass(65);
    assert_eq!(azure.get(&poll).expect(200).body["status"], "Succeeded");
    let check = format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/checkNameAvailability");
    assert_eq!(azure.post(&check, &json!({ "name": "kv-new" })).expect(200).body, json!({ "nameAvailable": true }));
    azure.put(&path, &vault_body(&json!({}))).expect(200);
}

#[test]
fn a_protected_vault_cannot_be_purged() {
    let azure = azure_with("kv-new", &json!({ "enablePurgeProtection": true }));
    azure.delete(&format!("{}/kv-new", vaults())).expect(200);
    assert_eq!(azure.get(&deleted("kv-new")).expect(200).body["properties"]["purgeProtectionEnabled"], true);
    assert_eq!(
        azure.post(&format!("{}/purge", deleted("kv-new")), &Value::Null).expect(400).code(),
        "DeletedVaultPurge"
    );
    assert_eq!(
        azure.post(&format!("{}/purge", deleted("kv-none")), &Value::Null).expect(404).code(),
        "DeletedVaultNotFound"
    );
}

#[test]
fn names_are_checked_for_everyone() {
    let azure = Azure::new();
    let check = format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/checkNameAvailability");
    let rows = [
        ("kv-free", true, ""),
        ("KV-SEEDED", false, "AlreadyExists"),
        ("kv-elsewhere", false, "AlreadyExists"),
        ("k", false, "AccountNameInvalid"),
    ];
    for (name, available, reason) in rows {
        let reply = azure.post(&check, &json!({ "name": name, "type": "Microsoft.KeyVault/vaults" })).expect(200);
        assert_eq!(reply.body["nameAvailable"], available, "{name}");
        assert_eq!(reply.body["reason"].as_str().unwrap_or(""), reason, "{name}");
    }
    azure.post(&check, &json!({})).expect(400);
}
