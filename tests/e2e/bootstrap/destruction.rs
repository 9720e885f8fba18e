//! What a destroy looks at before it takes anything away, and what it leaves.

use keyside_tests::subscription::{OPERATOR, Subscription};

use crate::life::whole;

/// A purge that is refused, in every form, and has written nothing.
fn refused(subscription: &Subscription, vaults: &str) {
    let before = subscription.writes().len();
    for words in [&["destroy", "--yes", "--purge"][..], &["destroy", "--yes", "--purge", "--output", "json"]] {
        let run = subscription.run(words);
        assert_eq!(run.code, Some(70), "{words:?}: {}{}", run.out, run.errors);
        let told = format!("nothing was done: {vaults} may hold secrets or keys of others, which cannot be listed");
        assert!(run.errors.contains(&told) && run.errors.contains("--even-unseen"), "{words:?}: {}", run.errors);
    }
    assert_eq!(subscription.writes().len(), before, "{:?}", subscription.writes());
}

#[test]
fn a_vault_that_nobody_could_look_into_is_purged_only_when_that_is_said() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-unseen'");
    subscription.succeed(&["apply", "--yes"]);
    subscription.emulator.run(&["secret", "set", "ml-kv-unseen", "by-hand", "precious"]);
    refused(&subscription, "key vault ml-kv-unseen");
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("key vault ml-kv-unseen may hold secrets or keys of others"), "{}", destroyed.out);
    // In its deleted state it cannot be looked into at all, whoever deleted it.
    refused(&subscription, "key vault ml-kv-unseen");
    let again = subscription.succeed(&["destroy", "--yes"]);
    assert_eq!(again.out, "Nothing to destroy.\n", "without a purge there is nothing to say about it");
    subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    assert!(subscription.succeed(&["plan"]).out.contains("+ create  key vault"), "its name is free");
}

#[test]
fn what_the_workspaces_own_vault_holds_is_told_before_it_is_lost() {
    let subscription = whole("");
    subscription.succeed(&["apply", "--yes"]);
    refused(&subscription, "key vault ml-mlkv-scenario");
    subscription.emulator.run(&["role", "grant", "ml-mlkv-scenario", OPERATOR, "Key Vault Reader"]);
    subscription.emulator.run(&["secret", "set", "ml-mlkv-scenario", "datastore-key", "account-key"]);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge"]);
    let lost = "Secrets that are lost with key vault ml-mlkv-scenario: datastore-key";
    assert!(destroyed.out.contains(lost), "{}", destroyed.out);
    let lost = "Secrets that are lost with key vault ml-kv-scenario: api-token, db-password";
    assert!(destroyed.out.contains(lost), "{}", destroyed.out);
}

#[test]
fn a_secret_in_a_vault_that_stays_is_told_of_where_nobody_may_look_for_it() {
    let subscription =
        Subscription::start("[[vaults]]\nname = 'ml-kv-old'\nlocation = 'westeurope'\nresource_group = 'ml-rg'\n");
    subscription.describe("name = 'ml-kv-old'\n[[secret]]\nname = 'db'\ngenerate = {}");
    subscription.succeed(&["apply", "--yes"]);
    subscription.emulator.run(&["role", "revoke", "ml-kv-old", OPERATOR, "Key Vault Secrets Officer"]);
    let told = "secret db stays if it is there, which cannot be seen: give yourself the right to it";
    let blind = subscription.succeed(&["destroy", "--yes"]);
    assert!(blind.out.contains(told), "{}", blind.out);
    let blind = subscription.succeed(&["destroy", "--yes", "--output", "json"]);
    assert!(blind.out.contains(told), "{}", blind.out);
    subscription.emulator.run(&["role", "grant", "ml-kv-old", OPERATOR, "Key Vault Secrets Officer"]);
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    assert!(destroyed.out.contains("- destroy secret "), "{}", destroyed.out);
    assert!(!destroyed.out.contains("cannot be seen"), "{}", destroyed.out);
}

#[test]
fn a_vault_with_a_key_stays_and_one_whose_keys_nobody_could_list_is_not_purged() {
    let subscription = Subscription::start("");
    subscription.describe("name = 'ml-kv-keys'\n[[secret]]\nname = 'db'\ngenerate = {}");
    subscription.succeed(&["apply", "--yes"]);
    let keys = ["fault", "add", "--host", "management.azure.com", "--path", "*/vaults/ml-kv-keys/keys", "--status"];
    let answer = |rest: &[&str]| subscription.emulator.run(&[&keys[..], rest].concat());
    answer(&["403", "--body", r#"{"error":{"code":"AuthorizationFailed","message":"No."}}"#]);
    refused(&subscription, "key vault ml-kv-keys");
    subscription.emulator.run(&["fault", "clear"]);
    answer(&["200", "--body", r#"{"value":[{"name":"disk-key"}]}"#]);
    let destroyed = subscription.succeed(&["destroy", "--yes", "--purge"]);
    assert!(destroyed.out.contains("it holds keys which this program did not make: disk-key"), "{}", destroyed.out);
    let gone = |line: &String| line.starts_with("DELETE") && line.trim_end().ends_with("/vaults/ml-kv-keys");
    assert!(!subscription.writes().iter().any(gone), "{:?}", subscription.writes());
    subscription.emulator.run(&["fault", "clear"]);
    subscription.succeed(&["destroy", "--yes", "--purge", "--even-unseen"]);
    assert!(subscription.writes().iter().any(gone), "{:?}", subscription.writes());
}
