//! What was there before: left alone, changed where the description says so, and never destroyed.

use std::process::Command;

use keyside_tests::python::{clients, interpreter};
use keyside_tests::subscription::{COLLEAGUE, OPERATOR, SUBSCRIPTION, Subscription};

use crate::life::whole;

/// A vault that somebody made, in the group of the description.
const VAULT: &str = "[[vaults]]\nname = 'ml-kv-old'\nlocation = 'westeurope'\nresource_group = 'ml-rg'\n";

fn plan(subscription: &Subscription) -> serde_json::Value {
    let run = subscription.run(&["plan", "--output", "json"]);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.errors))
}

fn step<'a>(plan: &'a serde_json::Value, kind: &str) -> &'a serde_json::Value {
    let mut steps = plan["steps"].as_array().expect("steps").iter();
    steps.find(|step| step["kind"] == kind).unwrap_or_else(|| panic!("{kind} is in {plan:#}"))
}

#[test]
fn a_vault_that_was_there_is_left_alone_and_survives_a_destroy() {
    let subscription = Subscription::start(VAULT);
    subscription.describe("name = 'ml-kv-old'");
    assert_eq!(step(&plan(&subscription), "key vault")["action"], "leave");
    subscription.succeed(&["apply", "--yes"]);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge"]);
    assert!(destroyed.out.contains("Nothing to destroy: this program made none"), "{}", destroyed.out);
    assert_eq!(step(&plan(&subscription), "key vault")["action"], "leave");
}

