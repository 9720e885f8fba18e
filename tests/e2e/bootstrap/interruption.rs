//! Killed at any moment, or cut off from Azure, and run again: it finishes, and makes nothing twice.

use keyside_tests::subscription::Subscription;
use keyside_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::life::whole;

/// Azure takes long enough for everything that a kill finds it at work.
const SLOW: &str = "[arm]\nregistration_takes = '600ms'\nvault_takes = '600ms'\nstorage_takes = '600ms'\n\
                    log_analytics_takes = '600ms'\nworkspace_takes = '900ms'\nmachine_takes = '600ms'\n";

/// Kills an apply at once when Azure has answered the write whose line contains `part`, and has the next one finish.
fn killed_at(part: &str) {
    let subscription = whole(SLOW);
    let mut apply = subscription.begin(&["apply", "--yes"]);
    subscription.wait_for_write(part);
    apply.kill().expect("it runs");
    apply.wait().expect("it ends");
    finishes(&subscription);
    let created = subscription.writes().iter().filter(|line| line.contains(part)).count();
    assert_eq!(created, 1, "{part} is not written again: {:#?}", subscription.writes());
}

fn finishes(subscription: &Subscription) {
    subscription.succeed(&["apply", "--yes"]);
    let plan = subscription.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "{}{}", plan.out, plan.errors);
    assert_eq!(subscription.read_as_operator("ml-kv-scenario", "api-token").as_deref(), Some("token-x91Lw0"));
}

mod killed_while_azure_makes {
    use super::killed_at;

    #[test]
    fn a_provider_registration() {
        killed_at(
            "POST /subscriptions/00000000-0000-4000-8000-000000000001/providers/Microsoft.MachineLearningServices",
        );
    }

    #[test]
    fn the_resource_group() {
        killed_at("PUT /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/ml-rg\n");
    }

    #[test]
    fn the_vault() {
        killed_at(
            "PUT /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/ml-rg/providers/Microsoft.KeyVault/vaults/ml-kv-scenario\n",
        );
    }

    #[test]
    fn the_storage_account() {
        killed_at("storageAccounts/mlstscenario\n");
    }

    #[test]
    fn the_log_analytics_workspace() {
        killed_at("Microsoft.OperationalInsights/workspaces/ml-logs\n");
    }

    #[test]
    fn the_application_insights() {
        killed_at("Microsoft.Insights/components/ml-insights\n");
    }

    #[test]
    fn the_workspace() {
        killed_at("Microsoft.MachineLearningServices/workspaces/ml-ml\n");
    }

    #[test]
    fn the_identity() {
        killed_at("userAssignedIdentities/ml-agent\n");
    }

    #[test]
    fn the_federated_credential() {
        killed_at("federatedIdentityCredentials/keyside-bootstrap-");
    }

    #[test]
    fn the_attachment_to_the_machine() {
        killed_at("virtualMachines/trainer\n");
    }

    #[test]
    fn a_role_assignment() {
        // The first of several: which one is Azure's and the scheduler's to say.
        let subscription = super::whole(super::SLOW);
        let mut apply = subscription.begin(&["apply", "--yes"]);
        subscription.wait_for_write("Microsoft.Authorization/roleAssignments/");
        apply.kill().and_then(|()| apply.wait()).expect("it runs, and ends");
        super::finishes(&subscription);
        let roles = subscription.writes().iter().filter(|line| line.contains("roleAssignments/")).count();
        assert_eq!(roles, 6, "none is made twice");
    }

    #[test]
    fn the_diagnostic_setting() {
        killed_at("diagnosticSettings/keyside-bootstrap-");
    }

    #[test]
    fn a_secret() {
        killed_at("PUT /secrets/db-password\n");
    }
}

#[test]
fn an_interrupt_from_the_keyboard_is_mended_by_the_next_run() {
    let subscription = whole(SLOW);
    let mut apply = subscription.begin(&["apply", "--yes"]);
    subscription.wait_for_write("Microsoft.OperationalInsights/workspaces/ml-logs\n");
    kill(Pid::from_raw(i32::try_from(apply.id()).expect("a process id")), Signal::SIGINT).expect("it runs");
    let status = wait::until("the end of the apply", || apply.try_wait().expect("it can be asked"));
    assert!(!status.success(), "{status}");
    finishes(&subscription);
}

