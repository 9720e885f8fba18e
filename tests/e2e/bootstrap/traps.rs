//! What goes wrong with Azure's resources, one by one: survived, or refused with the way out.

use keyside_tests::subscription::{SUBSCRIPTION, Subscription};

use crate::life::whole;

fn applied(subscription: &Subscription) {
    subscription.succeed(&["apply", "--yes"]);
    let plan = subscription.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "{}{}", plan.out, plan.errors);
}

fn fault(subscription: &Subscription, words: &[&str]) {
    let all = ["fault", "add", "--host", "management.azure.com"].into_iter().chain(words.iter().copied());
    subscription.emulator.run(&all.collect::<Vec<_>>());
}

/// Refuses each of the first two PUTs to `path` like this.
fn refuse_twice(subscription: &Subscription, path: &str, status: &str, code: &str) {
    let body = format!(r#"{{"error":{{"code":"{code}","message":"An answer of this scenario."}}}}"#);
    fault(subscription, &["--method", "PUT", "--path", path, "--status", status, "--body", &body, "--count", "2"]);
}

#[test]
fn a_vault_in_its_deleted_state_is_refused_and_recovered_only_when_asked_for() {
    let subscription = whole("");
    subscription.succeed(&["apply", "--yes"]);
    let value = subscription.read_as_operator("ml-kv-scenario", "db-password");
    subscription.succeed(&["destroy", "--yes"]);
    let before = subscription.writes().len();
    let refused = subscription.run(&["apply", "--yes"]);
    assert_eq!(refused.code, Some(70), "{}", refused.out);
    assert!(refused.out.contains("run this with --recover"), "{}", refused.out);
    assert_eq!(subscription.writes().len(), before, "nothing was written");
    let recovered = subscription.succeed(&["apply", "--yes", "--recover"]);
    assert!(recovered.out.contains("+ recover key vault                   ml-kv-scenario"), "{}", recovered.out);
    assert_eq!(subscription.read_as_operator("ml-kv-scenario", "db-password"), value, "with the value that it had");
    applied(&subscription);
}

#[test]
fn a_recovered_vault_that_differs_is_left_as_it_is_until_a_plan_has_shown_it() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-back'\n[tags]\nteam = 'vision'");
    subscription.succeed(&["apply", "--yes"]);
    subscription.succeed(&["destroy", "--yes"]);
    subscription.describe("name = 'ml-kv-back'\nsku = 'premium'\n[tags]\nteam = 'audio'");
    let recovered = subscription.run(&["apply", "--yes", "--recover"]);
    assert_eq!(recovered.code, Some(70), "{}{}", recovered.out, recovered.errors);
    let told = "could not show (properties.sku.name, tags.team): run plan again";
    assert!(recovered.errors.contains(told), "{}", recovered.errors);
    let plan = subscription.succeed(&["plan"]);
    assert!(plan.out.contains("tags.team: \"vision\" -> \"audio\""), "{}", plan.out);
    applied(&subscription);
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("- destroy key vault"), "it is still known for ours: {}", destroyed.out);
}

#[test]
fn a_name_that_somebody_else_has_is_told_with_azures_code_and_the_next_step() {
    let subscription =
        Subscription::start("[[vaults]]\nname = 'taken'\nlocation = 'westeurope'\nresource_group = 'elsewhere'\n");
    subscription.describe("name = 'taken'");
    let apply = subscription.run(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(70));
    for part in
        ["could not create key vault taken", "409 VaultAlreadyExists", "request ", "set another name under [vault]"]
    {
        assert!(apply.errors.contains(part), "{part}: {}", apply.errors);
    }
}