#[test]
fn what_differs_is_shown_with_both_values_and_changed() {
    let subscription = Subscription::start(VAULT);
    subscription.describe("name = 'ml-kv-old'\nsku = 'premium'\nnetwork.default_action = 'deny'\nnetwork.ip_rules = ['203.0.113.0/24']\n[tags]\nteam = 'vision'");
    let planned = plan(&subscription);
    let changes = step(&planned, "key vault")["changes"].to_string();
    for part in [r#""new":"premium","old":"standard""#, r#""new":"Deny","old":"Allow""#, r#""new":"vision","old":null"#]
    {
        assert!(changes.contains(part), "{part}: {changes}");
    }
    let applied = subscription.succeed(&["apply", "--yes"]);
    assert!(applied.errors.contains("changed   key vault ml-kv-old"), "{}", applied.errors);
    assert_eq!(step(&plan(&subscription), "key vault")["action"], "leave");
    let patches = subscription.writes().iter().filter(|line| line.starts_with("PATCH")).count();
    assert_eq!(patches, 2, "the vault and the group, and no PUT over either: {:?}", subscription.writes());
}

#[test]
fn firewall_rules_of_others_stay_beside_ours_on_a_vault_that_was_there() {
    let subscription = Subscription::start(&format!("{VAULT}[vaults.firewall]\nip_rules = ['203.0.113.0/24']\n"));
    subscription.describe("name = 'ml-kv-old'\nnetwork.ip_rules = ['198.51.100.0/24']");
    let changes = step(&plan(&subscription), "key vault")["changes"].to_string();
    let both = r#""new":[{"value":"203.0.113.0/24"},{"value":"198.51.100.0/24"}]"#;
    assert!(changes.contains(both), "{changes}");
    subscription.succeed(&["apply", "--yes"]);
    let planned = plan(&subscription);
    assert_eq!(step(&planned, "key vault")["action"], "leave", "{planned:#}");
    subscription.describe("name = 'ml-kv-old'\nnetwork.ip_rules = []");
    assert_eq!(step(&plan(&subscription), "key vault")["action"], "leave", "nor does an empty list take any away");
    // Of a vault that this program made, the file is the whole truth.
    subscription.describe("name = 'ml-kv-new'\nnetwork.ip_rules = ['203.0.113.0/24']");
    subscription.succeed(&["apply", "--yes"]);
    subscription.describe("name = 'ml-kv-new'\nnetwork.ip_rules = []");
    let changes = step(&plan(&subscription), "key vault")["changes"].to_string();
    assert!(changes.contains(r#""new":[]"#), "{changes}");
}

#[test]
fn a_change_of_the_description_changes_just_what_it_names() {
    let subscription = whole("");
    subscription.succeed(&["apply", "--yes"]);
    let text = std::fs::read_to_string(subscription.folder().join("estate.toml")).expect("the description");
    let text = text
        .replace("team = 'vision'", "team = 'audio'")
        .replace("[workspace]", "[workspace]\nfriendly_name = 'Audio'");
    let text = text
        .replace("namespace = 'ml'", "namespace = 'audio'")
        .replace("[storage]", "[log_analytics]\nretention_days = 60\n[storage]\nsku = 'grs'");
    std::fs::write(subscription.folder().join("estate.toml"), text).expect("written");
    let planned = plan(&subscription);
    let expected = serde_json::json!({"create": 0, "recover": 0, "change": 9, "wait": 0, "leave": 16, "refuse": 0});
    assert_eq!(planned["summary"], expected, "{planned:#}");
    assert!(
        step(&planned, "federated credential")["changes"].to_string().contains("system:serviceaccount:audio:trainer")
    );
    subscription.succeed(&["apply", "--yes"]);
    let again = subscription.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(again.code, Some(0), "{}", again.out);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    assert!(destroyed.out.contains("0 to keep"), "the mark survives a change of tags: {}", destroyed.out);
}

#[test]
fn resources_of_somebody_else_are_referred_to_and_only_read() {
    let subscription = Subscription::start(&VAULT.replace("ml-rg", "platform"));
    let id =
        format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/platform/providers/Microsoft.KeyVault/vaults/ml-kv-old");
    subscription.describe(&format!("id = '{id}'\n[agent_identity]\n"));
    subscription.succeed(&["apply", "--yes"]);
    let planned = plan(&subscription);
    assert_eq!(planned["summary"]["leave"], 6, "{planned:#}");
    assert!(!subscription.writes().iter().any(|line| line.contains("platform") && !line.contains("roleAssignments")));
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge"]);
    assert!(destroyed.out.contains("= keep    key vault"), "{}", destroyed.out);
    assert_eq!(step(&plan(&subscription), "key vault")["action"], "leave", "it is still there");
    subscription.describe(&format!("id = '{}'\n", id.replace("ml-kv-old", "absent")));
    let refused = subscription.run(&["apply", "--yes"]);
    assert_eq!(refused.code, Some(70));
    assert!(refused.out.contains("does not exist, and the file refers to it"), "{}", refused.out);
}

#[test]
fn an_equal_role_assignment_under_another_name_is_left_alone() {
    let subscription = Subscription::start(VAULT);
    subscription.describe("name = 'ml-kv-old'\n[[secret]]\nname = 'db'\ngenerate = {}");
    subscription.emulator.run(&["role", "grant", "ml-kv-old", OPERATOR, "Key Vault Secrets Officer"]);
    assert_eq!(step(&plan(&subscription), "role assignment")["action"], "leave");
    subscription.succeed(&["apply", "--yes"]);
    assert!(!subscription.writes().iter().any(|line| line.contains("roleAssignments")), "{:?}", subscription.writes());
    subscription.succeed(&["destroy", "--yes"]);
    assert!(subscription.read_as_operator("ml-kv-old", "db").is_none(), "the secret that was made here is destroyed");
    assert_eq!(step(&plan(&subscription), "role assignment")["action"], "leave", "the right that was there is not");
}

#[test]
fn policies_of_others_stay_when_ours_are_added() {
    let seed = format!(
        "{VAULT}authorization = 'access-policies'\n[[vaults.access_policies]]\nprincipal = '{COLLEAGUE}'\nsecrets = ['get', 'list']\n\
         [[vaults.secrets]]\nname = 'theirs'\nvalue = 'still-there'\n"
    );
    let subscription = Subscription::start(&seed);
    subscription.describe(
        "name = 'ml-kv-old'\nauthorization = 'access-policies'\nnetwork.bypass = 'none'\n[tags]\nteam = 'vision'\n[agent_identity]\n\
         [[secret]]\nname = 'db'\ngenerate = {}",
    );
    let planned = plan(&subscription);
    assert_eq!(step(&planned, "access policy")["action"], "create", "{planned:#}");
    subscription.succeed(&["apply", "--yes"]);
    assert_eq!(subscription.read_as_colleague("ml-kv-old", "theirs").as_deref(), Some("still-there"));
    assert_eq!(subscription.read_as_operator("ml-kv-old", "db").map(|value| value.len()), Some(32));
    let before = subscription.writes().len();
    subscription.succeed(&["apply", "--yes"]);
    assert_eq!(subscription.writes().len(), before, "{:?}", subscription.writes().split_off(before));
    // Nobody but the agent, which goes, has use for its policy; that of the operator may have been there before.
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("- destroy access policy           get+list for the agent"), "{}", destroyed.out);
    let stays = "for the operator on ml-kv-old stays: the vault does not tell who added it";
    assert!(destroyed.out.contains(stays), "{}", destroyed.out);
    let taken = subscription.writes().iter().filter(|line| line.contains("/accessPolicies/remove")).count();
    assert_eq!(taken, 1, "{:?}", subscription.writes());
    assert_eq!(subscription.read_as_colleague("ml-kv-old", "theirs").as_deref(), Some("still-there"));
    assert_eq!(step(&plan(&subscription), "access policy")["action"], "create", "that of the agent is to make");
}

#[test]
fn a_compute_gets_the_identity_beside_those_that_it_has_and_gives_it_back() {
    let subscription = Subscription::start(
        "[[subscription.computes]]\nname = 'cpu'\nworkspace = 'ml-ml'\nresource_group = 'ml-rg'\nlocation = 'westeurope'\n",
    );
    let file = "name = 'ml-kv-cluster'\n[workspace]\nvault_name = 'ml-mlkv-cluster'\n[storage]\nname = 'mlstcluster'\n\
                [agent_identity]\n[agent]\nruns_on = 'compute-cluster'\ncompute = 'cpu'\n";
    subscription.describe(file);
    let planned = plan(&subscription);
    let attachment = step(&planned, "identity attachment");
    assert_eq!(attachment["action"], "create");
    assert!(attachment["notes"].to_string().contains("az ml compute create"), "{attachment}");
    subscription.succeed(&["apply", "--yes"]);
    assert_eq!(step(&plan(&subscription), "identity attachment")["action"], "leave");
    let config = std::fs::read_to_string(subscription.agent_config()).expect("the agent's configuration");
    assert!(config.contains("kind = \"azure-ml\"\nclient_id = "), "{config}");
    subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    let puts = subscription.writes().iter().filter(|line| line.ends_with("/computes/cpu\n")).count();
    assert_eq!(puts, 2, "attached, and taken away: {:?}", subscription.writes());
}

/// A subscription in which a program for Python has made a vault and a workspace, and the description of both.
fn made_by_the_management_clients(words: &[&str]) -> Subscription {
    let all = "'Microsoft.KeyVault', 'Microsoft.Storage', 'Microsoft.OperationalInsights', 'Microsoft.Insights', \
               'Microsoft.MachineLearningServices'";
    let subscription = Subscription::start_with_providers(all, "");
    let output = Command::new(interpreter())
        .arg(clients().join("estate.py"))
        .args(words)
        .env_clear()
        .envs(subscription.variables())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the interpreter starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    subscription
        .describe("name = 'ml-kv-adopted'\n[workspace]\nvault = 'application'\n[storage]\nname = 'mlstadopted'");
    subscription
}

#[test]
fn a_vault_and_a_workspace_of_the_management_clients_for_python_show_no_change() {
    let subscription = made_by_the_management_clients(&["rights"]);
    let before = subscription.writes().len();
    let shown = subscription.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(shown.code, Some(0), "{}{}", shown.out, shown.errors);
    assert!(shown.out.ends_with("\nNothing to do: all 15 are as they should be.\n"), "{}", shown.out);
    assert_eq!(shown.out.matches("= leave   role assignment").count(), 4, "{}", shown.out);
    subscription.succeed(&["apply", "--yes"]);
    assert_eq!(subscription.writes().len(), before, "{:?}", subscription.writes().split_off(before));
}

#[test]
fn of_a_workspace_whose_identity_was_given_no_rights_just_those_are_missing() {
    let subscription = made_by_the_management_clients(&[]);
    let planned = plan(&subscription);
    for step in planned["steps"].as_array().expect("steps") {
        let expected = if step["kind"] == "role assignment" { "create" } else { "leave" };
        assert_eq!(step["action"], expected, "{step:#}");
    }
    assert_eq!(planned["summary"]["create"], 4, "{planned:#}");
    assert_eq!(planned["summary"]["leave"], 11, "{planned:#}");
}
