//! Two estates on one vault and one identity: what one of them makes, the other leaves alone.

use keyside_tests::subscription::{SUBSCRIPTION, Subscription};

const FIRST: &str = "name = 'ml-kv-shared'\n[diagnostics]\n[agent_identity]\n\
    kubernetes = { issuer = 'https://oidc.example.com/one/', namespace = 'ml', service_account = 'trainer' }";

/// Describes an estate with another prefix, which refers to vault and identity of the first.
fn describe_second(subscription: &Subscription) {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/ml-rg/providers");
    subscription.describe(&format!(
        "id = '{group}/Microsoft.KeyVault/vaults/ml-kv-shared'\n[diagnostics]\n[agent_identity]\n\
         id = '{group}/Microsoft.ManagedIdentity/userAssignedIdentities/ml-agent'\n\
         kubernetes = {{ issuer = 'https://oidc.example.com/two/', namespace = 'ml', service_account = 'trainer' }}"
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
    describe_second(&subscription);
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
