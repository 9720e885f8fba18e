//! Whole requests against whole vaults.

mod world;

use serde_json::{Value, json};

use super::*;
use crate::directory::DirectorySeed;
use crate::seed::Seed;
use crate::vault::{Network, RoleGrant, Switch};

use world::{KEYS, NOON, OFFICER, STRANGER, at, read, world};

const ATTRIBUTES: [&str; 6] = ["attributes", "enabled", "created", "updated", "recoveryLevel", "recoverableDays"];

#[test]
fn a_request_without_a_token_is_challenged_before_anything_else_is_looked_at() {
    let world = world();
    for target in ["/secrets/db-password?api-version=7.4", "/secrets/a_b", "/nothing"] {
        for authorization in [None, Some("Basic dTpw"), Some("Bearer")] {
            let response = world.send("kv-keyside", ("GET", target), authorization, 0);
            let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
            let expected = r#"Bearer authorization="https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47", resource="https://vault.azure.net""#;
            assert_eq!(challenge, expected);
            assert!(!response.headers().contains_key("x-ms-keyvault-rbac-assignment-id"));
            let text = r#"{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token."}}"#;
            assert_eq!(String::from_utf8_lossy(response.body()), text, "{target}");
        }
    }
}

#[test]
fn a_token_of_the_wrong_kind_is_told_apart() {
    let world = world();
    let other_tenant = DirectorySeed { tenant: Uuid::from_u128(5), ..Seed::example().directory };
    let other = Directory::new(other_tenant, Some(&KEYS)).unwrap();
    let other = other.token_for(OFFICER, AUDIENCE, at(0)).unwrap();
    let management = world.directory.token_for(OFFICER, "https://management.azure.com/", at(0)).unwrap();
    let rows = [
        (
            format!("Bearer {management}"),
            0,
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com/.",
        ),
        (format!("Bearer {other}"), 0, "AKV10032: Invalid issuer."),
        (world.bearer(OFFICER, 0), 7 * 86_400, "[TokenExpired]"),
        ("Bearer not-a-token".to_string(), 0, "[BearerReadAccessTokenFailed]"),
    ];
    for (authorization, second, expected) in rows {
        let call = ("GET", "/secrets/db-password?api-version=7.4");
        let response = world.send("kv-keyside", call, Some(&authorization), second);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
        let (status, body) = read(&response);
        let message = body["error"]["message"].as_str().unwrap();
        assert!(status == 401 && message.starts_with(expected), "{status} {message}");
    }
}

#[test]
fn every_answer_carries_the_services_headers() {
    let world = world();
    let bearer = world.bearer(OFFICER, 0);
    let response = world.send("kv-keyside", ("GET", "/secrets/db-password/?api-version=7.4"), Some(&bearer), 0);
    let rows = [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("content-type", "application/json; charset=utf-8"),
        ("strict-transport-security", "max-age=31536000;includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-ms-keyvault-region", "westeurope"),
        ("x-ms-client-request-id", "call-1"),
        ("x-ms-keyvault-network-info", "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;"),
    ];
    for (name, expected) in rows {
        assert_eq!(response.headers()[name], expected, "{name}");
    }
    assert_eq!(response.headers()["x-ms-keyvault-rbac-assignment-id"].len(), 32);
    let missing = world.send("kv-keyside", ("GET", "/secrets/none?api-version=7.4"), Some(&bearer), 0);
    assert!(missing.headers().contains_key("x-ms-keyvault-rbac-assignment-id"), "also on a 404");
    let policies = world.send("kv-policies", ("GET", "/secrets/api-key?api-version=7.4"), Some(&bearer), 0);
    assert_eq!(policies.status(), 200);
    assert!(!policies.headers().contains_key("x-ms-keyvault-rbac-assignment-id"));
}

#[test]
fn the_api_version_is_mandatory_and_its_key_may_be_encoded() {
    let world = world();
    let rows = [
        ("?api-version=7.4", 200),
        ("?api%2Dversion=2025-07-01", 200),
        ("?api-version=2026-07-01-preview", 200),
        ("", 400),
        ("?api-version=", 400),
        ("?api-version=1.0", 400),
    ];
    for (query, expected) in rows {
        let (status, _) = world.officer(("GET", &format!("/secrets/db-password{query}")), &Value::Null, 0);
        assert_eq!(status, expected, "{query}");
    }
}

