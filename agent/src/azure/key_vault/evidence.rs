//! What a refusal of Key Vault tells beyond its meaning, read from a text that was made for people.
//!
//! It ends up in commands that somebody runs, so nothing is taken over but what has a type of its own.

use std::net::IpAddr;

use uuid::Uuid;

/// Longest name of a resource group, in characters.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftresources>.
const GROUP_LENGTH_MAX: usize = 90;

/// What the vault said about a request that it refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The most precise of its error codes.
    pub code: Option<String>,
    /// Who it was refused to.
    pub object_id: Option<Uuid>,
    /// Where the vault is in Azure.
    pub resource: Option<VaultResource>,
    /// The address that the request came from, as the vault sees it.
    pub client_address: Option<IpAddr>,
}

/// Where a vault is in Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultResource {
    /// The subscription.
    pub subscription: Uuid,
    /// The resource group's name, which may hold more than letters and digits.
    pub group: String,
    /// The vault's name.
    pub vault: String,
}

impl VaultResource {
    /// The identifier that Resource Manager knows it by.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { subscription, group, vault } = self;
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}")
    }

    /// Reads the identifier of `vault`, or of something in it.
    fn parse(id: &str, vault: &str) -> Option<Self> {
        let parts: Vec<_> = id.split('/').collect();
        let ["", subscriptions, subscription, groups, group, providers, provider, vaults, name, ..] = parts[..] else {
            return None;
        };
        let fixed = [subscriptions, groups, providers, provider, vaults];
        let expected = ["subscriptions", "resourcegroups", "providers", "microsoft.keyvault", "vaults"];
        let shaped = fixed.iter().zip(expected).all(|(part, word)| part.eq_ignore_ascii_case(word));
        let group_is_one = (1..=GROUP_LENGTH_MAX).contains(&group.chars().count())
            && group.chars().all(|letter| letter.is_alphanumeric() || "-_.()".contains(letter));
        if !shaped || !group_is_one || !name.eq_ignore_ascii_case(vault) {
            return None;
        }
        Some(Self { subscription: subscription.parse().ok()?, group: group.to_owned(), vault: vault.to_owned() })
    }
}

impl Evidence {
    /// Reads the message of a refusal by `vault`. The texts are those of recorded answers, a fact to a line.
    pub(super) fn read(code: Option<String>, message: &str, vault: &str) -> Self {
        let fact = |name: &str| message.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let object = message.split("oid=").nth(1).and_then(|rest| rest.split(';').next());
        Self {
            code,
            object_id: object.and_then(|id| id.parse().ok()),
            resource: fact("Resource:").and_then(|id| VaultResource::parse(id.trim_matches('\''), vault)),
            client_address: fact("Client address:").and_then(|text| text.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
    const OBJECT: &str = "33333333-3333-4333-8333-333333333333";

    fn read(message: &str) -> Evidence {
        Evidence::read(None, message, "ml-vault")
    }

    #[test]
    fn a_missing_role_tells_who_and_where() {
        let message = format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments changed.\r\nCaller: appid=a;\
             oid={OBJECT};iss=https://sts.windows.net/t/\r\nAction: 'x'\r\nResource: '/subscriptions/{SUBSCRIPTION}/\
             resourcegroups/rg (1)/providers/microsoft.keyvault/vaults/ML-vault/secrets/db'\r\nVault: v;location=x\r\n"
        );
        assert_eq!(read(&message).resource, None, "a space is in no name of a group");
        let evidence = read(&message.replace("rg (1)", "rg(1)"));
        assert_eq!(evidence.object_id, OBJECT.parse().ok());
        let id =
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg(1)/providers/Microsoft.KeyVault/vaults/ml-vault");
        assert_eq!(evidence.resource.map(|resource| resource.id()), Some(id));
    }

    #[test]
    fn a_firewall_tells_the_address_that_it_saw() {
        let message = "Client address is not authorized.\r\nClient address: 203.0.113.7\r\nCaller: appid=a;oid=b;iss=c";
        let evidence = read(message);
        assert_eq!(evidence.client_address, "203.0.113.7".parse().ok());
        assert_eq!(evidence.object_id, None);
    }

    #[test]
    fn nothing_is_taken_over_that_could_be_more_than_it_seems() {
        let resource = |id: &str| read(&format!("Resource: '{id}'")).resource;
        let at = |group: &str, vault: &str| {
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}")
        };
        assert!(resource(&at("rg", "ml-vault")).is_some());
        let long = "x".repeat(91);
        for (group, vault) in
            [("rg", "other"), ("$(reboot)", "ml-vault"), ("a'b", "ml-vault"), ("", "ml-vault"), (&long, "ml-vault")]
        {
            assert_eq!(resource(&at(group, vault)), None, "{group} {vault}");
        }
        assert_eq!(resource("/subscriptions/x/resourceGroups/rg"), None);
        assert_eq!(read("oid=`reboot`;\r\nClient address: $(reboot)"), Evidence::default());
    }
}
