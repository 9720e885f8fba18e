//! Whether an apply could succeed, asked beforehand.

use keyside_tests::subscription::{COLLEAGUE, COLLEAGUE_CLIENT, Subscription};

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