#[test]
fn a_bundle_has_the_services_members_in_its_order() {
    let world = world();
    let body = json!({ "value": "v", "contentType": "text/plain", "tags": { "a": "b" }, "attributes": { "exp": 2_527_401_600_i64, "nbf": 1 } });
    let (status, seen) = world.officer_sees(("PUT", "/secrets/new?api-version=2026-04-01"), &body, 1);
    let expected = [
        "value",
        "contentType",
        "id",
        "attributes",
        "enabled",
        "nbf",
        "exp",
        "created",
        "updated",
        "recoveryLevel",
        "recoverableDays",
        "tags",
        "a",
    ];
    assert_eq!((status, seen), (200, expected.map(String::from).to_vec()));
    let (_, first) = world.officer(("GET", "/secrets/new?api-version=2026-04-01"), &Value::Null, 2);
    assert_eq!(first["attributes"]["created"], NOON + 1);
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("https://kv-keyside.vault.azure.net/secrets/new/"), "{id}");
    let (_, old) = world.officer_sees(("GET", "/secrets/new?api-version=7.0"), &Value::Null, 2);
    assert!(!old.contains(&"recoverableDays".to_string()), "{old:?}");
    let (_, again) = world.officer(("PUT", "/secrets/new?api-version=2026-04-01"), &json!({ "value": "w" }), 2);
    assert!(id.ends_with(again["previousVersion"].as_str().unwrap()));
    let (_, old) = world.officer(("GET", "/secrets/new?api-version=7.6"), &Value::Null, 2);
    assert!(old.get("previousVersion").is_none());
}

#[test]
fn an_update_changes_no_version_and_shows_no_value() {
    let world = world();
    let (_, before) = world.officer(("GET", "/secrets/db-password?api-version=7.4"), &Value::Null, 0);
    let patch = ("PATCH", "/secrets/db-password/?api-version=7.4");
    let (status, seen) = world.officer_sees(patch, &json!({ "tags": { "foo": "bar" } }), 9);
    let expected = [&["contentType", "id"][..], &ATTRIBUTES, &["tags", "foo"]].concat();
    assert_eq!((status, seen), (200, expected.into_iter().map(String::from).collect()));
    let (_, after) = world.officer(("GET", "/secrets/db-password?api-version=7.4"), &Value::Null, 9);
    assert_eq!(after["tags"], json!({ "foo": "bar" }));
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["attributes"]["updated"], NOON + 9);
    assert_eq!(after["attributes"]["created"], NOON);
}

#[test]
fn a_secret_lives_dies_and_returns() {
    let world = world();
    let nothing = Value::Null;
    let get = ("GET", "/secrets/db-password/?api-version=7.4");
    let (status, deleted) = world.officer(("DELETE", "/secrets/db-password?api-version=7.4"), &nothing, 10);
    assert_eq!(status, 200);
    assert_eq!(deleted["scheduledPurgeDate"], NOON + 10 + 90 * 86_400);
    assert_eq!(world.officer(get, &nothing, 10).0, 404);
    let get_deleted = ("GET", "/deletedsecrets/db-password?api-version=7.4");
    assert_eq!(world.officer(get_deleted, &nothing, 10).1["error"]["message"], "Deleted Secret not found: db-password");
    assert_eq!(world.officer(get_deleted, &nothing, 11), (200, deleted));
    let (_, seen) = world.officer_sees(get_deleted, &nothing, 11);
    let expected =
        [&["recoveryId", "deletedDate", "scheduledPurgeDate", "contentType", "id"][..], &ATTRIBUTES].concat();
    assert_eq!(seen[..expected.len()], expected[..]);
    let (_, list) = world.officer(("GET", "/deletedsecrets?api-version=7.4"), &nothing, 11);
    assert_eq!(list["value"][0]["id"], "https://kv-keyside.vault.azure.net/secrets/db-password");
    let (status, recovered) =
        world.officer(("POST", "/deletedsecrets/db-password/recover?api-version=7.4"), &nothing, 11);
    assert!(status == 200 && recovered.get("value").is_none());
    assert_eq!(world.officer(get, &nothing, 12).0, 404);
    assert_eq!(world.officer(get, &nothing, 13).1["value"], "emulated-db-password");
    world.officer(("DELETE", "/secrets/db-password?api-version=7.4"), &nothing, 20);
    let purge = ("DELETE", "/deletedsecrets/db-password?api-version=7.4");
    assert_eq!(world.officer(purge, &nothing, 20).0, 409);
    let bearer = world.bearer(OFFICER, 21);
    let purged = world.send("kv-keyside", purge, Some(&bearer), 21);
    assert_eq!(purged.status(), 204);
    assert!(!purged.headers().contains_key(header::CONTENT_TYPE));
    assert_eq!(world.officer(("PUT", "/secrets/db-password?api-version=7.4"), &json!({ "value": "new" }), 21).0, 200);
}

