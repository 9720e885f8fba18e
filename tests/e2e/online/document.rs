//! The document for programs, member by member: what reads it relies on its shape.

use keyside_tests::estate::{CLIENT, Estate, OBJECT, TENANT, VAULT};
use serde_json::{Value, json};

use crate::{VALUES, check};

const CONFIG: &str =
    "[[secret]]\nname = 'db'\nvault_name = 'db-password'\n[[secret]]\nname = 'gone'\noptional = true\n";

#[test]
fn the_document_has_exactly_these_members() {
    let estate = Estate::start(&VALUES);
    let checked = check(&estate, CONFIG, &["--output", "json"]);
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    let mut found = checked.json();
    let taken = |value: &mut Value, pointer: &str| value.pointer_mut(pointer).expect("a member").take();
    let version = taken(&mut found, "/online/secrets/0/version");
    assert_eq!(version.as_str().map(str::len), Some(32), "{version}");
    let expires = taken(&mut found, "/online/token/expires");
    assert!(expires.as_str().is_some_and(|time| time.ends_with('Z')), "{expires}");
    let unset = "AZURE_CLIENT_SECRET is not set";
    assert!(!checked.out.contains(unset), "the first source is the one that was taken");
    let expected = expected(&estate, &found["warnings"]);
    assert_eq!(found, expected, "{found:#}");
}

/// The document of a check that finds what readiness wants, without what differs from run to run.
fn expected(estate: &Estate, warnings: &Value) -> Value {
    let variables = estate.variables();
    let proxy = variables["HTTPS_PROXY"].trim_start_matches("http://");
    json!({
        "config": estate.folder().join("agent.toml"),
        "problems": [],
        "warnings": warnings,
        "online": {
            "verdict": "ready",
            "vault": format!("https://{VAULT}.vault.azure.net"),
            "way": {
                "reached": true,
                "proxy": proxy,
                "addresses": [],
                "seen_as": "203.0.113.7",
                "trusted_certificates": 1,
                "trusted_from": variables["SSL_CERT_FILE"],
                "clock_ahead_seconds": 0,
                "tenant_id": TENANT,
            },
            "identity": {
                "kind": "auto",
                "source": "client secret",
                "endpoint": "login.microsoftonline.com",
                "endpoint_proxy": proxy,
                "skipped": [],
            },
            "token": {
                "audience": "https://vault.azure.net",
                "tenant_id": TENANT,
                "object_id": OBJECT,
                "client_id": CLIENT,
                "holder": "application",
                "expires": null,
            },
            "list": "allowed",
            "secrets": [
                {
                    "name": "db", "vault_name": "db-password", "required": true, "readable": true, "problem": null,
                    "version": null, "expires": null, "expired": false,
                },
                {
                    "name": "gone", "vault_name": "gone", "required": false, "readable": false, "problem": "not_found",
                    "version": null, "expires": null, "expired": false,
                },
            ],
            "findings": [gone()],
        },
    })
}

fn gone() -> Value {
    let set = |rest: &str| format!("az keyvault secret {rest}");
    json!({
        "code": "not_found",
        "weight": "warning",
        "transient": false,
        "secrets": ["gone"],
        "message": "the vault has no secret 'gone': write it, recover it if it was deleted, or correct its name",
        "commands": [
            set("set --vault-name ml-vault --name gone --file FILE"),
            set("recover --vault-name ml-vault --name gone"),
        ],
    })
}
