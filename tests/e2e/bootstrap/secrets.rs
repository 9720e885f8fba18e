//! Secrets: seeded once, from every source; set, rotated, retired; and shown nowhere.

use std::io::Write as _;
use std::process::Stdio;

use keyside_tests::agent::keyside;
use keyside_tests::subscription::{OPERATOR, Subscription};
use keyside_tests::{binaries, wait};

const VAULT: &str = "name = 'ml-kv-secrets'\n";

#[test]
fn a_first_value_comes_from_where_the_description_says() {
    let subscription = Subscription::start("");
    subscription.describe(&format!(
        "{VAULT}[[secret]]\nname = 'drawn'\ngenerate = {{ length = 12, alphabet = 'hex' }}\n\
         [[secret]]\nname = 'from-a-file'\nfrom_file = 'value'\n[[secret]]\nname = 'from-a-variable'\nfrom_env = 'TOKEN'\n\
         [[secret]]\nname = 'from-input'\nfrom_stdin = true\n"
    ));
    std::fs::write(subscription.folder().join("value"), "in-the-file\n").expect("written");
    let run = subscription.run_with(&["apply", "--yes"], &[("TOKEN", "in-the-variable")], "in-the-input\n");
    assert_eq!(run.code, Some(0), "{}", run.errors);
    let read = |name: &str| subscription.read_as_operator("ml-kv-secrets", name).unwrap_or_default();
    assert_eq!(read("from-a-file"), "in-the-file");
    assert_eq!(read("from-a-variable"), "in-the-variable");
    assert_eq!(read("from-input"), "in-the-input");
    let drawn = read("drawn");
    assert!(drawn.len() == 12 && drawn.bytes().all(|byte| byte.is_ascii_hexdigit()), "{drawn}");
}

#[test]
fn a_source_that_gives_no_value_is_told_by_plan_and_stops_apply_before_anything_is_written() {
    let subscription = Subscription::start("");
    subscription.describe(&format!(
        "{VAULT}[[secret]]\nname = 'unset'\nfrom_env = 'UNSET'\n[[secret]]\nname = 'absent'\nfrom_file = 'absent'\n\
         [[secret]]\nname = 'empty'\nfrom_file = 'empty'\n[[secret]]\nname = 'long'\nfrom_env = 'LONG'\n\
         [[secret]]\nname = 'input'\nfrom_stdin = true\n"
    ));
    std::fs::write(subscription.folder().join("empty"), "\n").expect("written");
    let long = "k".repeat(26_000);
    for words in [&["plan"][..], &["apply", "--yes"]] {
        let run = subscription.run_with(words, &[("LONG", &long)], "never-read\n");
        assert_eq!(run.code, Some(70), "{words:?}: {}", run.errors);
        for part in ["the variable UNSET is not set", "could not open absent", "empty, which", "longer than"] {
            assert!(run.out.contains(part), "{words:?}: {part}: {}", run.out);
        }
        assert!(run.out.contains("4 refused") && !run.out.contains("kkkk"), "{words:?}: {}", run.out);
        assert_eq!(subscription.writes(), Vec::<String>::new(), "{words:?}");
    }
}

