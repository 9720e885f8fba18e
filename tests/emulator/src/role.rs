//! The built-in roles that role assignments can name, with the actions that each one grants.

mod assignment;
mod built_in;

use uuid::Uuid;

pub(crate) use self::assignment::{RoleAssignment, RoleAssignments};
use self::built_in::BUILT_IN;
use crate::pattern;

/// One built-in role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) id: Uuid,
    pub(crate) actions: &'static [&'static str],
    pub(crate) not_actions: &'static [&'static str],
    pub(crate) data_actions: &'static [&'static str],
}

/// The id of the built-in role that `text` names, or is the id of.
pub(crate) fn find(text: &str) -> Option<Uuid> {
    let named = |role: &&Role| role.name.eq_ignore_ascii_case(text) || Uuid::parse_str(text) == Ok(role.id);
    BUILT_IN.iter().find(named).map(|role| role.id)
}

/// Every built-in role.
pub(crate) fn all() -> &'static [Role] {
    &BUILT_IN
}

fn any(patterns: &[&str], action: &str) -> bool {
    patterns.iter().any(|pattern| pattern::matches(pattern, action))
}

/// Whether the role `id` grants `data_action` on what a resource holds.
pub(crate) fn grants(id: Uuid, data_action: &str) -> bool {
    BUILT_IN.iter().any(|role| role.id == id && any(role.data_actions, data_action))
}

/// Whether the role `id` grants `action` on resources themselves.
pub(crate) fn grants_action(id: Uuid, action: &str) -> bool {
    BUILT_IN.iter().any(|role| role.id == id && any(role.actions, action) && !any(role.not_actions, action))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
    const LIST: &str = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";
    const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";

    #[test]
    fn roles_grant_what_azure_says() {
        let rows = [
            ("Key Vault Administrator", [true, true, true]),
            ("Key Vault Secrets Officer", [true, true, true]),
            ("key vault secrets user", [true, true, false]),
            ("4633458b-17de-408a-b874-0445c86b69e6", [true, true, false]),
            ("Key Vault Reader", [false, true, false]),
            ("Key Vault Certificate User", [true, true, false]),
            ("Key Vault Crypto Officer", [false, false, false]),
            ("Key Vault Contributor", [false, false, false]),
            ("Owner", [false, false, false]),
        ];
        for (role, expected) in rows {
            let id = find(role).unwrap();
            assert_eq!([GET, LIST, SET].map(|action| grants(id, action)), expected, "{role}");
        }
    }

    #[test]
    fn roles_on_resources_grant_what_azure_says() {
        let actions = [
            "Microsoft.KeyVault/vaults/read",
            "Microsoft.KeyVault/vaults/write",
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.KeyVault/locations/deletedVaults/purge/action",
        ];
        let rows = [
            ("Owner", [true, true, true, true]),
            ("Contributor", [true, true, false, true]),
            ("Reader", [true, false, false, false]),
            ("User Access Administrator", [true, false, true, false]),
            ("Role Based Access Control Administrator", [true, false, true, false]),
            ("Key Vault Contributor", [true, true, false, false]),
            ("Key Vault Secrets User", [false, false, false, false]),
            ("Key Vault Purge Operator", [false, false, false, true]),
        ];
        for (role, expected) in rows {
            let id = find(role).unwrap();
            assert_eq!(actions.map(|action| grants_action(id, action)), expected, "{role}");
        }
    }

    #[test]
    fn no_two_roles_share_an_id_or_a_name() {
        for (at, role) in BUILT_IN.iter().enumerate() {
            let others = &BUILT_IN[at + 1..];
            assert!(others.iter().all(|other| other.id != role.id && other.name != role.name), "{}", role.name);
        }
    }

    #[test]
    fn an_unknown_role_is_not_found() {
        assert_eq!(find("Key Vault Secrets Reader"), None);
    }
}
