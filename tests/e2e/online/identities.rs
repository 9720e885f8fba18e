//! Which identity was taken, and why each other one was not.

use keyside_tests::estate::{CLIENT, CLIENT_SECRET, Estate, MANAGED_CLIENT, PLATFORM_SECRET, TENANT};
use serde_json::{Value, json};

use crate::{CONFIG, VALUES, check_as};

/// The identity's part of the document, in this environment, with the exit code.
fn identity(estate: &Estate, kind: &str, variables: &[(&str, &str)]) -> (Option<i32>, Value) {
    let config = format!("[identity]\n{kind}\n{CONFIG}");
    let checked = check_as(&estate.variables_and(variables), estate, &config, &["--output", "json"]);
    (checked.code, checked.json()["online"].clone())
}

fn skipped(online: &Value) -> Vec<(&str, &str)> {
    let list = online["identity"]["skipped"].as_array().expect("a list");
    list.iter()
        .map(|one| (one["source"].as_str().expect("a source"), one["reason"].as_str().expect("a reason")))
        .collect()
}

#[test]
fn each_source_that_was_passed_over_has_its_reason() {
    let estate = Estate::start(&VALUES);
    let (code, online) = identity(&estate, "kind = 'auto'", &[("AZURE_CLIENT_ID", MANAGED_CLIENT)]);
    assert_eq!(code, Some(0), "{online:#}");
    assert_eq!(online["identity"]["source"], "IMDS");
    let expected = [
        ("client secret", "AZURE_CLIENT_SECRET is not set"),
        ("client certificate", "AZURE_CLIENT_CERTIFICATE_PATH is not set"),
        ("workload identity", "AZURE_FEDERATED_TOKEN_FILE is not set"),
        ("App Service identity", "IDENTITY_ENDPOINT is not set"),
        ("Azure ML identity", "MSI_ENDPOINT is not set"),
    ];
    assert_eq!(skipped(&online), expected);
}

#[test]
fn a_source_that_was_asked_in_vain_is_quoted() {
    let estate = Estate::start(&VALUES);
    let platform = estate.emulator.variables()["AZURE_POD_IDENTITY_AUTHORITY_HOST"].clone();
    let msi = format!("{platform}/msi/token");
    let variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", MANAGED_CLIENT),
        ("AZURE_CLIENT_SECRET", "wrong-9fK2"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent/token"),
        ("MSI_ENDPOINT", &msi),
        ("MSI_SECRET", PLATFORM_SECRET),
    ];
    let (code, online) = identity(&estate, "", &variables);
    assert_eq!(code, Some(0), "{online:#}");
    assert_eq!(online["identity"]["source"], "Azure ML identity");
    let skipped = skipped(&online);
    assert!(skipped[0].0 == "client secret" && skipped[0].1.contains("AADSTS"), "{skipped:?}");
    assert!(skipped[2].1.contains("could not read /nonexistent/token"), "{skipped:?}");
    assert!(!online.to_string().contains("wrong-9fK2"), "{online:#}");
}

#[test]
fn an_identity_endpoint_of_the_machine_is_asked_without_the_proxy() {
    let estate = Estate::start(&VALUES);
    let host = estate.emulator.variables()["AZURE_POD_IDENTITY_AUTHORITY_HOST"].clone();
    let (_, online) = identity(&estate, "kind = 'managed-identity'", &[("AZURE_CLIENT_ID", MANAGED_CLIENT)]);
    assert_eq!(online["identity"]["endpoint"], host.trim_start_matches("http://"));
    assert_eq!(online["identity"]["endpoint_proxy"], Value::Null, "{online:#}");
    let proxy = online["way"]["proxy"].as_str().expect("a proxy").to_owned();

    let (_, online) = identity(&estate, "", &principal());
    assert_eq!(online["identity"]["endpoint"], "login.microsoftonline.com");
    assert_eq!(online["identity"]["endpoint_proxy"], json!(proxy));
}

fn principal() -> [(&'static str, &'static str); 3] {
    [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)]
}

#[test]
fn without_any_identity_no_secret_is_asked_for() {
    let estate = Estate::start(&VALUES);
    let nowhere = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")];
    let (code, online) = identity(&estate, "", &nowhere);
    assert_eq!(code, Some(69), "{online:#}");
    assert_eq!((&online["token"], &online["identity"]["source"]), (&Value::Null, &Value::Null));
    let skipped = skipped(&online);
    assert_eq!(skipped.len(), 7, "{skipped:?}");
    assert!(skipped[5].1.contains("could not connect to 127.0.0.1:1"), "{skipped:?}");
    assert!(skipped[6].1.contains("az not found on PATH"), "{skipped:?}");
    assert_eq!(online["findings"][0]["code"], "no_token");
    let advice = &online["findings"][0];
    assert!(advice["message"].as_str().is_some_and(|text| text.contains("install the Azure CLI")), "{advice:#}");
    assert_eq!(advice["commands"], json!([]));
    assert!(online["secrets"].as_array().expect("a list").iter().all(|one| one["readable"].is_null()), "{online:#}");
}

#[test]
fn a_sign_in_service_that_cannot_serve_is_a_matter_of_time_and_a_refusal_is_not() {
    let estate = Estate::start(&VALUES);
    let sign_in = ["fault", "add", "--host", "login.microsoftonline.com"];
    for (fault, expected) in [(&["--status", "503"], 75), (&["--cut", "0"], 75), (&["--status", "401"], 69)] {
        estate.emulator.run(&[&sign_in[..], fault].concat());
        let (code, online) = identity(&estate, "kind = 'client-secret'", &principal());
        assert_eq!(code, Some(expected), "{fault:?}: {online:#}");
        assert_eq!(online["findings"][0]["transient"], expected == 75);
        estate.emulator.run(&["fault", "clear"]);
    }
    estate.emulator.run(&["fault", "add", "--path", "/metadata/*", "--status", "429"]);
    let (code, online) = identity(&estate, "", &[]);
    assert_eq!(code, Some(75), "{online:#}");
}
