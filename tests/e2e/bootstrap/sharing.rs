//! Two estates on one vault and one identity: what one of them makes, the other leaves alone.

use keyside_tests::subscription::{SUBSCRIPTION, Subscription};

const FIRST: &str = "name = 'ml-kv-shared'\n[diagnostics]\n[agent_identity]\n\
    kubernetes = { issuer = 'https://oidc.example.com/one/', namespace = 'ml', service_account = 'trainer' }";

/// Describes an estate with another prefix, which refers to vault and identity of the first. Its service account is in
/// the cluster `two`, or another one.
fn describe_second(subscription: &Subscription, cluster: &str, logs: &str) {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/ml-rg/providers");
    subscription.describe(&format!(
        "id = '{group}/Microsoft.KeyVault/vaults/ml-kv-shared'\n[diagnostics]\n[agent_identity]\n\
         id = '{group}/Microsoft.ManagedIdentity/userAssignedIdentities/ml-agent'\n\
         kubernetes = {{ issuer = 'https://oidc.example.com/{cluster}/', namespace = 'ml', service_account = 'trainer' }}\n{logs}"
    ));
    let file = subscription.folder().join("estate.toml");
    let text = std::fs::read_to_string(&file).expect("the description").replace("prefix = 'ml'", "prefix = 'second'");
    std::fs::write(&file, text).expect("written");
}

#[test]
fn the_diagnostic_setting_and_the_federated_credential_of_one_outlive_the_other() {
    let subscription = Subscription::start("");
    subscription.describe(FIRST);
    subscription.succeed(&["apply", "--yes"]);
    describe_second(&subscription, "two", "");
    let plan = subscription.succeed(&["plan"]);
    for kind in ["diagnostic setting", "federated credential"] {
        assert!(plan.out.contains(&format!("+ create  {kind} ")), "{kind}: {}", plan.out);
    }
    subscription.succeed(&["apply", "--yes"]);
    let destroyed = subscription.succeed(&["destroy", "--yes"]);
    for kind in ["diagnostic setting", "federated credential"] {
        assert!(destroyed.out.contains(&format!("- destroy {kind} ")), "{kind}: {}", destroyed.out);
    }
    subscription.describe(FIRST);
    let plan = subscription.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "the first estate is whole: {}{}", plan.out, plan.errors);
}

#[test]
fn an_equal_setting_and_an_equal_credential_of_another_estate_do_for_both() {
    let subscription = Subscription::start("");
    subscription.describe(FIRST);
    subscription.succeed(&["apply", "--yes"]);
    let logs = "Microsoft.OperationalInsights/workspaces/ml-logs";
    let logs = format!("[log_analytics]\nid = '/subscriptions/{SUBSCRIPTION}/resourceGroups/ml-rg/providers/{logs}'");
    describe_second(&subscription, "one", &logs);
    subscription.succeed(&["apply", "--yes"]);
    let plan = subscription.succeed(&["plan"]);
    for kind in ["diagnostic setting", "federated credential"] {
        assert!(plan.out.contains(&format!("= leave   {kind} ")), "{kind}: {}", plan.out);
        let word = kind.split(' ').nth(1).expect("two words");
        let made = subscription.writes().iter().filter(|line| line.to_lowercase().contains(word)).count();
        assert_eq!(made, 1, "Azure takes an equal one once: {:?}", subscription.writes());
    }
    subscription.succeed(&["destroy", "--yes"]);
    subscription.describe(FIRST);
    assert_eq!(subscription.run(&["plan", "--detailed-exitcode"]).code, Some(0), "the first estate is whole");
}
