//! What is said when nobody is signed in: who was looked for, in which order, and why each gave no token.

use keyside_tests::subscription::{Run, Subscription};

/// Every way to sign in and what speaks against it where nothing is set, in the order in which they are tried.
const WAYS: [(&str, &str); 7] = [
    ("client secret", "AZURE_CLIENT_SECRET is not set"),
    ("client certificate", "AZURE_CLIENT_CERTIFICATE_PATH is not set"),
    ("workload identity", "AZURE_FEDERATED_TOKEN_FILE is not set"),
    ("App Service identity", "IDENTITY_ENDPOINT is not set"),
    ("Azure ML identity", "MSI_ENDPOINT is not set"),
    ("IMDS", "answers 400: Identity not found"),
    ("Azure CLI", "az not found on PATH"),
];

fn plan_with(variables: &[(&str, &str)]) -> Run {
    let subscription = Subscription::start("");
    subscription.describe("");
    let run = subscription.run_with(&["plan", "--output", "json"], variables, "");
    assert_eq!(run.code, Some(69), "{}", run.errors);
    let label = "keyside-bootstrap: could not sign in to tenant 11111111-1111-4111-8111-111111111111: no token for Azure: \
                 sign in with `az login`, or set the variables of an application: no sign-in: client secret: ";
    assert!(run.errors.starts_with(label), "{}", run.errors);
    run
}

fn tried(run: &Run) -> Vec<(String, String)> {
    let json: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(json["error"]["resource"]["kind"], "tenant", "{json:#}");
    let text = |one: &serde_json::Value, member: &str| one[member].as_str().unwrap_or_default().to_owned();
    let all = json["error"]["tried"].as_array().expect("a list");
    all.iter().map(|one| (text(one, "source"), text(one, "reason"))).collect()
}

#[test]
fn every_identity_that_was_tried_or_skipped_is_named_with_its_reason() {
    let run = plan_with(&[("AZURE_CLIENT_SECRET", ""), ("AZURE_CLIENT_ID", ""), ("AZURE_TENANT_ID", "")]);
    let tried = tried(&run);
    assert_eq!(tried.len(), WAYS.len(), "{tried:#?}");
    let mut rest = run.errors.as_str();
    for ((source, reason), (expected, why)) in tried.iter().zip(WAYS) {
        assert_eq!(source, expected, "{tried:#?}");
        assert!(reason.contains(why), "{source}: {reason}");
        let label = format!("{source}: {reason}");
        rest = rest.split_once(&label).unwrap_or_else(|| panic!("{label} for people, in order: {}", run.errors)).1;
    }
}

#[test]
fn an_identity_that_is_set_up_and_refused_is_named_with_what_the_service_says() {
    let run = plan_with(&[("AZURE_CLIENT_SECRET", "wrong-x91")]);
    let tried = tried(&run);
    assert_eq!(tried[0].0, "client secret", "{tried:#?}");
    assert!(tried[0].1.contains("AADSTS7000215"), "{tried:#?}");
    assert!(!run.errors.contains("wrong-x91") && !run.out.contains("wrong-x91"), "{}", run.errors);
}
