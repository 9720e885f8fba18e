//! Which of Azure's services a request is meant for.

use std::net::IpAddr;

use crate::arm;

const VAULTS: &str = ".vault.azure.net";
const ENTRA: &str = "login.microsoftonline.com";
const METADATA: &str = "169.254.169.254";

/// A service of the emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Entra,
    Metadata,
    Vault(String),
    /// The vault that answers where an address names none.
    FirstVault,
    /// App Service and Azure ML share a path; the request's headers tell which one is meant.
    ComputeIdentity,
    OnBehalfOf,
    ResourceManager,
    Admin,
    /// A host that the emulator does not play.
    Nobody,
}

impl Destination {
    /// Decides by host, and on the emulator's own address by the path's first part.
    pub(crate) fn of(host: &str, path: &str) -> Destination {
        let host = host.to_ascii_lowercase();
        if let Some(name) = host.strip_suffix(VAULTS) {
            return Destination::Vault(name.to_string());
        }
        match host.as_str() {
            ENTRA => Destination::Entra,
            arm::HOST => Destination::ResourceManager,
            // An emulator that listens on this very address takes its commands there too.
            METADATA if Destination::by_path(path) == Destination::Admin => Destination::Admin,
            METADATA => Destination::Metadata,
            host if is_own_address(host) => Destination::by_path(path),
            _ => Destination::Nobody,
        }
    }

    fn by_path(path: &str) -> Destination {
        let path = path.trim_start_matches('/').to_ascii_lowercase();
        match path.split('/').next().unwrap_or("") {
            "metadata" if path.starts_with("metadata/endpoints") => Destination::ResourceManager,
            "subscriptions" | "tenants" | "providers" => Destination::ResourceManager,
            "secrets" | "deletedsecrets" | "keys" | "certificates" => Destination::FirstVault,
            "metadata" => Destination::Metadata,
            "msi" => Destination::ComputeIdentity,
            "obo" => Destination::OnBehalfOf,
            "emulator" => Destination::Admin,
            _ => Destination::Entra,
        }
    }
}

/// An address, or a name without a dot, such as a container's: nothing of Azure is called so.
fn is_own_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || !host.contains('.')
}

/// Whether `host` is one of Azure's, all of which speak TLS alone.
pub(crate) fn needs_tls(host: &str) -> bool {
    matches!(Destination::of(host, ""), Destination::Vault(_) | Destination::ResourceManager)
        || host.eq_ignore_ascii_case(ENTRA)
}

/// An authority's host, without its port.
pub(crate) fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_paths_lead_to_their_service() {
        let rows = [
            ("kv-demo.vault.azure.net", "/secrets", Destination::Vault("kv-demo".into())),
            ("KV-Demo.Vault.Azure.Net", "/", Destination::Vault("kv-demo".into())),
            ("login.microsoftonline.com", "/secrets", Destination::Entra),
            ("169.254.169.254", "/metadata/identity/oauth2/token", Destination::Metadata),
            ("127.0.0.1", "/secrets/db/", Destination::FirstVault),
            ("[::1]", "/deletedsecrets", Destination::FirstVault),
            ("localhost", "/metadata/identity/oauth2/token", Destination::Metadata),
            ("emulator", "/msi/token", Destination::ComputeIdentity),
            ("127.0.0.1", "/obo/token", Destination::OnBehalfOf),
            ("127.0.0.1", "/emulator/command", Destination::Admin),
            ("169.254.169.254", "/emulator/command", Destination::Admin),
            ("169.254.169.254", "/secrets", Destination::Metadata),
            ("127.0.0.1", "/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token", Destination::Entra),
            ("kv-demo.vault.azure.net", "/emulator/command", Destination::Vault("kv-demo".into())),
            ("example.com", "/secrets", Destination::Nobody),
            ("management.azure.com", "/secrets", Destination::ResourceManager),
            ("127.0.0.1", "/Subscriptions/s", Destination::ResourceManager),
            ("127.0.0.1", "/metadata/endpoints", Destination::ResourceManager),
        ];
        for (host, path, expected) in rows {
            assert_eq!(Destination::of(host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn a_port_is_no_part_of_the_host() {
        let rows =
            [("kv:443", "kv"), ("kv", "kv"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1:1", "127.0.0.1")];
        for (authority, expected) in rows {
            assert_eq!(host(authority), expected);
        }
    }
}