#[test]
fn a_network_that_goes_ends_it_with_69_and_the_next_run_finishes() {
    let subscription = whole(SLOW);
    let fault = ["fault", "add", "--host", "management.azure.com", "--path", "*/storageAccounts/*", "--cut", "0"];
    subscription.emulator.run(&fault);
    let apply = subscription.run(&["apply", "--yes", "--patience", "1s"]);
    assert_eq!(apply.code, Some(69), "{}", apply.errors);
    for part in ["storage account mlstscenario", "cannot be reached", "run this again"] {
        assert!(apply.errors.contains(part), "{part}: {}", apply.errors);
    }
    subscription.emulator.run(&["fault", "clear"]);
    finishes(&subscription);
}

#[test]
fn an_operation_that_another_destroy_has_ended_meanwhile_is_no_failure() {
    let subscription = whole("[arm]\nworkspace_deletion_takes = '800ms'\n");
    subscription.succeed(&["apply", "--yes"]);
    let body = r#"{"error":{"code":"NotFound","message":"There is no such operation."}}"#;
    let fault =
        ["fault", "add", "--host", "management.azure.com", "--method", "GET", "--status", "404", "--body", body];
    for path in ["*/workspaceOperationsStatus/*", "*/operation*esults/*"] {
        subscription.emulator.run(&[&fault[..], &["--path", path]].concat());
    }
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.errors.contains("destroyed machine learning workspace ml-ml"), "{}", destroyed.errors);
    let hits = subscription.emulator.run(&["requests"]);
    assert!(hits.contains("peration"), "operations were looked at: {hits}");
}

#[test]
fn a_vault_that_another_destroy_takes_away_is_not_asked_for_its_secrets_until_patience_ends() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-raced'\n[[secret]]\nname = 'db'\ngenerate = {}");
    subscription.succeed(&["apply", "--yes"]);
    subscription.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--cut", "0"]);
    let asked = || subscription.emulator.run(&["requests"]).lines().filter(|line| line.contains("/secrets")).count();
    let before = asked();
    let mut destroy = subscription.begin(&["destroy", "--yes"]);
    wait::until("a list that does not come", || (asked() > before).then_some(()));
    let gone = ["fault", "add", "--host", "management.azure.com", "--method", "GET", "--path", "*/vaults/ml-kv-raced"];
    subscription.emulator.run(&[&gone[..], &["--status", "404"]].concat());
    let status = wait::until("the end of the destroy", || destroy.try_wait().expect("it can be asked"));
    assert!(status.success(), "{status}");
}

#[test]
fn what_is_ready_and_differs_after_a_wait_is_left_to_another_plan() {
    let subscription = Subscription::start("[arm]\nvault_takes = '1500ms'\n");
    subscription.describe("name = 'ml-kv-waited'\n[tags]\nteam = 'vision'");
    let mut apply = subscription.begin(&["apply", "--yes"]);
    subscription.wait_for_write("vaults/ml-kv-waited\n");
    apply.kill().and_then(|()| apply.wait()).expect("it runs, and ends");
    subscription.describe("name = 'ml-kv-waited'\nsku = 'premium'\n[tags]\nteam = 'vision'");
    let before = subscription.writes().len();
    let waited = subscription.run(&["apply", "--yes"]);
    assert!(waited.out.contains(". await   key vault"), "{}", waited.out);
    assert_eq!(waited.code, Some(70), "{}", waited.errors);
    assert!(waited.errors.contains("could not show (properties.sku.name): run plan again"), "{}", waited.errors);
    assert_eq!(subscription.writes().len(), before, "{:?}", subscription.writes());
    assert!(subscription.succeed(&["plan"]).out.contains("properties.sku.name: \"standard\" -> \"premium\""));
}

#[test]
fn a_destroy_that_was_killed_is_finished_by_the_next_one_purge_included() {
    let subscription = whole("[arm]\nworkspace_deletion_takes = '800ms'\n");
    subscription.succeed(&["apply", "--yes"]);
    let mut destroy = subscription.begin(&["destroy", "--yes", "--purge", "--even-unseen"]);
    subscription.wait_for_write("DELETE /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/ml-rg/providers/Microsoft.KeyVault/vaults/ml-kv-scenario\n");
    destroy.kill().and_then(|()| destroy.wait()).expect("it runs, and ends");
    subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    let plan = subscription.succeed(&["plan", "--output", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).expect("JSON");
    assert_eq!(plan["summary"]["refuse"], 0, "no vault is left in its deleted state: {plan:#}");
    assert_eq!(plan["summary"]["leave"], 6, "nothing but the registrations: {plan:#}");
}
