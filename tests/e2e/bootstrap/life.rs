//! The whole life of an estate: planned, applied, applied again, used by an agent, destroyed.

use keyside_tests::agent::{Agent, keyside};
use keyside_tests::subscription::{SUBSCRIPTION, Subscription};

/// Every table that a description can have, on a virtual machine that is there.
pub(crate) const WHOLE: &str = "
name = 'ml-kv-scenario'
[tags]
team = 'vision'
[workspace]
vault_name = 'ml-mlkv-scenario'
[storage]
name = 'mlstscenario'
[agent_identity]
kubernetes = { issuer = 'https://oidc.example.com/cluster/', namespace = 'ml', service_account = 'trainer' }
[diagnostics]
[agent]
runs_on = 'virtual-machine'
compute = '/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/machines/providers/Microsoft.Compute/virtualMachines/trainer'
socket = 'FOLDER/run/agent.sock'
files = 'FOLDER/run/secrets'
[[access]]
principal = 'agent'
role = 'Key Vault Secrets User'
[[secret]]
name = 'db-password'
generate = { length = 40 }
[[secret]]
name = 'api-token'
from_file = 'token.txt'
content_type = 'text/plain'
expires_in = '90d'
";

/// The machine of [`WHOLE`].
pub(crate) const MACHINE: &str =
    "[[subscription.virtual_machines]]\nname = 'trainer'\nresource_group = 'machines'\nlocation = 'westeurope'\n";

/// A subscription with the machine, and the description of the whole estate.
pub(crate) fn whole(more_seed: &str) -> Subscription {
    let subscription = Subscription::start(&format!("{MACHINE}{more_seed}"));
    subscription.describe(&WHOLE.replace("FOLDER", &subscription.folder().display().to_string()));
    std::fs::write(subscription.folder().join("token.txt"), "token-x91Lw0\n").expect("a token");
    subscription
}

/// `text` with every identifier that Azure chose replaced, and how long something took.
fn steady(text: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if is_id(word) && word != SUBSCRIPTION { "<id>" } else { word });
        let line = words.collect::<Vec<_>>().join(" ");
        line.rsplit_once(" (")
            .filter(|(_, took)| took.ends_with(" s)"))
            .map_or(line.clone(), |(start, _)| start.to_owned())
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn an_empty_subscription_becomes_an_estate_and_a_second_apply_writes_nothing() {
    let subscription = whole("");
    let plan = subscription.succeed(&["plan"]);
    assert_eq!(plan.out, include_str!("golden/plan.txt"));
    assert_eq!(subscription.writes(), Vec::<String>::new(), "a plan writes nothing");
    assert_eq!(subscription.run(&["plan", "--detailed-exitcode"]).code, Some(2));

    let apply = subscription.succeed(&["apply", "--yes"]);
    assert_eq!(steady(&apply.out), include_str!("golden/apply.txt"));
    let mut progress: Vec<_> = apply.errors.lines().map(steady).collect();
    progress.sort();
    assert_eq!(progress.concat(), include_str!("golden/progress.txt"), "in whatever order Azure was done");

    let before = subscription.writes().len();
    assert!(before > 20, "the apply wrote: {before}");
    let config = std::fs::metadata(subscription.agent_config()).and_then(|file| file.modified()).expect("written");
    let again = subscription.succeed(&["apply", "--yes"]);
    assert_eq!(subscription.writes().len(), before, "{:?}", subscription.writes().split_off(before));
    assert!(again.out.contains("Nothing to do: all 25 are as they should be."), "{}", again.out);
    assert_eq!(again.errors, "");
    let unchanged = std::fs::metadata(subscription.agent_config()).and_then(|file| file.modified()).expect("there");
    assert_eq!(unchanged, config, "the same text is not written again");
    assert_eq!(subscription.run(&["plan", "--detailed-exitcode"]).code, Some(0));
}

#[test]
fn the_agent_runs_with_the_configuration_that_apply_wrote() {
    let subscription = whole("");
    subscription.succeed(&["apply", "--yes"]);
    let path = subscription.agent_config();
    let checked = keyside(&["check", "--config", &path.display().to_string()], &subscription.emulator.variables());
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let socket = subscription.folder().join("run/agent.sock");
    let mut agent = Agent::start(&path, &socket, &subscription.emulator.variables());
    agent.wait_until_ready();
    assert_eq!(agent.value("api-token"), b"token-x91Lw0");
    assert_eq!(agent.value("db-password").len(), 40);
    assert_eq!(agent.get("/v1/status").json()["operation"]["identity"], "IMDS", "by the identity that was attached");
}

#[test]
fn output_tells_the_same_as_apply_for_people_and_for_programs() {
    let subscription = whole("");
    let applied = subscription.succeed(&["apply", "--yes", "--output", "json"]);
    let applied: serde_json::Value = serde_json::from_str(&applied.out).expect("JSON and nothing else");
    let output = subscription.succeed(&["output", "--output", "json"]);
    let output: serde_json::Value = serde_json::from_str(&output.out).expect("JSON");
    assert_eq!(applied["outputs"], output);
    assert_eq!(applied["plan"]["summary"]["create"], 25);
    assert_eq!(output["key_vault_uri"], "https://ml-kv-scenario.vault.azure.net/");
    assert_eq!(output["ml_workspace_name"], "ml-ml");
    assert!(subscription.succeed(&["output"]).out.contains("agent_client_id"));
}

