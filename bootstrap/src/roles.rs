//! Azure's built-in roles by name, and what each means for a vault that still has access policies.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use uuid::{Uuid, uuid};

/// A role: built in and known by name, or any by its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Role(Uuid);

/// Says that a text names no role.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no role: write its id, or one of {names}", names = BUILT_IN.map(|(name, _)| name).join(", "))]
pub struct UnknownRole(String);

/// Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>.
const BUILT_IN: [(&str, Uuid); 11] = [
    ("Key Vault Administrator", uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483")),
    ("Key Vault Secrets User", uuid!("4633458b-17de-408a-b874-0445c86b69e6")),
    ("Key Vault Secrets Officer", uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7")),
    ("Key Vault Reader", uuid!("21090545-7ca7-4776-b22c-e363652d74d2")),
    ("Key Vault Certificate User", uuid!("db79e9a7-68ee-4b58-9aeb-b90e7c24fcba")),
    ("Key Vault Purge Operator", uuid!("a68e7c17-0ab2-4c09-9a58-125dae29748c")),
    ("Key Vault Data Access Administrator", uuid!("8b54135c-b56d-4d72-a534-26097cfdc8d8")),
    ("Contributor", uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c")),
    ("Reader", uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7")),
    ("AzureML Data Scientist", uuid!("f6c7c914-8db3-469d-8ca1-694a8f32e121")),
    ("Storage Blob Data Contributor", uuid!("ba92f5b4-2d11-453d-a403-e96b0029c9fe")),
];

impl Role {
    /// Reads secrets.
    pub const SECRETS_USER: Self = Self(BUILT_IN[1].1);
    /// Reads and writes secrets.
    pub const SECRETS_OFFICER: Self = Self(BUILT_IN[2].1);
    /// All of a vault's data.
    pub const VAULT_ADMINISTRATOR: Self = Self(BUILT_IN[0].1);
    /// Everything but data and rights.
    pub const CONTRIBUTOR: Self = Self(BUILT_IN[7].1);
    /// Reads and writes blobs.
    pub const BLOB_CONTRIBUTOR: Self = Self(BUILT_IN[10].1);

    /// The id of its definition.
    #[must_use]
    pub fn id(self) -> Uuid {
        self.0
    }

    /// What it permits on secrets, in the words of an access policy; none where a policy has no such words.
    #[must_use]
    pub fn secret_permissions(self) -> Option<&'static [&'static str]> {
        match self {
            Self::SECRETS_USER => Some(&["get", "list"]),
            Self::SECRETS_OFFICER | Self::VAULT_ADMINISTRATOR => {
                Some(&["get", "list", "set", "delete", "recover", "backup", "restore"])
            }
            Self(id) if id == BUILT_IN[3].1 => Some(&["list"]),
            _ => None,
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let named = BUILT_IN.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, id)| *id);
        let id = named.or_else(|| Uuid::parse_str(text).ok());
        id.map(Self).ok_or_else(|| UnknownRole(text.escape_debug().take(100).collect()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BUILT_IN.iter().find(|(_, id)| *id == self.0) {
            Some((name, _)) => formatter.write_str(name),
            None => self.0.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_by_name_in_any_case_and_by_id() {
        assert_eq!("key vault secrets user".parse(), Ok(Role::SECRETS_USER));
        assert_eq!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7".parse(), Ok(Role::SECRETS_OFFICER));
        assert_eq!(Role::VAULT_ADMINISTRATOR.to_string(), "Key Vault Administrator");
        assert_eq!(Role::CONTRIBUTOR.to_string(), "Contributor");
        assert_eq!(Role::BLOB_CONTRIBUTOR.to_string(), "Storage Blob Data Contributor");
        let error = "Secrets Reader".parse::<Role>().expect_err("no role").to_string();
        assert!(error.contains("Key Vault Secrets User"), "{error}");
    }

    #[test]
    fn who_reads_secrets_may_list_them_and_not_write_them() {
        assert_eq!(Role::SECRETS_USER.secret_permissions(), Some(&["get", "list"][..]));
        assert!(Role::CONTRIBUTOR.secret_permissions().is_none());
    }
}