#[test]
fn a_backup_is_taken_back_with_every_version() {
    let world = world();
    let nothing = Value::Null;
    world.officer(("PUT", "/secrets/db-password?api-version=7.4"), &json!({ "value": "second" }), 1);
    let (status, backup) = world.officer(("POST", "/secrets/db-password/backup?api-version=7.4"), &nothing, 2);
    assert!(status == 200 && backup["value"].is_string());
    world.officer(("DELETE", "/secrets/db-password?api-version=7.4"), &nothing, 3);
    world.officer(("DELETE", "/deletedsecrets/db-password?api-version=7.4"), &nothing, 9);
    let (status, restored) = world.officer(("POST", "/secrets/restore?api-version=7.4"), &backup, 9);
    assert!(status == 200 && restored["id"].is_string() && restored.get("value").is_none());
    let (_, versions) = world.officer(("GET", "/secrets/db-password/versions?api-version=7.4"), &nothing, 9);
    assert_eq!(versions["value"].as_array().unwrap().len(), 2);
}

#[test]
fn lists_go_page_by_page_over_links_to_the_callers_own_address() {
    let world = world();
    for number in 0..30 {
        world.officer(("PUT", &format!("/secrets/many-{number:02}?api-version=7.0")), &json!({ "value": "v" }), 1);
    }
    let mut target = "/secrets?api-version=7.0&maxresults=20".to_string();
    let mut names: Vec<String> = Vec::new();
    loop {
        let (status, page) = world.officer(("GET", &target), &Value::Null, 1);
        assert!(status == 200 && page.get("nextLink").is_some(), "null on the last page");
        let ids = page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap());
        names.extend(ids.map(|id| id.rsplit('/').next().unwrap().to_string()));
        let Some(link) = page["nextLink"].as_str() else { break };
        assert!(link.starts_with("https://127.0.0.1:8443/secrets?api-version=7.0&$skiptoken="), "{link}");
        assert!(link.ends_with("&maxresults=20"), "{link}");
        target = link.trim_start_matches("https://127.0.0.1:8443").to_string();
    }
    assert_eq!(names.len(), 32);
    assert!(names.is_sorted());
}

#[test]
fn versions_are_listed_in_the_order_of_their_ids() {
    let world = world();
    for _ in 0..8 {
        world.officer(("PUT", "/secrets/db-password?api-version=7.4"), &json!({ "value": "v" }), 1);
    }
    let (_, page) = world.officer(("GET", "/secrets/db-password/versions?api-version=7.4"), &Value::Null, 1);
    let ids: Vec<&str> = page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 9);
    assert!(ids.is_sorted() && page["nextLink"].is_null());
}

