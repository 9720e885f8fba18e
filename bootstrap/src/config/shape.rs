//! The shape of the file: which tables and keys there are, each value checked by its own type, nothing checked between them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use keyside::config::document::Parsed;
use keyside::secret::SecretName;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;
use uuid::Uuid;

use crate::id::ArmId;
use crate::names::Prefix;
use crate::roles::Role;

/// What stands before the first table. All but the last are required, which is checked key by key: serde stops at the
/// first that is missing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Top {
    pub(super) subscription: Option<Parsed<Uuid>>,
    pub(super) tenant: Option<Parsed<Uuid>>,
    pub(super) location: Option<Parsed<Location>>,
    pub(super) prefix: Option<Parsed<Prefix>>,
    pub(super) resource_group: Option<Spanned<String>>,
}

/// A region, as `westeurope`.
#[derive(Debug)]
pub(super) struct Location(pub(super) String);

/// Says that a text is no region.
#[derive(Debug, Error)]
#[error("'{0}' is no Azure region: write its name without spaces, such as westeurope")]
pub(super) struct InvalidLocation(String);

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let right = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if right { Ok(Self(text.to_owned())) } else { Err(InvalidLocation(text.to_owned())) }
    }
}

/// Tags, as Azure shows them.
pub(super) type Tags = BTreeMap<Spanned<String>, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<Parsed<ArmId>>>,
    pub(super) sku: Option<Parsed<VaultSku>>,
    pub(super) soft_delete_days: Option<Spanned<u32>>,
    pub(super) purge_protection: Option<bool>,
    pub(super) authorization: Option<Parsed<AuthorizationName>>,
    #[serde(default)]
    pub(super) network: NetworkTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkTable {
    pub(super) public_access: Option<bool>,
    pub(super) default_action: Option<Parsed<DefaultAction>>,
    pub(super) bypass: Option<Parsed<Bypass>>,
    pub(super) ip_rules: Option<Vec<Spanned<Parsed<AddressRange>>>>,
    pub(super) subnets: Option<Vec<Spanned<String>>>,
}

/// An address, or a range of them, as `203.0.113.0/24`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressRange(pub(super) String);

/// Says that a text is no [`AddressRange`].
#[derive(Debug, Error)]
#[error("'{0}' is no public IPv4 address or range: write it as 203.0.113.7 or 203.0.113.0/24")]
pub(super) struct InvalidRange(String);

impl FromStr for AddressRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let right = matches!(address.parse(), Ok(IpAddr::V4(_))) && bits.parse::<u8>().is_ok_and(|bits| bits <= 32);
        if right { Ok(Self(text.to_owned())) } else { Err(InvalidRange(text.to_owned())) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkspaceTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) friendly_name: Option<String>,
    pub(super) public_access: Option<bool>,
    pub(super) data_isolation: Option<bool>,
    #[serde(default)]
    pub(super) vault: Option<Parsed<WorkspaceVaultName>>,
    pub(super) vault_name: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StorageTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<Parsed<ArmId>>>,
    pub(super) sku: Option<Parsed<StorageSku>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogsTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<Parsed<ArmId>>>,
    pub(super) retention_days: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsightsTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<Parsed<ArmId>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) id: Option<Spanned<Parsed<ArmId>>>,
    pub(super) kubernetes: Option<KubernetesTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KubernetesTable {
    pub(super) issuer: Spanned<String>,
    pub(super) namespace: String,
    pub(super) service_account: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorTable {
    pub(super) principal: Option<Parsed<Uuid>>,
    pub(super) principal_type: Option<Parsed<PrincipalKind>>,
    pub(super) address: Option<Parsed<AddressRange>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessTable {
    pub(super) principal: Spanned<String>,
    pub(super) principal_type: Option<Parsed<PrincipalKind>>,
    pub(super) role: Spanned<Parsed<Role>>,
    pub(super) secrets: Option<Spanned<Vec<Parsed<SecretName>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretTable {
    pub(super) name: Spanned<Parsed<SecretName>>,
    pub(super) content_type: Option<Spanned<String>>,
    pub(super) expires_in: Option<Spanned<Parsed<Span>>>,
    pub(super) generate: Option<GenerateTable>,
    pub(super) from_file: Option<PathBuf>,
    pub(super) from_env: Option<String>,
    #[serde(default)]
    pub(super) from_stdin: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GenerateTable {
    pub(super) length: Option<Spanned<usize>>,
    pub(super) alphabet: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiagnosticsTable {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentTable {
    pub(super) file: Option<PathBuf>,
    pub(super) readers: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) files: Option<Spanned<PathBuf>>,
    pub(super) runs_on: Option<Parsed<RunsOnName>>,
    pub(super) compute: Option<Spanned<String>>,
}

/// A length of time of at least a minute, such as `90d`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Duration);

/// Says why a text is no [`Span`].
#[derive(Debug, Error)]
#[error("'{0}' is no length of time of at least a minute: write it as \"90d\" or \"12h\"")]
pub(super) struct InvalidSpan(String);

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let span = humantime::parse_duration(text).ok().filter(|span| *span >= Duration::from_mins(1));
        span.map(Self).ok_or_else(|| InvalidSpan(text.to_owned()))
    }
}

/// Says that a word is none of those that its key takes.
#[derive(Debug, Error)]
#[error("'{word}' is unknown: use {known}")]
pub(super) struct UnknownWord {
    word: String,
    known: &'static str,
}

/// Gives a key its words, and each the way that Azure writes it.
macro_rules! words {
    ($name:ident, $inner:ty, $doc:literal, $known:literal, $($word:literal => $value:expr),+) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $inner);

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self($value)),)+
                    _ => Err(UnknownWord { word: word.to_owned(), known: $known }),
                }
            }
        }
    };
}

words!(VaultSku, &'static str, "What a vault costs.", "standard or premium", "standard" => "standard", "premium" => "premium");
words!(StorageSku, &'static str, "How blobs are replicated.", "lrs, zrs or grs",
    "lrs" => "Standard_LRS", "zrs" => "Standard_ZRS", "grs" => "Standard_GRS");
words!(DefaultAction, &'static str, "What the firewall does with an address without a rule.", "allow or deny",
    "allow" => "Allow", "deny" => "Deny");
words!(Bypass, &'static str, "Whom the firewall lets pass.", "azure-services or none",
    "azure-services" => "AzureServices", "none" => "None");
words!(AuthorizationName, super::Authorization, "Who decides on access.", "rbac or access-policies",
    "rbac" => super::Authorization::Rbac, "access-policies" => super::Authorization::AccessPolicies);
words!(PrincipalKind, &'static str, "What a principal is.", "service-principal, user or group",
    "service-principal" => "ServicePrincipal", "user" => "User", "group" => "Group");
words!(WorkspaceVaultName, super::WorkspaceVault, "Where the workspace keeps credentials.", "own or application",
    "own" => super::WorkspaceVault::Own, "application" => super::WorkspaceVault::Application);
words!(RunsOnName, super::RunsOn, "Where the agent runs.",
    "virtual-machine, compute-cluster, compute-instance, kubernetes or elsewhere",
    "virtual-machine" => super::RunsOn::VirtualMachine, "compute-cluster" => super::RunsOn::ComputeCluster,
    "compute-instance" => super::RunsOn::ComputeInstance, "kubernetes" => super::RunsOn::Kubernetes,
    "elsewhere" => super::RunsOn::Elsewhere);
