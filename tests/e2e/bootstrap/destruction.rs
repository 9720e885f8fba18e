//! What a destroy looks at before it takes anything away, and what it leaves.

use keyside_tests::subscription::{OPERATOR, Subscription};

use crate::life::whole;

/// A purge that is refused, in every form, and has written nothing.
fn refused(subscription: &Subscription, vaults: &str) {
    let before = subscription.writes().len();
    for words in [&["destroy", "--yes", "--purge"][..], &["destroy", "--yes", "--purge", "--output", "json"]] {
        let run = subscription.run(words);
        assert_eq!(run.code, Some(70), "{words:?}: {}{}", run.out, run.errors);
        let told = format!("nothing was done: {vaults} may hold secrets of others, which cannot be listed");
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
    assert!(destroyed.out.contains("key vault ml-kv-unseen may hold secrets of others"), "{}", destroyed.out);
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
