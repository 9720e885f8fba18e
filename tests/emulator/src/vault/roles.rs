//! The built-in roles that a vault's role assignments can name, with the data actions each one grants.

use uuid::{Uuid, uuid};

use crate::pattern;

struct Role {
    name: &'static str,
    id: Uuid,
    data_actions: &'static [&'static str],
}

/// Names, ids and data actions as Azure's list of built-in roles has them.
const BUILT_IN: [Role; 10] = [
    Role {
        name: "Key Vault Administrator",
        id: uuid!("00482a5a-887f-4fb3-b363-3b7fe8e74483"),
        data_actions: &["Microsoft.KeyVault/vaults/*"],
    },
    Role {
        name: "Key Vault Secrets Officer",
        id: uuid!("b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
        data_actions: &["Microsoft.KeyVault/vaults/secrets/*"],
    },
    Role {
        name: "Key Vault Secrets User",
        id: uuid!("4633458b-17de-408a-b874-0445c86b69e6"),
        data_actions: &[
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
    },
    Role {
        name: "Key Vault Reader",
        id: uuid!("21090545-7ca7-4776-b22c-e363652d74d2"),
        data_actions: &["Microsoft.KeyVault/vaults/*/read", "Microsoft.KeyVault/vaults/secrets/readMetadata/action"],
    },
    Role {
        name: "Key Vault Crypto Officer",
        id: uuid!("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
        data_actions: &["Microsoft.KeyVault/vaults/keys/*"],
    },
    Role {
        name: "Key Vault Certificates Officer",
        id: uuid!("a4417e6f-fecd-4de8-b567-7b0420556985"),
        data_actions: &["Microsoft.KeyVault/vaults/certificates/*"],
    },
    Role { name: "Key Vault Contributor", id: uuid!("f25e0fa2-a7c8-4377-a976-54943a77a395"), data_actions: &[] },
    Role { name: "Owner", id: uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"), data_actions: &[] },
    Role { name: "Contributor", id: uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"), data_actions: &[] },
    Role { name: "Reader", id: uuid!("acdd72a7-3385-48ef-bd42-f606fba81ae7"), data_actions: &[] },
];

/// The id of the built-in role that `text` names, or is the id of.
pub(crate) fn find(text: &str) -> Option<Uuid> {
    let named = |role: &&Role| role.name.eq_ignore_ascii_case(text) || Uuid::parse_str(text) == Ok(role.id);
    BUILT_IN.iter().find(named).map(|role| role.id)
}

/// Whether the role `id` grants `data_action`.
pub(crate) fn grants(id: Uuid, data_action: &str) -> bool {
    BUILT_IN
        .iter()
        .filter(|role| role.id == id)
        .flat_map(|role| role.data_actions)
        .any(|granted| pattern::matches(granted, data_action))
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
    fn an_unknown_role_is_not_found() {
        assert_eq!(find("Key Vault Secrets Reader"), None);
    }
}
