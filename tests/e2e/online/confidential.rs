//! No way of telling what was found shows a value, a token or a credential, not even with every library at trace level.

use keyside_tests::agent::keyside;
use keyside_tests::estate::{CLIENT_SECRET, Estate, OBJECT, VAULT};

use crate::{CONFIG, VALUES};

/// Everything that a check prints with this configuration.
fn everything(estate: &Estate, config: &str) -> Vec<String> {
    let path = estate.config(config).display().to_string();
    let traced = estate.variables_and(&[("RUST_LOG", "trace")]);
    let mut texts = Vec::new();
    let principal = [
        ("AZURE_TENANT_ID", keyside_tests::estate::TENANT),
        ("AZURE_CLIENT_ID", keyside_tests::estate::CLIENT),
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
    ];
    let traced = traced.into_iter().chain(principal.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
    for output in ["text", "json"] {
        let printed = keyside(&["check", "--online", "--config", &path, "--output", output], &traced);
        let log = String::from_utf8(printed.stderr).expect("text");
        assert!(log.contains("TRACE") && log.lines().count() > 50, "libraries log too: {log}");
        texts.extend([String::from_utf8(printed.stdout).expect("text"), log]);
    }
    texts
}

#[test]
fn nothing_confidential_is_shown_whatever_is_found() {
    let estate = Estate::start(&VALUES);
    let base64 = CONFIG.replace("'api-token'\n", "'api-token'\nencoding = 'base64'\n");
    let mut texts = everything(&estate, CONFIG);
    texts.extend(everything(&estate, &base64));
    estate.emulator.run(&["role", "revoke", VAULT, OBJECT, "Key Vault Secrets User"]);
    estate.emulator.run(&["role", "grant", VAULT, OBJECT, "Key Vault Secrets User", "--secret", "db-password"]);
    texts.extend(everything(&estate, CONFIG));
    estate.answer_with("db-password", r"hunter2-Gk3vQ8zL1x\ud800");
    texts.extend(everything(&estate, CONFIG));
    estate.emulator.run(&["fault", "clear"]);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--path", "/secrets/*", "--cut", "20"]);
    texts.extend(everything(&estate, CONFIG));
    for text in &texts {
        for (name, value) in VALUES {
            assert!(!text.contains(value), "the value of {name} is shown");
            let bytes = value.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
            assert!(!text.contains(&bytes), "the value of {name} is shown as a list of bytes");
        }
        assert!(!text.contains(CLIENT_SECRET), "the client secret is shown");
        // Every JSON web token begins with this, the base64 of `{"`.
        assert!(!text.contains("eyJ"), "a token is shown");
    }
}