#[test]
fn output_of_an_estate_that_is_not_there_ends_with_66_and_says_what_makes_it() {
    let subscription = whole("");
    for words in [&["output"][..], &["output", "--output", "json"]] {
        let run = subscription.run(words);
        assert_eq!(run.code, Some(66), "{words:?}: {}{}", run.out, run.errors);
        assert!(!run.out.contains("key_vault_uri"), "{words:?}: {}", run.out);
        assert!(run.errors.contains("no estate in ml-rg yet: run `keyside-bootstrap apply`"), "{}", run.errors);
    }
}

#[test]
fn what_keeps_the_agents_configuration_from_being_written_is_told_before_anything_is() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-scenario'");
    std::fs::write(subscription.agent_config(), "# by hand\n").expect("written");
    let refused = |reason: &str| {
        for words in [&["plan"][..], &["apply", "--yes"]] {
            let run = subscription.run(words);
            assert_eq!(run.code, Some(70), "{words:?}: {}{}", run.out, run.errors);
            assert!(run.out.contains("! refuse  agent configuration") && run.out.contains(reason), "{}", run.out);
            assert_eq!(subscription.writes(), Vec::<String>::new(), "{words:?}");
        }
    };
    refused("was not written by this program");
    subscription.describe("name = 'ml-kv-scenario'\n[agent]\nfile = 'absent/agent.toml'");
    refused("could not write absent/agent.toml");
}

#[test]
fn destroy_takes_away_everything_that_apply_made_and_nothing_else() {
    let subscription = whole("");
    subscription.succeed(&["apply", "--yes"]);
    let unasked = subscription.run(&["destroy"]);
    assert_eq!(unasked.code, Some(75), "without a terminal nobody confirms: {}", unasked.errors);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    assert!(destroyed.out.contains("- destroy key vault                   ml-kv-scenario"), "{}", destroyed.out);
    assert!(!destroyed.out.contains("provider registration"), "others may rely on them: {}", destroyed.out);
    let plan = subscription.succeed(&["plan", "--output", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).expect("JSON");
    assert_eq!(plan["summary"]["leave"], 6, "only the registrations are left: {plan:#}");
    assert_eq!(plan["summary"]["refuse"], 0, "no vault in its deleted state: {plan:#}");
    let again = subscription.succeed(&["destroy", "--yes"]);
    assert!(again.out.contains("Nothing to destroy."), "{}", again.out);
}

#[test]
fn a_group_with_something_of_somebody_else_is_kept() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-theirs'");
    subscription.succeed(&["apply", "--yes"]);
    subscription.describe("name = 'ml-kv-ours'");
    subscription.succeed(&["apply", "--yes"]);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    assert!(destroyed.out.contains("resource group ml-rg stays: it still holds"), "{}", destroyed.out);
    assert!(destroyed.out.contains("vaults/ml-kv-theirs"), "by name: {}", destroyed.out);
    let plan = subscription.succeed(&["plan"]);
    assert!(plan.out.contains("= leave   resource group"), "{}", plan.out);
    assert!(plan.out.contains("+ create  key vault"), "{}", plan.out);
}

#[test]
fn a_group_that_was_there_before_is_kept() {
    let subscription =
        Subscription::start("[[subscription.resource_groups]]\nname = 'ml-rg'\nlocation = 'westeurope'\n");
    subscription.describe("");
    subscription.succeed(&["apply", "--yes"]);
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("= keep    resource group  ml-rg"), "{}", destroyed.out);
    assert!(destroyed.out.contains("- destroy key vault"), "{}", destroyed.out);
}

#[test]
fn nothing_is_done_without_a_confirmation() {
    let subscription = whole("");
    let apply = subscription.run(&["apply"]);
    assert_eq!(apply.code, Some(75), "{}", apply.errors);
    assert!(apply.errors.contains("--yes"), "{}", apply.errors);
    let unseen = subscription.run(&["apply", "--output", "json"]);
    assert_eq!(unseen.code, Some(75), "{}{}", unseen.out, unseen.errors);
    assert!(unseen.errors.contains("with --output json nothing is asked, so say --yes"), "{}", unseen.errors);
    assert_eq!(subscription.writes(), Vec::<String>::new());
}

#[test]
fn everything_wrong_with_a_description_is_told_at_once_before_any_call() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'a--b'\nsoft_delete_days = 3\ncolour = 'red'\n[[secret]]\nname = 'db'\n[[access]]\nprincipal = 'agent'\nrole = 'Boss'");
    let plan = subscription.run(&["plan"]);
    assert_eq!(plan.code, Some(78), "{}", plan.errors);
    for part in
        ["line 6: ", "a--b", "line 7: ", "7 to 90", "line 8: ", "colour", "needs one source", "'Boss' is no role"]
    {
        assert!(plan.errors.contains(part), "{part}: {}", plan.errors);
    }
    assert!(!subscription.emulator.run(&["requests"]).contains("management.azure.com"));
}