#[test]
fn a_value_that_somebody_else_sets_meanwhile_is_not_overwritten() {
    let subscription = Subscription::start("");
    subscription.describe(&format!("{VAULT}[[secret]]\nname = 'db'\nfrom_stdin = true\n"));
    let mut command = binaries::command("keyside-bootstrap");
    command.args(["apply", "--yes", "--config", "estate.toml"]).current_dir(subscription.folder());
    command.envs(subscription.variables()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut apply = command.spawn().expect("the command starts");
    let is_look = |line: &&str| line.contains(".vault.azure.net") && line.contains("/secrets") && line.contains("200");
    let looks = || subscription.emulator.run(&["requests"]).lines().filter(is_look).count();
    wait::until("a look into the vault that has the right to", || (looks() > 0).then_some(()));
    subscription.emulator.run(&["secret", "set", "ml-kv-secrets", "db", "of-somebody-else"]);
    apply.stdin.take().expect("a pipe").write_all(b"of-this-run\n").expect("it reads");
    assert!(apply.wait().expect("it ends").success());
    assert_eq!(subscription.read_as_operator("ml-kv-secrets", "db").as_deref(), Some("of-somebody-else"));
    assert!(!subscription.writes().iter().any(|line| line.contains("PUT /secrets")), "{:?}", subscription.writes());
}

#[test]
fn a_value_that_is_there_is_never_overwritten() {
    let subscription = Subscription::start("");
    subscription.describe(&format!("{VAULT}[[secret]]\nname = 'db'\nfrom_env = 'DB'\n"));
    let apply = |value: &str| subscription.run_with(&["apply", "--yes"], &[("DB", value)], "").code;
    assert_eq!(apply("first"), Some(0));
    assert_eq!(apply("second"), Some(0));
    assert_eq!(subscription.run(&["apply", "--yes"]).code, Some(0), "and its source is not even needed again");
    assert_eq!(subscription.read_as_operator("ml-kv-secrets", "db").as_deref(), Some("first"));
}

#[test]
fn a_value_that_could_not_be_seen_in_the_plan_is_not_overwritten_either() {
    let subscription = Subscription::start(
        "[[vaults]]\nname = 'ml-kv-secrets'\nlocation = 'westeurope'\nresource_group = 'ml-rg'\n\
         role_changes_take = '1s'\n[[vaults.secrets]]\nname = 'db'\nvalue = 'former'\n",
    );
    subscription.describe(&format!("{VAULT}[[secret]]\nname = 'db'\ngenerate = {{}}\n"));
    let plan = subscription.succeed(&["plan"]);
    assert!(plan.out.contains("note: whether it is there shows when the operator's access acts"), "{}", plan.out);
    subscription.succeed(&["apply", "--yes"]);
    assert_eq!(subscription.read_as_operator("ml-kv-secrets", "db").as_deref(), Some("former"));
    assert!(!subscription.writes().iter().any(|line| line.contains("/secrets/db")), "{:?}", subscription.writes());
}

#[test]
fn a_secret_is_set_and_rotated_and_what_it_replaced_is_retired() {
    let subscription = Subscription::start("");
    subscription.describe(&format!(
        "{VAULT}[[secret]]\nname = 'db'\ngenerate = {{ length = 20 }}\n[[secret]]\nname = 'key'\nfrom_env = 'KEY'\n"
    ));
    assert_eq!(subscription.run_with(&["apply", "--yes"], &[("KEY", "k1")], "").code, Some(0));
    let read = |name: &str| subscription.read_as_operator("ml-kv-secrets", name).unwrap_or_default();
    let first = read("db");
    let rotated = subscription.succeed(&["secret", "rotate", "db"]);
    assert!(rotated.out.starts_with("db has the new version "), "{}", rotated.out);
    let second = read("db");
    assert!(second.len() == 20 && second != first);
    let refused = subscription.run(&["secret", "rotate", "key"]);
    assert_eq!(refused.code, Some(70));
    assert!(refused.errors.contains("secret set key"), "{}", refused.errors);

    let set = subscription.run_with(&["secret", "set", "key", "--output", "json"], &[], "k2\n");
    assert_eq!((set.code, set.errors.as_str()), (Some(0), ""));
    assert_eq!(read("key"), "k2");
    let unnamed = subscription.run_with(&["secret", "set", "other"], &[], "o1\n");
    assert_eq!(unnamed.code, Some(0), "{}", unnamed.errors);
    assert!(unnamed.errors.contains("agent.toml will not name other until the estate does"), "{}", unnamed.errors);

    // By the clock of this machine the last rotation lies ahead, so only what the first one superseded is retired.
    subscription.emulator.run(&["clock", "--advance", "25h"]);
    subscription.succeed(&["secret", "rotate", "db"]);
    let young = subscription.succeed(&["secret", "retire", "db", "--older-than", "90d"]);
    assert!(young.out.starts_with("0 superseded"), "{}", young.out);
    let retired = subscription.succeed(&["secret", "retire", "db", "--older-than", "0s"]);
    assert!(retired.out.starts_with("1 superseded"), "{}", retired.out);
    assert_eq!(read("db").len(), 20, "the newest can still be read");
    let again = subscription.succeed(&["secret", "retire", "db", "--older-than", "0s"]);
    assert!(again.out.starts_with("0 superseded"), "{}", again.out);
    assert_eq!(subscription.run(&["secret", "retire", "absent", "--older-than", "1d"]).code, Some(70));
}

#[test]
fn no_value_is_printed_or_logged_even_at_the_most_talkative_level() {
    let subscription = Subscription::start("");
    subscription.describe(&format!(
        "{VAULT}[[secret]]\nname = 'drawn'\ngenerate = {{}}\n[[secret]]\nname = 'given'\nfrom_env = 'GIVEN'\n"
    ));
    let talkative = [("RUST_LOG", "trace"), ("GIVEN", "hunter2-in-a-variable")];
    let mut shown = String::new();
    for words in [&["apply", "--yes"][..], &["secret", "rotate", "drawn"], &["output"], &["plan", "--output", "json"]] {
        let run = subscription.run_with(words, &talkative, "");
        assert_eq!(run.code, Some(0), "{words:?}: {}", run.errors);
        shown.push_str(&run.out);
        shown.push_str(&run.errors);
        if let Some(drawn) = subscription.read_as_operator("ml-kv-secrets", "drawn") {
            assert!(!shown.contains(&drawn), "{words:?} shows the generated value");
        }
    }
    assert!(shown.contains("request"), "it was talkative");
    for secret in ["hunter2-in-a-variable", "client-secret-7Q~x", "Bearer ey"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn a_deleted_secret_comes_back_only_when_asked_for() {
    let subscription = Subscription::start(
        "[[vaults]]\nname = 'ml-kv-secrets'\nlocation = 'westeurope'\nresource_group = 'ml-rg'\n\
        [[vaults.secrets]]\nname = 'db'\nvalue = 'former'\n",
    );
    subscription.describe(&format!("{VAULT}[[secret]]\nname = 'db'\ngenerate = {{}}\n"));
    subscription.emulator.run(&["secret", "delete", "ml-kv-secrets", "db"]);
    subscription.emulator.run(&["clock", "--advance", "1m"]);
    let refused = subscription.run(&["apply", "--yes"]);
    assert_eq!(refused.code, Some(70), "{}", refused.errors);
    assert!(refused.errors.contains("a deleted secret has this name") && refused.errors.contains("--recover"));
    subscription.succeed(&["apply", "--yes", "--recover"]);
    subscription.emulator.run(&["clock", "--advance", "1m"]);
    assert_eq!(subscription.read_as_operator("ml-kv-secrets", "db").as_deref(), Some("former"));
}

#[test]
fn a_vault_with_a_secret_that_somebody_else_made_survives_a_destroy() {
    let subscription = Subscription::start("");
    let own = format!("{VAULT}[[secret]]\nname = 'db'\ngenerate = {{}}\n");
    subscription.describe(&own);
    subscription.succeed(&["apply", "--yes"]);
    subscription.emulator.run(&["secret", "set", "ml-kv-secrets", "by-hand", "precious"]);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge"]);
    assert!(destroyed.out.contains("did not make: by-hand"), "{}", destroyed.out);
    assert!(
        !subscription.writes().iter().any(|line| line.starts_with("DELETE") && line.ends_with("/vaults/ml-kv-secrets"))
    );
    let plan = subscription.succeed(&["plan"]);
    assert!(!plan.out.contains("create  key vault") && !plan.out.contains("recover key vault"), "{}", plan.out);
}

#[test]
fn a_secret_of_somebody_else_that_was_set_here_is_still_theirs() {
    let subscription = Subscription::start(
        "[[vaults]]\nname = 'ml-kv-secrets'\nlocation = 'westeurope'\nresource_group = 'ml-rg'\n\
         [[vaults.secrets]]\nname = 'theirs'\nvalue = 'former'\n",
    );
    subscription.describe(&format!(
        "{VAULT}[[secret]]\nname = 'theirs'\ngenerate = {{}}\n[[secret]]\nname = 'ours'\ngenerate = {{}}\n"
    ));
    subscription.succeed(&["apply", "--yes"]);
    let set = subscription.run_with(&["secret", "set", "theirs"], &[], "renewed\n");
    assert_eq!(set.code, Some(0), "{}", set.errors);
    subscription.succeed(&["secret", "rotate", "ours"]);
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("= keep    secret           theirs"), "{}", destroyed.out);
    assert!(destroyed.out.contains("- destroy secret           ours"), "{}", destroyed.out);
    assert!(!subscription.writes().iter().any(|line| line.contains("DELETE /secrets/theirs")));
    assert_eq!(subscription.writes().iter().filter(|line| line.contains("DELETE /secrets/ours")).count(), 1);
}

#[test]
fn a_secret_that_others_set_is_looked_for_and_named_to_the_agent_and_never_written() {
    let subscription = Subscription::start("");
    subscription
        .describe(&format!("{VAULT}[operator]\naddress = '127.0.0.1'\n[[secret]]\nname = 'db'\nfrom_others = true\n"));
    let applied = subscription.succeed(&["apply", "--yes"]);
    assert!(applied.out.contains("= leave   secret"), "{}", applied.out);
    assert!(!applied.out.contains("operator") && !applied.out.contains("firewall"), "{}", applied.out);
    let command = "Next:\n  az keyvault secret set --vault-name ml-kv-secrets --name db --file FILE\n";
    assert!(applied.out.contains(command), "{}", applied.out);
    let config = subscription.agent_config().display().to_string();
    let checked = keyside(&["check", "--config", &config], &subscription.emulator.variables());
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));

    subscription.emulator.run(&["role", "grant", "ml-kv-secrets", OPERATOR, "Key Vault Secrets Officer"]);
    let before = subscription.writes().len();
    let plan = subscription.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "it is nobody's work here: {}", plan.out);
    assert!(plan.out.contains("note: set by others (not yet there)"), "{}", plan.out);
    subscription.emulator.run(&["secret", "set", "ml-kv-secrets", "db", "theirs"]);
    let again = subscription.succeed(&["apply", "--yes"]);
    assert!(again.out.contains("note: set by others (present)"), "{}", again.out);
    assert!(!again.out.contains("az keyvault secret set"), "{}", again.out);
    let rotated = subscription.run(&["secret", "rotate", "db"]);
    assert!(rotated.code == Some(70) && rotated.errors.contains("is not generated"), "{}", rotated.errors);
    assert_eq!(subscription.writes().len(), before, "{:?}", subscription.writes());
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("did not make: db"), "{}", destroyed.out);
    assert_eq!(subscription.read_as_operator("ml-kv-secrets", "db").as_deref(), Some("theirs"));
}

#[test]
fn an_estate_without_a_secret_says_that_its_agent_has_none() {
    let subscription = Subscription::start("");
    subscription.describe(VAULT);
    for words in [&["apply", "--yes"][..], &["output", "--output", "json"]] {
        let run = subscription.succeed(words);
        assert!(
            run.errors.contains("agent.toml names no secret") && run.errors.contains("from_others"),
            "{}",
            run.errors
        );
    }
}

#[test]
fn a_secret_that_is_on_its_way_out_is_waited_for_and_brought_back() {
    let subscription = Subscription::start("");
    subscription.describe(&format!("{VAULT}[[secret]]\nname = 'db'\ngenerate = {{}}\n"));
    subscription.succeed(&["apply", "--yes"]);
    subscription.emulator.run(&["secret", "delete", "ml-kv-secrets", "db"]);
    let set = subscription.run_with(&["secret", "set", "db"], &[], "another\n");
    assert_eq!(set.code, Some(70), "{}", set.errors);
    assert!(set.errors.contains("a deleted secret has this name: bring it back by apply"), "{}", set.errors);
    subscription.succeed(&["apply", "--yes", "--recover"]);
}
