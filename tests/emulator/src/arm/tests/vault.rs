//! Vaults as resources: their documents, their settings, and what of it the data plane does.

use super::*;

fn path(azure: &Azure, name: &str) -> String {
    format!("{}/providers/Microsoft.KeyVault/vaults/{name}", azure.group())
}

#[test]
fn a_new_vault_answers_as_it_was_typed_and_settles_in_lower_case() {
    let azure = Azure::new();
    let path = path(&azure, "KvNew");
    let made = azure.put(&path, &vault_body(&json!({}))).expect(200);
    assert_eq!(made.body["properties"]["vaultUri"], "https://KvNew.vault.azure.net");
    assert_eq!((made.state(), made.header("location")), ("RegisteringDns", None));
    assert_eq!(made.body["id"], path.as_str());
    let early = azure.get(&path).expect(200);
    assert_eq!(
        (early.state(), &early.body["properties"]["vaultUri"]),
        ("RegisteringDns", &json!("https://kvnew.vault.azure.net/"))
    );
    assert!(!azure.vaults.resolves("kvnew", azure.now.get()));
    azure.pass(31);
    let settled = azure.get(&path.replace("KvNew", "kvnew")).expect(200);
    assert_eq!(settled.state(), "Succeeded");
    assert!(azure.vaults.resolves("kvnew", azure.now.get()));
    let expected = json!({
        "sku": { "family": "A", "name": "standard" }, "tenantId": TENANT, "accessPolicies": [],
        "enabledForDeployment": false, "enableSoftDelete": true, "softDeleteRetentionInDays": 90,
        "vaultUri": "https://kvnew.vault.azure.net/", "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
    });
    assert_eq!(settled.body["properties"], expected);
    assert_eq!(azure.put(&path, &vault_body(&json!({}))).expect(200).state(), "Succeeded");
}

#[test]
fn roles_decide_by_default_since_the_version_of_2026() {
    let azure = Azure::new();
    let rows = [
        ("kv-one", "2025-05-01", json!({}), None),
        ("kv-two", "2026-02-01", json!({}), Some(true)),
        ("kv-three", "2026-05-15-preview", json!({}), Some(true)),
        ("kv-four", "2026-02-01", json!({ "enableRbacAuthorization": false }), Some(false)),
        ("kv-five", "2023-07-01", json!({ "enableRbacAuthorization": true }), Some(true)),
    ];
    for (name, version, properties, expected) in rows {
        let path = format!("{}?api-version={version}", path(&azure, name));
        let made = azure.put(&path, &vault_body(&properties)).expect(200);
        assert_eq!(made.body["properties"]["enableRbacAuthorization"].as_bool(), expected, "{name}");
        let again = azure.put(&path, &vault_body(&json!({}))).expect(200);
        assert_eq!(again.body["properties"]["enableRbacAuthorization"].as_bool(), expected, "{name} after a PUT");
    }
}

#[test]
fn what_a_vault_cannot_be_is_refused() {
    let azure = Azure::new();
    let properties = |properties: Value| vault_body(&properties);
    let without = |name: &str| {
        let mut body = vault_body(&json!({}));
        body["properties"].as_object_mut().unwrap().remove(name);
        body
    };
    let rows = [
        ("k", properties(json!({})), 400, "VaultNameNotValid"),
        ("kv--double", properties(json!({})), 400, "VaultNameNotValid"),
        ("kv-new", json!({ "properties": {} }), 400, "LocationRequired"),
        ("kv-new", without("tenantId"), 400, "BadRequest"),
        ("kv-new", without("sku"), 400, "BadRequest"),
        ("kv-new", properties(json!({ "tenantId": OWNER })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "softDeleteRetentionInDays": 6 })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "softDeleteRetentionInDays": 91 })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "enablePurgeProtection": false })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "enableSoftDelete": false })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "networkAcls": { "ipRules": [{ "value": "10/8" }] } })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "accessPolicies": [{ "objectId": "nobody" }] })), 400, "BadRequest"),
        ("kv-new", properties(json!({ "createMode": "recover" })), 400, "SoftDeletedVaultDoesNotExist"),
        ("kv-seeded", properties(json!({})), 409, "VaultAlreadyExists"),
        ("KV-Elsewhere", properties(json!({})), 409, "VaultAlreadyExists"),
    ];
    for (name, body, status, code) in rows {
        let reply = azure.put(&path(&azure, name), &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{name} {body}");
        assert!(!azure.vaults.exists("kv-new"));
    }
}

#[test]
fn what_is_fixed_at_creation_stays() {
    let azure = Azure::new();
    let path = path(&azure, "kv-new");
    azure.put(&path, &vault_body(&json!({ "softDeleteRetentionInDays": 7 }))).expect(200);
    let changed = azure.put(&path, &vault_body(&json!({ "softDeleteRetentionInDays": 8 }))).expect(400);
    assert!(changed.message().contains("has been set already and it can't be modified"), "{changed:?}");
    let mut moved = vault_body(&json!({}));
    moved["location"] = "eastus".into();
    assert_eq!(azure.put(&path, &moved).expect(409).code(), "InvalidResourceLocation");
    azure.patch(&path, &json!({ "properties": { "enablePurgeProtection": true } })).expect(200);
    let irreversible = azure.patch(&path, &json!({ "properties": { "enablePurgeProtection": false } })).expect(400);
    assert!(irreversible.message().contains("irreversible"));
    let kept = azure.put(&path, &vault_body(&json!({}))).expect(200).body["properties"].clone();
    assert_eq!((&kept["enablePurgeProtection"], &kept["softDeleteRetentionInDays"]), (&json!(true), &json!(7)));
}