#[test]
fn what_cannot_change_is_an_error_with_both_values_and_nothing_is_written() {
    let subscription = whole("");
    subscription.succeed(&["apply", "--yes"]);
    let text = std::fs::read_to_string(subscription.folder().join("estate.toml")).expect("the description");
    let text = text.replace("name = 'ml-kv-scenario'", "name = 'ml-kv-scenario'\nsoft_delete_days = 7");
    let text = text.replace("[workspace]", "[workspace]\ndata_isolation = true");
    std::fs::write(subscription.folder().join("estate.toml"), text).expect("written");
    let before = subscription.writes().len();
    let apply = subscription.run(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(70));
    for part in [
        "properties.softDeleteRetentionInDays is 90 in Azure and 7 in the file",
        "properties.enableDataIsolation is false in Azure and true in the file",
        "Azure does not let it change",
    ] {
        assert!(apply.out.contains(part), "{part}: {}", apply.out);
    }
    assert_eq!(subscription.writes().len(), before);
}

#[test]
fn the_group_in_another_region_is_an_error_with_both_regions() {
    let subscription = Subscription::start("[[subscription.resource_groups]]\nname = 'ml-rg'\nlocation = 'eastus'\n");
    subscription.describe("");
    let apply = subscription.run(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(70));
    assert!(apply.out.contains(r#"location is "eastus" in Azure and "westeurope" in the file"#), "{}", apply.out);
}

#[test]
fn purge_protection_is_announced_and_outlives_a_purge() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-safe'\npurge_protection = true");
    let plan = subscription.succeed(&["plan"]);
    assert!(plan.out.contains("note: purge protection cannot be turned off again"), "{}", plan.out);
    applied(&subscription);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    assert!(destroyed.out.contains("key vault ml-kv-safe stays"), "{}", destroyed.out);
    assert!(destroyed.out.contains("purge protection keeps it from being purged before"), "{}", destroyed.out);
}

#[test]
fn a_role_assignment_that_somebody_made_meanwhile_is_a_success() {
    let subscription = whole("");
    let body = r#"{"error":{"code":"RoleAssignmentExists","message":"The role assignment already exists."}}"#;
    let path = "*/ml-mlkv-scenario/providers/Microsoft.Authorization/roleAssignments/*";
    fault(&subscription, &["--method", "PUT", "--path", path, "--status", "409", "--body", body, "--count", "1"]);
    subscription.succeed(&["apply", "--yes"]);
}

#[test]
fn new_principals_and_new_rights_are_waited_for() {
    let subscription = whole("[arm]\nprincipals_take = '2s'\nrole_changes_take = '2s'\n");
    applied(&subscription);
    assert_eq!(subscription.read_as_operator("ml-kv-scenario", "api-token").as_deref(), Some("token-x91Lw0"));
}

#[test]
fn throttling_is_waited_out_with_and_without_a_hint() {
    let subscription = whole("");
    fault(
        &subscription,
        &["--path", "*/vaults/ml-kv-scenario", "--status", "429", "--header", "Retry-After: 1", "--count", "2"],
    );
    fault(&subscription, &["--path", "*/storageAccounts/*", "--status", "429", "--count", "2"]);
    subscription.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "429", "--count", "2"]);
    applied(&subscription);
}

#[test]
fn other_operations_and_bad_moments_are_waited_out() {
    let subscription = whole("");
    refuse_twice(&subscription, "*/vaults/ml-kv-scenario", "409", "AnotherOperationInProgress");
    refuse_twice(&subscription, "*/workspaces/ml-logs", "503", "ServiceUnavailable");
    refuse_twice(&subscription, "*/storageAccounts/*", "409", "StorageAccountOperationInProgress");
    refuse_twice(&subscription, "*/components/*", "409", "MissingSubscriptionRegistration");
    fault(
        &subscription,
        &["--method", "GET", "--path", "*/workspaceOperationsStatus/*", "--status", "500", "--count", "1"],
    );
    applied(&subscription);
}

#[test]
fn a_token_that_expires_in_a_long_run_is_replaced() {
    let subscription = whole("[directory.lifetimes]\nentra = '2s'\n[arm]\nworkspace_takes = '5s'\n");
    applied(&subscription);
    let tokens = subscription.emulator.run(&["requests"]).matches("login.microsoftonline.com").count();
    assert!(tokens > 4, "it signed in again: {tokens}");
}

