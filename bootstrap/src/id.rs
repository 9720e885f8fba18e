//! Identifiers of resources as Resource Manager writes them, which differ in case from answer to answer.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

/// The namespace of every identifier that is derived from names, so that two runs, and two machines, derive the same.
const NAMESPACE: Uuid = uuid::uuid!("3f0a6f0e-5d3c-5b1e-9d51-6b65797369de");

/// The identifier of a resource or of a resource group.
#[derive(Clone)]
pub struct ArmId(String);

/// Says why a text is no [`ArmId`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "'{text}' is no resource id: {reason}; write /subscriptions/ID/resourceGroups/NAME/providers/NAMESPACE/TYPE/NAME"
)]
pub struct InvalidId {
    text: String,
    reason: &'static str,
}

impl ArmId {
    /// A resource group of a subscription.
    #[must_use]
    pub fn group(subscription: Uuid, name: &str) -> Self {
        Self(format!("/subscriptions/{subscription}/resourceGroups/{name}"))
    }

    /// A resource in the group that this identifies, `kind` being its namespace and type.
    #[must_use]
    pub fn resource(&self, kind: &str, name: &str) -> Self {
        Self(format!("{}/providers/{kind}/{name}", self.0))
    }

    /// Something inside the resource that this identifies.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        Self(format!("{}/{kind}/{name}", self.0))
    }

    /// The identifier as text, in the case in which it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// What it is one of.
    #[must_use]
    pub fn collection(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(collection, _)| collection)
    }

    /// The name of the resource group.
    #[must_use]
    pub fn group_name(&self) -> &str {
        self.0.split('/').nth(4).unwrap_or_default()
    }

    /// Whether it is of the type `kind`, a namespace and a type.
    #[must_use]
    pub fn is_a(&self, kind: &str) -> bool {
        let parts: Vec<_> = self.0.split('/').collect();
        parts.len() == 9 && format!("{}/{}", parts[6], parts[7]).eq_ignore_ascii_case(kind)
    }

    /// Whether a text from an answer of Azure identifies the same thing.
    #[must_use]
    pub fn same_as(&self, text: &str) -> bool {
        self.0.trim_end_matches('/').eq_ignore_ascii_case(text.trim_end_matches('/'))
    }
}

impl FromStr for ArmId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = |reason| InvalidId { text: text.escape_debug().take(300).collect(), reason };
        if text.starts_with("https://") {
            return Err(invalid("it is a URL, and Azure links resources by their id"));
        }
        let parts: Vec<_> = text.split('/').collect();
        let [start, subscriptions, subscription, groups, _, providers, ..] = parts[..] else {
            return Err(invalid("it is too short"));
        };
        let words = [("subscriptions", subscriptions), ("resourceGroups", groups), ("providers", providers)];
        if !start.is_empty() || words.iter().any(|(word, found)| !word.eq_ignore_ascii_case(found)) {
            return Err(invalid("it does not have the form of one"));
        }
        if Uuid::parse_str(subscription).is_err() {
            return Err(invalid("its subscription is no UUID"));
        }
        let allowed = |part: &str| {
            !part.is_empty() && part.chars().all(|letter| letter.is_alphanumeric() || "-_.()".contains(letter))
        };
        if parts.len() < 9 || parts.len().is_multiple_of(2) || !parts[1..].iter().all(|part| allowed(part)) {
            return Err(invalid("it does not end with a type and a name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.same_as(&other.0)
    }
}

impl Eq for ArmId {}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An identifier that follows from `parts` alone, whatever their case.
#[must_use]
pub fn derived(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("|").to_ascii_lowercase().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str =
        "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv";

    #[test]
    fn ids_in_another_case_are_the_same() {
        let id: ArmId = VAULT.parse().expect("an id");
        let recased =
            VAULT.replace("Microsoft.KeyVault", "Microsoft.Keyvault").replace("resourceGroups", "resourcegroups");
        assert!(id.same_as(&recased));
        assert_eq!(id, recased.parse().expect("an id"));
        assert!(!id.same_as(&VAULT.replace("/kv", "/kv2")));
        assert_eq!((id.name(), id.group_name()), ("kv", "rg"));
        assert_eq!(format!("{}/kv", id.collection()), VAULT);
        assert!(id.is_a("microsoft.keyvault/vaults") && !id.is_a("Microsoft.Storage/storageAccounts"));
    }

    #[test]
    fn what_is_no_id_is_refused_with_the_reason() {
        let rows = [
            ("https://kv.vault.azure.net/", "URL"),
            ("/subscriptions/1/resourceGroups/rg/providers/a/b/c", "UUID"),
            ("/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg", "too short"),
            ("/a/00000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/a/b/c", "form"),
            ("/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/a/b", "type and a name"),
            (
                "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/a/b/c?x",
                "type and a name",
            ),
        ];
        for (text, reason) in rows {
            let error = text.parse::<ArmId>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn derived_ids_depend_on_the_parts_and_not_on_their_case() {
        assert_eq!(derived(&["/A/b", "c"]), derived(&["/a/B", "C"]));
        assert_ne!(derived(&["a", "bc"]), derived(&["ab", "c"]));
        assert_eq!(derived(&["scope", "principal", "role"]).get_version_num(), 5);
    }
}
