//! The endpoints of Azure's clouds, and the vault URLs that belong to them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

/// A cloud with vaults and a sign-in service of its own.
/// Source: <https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#dns-suffixes-for-object-identifiers>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Azure as most of the world uses it.
    Public,
    /// Azure for the government of the United States.
    UsGovernment,
    /// Azure in China.
    China,
}

impl Cloud {
    const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// What follows a vault's name in its host name.
    #[must_use]
    pub fn vault_suffix(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGovernment => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }

    /// What a token for the vaults is asked for, as their challenges name it.
    #[must_use]
    pub fn vault_scope(self) -> String {
        format!("https://{}/.default", self.vault_suffix())
    }

    /// The sign-in service, Microsoft Entra ID.
    #[must_use]
    pub fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }
}

/// The address of one Key Vault, checked: `https://NAME.vault.azure.net`, or the same in another cloud.
#[derive(Clone, PartialEq, Eq)]
pub struct VaultUrl {
    name: String,
    cloud: Cloud,
}

/// Says why a text is no [`VaultUrl`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{text}' is no Key Vault URL: {reason}; write https://NAME.vault.azure.net")]
pub struct InvalidVaultUrl {
    text: String,
    reason: &'static str,
}

impl VaultUrl {
    /// The vault's name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cloud that the vault is in.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }
}

impl VaultUrl {
    /// The vault's host name.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}.{}", self.name, self.cloud.vault_suffix())
    }
}

impl FromStr for VaultUrl {
    type Err = InvalidVaultUrl;

    fn from_str(text: &str) -> Result<Self, InvalidVaultUrl> {
        let invalid = |reason| InvalidVaultUrl { text: presentable(text), reason };
        let url = Url::parse(text).map_err(|_| invalid("it is no URL"))?;
        if url.scheme() != "https" {
            return Err(invalid("tokens and secrets are sent over https only"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds a user name or password"));
        }
        if url.port().is_some() {
            return Err(invalid("it names a port"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("something follows the host name; a secret's name has a key of its own"));
        }
        let Some(Host::Domain(host)) = url.host() else {
            return Err(invalid("its host is an address, not a name"));
        };
        let (name, suffix) = host.split_once('.').ok_or_else(|| invalid("its host is not in a Key Vault domain"))?;
        let cloud = Cloud::ALL
            .into_iter()
            .find(|cloud| cloud.vault_suffix() == suffix)
            .ok_or_else(|| invalid("its host is not in a Key Vault domain"))?;
        if !valid_vault_name(name) {
            return Err(invalid(
                "a vault's name has 3 to 24 letters, digits and single hyphens, starts with a letter and ends without a hyphen",
            ));
        }
        Ok(Self { name: name.to_owned(), cloud })
    }
}

/// What may be shown of a text that should be a URL: no user name, no password, and no query, which may hold a signature.
fn presentable(text: &str) -> String {
    if text.contains('@') {
        return "…@…".to_owned();
    }
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let shown: String = text[..end].escape_debug().take(200).collect();
    if end < text.len() { shown + "…" } else { shown }
}

/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftkeyvault>.
fn valid_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
}

impl fmt::Display for VaultUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "https://{}.{}", self.name, self.cloud.vault_suffix())
    }
}

impl fmt::Debug for VaultUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_url_names_its_cloud() {
        let rows = [
            ("https://my-vault.vault.azure.net", Cloud::Public, "https://my-vault.vault.azure.net"),
            ("https://MyVault.vault.azure.net/", Cloud::Public, "https://myvault.vault.azure.net"),
            ("https://v4t.vault.usgovcloudapi.net", Cloud::UsGovernment, "https://v4t.vault.usgovcloudapi.net"),
            ("https://vau.vault.azure.cn:443/", Cloud::China, "https://vau.vault.azure.cn"),
        ];
        for (text, cloud, shown) in rows {
            let url: VaultUrl = text.parse().expect(text);
            assert_eq!((url.cloud(), url.to_string().as_str()), (cloud, shown));
        }
    }

    #[test]
    fn each_bad_vault_url_is_refused_with_its_reason() {
        let rows = [
            ("", "no URL"),
            ("my-vault.vault.azure.net", "no URL"),
            ("http://my-vault.vault.azure.net", "https only"),
            ("https://user:hunter2@my-vault.vault.azure.net", "password"),
            ("https://my-vault.vault.azure.net:8443", "port"),
            ("https://my-vault.vault.azure.net/secrets/db", "follows the host"),
            ("https://my-vault.vault.azure.net/?x=1", "follows the host"),
            ("https://my-vault.vault.azure.net/#x", "follows the host"),
            ("https://my-vault.vault.azure.net/?sig=hunter2", "net/…'"),
            ("https://my-vault.vault.azure.net/#hunter2", "net/…'"),
            ("my-vault.vault.azure.net/?sig=hunter2", "no URL"),
            ("http://user:hunter2@my-vault.vault.azure.net", "https only"),
            ("https://user:hunter2?x@my-vault.vault.azure.net", "…@…"),
            ("https//user:hunter2@my-vault.vault.azure.net", "no URL"),
            ("https://127.0.0.1", "address"),
            ("https://vault", "domain"),
            ("https://vault.azure.net", "domain"),
            ("https://my-vault.vault.azure.net.example.org", "domain"),
            ("https://a.b.vault.azure.net", "domain"),
            ("https://ab.vault.azure.net", "3 to 24"),
            ("https://1ab.vault.azure.net", "3 to 24"),
            ("https://ab-.vault.azure.net", "3 to 24"),
            ("https://a--b.vault.azure.net", "3 to 24"),
            ("https://a_b.vault.azure.net", "3 to 24"),
        ];
        for (text, reason) in rows {
            let error = text.parse::<VaultUrl>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