#[test]
fn a_token_that_azure_rejects_is_replaced_once_and_not_for_ever() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-token'");
    fault(&subscription, &["--path", "*/vaults/ml-kv-token", "--status", "401", "--count", "1"]);
    applied(&subscription);
    fault(&subscription, &["--path", "*/vaults/ml-kv-token", "--status", "401"]);
    let plan = subscription.run(&["plan"]);
    assert_eq!(plan.code, Some(70), "{}", plan.errors);
    assert!(plan.errors.contains("could not read key vault ml-kv-token: Azure answers 401"), "{}", plan.errors);
}

#[test]
fn a_token_that_a_vault_rejects_is_replaced_once_and_not_for_ever() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-token'\n[[secret]]\nname = 'db'\ngenerate = {}");
    subscription.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "401", "--count", "1"]);
    applied(&subscription);
    subscription.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "401"]);
    let before = vault_requests(&subscription);
    let set = subscription.run_with(&["secret", "set", "db"], &[], "another-value\n");
    assert_eq!(set.code, Some(70), "{}", set.errors);
    assert!(set.errors.contains("could not set db") && set.errors.contains("the vault answers 401"), "{}", set.errors);
    let asked = vault_requests(&subscription) - before;
    assert!((2..=4).contains(&asked), "each of two tries asks once or, challenged, twice: {asked}");
}

fn vault_requests(subscription: &Subscription) -> usize {
    subscription.emulator.run(&["requests"]).lines().filter(|line| line.contains("/secrets/db")).count()
}

#[test]
fn the_words_of_a_vault_about_a_value_are_not_repeated_and_its_number_for_the_request_is() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-words'\n[[secret]]\nname = 'db'\ngenerate = {}");
    subscription.succeed(&["apply", "--yes"]);
    let body = r#"{"error":{"code":"BadParameter","message":"The value hunter2 is not valid."}}"#;
    let fault = ["fault", "add", "--host", "*.vault.azure.net", "--method", "PUT", "--status", "400", "--body", body];
    subscription.emulator.run(&[&fault[..], &["--header", "x-ms-request-id: 1d78"]].concat());
    let set = subscription.run_with(&["secret", "set", "db"], &[("RUST_LOG", "debug")], "hunter2\n");
    assert_eq!(set.code, Some(70), "{}", set.errors);
    assert!(
        set.errors.contains("could not set db, request 1d78: the vault answers 400 BadParameter"),
        "{}",
        set.errors
    );
    assert!(!set.errors.contains("hunter2"), "{}", set.errors);
}

#[test]
fn a_subscription_that_is_not_there_is_told_and_not_taken_for_an_empty_one() {
    let subscription = Subscription::start("");
    subscription.describe("");
    let body = r#"{"error":{"code":"SubscriptionNotFound","message":"The subscription could not be found."}}"#;
    fault(&subscription, &["--path", "/subscriptions/*", "--status", "404", "--body", body]);
    let plan = subscription.run(&["plan"]);
    assert_eq!(plan.code, Some(70), "{}", plan.out);
    for part in ["404 SubscriptionNotFound", "correct subscription in the file"] {
        assert!(plan.errors.contains(part), "{part}: {}", plan.errors);
    }
}

#[test]
fn a_relative_link_is_followed_to_where_it_leads() {
    let subscription = whole("");
    let body = r#"{"status":"Succeeded"}"#;
    fault(&subscription, &["--method", "GET", "--path", "/relative/*", "--status", "200", "--body", body]);
    let header = "Azure-AsyncOperation: /relative/operation";
    fault(&subscription, &["--method", "PUT", "--path", "*/workspaces/ml-ml", "--header", header]);
    applied(&subscription);
    assert!(subscription.emulator.run(&["requests"]).contains("/relative/operation"));
}

