//! Whether an apply could succeed, asked beforehand.

use keyside_tests::subscription::{COLLEAGUE, COLLEAGUE_CLIENT, SUBSCRIPTION, Subscription};

use crate::life::whole;

#[test]
fn an_owner_of_an_empty_subscription_is_told_that_all_is_well_and_nothing_is_written() {
    let subscription = whole("");
    let run = subscription.succeed(&["preflight"]);
    assert!(run.out.contains("ok       name of key vault ml-kv-scenario"), "{}", run.out);
    assert!(!run.out.contains("missing"), "{}", run.out);
    assert!(subscription.writes().iter().all(|line| line.to_lowercase().contains("checknameavailability")));
}

#[test]
fn a_contributor_is_told_which_right_is_missing_before_anything_fails() {
    let role = format!("[[subscription.role_assignments]]\nprincipal = '{COLLEAGUE}'\nrole = 'Contributor'\n");
    let subscription = whole(&role);
    let run = subscription.run_with(&["preflight"], &[("AZURE_CLIENT_ID", COLLEAGUE_CLIENT)], "");
    assert_eq!(run.code, Some(70), "{}", run.errors);
    let missing: Vec<_> = run.out.lines().filter(|line| line.starts_with("missing")).collect();
    assert_eq!(missing.len(), 1, "{}", run.out);
    assert!(missing[0].contains("Microsoft.Authorization/roleAssignments/write"), "{}", run.out);
}

#[test]
fn a_name_that_is_taken_is_told_for_programs_too() {
    let subscription =
        Subscription::start("[[vaults]]\nname = 'taken'\nlocation = 'westeurope'\nresource_group = 'elsewhere'\n");
    subscription.describe("name = 'taken'");
    let run = subscription.run(&["preflight", "--output", "json"]);
    assert_eq!(run.code, Some(70), "{}", run.errors);
    let json: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    let mut findings = json["findings"].as_array().expect("findings").iter();
    let name = findings.find(|finding| finding["check"] == "name of key vault taken").expect("a finding");
    assert_eq!(name["passed"], false);
    assert!(name["detail"].as_str().is_some_and(|detail| detail.contains("already in use")), "{name}");
}

/// What the colleague is told, and how it ends.
fn told_to_the_colleague(subscription: &Subscription) -> Vec<String> {
    let run = subscription.run_with(&["preflight"], &[("AZURE_CLIENT_ID", COLLEAGUE_CLIENT)], "");
    assert_eq!(run.code, Some(70), "{}{}", run.out, run.errors);
    assert_eq!(run.errors, "", "everything is a finding");
    run.out.lines().map(str::to_owned).collect()
}

#[test]
fn a_caller_without_any_right_is_told_all_that_is_missing() {
    let subscription = whole("");
    let told = told_to_the_colleague(&subscription);
    let missing = |part: &str| {
        let mut lines = told.iter().filter(|line| line.starts_with("missing"));
        assert!(lines.any(|line| line.contains(part)), "{part}: {told:#?}");
    };
    missing("name of key vault ml-kv-scenario");
    missing("name of storage account mlstscenario");
    missing("right Microsoft.Resources/subscriptions/resourceGroups/write on the subscription");
    missing("right Microsoft.Compute/virtualMachines/write on trainer");
    missing("right Microsoft.Authorization/roleAssignments/write on the subscription");
    missing("userAssignedIdentities/federatedIdentityCredentials/write");
    missing("ask an owner of trainer for it (needed: compute names a virtual machine)");
    assert!(!told.iter().any(|line| line.contains(" right ") && line.starts_with("ok")), "{told:#?}");
}

#[test]
fn a_contributor_of_the_group_alone_is_told_which_providers_somebody_else_has_to_register() {
    let seed = format!(
        "[[subscription.resource_groups]]\nname = 'ml-rg'\nlocation = 'westeurope'\n[[subscription.role_assignments]]\n\
         principal = '{COLLEAGUE}'\nrole = 'Owner'\n"
    );
    let subscription = Subscription::start_with_providers("'Microsoft.KeyVault'", &seed);
    subscription.describe("name = 'ml-kv-group'\n[agent_identity]\n");
    // A seed gives rights on the whole subscription alone, so what the subscription itself answers is stated here.
    let refusal = r#"{"error":{"code":"AuthorizationFailed","message":"m"}}"#;
    let permissions = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/permissions");
    for (path, status, body) in
        [(permissions.as_str(), "200", r#"{"value":[]}"#), ("*/checkNameAvailability", "403", refusal)]
    {
        let fault =
            ["fault", "add", "--host", "management.azure.com", "--path", path, "--status", status, "--body", body];
        subscription.emulator.run(&fault);
    }
    let told = told_to_the_colleague(&subscription);
    let missing: Vec<_> = told.iter().filter(|line| line.starts_with("missing")).collect();
    assert_eq!(missing.len(), 1, "{told:#?}");
    assert!(missing[0].contains("Microsoft.ManagedIdentity/register/action"), "{told:#?}");
    assert!(
        told.iter().any(|line| line.contains("provider Microsoft.KeyVault") && line.starts_with("ok")),
        "{told:#?}"
    );
}
