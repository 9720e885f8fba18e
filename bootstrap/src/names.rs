//! What Azure accepts as names, and the names that follow from a prefix.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

use crate::id::derived;

/// What a name is for; each has rules of its own.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A resource group.
    ResourceGroup,
    /// A key vault; unique in the world.
    Vault,
    /// A storage account; unique in the world.
    StorageAccount,
    /// A Log Analytics workspace.
    LogAnalytics,
    /// An Application Insights component.
    ApplicationInsights,
    /// An Azure Machine Learning workspace.
    Workspace,
    /// A user-assigned identity.
    Identity,
    /// A virtual machine or a compute of a workspace.
    Compute,
    /// The beginning of all names.
    Prefix,
}

impl Rule {
    fn lengths(self) -> (usize, usize) {
        match self {
            Self::ResourceGroup => (1, 90),
            Self::Vault | Self::StorageAccount => (3, 24),
            Self::LogAnalytics => (4, 63),
            Self::ApplicationInsights => (1, 255),
            Self::Workspace => (3, 33),
            Self::Identity => (3, 128),
            Self::Compute => (1, 64),
            // The longest addition is that of the workspace's own vault, 12 characters, and a vault has 24 at most.
            Self::Prefix => (2, 12),
        }
    }

    /// The rule in words.
    fn words(self) -> &'static str {
        match self {
            Self::ResourceGroup => "letters, digits, and - _ . ( ), without a full stop at the end",
            Self::Vault => "letters, digits and single hyphens, a letter first and no hyphen last",
            Self::StorageAccount => "lower-case letters and digits",
            Self::LogAnalytics => "letters, digits and hyphens, no hyphen first or last",
            Self::ApplicationInsights => "anything but % & \\ ? / and no space or full stop last",
            Self::Workspace | Self::Identity | Self::Compute => "letters, digits, - and _, a letter or digit first",
            Self::Prefix => "lower-case letters, digits and single hyphens, a letter first and no hyphen last",
        }
    }

    fn accepts(self, name: &str) -> bool {
        let (least, most) = self.lengths();
        let plain = |letter: char| letter.is_ascii_alphanumeric();
        let all = |more: &str| name.chars().all(|letter| plain(letter) || more.contains(letter));
        let inner_hyphens = || !name.starts_with('-') && !name.ends_with('-');
        let letter_first = || name.starts_with(|first: char| first.is_ascii_alphabetic());
        let lower = || !name.chars().any(|letter| letter.is_ascii_uppercase());
        let right = match self {
            Self::ResourceGroup => {
                name.chars().all(|letter| letter.is_alphanumeric() || "-_.()".contains(letter)) && !name.ends_with('.')
            }
            Self::Vault => all("-") && letter_first() && inner_hyphens() && !name.contains("--"),
            Self::StorageAccount => all("") && lower(),
            Self::LogAnalytics => all("-") && inner_hyphens(),
            Self::ApplicationInsights => {
                !name.chars().any(|letter| "%&\\?/".contains(letter) || letter.is_control())
                    && !name.ends_with([' ', '.'])
            }
            Self::Workspace | Self::Identity | Self::Compute => all("-_") && name.starts_with(plain),
            Self::Prefix => all("-") && lower() && letter_first() && inner_hyphens() && !name.contains("--"),
        };
        (least..=most).contains(&name.chars().count()) && right
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ResourceGroup => "resource group",
            Self::Vault => "key vault",
            Self::StorageAccount => "storage account",
            Self::LogAnalytics => "Log Analytics workspace",
            Self::ApplicationInsights => "Application Insights component",
            Self::Workspace => "machine learning workspace",
            Self::Identity => "identity",
            Self::Compute => "compute",
            Self::Prefix => "prefix",
        })
    }
}

/// Says why Azure would refuse a name.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{name}' is no name for this {rule}: use {least} to {most} characters, {words}", words = rule.words())]
pub struct InvalidName {
    name: String,
    rule: Rule,
    least: usize,
    most: usize,
}

/// Checks `name` by Azure's own rule.
///
/// # Errors
/// [`InvalidName`], which tells the rule.
pub fn check(rule: Rule, name: &str) -> Result<(), InvalidName> {
    if rule.accepts(name) {
        return Ok(());
    }
    let (least, most) = rule.lengths();
    Err(InvalidName { name: name.escape_debug().take(200).collect(), rule, least, most })
}