#[test]
fn a_link_to_another_host_is_not_followed() {
    let subscription = whole("");
    let header = "Azure-AsyncOperation: https://evil.example/operation";
    fault(&subscription, &["--method", "PUT", "--path", "*/workspaces/ml-ml", "--header", header]);
    let apply = subscription.run(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(70), "{}", apply.errors);
    assert!(apply.errors.contains("links to another host, to which no token is sent"), "{}", apply.errors);
    assert!(!subscription.emulator.run(&["requests"]).contains("evil.example"));
}

#[test]
fn an_operation_that_azure_gives_up_is_told_and_tried_again_by_the_next_run() {
    let subscription = whole("");
    let body = r#"{"status":"Failed","error":{"code":"ResourceOperationFailure","message":"No capacity."}}"#;
    fault(
        &subscription,
        &["--method", "GET", "--path", "*/workspaceOperationsStatus/*", "--status", "200", "--body", body],
    );
    let apply = subscription.run(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(70));
    assert!(apply.errors.contains("ResourceOperationFailure (No capacity.)"), "{}", apply.errors);
    subscription.emulator.run(&["fault", "clear"]);
    applied(&subscription);
}

#[test]
fn a_caller_without_the_right_is_told_which_one() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-right'");
    let body = r#"{"error":{"code":"AuthorizationFailed","message":"The client does not have authorization to perform action 'Microsoft.KeyVault/vaults/write'."}}"#;
    fault(&subscription, &["--method", "PUT", "--path", "*/vaults/*", "--status", "403", "--body", body]);
    let apply = subscription.run(&["apply", "--yes"]);
    assert_eq!(apply.code, Some(70));
    for part in ["403 AuthorizationFailed", "Microsoft.KeyVault/vaults/write", "ask an owner"] {
        assert!(apply.errors.contains(part), "{part}: {}", apply.errors);
    }
}

#[test]
fn the_firewall_lets_the_operator_in_as_an_item_of_its_own() {
    let subscription = Subscription::start("");
    let closed = "name = 'ml-kv-closed'\nnetwork.default_action = 'deny'\nnetwork.ip_rules = ['203.0.113.0/24']\n\
                  [[secret]]\nname = 'db'\ngenerate = {}\n";
    subscription.describe(closed);
    let refused = subscription.run(&["apply", "--yes", "--patience", "1s"]);
    assert_eq!(refused.code, Some(70), "{}", refused.errors);
    assert!(refused.errors.contains("firewall") && refused.errors.contains("[operator]"), "{}", refused.errors);
    subscription.describe(&format!("{closed}[operator]\naddress = '127.0.0.1'\n"));
    let plan = subscription.succeed(&["plan"]);
    assert!(plan.out.contains("+ create  firewall exception     127.0.0.1 on ml-kv-closed"), "{}", plan.out);
    applied(&subscription);
}

#[test]
fn without_a_sign_in_it_ends_with_69() {
    let subscription = Subscription::start("");
    subscription.describe("");
    let plan = subscription.run_with(&["plan"], &[("AZURE_CLIENT_SECRET", "wrong")], "");
    assert_eq!(plan.code, Some(69), "{}", plan.errors);
    assert!(plan.errors.contains("AADSTS7000215") && !plan.errors.contains("wrong:"), "{}", plan.errors);
}

#[test]
fn a_sign_in_to_another_tenant_is_refused_before_anything_is_asked() {
    let subscription = Subscription::start("");
    let file = subscription.folder().join("estate.toml");
    subscription.describe("");
    let text =
        std::fs::read_to_string(&file).expect("the description").replace("tenant = '11111111", "tenant = '99999999");
    std::fs::write(&file, text).expect("written");
    let plan = subscription.run(&["plan"]);
    assert!(plan.code == Some(69) || plan.code == Some(70), "{:?} {}", plan.code, plan.errors);
    assert!(!subscription.emulator.run(&["requests"]).contains(&format!("/subscriptions/{SUBSCRIPTION}")));
}