#[test]
fn who_may_not_is_told_so_before_the_object_is_looked_at() {
    let world = world();
    let bearer = world.bearer(STRANGER, 0);
    for name in ["db-password", "none"] {
        let (status, body) =
            read(&world.send("kv-keyside", ("GET", &format!("/secrets/{name}?api-version=7.4")), Some(&bearer), 0));
        let message = body["error"]["message"].as_str().unwrap();
        assert_eq!((status, &body["error"]["innererror"]["code"]), (403, &json!("ForbiddenByRbac")));
        let resource = format!(
            "\r\nResource: '/subscriptions/00000000-0000-4000-8000-000000000001/resourcegroups/keyside/providers/microsoft.keyvault/vaults/kv-keyside/secrets/{name}'\r\n"
        );
        assert!(message.contains(&resource), "{message}");
        assert!(message.contains("Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\n"), "{message}");
        assert!(message.ends_with("Vault: kv-keyside;location=westeurope\r\n"), "{message}");
    }
    let (status, body) =
        read(&world.send("kv-policies", ("GET", "/secrets/api-key?api-version=7.4"), Some(&bearer), 0));
    assert_eq!((status, &body["error"]["innererror"]["code"]), (403, &json!("AccessDenied")));
}

#[test]
fn a_role_acts_when_its_propagation_has_passed() {
    let world = world();
    let grant =
        RoleGrant { principal: STRANGER, role: "Key Vault Secrets User".into(), secret: Some("db-password".into()) };
    world
        .vaults
        .change("kv-keyside", |vault| {
            vault.role_changes_take = std::time::Duration::from_mins(1);
            Ok(())
        })
        .unwrap();
    world.vaults.grant_role("kv-keyside", &grant, at(0)).unwrap();
    world.vaults.revoke_role("kv-keyside", &grant, at(100)).unwrap();
    for (second, expected) in [(59, 403), (60, 200), (159, 200), (160, 403)] {
        let bearer = world.bearer(STRANGER, second);
        let response = world.send("kv-keyside", ("GET", "/secrets/db-password?api-version=7.4"), Some(&bearer), second);
        assert_eq!(response.status(), expected, "at {second}");
    }
    assert!(world.vaults.revoke_role("kv-keyside", &grant, at(200)).is_err(), "it is gone");
}

#[test]
fn the_firewall_comes_before_roles_and_after_the_token() {
    let world = world();
    let call = ("GET", "/secrets/db-password?api-version=7.4");
    let stranger = world.bearer(STRANGER, 0);
    let closed = Network { default_action: crate::vault::DefaultAction::Deny, ..Network::default() };
    let private = Network { public_network_access: Switch::Disabled, ..Network::default() };
    for (network, expected) in [(closed, "ForbiddenByFirewall"), (private, "ForbiddenByConnection")] {
        world.vaults.set_network("kv-keyside", network).unwrap();
        assert_eq!(world.send("kv-keyside", call, None, 0).status(), 401);
        let (status, body) = read(&world.send("kv-keyside", call, Some(&stranger), 0));
        assert_eq!((status, &body["error"]["innererror"]["code"]), (403, &json!(expected)));
    }
}

#[test]
fn purge_protection_and_throttle_speak_the_services_words() {
    let world = world();
    let bearer = world.bearer(OFFICER, 0);
    let (status, body) =
        read(&world.send("kv-policies", ("DELETE", "/deletedsecrets/x?api-version=7.4"), Some(&bearer), 0));
    assert_eq!((status, &body["error"]["innererror"]["code"]), (403, &json!("AccessDenied")), "rights come first");
    world
        .vaults
        .change("kv-keyside", |vault| {
            vault.lifecycle.purge_protection = true;
            vault.throttle = Some(crate::vault::throttle::Throttle::new(1, std::time::Duration::from_secs(10)));
            Ok(())
        })
        .unwrap();
    let (status, body) = world.officer(("DELETE", "/deletedsecrets/x?api-version=7.4"), &Value::Null, 0);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        status == 403 && message.starts_with("Operation \"purge\" is not allowed because purge protection"),
        "{message}"
    );
    let response = world.send("kv-keyside", ("GET", "/secrets/db-password?api-version=7.4"), Some(&bearer), 1);
    assert!(!response.headers().contains_key(header::RETRY_AFTER), "a real 429 has none");
    assert_eq!((response.status().as_u16(), &read(&response).1["error"]["code"]), (429, &json!("Throttled")));
    assert_eq!(world.officer(("GET", "/secrets/db-password?api-version=7.4"), &Value::Null, 10).0, 200);
}