/// Where names begin. Those that must be unique in the world end with a few digits that follow from the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The default name for `rule`; of vaults, that of the application.
    #[must_use]
    pub fn name(&self, rule: Rule, subscription: Uuid) -> String {
        let Self(prefix) = self;
        match rule {
            Rule::ResourceGroup => format!("{prefix}-rg"),
            Rule::Vault => format!("{prefix}-kv-{}", self.suffix(subscription)),
            Rule::StorageAccount => format!("{}st{}", prefix.replace('-', ""), self.suffix(subscription)),
            Rule::LogAnalytics => format!("{prefix}-logs"),
            Rule::ApplicationInsights => format!("{prefix}-insights"),
            Rule::Workspace => format!("{prefix}-ml"),
            Rule::Identity => format!("{prefix}-agent"),
            Rule::Compute | Rule::Prefix => prefix.clone(),
        }
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The default name of the vault that the workspace keeps the credentials of its datastores in.
    #[must_use]
    pub fn workspace_vault(&self, subscription: Uuid) -> String {
        format!("{}-mlkv-{}", self.0, self.suffix(subscription))
    }

    fn suffix(&self, subscription: Uuid) -> String {
        let mut digits = derived(&["name", &subscription.to_string(), &self.0]).simple().to_string();
        digits.truncate(6);
        digits
    }
}

impl FromStr for Prefix {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        check(Rule::Prefix, text).map(|()| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: Uuid = uuid::uuid!("00000000-0000-4000-8000-000000000001");

    #[test]
    fn every_rule_takes_and_refuses_what_azure_does() {
        let rows: &[(Rule, &[&str], &[&str])] = &[
            (Rule::ResourceGroup, &["a", "ml_team.(x)-rg", "größe"], &["", "rg.", "a/b", &"a".repeat(91)]),
            (Rule::Vault, &["abc", "Ml-kv-1"], &["ab", "1abc", "a--b", "ab-", "a_bc", &"a".repeat(25)]),
            (Rule::StorageAccount, &["abc", "m1st00"], &["ab", "Abc", "a-bc", &"a".repeat(25)]),
            (Rule::LogAnalytics, &["logs", "a-1-b"], &["log", "-logs", "logs-", "lo_gs"]),
            (Rule::ApplicationInsights, &["i", "my insights (1)"], &["", "a/b", "a%b", "x."]),
            (Rule::Workspace, &["ml1", "1_ml-x"], &["ml", "-ml", "_ml", "m.l", &"m".repeat(34)]),
            (Rule::Identity, &["agent", "0-a_b"], &["ag", "-agent", "a.b"]),
            (Rule::Prefix, &["ml", "ml-team-1"], &["m", "Ml", "1ml", "ml-", "m--l", &"m".repeat(13)]),
        ];
        for (rule, good, bad) in rows {
            for name in *good {
                assert_eq!(check(*rule, name), Ok(()), "{rule} {name}");
            }
            for name in *bad {
                assert!(check(*rule, name).is_err(), "{rule} {name}");
            }
        }
        let error = check(Rule::Vault, "a--b").expect_err("refused").to_string();
        assert!(error.contains("3 to 24") && error.contains("single hyphens"), "{error}");
    }

    #[test]
    fn the_longest_and_the_shortest_prefix_give_valid_names() {
        for text in ["ml", "abcdefghijkl", "a-b-c-d-e-f1"] {
            let prefix: Prefix = text.parse().expect("a prefix");
            let rules = [
                Rule::ResourceGroup,
                Rule::Vault,
                Rule::StorageAccount,
                Rule::LogAnalytics,
                Rule::ApplicationInsights,
                Rule::Workspace,
                Rule::Identity,
            ];
            for rule in rules {
                assert_eq!(check(rule, &prefix.name(rule, SUBSCRIPTION)), Ok(()), "{text} {rule}");
            }
            assert_eq!(check(Rule::Vault, &prefix.workspace_vault(SUBSCRIPTION)), Ok(()), "{text}");
        }
    }

    #[test]
    fn names_that_must_be_unique_differ_between_subscriptions_and_not_between_runs() {
        let prefix: Prefix = "ml".parse().expect("a prefix");
        let name = prefix.name(Rule::Vault, SUBSCRIPTION);
        assert_eq!(name, prefix.name(Rule::Vault, SUBSCRIPTION));
        assert_ne!(name, prefix.name(Rule::Vault, Uuid::nil()));
    }
}