#[test]
fn a_put_replaces_and_a_patch_adds() {
    let azure = Azure::new();
    let path = path(&azure, "kv-new");
    let acls = json!({ "defaultAction": "Deny", "ipRules": [{ "value": "203.0.113.0/24" }] });
    let mut body = vault_body(&json!({ "networkAcls": acls, "enabledForDeployment": true }));
    body["tags"] = json!({ "a": "b" });
    azure.put(&path, &body).expect(200);
    let patched = azure.patch(&path, &json!({ "properties": { "publicNetworkAccess": "Disabled" } })).expect(200);
    let properties = &patched.body["properties"];
    assert_eq!(properties["publicNetworkAccess"], "Disabled");
    assert_eq!(properties["enabledForDeployment"], true);
    let shown = json!({
        "bypass": "AzureServices", "defaultAction": "Deny", "ipRules": [{ "value": "203.0.113.0/24" }], "virtualNetworkRules": [],
    });
    assert_eq!((&properties["networkAcls"], &patched.body["tags"]), (&shown, &json!({ "a": "b" })));
    let reset = azure.put(&path, &vault_body(&json!({}))).expect(200);
    assert_eq!(reset.body["properties"].get("networkAcls"), None);
    assert_eq!(reset.body["properties"]["publicNetworkAccess"], "Enabled");
    assert_eq!((&reset.body["properties"]["enabledForDeployment"], &reset.body["tags"]), (&json!(false), &json!({})));
    assert_eq!(azure.patch(&format!("{path}x"), &json!({})).expect(404).code(), "ResourceNotFound");
}

#[test]
fn the_firewall_of_a_vault_decides_on_its_data_plane() {
    let azure = Azure::new();
    let path = format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.KeyVault/vaults/kv-policies");
    let rows = [
        (json!({ "networkAcls": { "defaultAction": "Deny", "ipRules": [] } }), 403),
        (json!({ "networkAcls": { "defaultAction": "Deny", "ipRules": [{ "value": "203.0.113.9" }] } }), 200),
        (json!({ "publicNetworkAccess": "Disabled" }), 403),
        (json!({ "publicNetworkAccess": "Enabled", "networkAcls": { "defaultAction": "Allow" } }), 200),
    ];
    for (properties, expected) in rows {
        azure.patch(&path, &json!({ "properties": properties })).expect(200);
        assert_eq!(azure.vault_status("kv-policies", OWNER, "/secrets"), expected, "{properties}");
    }
}

#[test]
fn access_policies_are_added_replaced_and_removed() {
    let azure = Azure::new();
    let path = path(&azure, "kv-new");
    let policy = |principal: Uuid, secrets: Value| json!([{ "tenantId": TENANT, "objectId": principal, "permissions": { "secrets": secrets } }]);
    let change = |verb: &str, policies: Value| {
        let body = json!({ "properties": { "accessPolicies": policies } });
        azure.put(&format!("{path}/accessPolicies/{verb}"), &body)
    };
    azure.put(&path, &vault_body(&json!({}))).expect(200);
    let added = change("add", policy(OWNER, json!(["Get"]))).expect(200);
    assert_eq!(added.body["id"], format!("{path}/accessPolicies/"));
    assert_eq!(azure.vault_status("kv-new", OWNER, "/secrets/none"), 404);
    assert_eq!(azure.vault_status("kv-new", OWNER, "/secrets"), 403);
    let both = change("add", policy(OWNER, json!(["get", "list"]))).expect(200);
    assert_eq!(both.body["properties"]["accessPolicies"][0]["permissions"]["secrets"], json!(["Get", "list"]));
    assert_eq!(azure.vault_status("kv-new", OWNER, "/secrets"), 200);
    change("remove", policy(OWNER, json!(["list"]))).expect(200);
    assert_eq!(azure.vault_status("kv-new", OWNER, "/secrets"), 403);
    let replaced = change("replace", policy(MACHINE, json!(["all"]))).expect(200);
    assert_eq!(replaced.body["properties"]["accessPolicies"].as_array().unwrap().len(), 1);
    assert_eq!(azure.vault_status("kv-new", MACHINE, "/secrets"), 200);
    let emptied = change("remove", policy(MACHINE, json!(["all"]))).expect(200);
    assert_eq!(emptied.body["properties"]["accessPolicies"], json!([]));
    change("add", policy(OWNER, json!(["fly"]))).expect(400);
    change("shuffle", policy(OWNER, json!(["get"]))).expect(400);
    azure.put(&path, &vault_body(&json!({ "accessPolicies": policy(OWNER, json!(["get"])) }))).expect(200);
    let wiped = azure.put(&path, &vault_body(&json!({}))).expect(200);
    assert_eq!(wiped.body["properties"]["accessPolicies"], json!([]), "a PUT replaces them wholesale");
}

#[test]
fn a_vault_of_the_seed_is_a_resource_like_any_other() {
    let azure = Azure::new();
    let listed =
        azure.get(&format!("{SUBSCRIPTION}/resourceGroups/OLD/providers/Microsoft.KeyVault/vaults")).expect(200);
    let names: Vec<_> = listed.body["value"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["kv-seeded", "kv-policies"]);
    let policies = &listed.body["value"][1]["properties"];
    assert_eq!(policies["enableRbacAuthorization"], false);
    assert_eq!(policies["accessPolicies"][0]["permissions"]["secrets"], json!(["get", "list"]));
    assert_eq!(listed.body["value"][0]["properties"]["enableRbacAuthorization"], true);
    let all = azure.get(&format!("{SUBSCRIPTION}/providers/Microsoft.KeyVault/vaults")).expect(200);
    assert_eq!(all.body["value"].as_array().unwrap().len(), 2, "none of another subscription");
}
