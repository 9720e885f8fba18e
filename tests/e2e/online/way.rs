//! The way to the vault: clocks, roots, proxies, and an environment in which there is none.

use std::net::TcpListener;

use keyside_tests::estate::{Estate, VAULT};

use crate::{CONFIG, VALUES, check, check_as};

/// Starts an estate whose variables are changed before a check of it.
fn checked_with(changes: &[(&str, &str)]) -> crate::Checked {
    let estate = Estate::start(&VALUES);
    let mut variables = estate.variables();
    variables.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    check_as(&variables, &estate, CONFIG, &[])
}

#[test]
fn a_clock_that_differs_is_a_warning_with_the_difference() {
    let estate = Estate::start(&VALUES);
    let requests = ["fault", "add", "--host", "*.vault.azure.net"];
    estate.emulator.run(&[&requests[..], &["--header", "Date: Thu, 01 Jan 2015 00:00:00 GMT"]].concat());
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    assert!(checked.out.contains("\nwarning: this machine's clock is "), "{}", checked.out);
    assert!(checked.out.contains(" s ahead of Azure's: sign-ins may be refused"), "{}", checked.out);
    let seconds = check(&estate, CONFIG, &["--output", "json"]).json()["online"]["way"]["clock_ahead_seconds"].as_i64();
    assert!(seconds.is_some_and(|seconds| seconds < -300_000_000), "{seconds:?}");
}

#[test]
fn foreign_roots_are_told_and_end_with_69() {
    let other = Estate::start(&[]);
    let foreign = other.emulator.variables()["SSL_CERT_FILE"].clone();
    let checked = checked_with(&[("SSL_CERT_FILE", &foreign)]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    let trusted = format!("trusted   1 CA certificate(s) from {foreign}\n");
    for part in [&*trusted, "signed by none of the trusted roots", "name its CA in SSL_CERT_FILE", "not asked"] {
        assert!(checked.out.contains(part), "{part} in {}", checked.out);
    }
}

#[test]
fn a_proxy_that_does_not_listen_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let checked = checked_with(&[("HTTPS_PROXY", &format!("http://user:hunter2@{free}"))]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    assert!(
        checked.out.contains(&format!("the proxy {free}, which the proxy variables name, cannot")),
        "{}",
        checked.out
    );
    assert!(checked.out.contains(&format!("proxy     {free}\n")), "{}", checked.out);
    assert!(!checked.out.contains("hunter2"), "{}", checked.out);
}

#[test]
fn a_name_that_this_machine_does_not_find_is_told() {
    let checked = checked_with(&[("NO_PROXY", "vault.azure.net"), ("no_proxy", "vault.azure.net")]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    for part in ["found at   no address", "could not find the address of ml-vault.vault.azure.net"] {
        assert!(checked.out.contains(part), "{part} in {}", checked.out);
    }
}

#[test]
fn something_that_is_no_vault_is_told() {
    let estate = Estate::start(&VALUES);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "200", "--body", "<html>"]);
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(69), "{}", checked.out);
    assert!(checked.out.contains("something that is no Key Vault answers"), "{}", checked.out);
}

#[test]
fn a_vault_that_never_answers_is_told_in_time() {
    let estate = Estate::start(&VALUES);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--path", "/secrets", "--hang"]);
    let start = std::time::Instant::now();
    let checked = check(&estate, CONFIG, &[]);
    assert_eq!(checked.code, Some(75), "{}", checked.out);
    assert!(checked.out.contains("took longer than 10s"), "{}", checked.out);
    assert!(start.elapsed() < std::time::Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn an_environment_without_roots_ends_with_78_in_both_forms() {
    let checked = checked_with(&[("SSL_CERT_FILE", "/nonexistent/ca.pem")]);
    assert_eq!(checked.code, Some(78), "{}", checked.out);
    assert!(checked.out.contains("no CA certificate in /nonexistent/ca.pem"), "{}", checked.out);
    assert!(checked.out.contains("no connection can be tried in this environment"), "{}", checked.out);

    let estate = Estate::start(&VALUES);
    let variables = estate.variables_and(&[("SSL_CERT_FILE", "/nonexistent/ca.pem")]);
    let json = check_as(&variables, &estate, CONFIG, &["--output", "json"]).json();
    assert_eq!(json["online"]["verdict"], "misconfigured");
    assert_eq!(json["online"]["way"], serde_json::Value::Null);
}

#[test]
fn a_configuration_that_does_not_fit_is_told_before_azure_is_asked() {
    let estate = Estate::start(&VALUES);
    let checked = check(&estate, "colour = 1\n[[secret]]\nname = 'db-password'\n", &[]);
    assert_eq!(checked.code, Some(78), "{}", checked.out);
    assert!(checked.out.contains("colour") && !checked.out.contains(&format!("{VAULT}.vault")), "{}", checked.out);
    assert_eq!(estate.emulator.run(&["requests"]), "", "nothing was asked");
}
