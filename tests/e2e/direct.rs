//! `keyside get --direct`: one secret without an agent, as on a laptop.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use keyside_tests::agent::keyside;
use keyside_tests::estate::{CLIENT_SECRET, Estate, OBJECT, VAULT};
use keyside_tests::{binaries, wait};

const URL: &str = "https://ml-vault.vault.azure.net";

type Variables = BTreeMap<String, String>;

fn get(variables: &Variables, arguments: &[&str]) -> Output {
    keyside(&[&["get", "--direct"], arguments].concat(), variables)
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn with(mut variables: Variables, more: &[(&str, &str)]) -> Variables {
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

#[test]
fn a_vault_is_named_by_flag_or_variable_and_the_secret_as_the_vault_does() {
    let value = "hunter2\n\u{1F511} and no newline at the end";
    let estate = Estate::start(&[("db-password", value)]);
    let by_flag = get(&estate.variables(), &["db-password", "--vault-url", URL]);
    let by_variable = get(&with(estate.variables(), &[("KEY_VAULT_URL", URL)]), &["db-password"]);
    for output in [by_flag, by_variable] {
        assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
        assert_eq!(output.stdout, value.as_bytes());
    }
}

#[test]
fn a_configuration_gives_the_local_name_its_encoding_and_the_identity() {
    let estate = Estate::start(&[("vendor-key", "AAH/aHVudGVyMg==")]);
    let config = "[identity]\nkind = 'client-secret'\n[[secret]]\nname = 'key'\nvault_name = 'vendor-key'\n\
                  encoding = 'base64'\n";
    let path = estate.config(config).display().to_string();
    let elsewhere = with(estate.variables(), &[("KEY_VAULT_URL", "https://other.vault.azure.net")]);
    for variables in [estate.variables(), elsewhere] {
        let output = get(&variables, &["key", "--config", &path]);
        assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
        assert_eq!(output.stdout, b"\x00\x01\xffhunter2");
    }
    let output = get(&estate.variables(), &["vendor-key", "--config", &path]);
    assert_eq!(output.status.code(), Some(66), "{}", told(&output));
    assert!(told(&output).contains("configures no secret 'vendor-key'"), "{}", told(&output));
}

/// A token of the emulated user for the vault.
fn user_token(estate: &Estate) -> String {
    let platform = estate.emulator.variables()["AZURE_POD_IDENTITY_AUTHORITY_HOST"].clone();
    let address = platform.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the emulator listens");
    let target = "/obo/token?resource=https://vault.azure.net";
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
    json["access_token"].as_str().expect("a token").to_owned()
}

/// An environment in which nobody is signed in but the user of the Azure CLI, which is a script that
/// answers as it does, after so many seconds.
fn laptop(estate: &Estate, seconds: u32) -> Variables {
    let folder = estate.folder().join("bin");
    std::fs::create_dir(&folder).expect("own folder");
    let answer = serde_json::json!({
        "accessToken": user_token(estate), "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": 4_070_908_800_i64,
        "subscription": "s", "tenant": keyside_tests::estate::TENANT, "tokenType": "Bearer",
    });
    let program = folder.join("az");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = 'account get-access-token' ] || exit 2\nsleep {seconds}\ncat <<'END'\n{answer}\nEND\n"
    );
    std::fs::write(&program, script).expect("own folder");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("own file");
    let path = format!("{}:/usr/bin:/bin", folder.display());
    with(estate.emulator.variables(), &[("PATH", &path), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")])
}

#[test]
fn whoever_has_signed_in_to_the_azure_cli_reads_it() {
    let estate = Estate::start(&[("db-password", "hunter2-k9")]);
    let variables = laptop(&estate, 0);
    let output = get(&variables, &["db-password", "--vault-url", URL]);
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
    assert_eq!(output.stdout, b"hunter2-k9");

    let config = estate.config("[identity]\nkind = 'azure-cli'\n[[secret]]\nname = 'db-password'\n");
    let output = get(&variables, &["db-password", "--config", &config.display().to_string()]);
    assert_eq!(output.stdout, b"hunter2-k9", "{}", told(&output));

    let checked = keyside(&["check", "--online", "--config", &config.display().to_string()], &variables);
    let page = String::from_utf8(checked.stdout).expect("text");
    assert_eq!(checked.status.code(), Some(0), "{page}");
    assert!(page.contains("identity     Azure CLI (kind azure-cli)"), "{page}");
    assert!(page.contains("token        of a user for https://vault.azure.net"), "{page}");
    assert!(!page.contains("asked at"), "the command goes its own ways: {page}");
}

#[test]
fn the_azure_cli_may_take_longer_than_a_request_may() {
    let estate = Estate::start(&[("db-password", "hunter2-k9")]);
    let output = get(&laptop(&estate, 11), &["db-password", "--vault-url", URL]);
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
    assert_eq!(output.stdout, b"hunter2-k9");
}

#[test]
fn every_end_has_its_code_and_one_line() {
    let estate = Estate::start(&[("db-password", "hunter2-k9"), ("off", "hunter2-off")]);
    estate.emulator.run(&["secret", "disable", VAULT, "off"]);
    let here = estate.variables();
    let no_roots = with(here.clone(), &[("SSL_CERT_FILE", "/nonexistent/ca.pem")]);
    let no_vault = with(here.clone(), &[("HTTPS_PROXY", "http://127.0.0.1:1")]);
    let bad_url = with(here.clone(), &[("KEY_VAULT_URL", "https://example.org")]);
    let wrong = with(here.clone(), &[("AZURE_CLIENT_SECRET", "wrong-9fK2"), ("KEY_VAULT_URL", URL)]);
    let kind = "[identity]\nkind = 'client-secret'\n[[secret]]\nname = 'db-password'\n";
    let config = estate.config(kind).display().to_string();
    let configured = ["db-password", "--config", &config];
    let at: &[&str] = &["db-password", "--vault-url", URL];
    let rows: Vec<(&Variables, &[&str], i32, &str)> = vec![
        (&here, &["absent", "--vault-url", URL], 66, "no value of 'absent': the vault has no such secret"),
        (&here, &["off", "--vault-url", URL], 66, "the secret is disabled"),
        (&no_roots, at, 78, "no CA certificate in /nonexistent/ca.pem"),
        (&no_vault, at, 69, "the proxy 127.0.0.1:1"),
        (&bad_url, &["db-password"], 64, "KEY_VAULT_URL: 'https://example.org' is no Key Vault URL"),
        (&here, &["db-password"], 64, "name the vault by --vault-url or KEY_VAULT_URL"),
        (&here, &["db-password", "--config", "/nonexistent.toml"], 78, "could not read the configuration"),
        (&wrong, &configured, 69, "AADSTS7000215"),
    ];
    for (variables, arguments, code, part) in rows {
        let output = get(variables, arguments);
        let told = told(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(part), "{part} in {told}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(!told.contains("wrong-9fK2"), "{told}");
    }
    estate.emulator.run(&["role", "revoke", VAULT, OBJECT, "Key Vault Secrets User"]);
    assert_eq!(get(&here, at).status.code(), Some(66));
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "429"]);
    assert_eq!(get(&here, at).status.code(), Some(75));
}

#[test]
fn the_process_gives_up_rights_before_it_asks() {
    let estate = Estate::start(&[("db-password", "hunter2-k9")]);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--hang"]);
    let mut command = binaries::command("keyside");
    command.envs(estate.variables()).args(["get", "--direct", "db-password", "--vault-url", URL]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let status = format!("/proc/{}/status", process.id());
    wait::until("the request at the vault", || {
        estate.emulator.run(&["requests"]).contains(".vault.azure.net").then_some(())
    });
    let status = std::fs::read_to_string(status).expect("it waits for the vault");
    process.kill().and_then(|()| process.wait()).expect("own child");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn nothing_confidential_is_logged_at_any_level() {
    let estate = Estate::start(&[("db-password", "hunter2-Gk3vQ8zL1x")]);
    let output = get(&with(estate.variables(), &[("RUST_LOG", "trace")]), &["db-password", "--vault-url", URL]);
    assert_eq!(output.stdout, b"hunter2-Gk3vQ8zL1x");
    let log = told(&output);
    assert!(log.contains("TRACE") && log.lines().count() > 20, "libraries log too: {log}");
    for confidential in ["hunter2", CLIENT_SECRET, "eyJ"] {
        assert!(!log.contains(confidential), "'{confidential}' is in the log");
    }
}
