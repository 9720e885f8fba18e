//! The shape of the file: which tables and keys there are, each value checked by its own type, nothing checked between them.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::document::Parsed;
use super::limits::{RefreshInterval, RequestTime};
use super::rotation::{FullRefresh, MaxStale, PollInterval, RevokeAfter};
use crate::azure::cloud::VaultUrl;
use crate::azure::identity;
use crate::encoding::Encoding;
use crate::env_file::Format;
use crate::files::{Mode, OnStop, RelativePath};
use crate::logging;
use crate::memory::Protection;
use crate::secret::{SecretName, Version};
use crate::selection::{Part, Pointer};
use crate::variable::{InvalidVariable, VariableName};

/// Readers as they are written; who they are depends on the machine's accounts.
pub(super) type Principals = Vec<Spanned<String>>;

/// What stands before the first table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Top {
    pub(super) readers: Option<Principals>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultTable {
    pub(super) url: Parsed<VaultUrl>,
    #[serde(default)]
    pub(super) fallback: Vec<Spanned<Parsed<VaultUrl>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityTable {
    pub(super) kind: Option<Parsed<identity::Kind>>,
    pub(super) client_id: Option<Parsed<ObjectId>>,
    pub(super) object_id: Option<Parsed<ObjectId>>,
    pub(super) tenant_id: Option<String>,
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) client_secret_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationTable {
    pub(super) poll_interval: Option<Parsed<PollInterval>>,
    pub(super) full_refresh: Option<Spanned<Parsed<FullRefresh>>>,
    pub(super) revoke_after: Option<Parsed<RevokeAfter>>,
    pub(super) max_stale: Option<Spanned<Parsed<MaxStale>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiTable {
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) listen: Option<Parsed<Address>>,
    pub(super) operators: Option<Principals>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub(super) connections: Option<Spanned<NonZeroUsize>>,
    pub(super) connections_per_user: Option<Spanned<NonZeroUsize>>,
    pub(super) waits_per_user: Option<Spanned<NonZeroUsize>>,
    pub(super) request_time: Option<Parsed<RequestTime>>,
    pub(super) refresh_time: Option<Parsed<RequestTime>>,
    pub(super) refresh_interval: Option<Parsed<RefreshInterval>>,
    pub(super) refresh_burst: Option<NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditTable {
    pub(super) file: Spanned<PathBuf>,
    #[serde(default)]
    pub(super) allow_upload: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesTable {
    pub(super) directory: Option<Spanned<PathBuf>>,
    pub(super) mode: Option<Spanned<Parsed<Mode>>>,
    #[serde(default)]
    pub(super) world_readable: bool,
    pub(super) group: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) allow_disk: bool,
    #[serde(default)]
    pub(super) require_noswap: bool,
    pub(super) on_stop: Option<Parsed<OnStop>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryTable {
    pub(super) backend: Option<Parsed<Protection>>,
    #[serde(default)]
    pub(super) require_locked: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    pub(super) level: Option<Parsed<logging::Level>>,
    pub(super) format: Option<Parsed<logging::Format>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretTable {
    pub(super) name: Spanned<Parsed<SecretName>>,
    pub(super) vault_name: Option<Parsed<SecretName>>,
    pub(super) version: Option<Parsed<Version>>,
    pub(super) field: Option<Spanned<Parsed<Pointer>>>,
    pub(super) pem: Option<Spanned<Parsed<Part>>>,
    pub(super) encoding: Option<Parsed<Encoding>>,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) readers: Option<Principals>,
    pub(super) file: Option<Spanned<FileKey>>,
    pub(super) mode: Option<Spanned<Parsed<Mode>>>,
    pub(super) env: Option<Spanned<EnvKey>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvFileTable {
    pub(super) path: Spanned<Parsed<RelativePath>>,
    pub(super) secrets: Spanned<Vec<Spanned<String>>>,
    pub(super) format: Option<Parsed<Format>>,
    pub(super) readers: Option<Spanned<Principals>>,
    pub(super) mode: Option<Spanned<Parsed<Mode>>>,
}

/// `file = "path"`, or `file = false` for a secret that gets none.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write a path, or false for no file")]
pub(super) enum FileKey {
    Wanted(bool),
    Path(String),
}

impl FileKey {
    /// Whether a file is asked for.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self, Self::Wanted(false))
    }

    /// The path, none where no file is wanted, or the secret's name for `true`.
    pub(super) fn path(&self, name: &SecretName) -> Result<Option<RelativePath>, crate::files::InvalidPath> {
        match self {
            Self::Wanted(false) => Ok(None),
            Self::Wanted(true) => name.as_str().parse().map(Some),
            Self::Path(path) => path.parse().map(Some),
        }
    }
}

/// `env = "NAME"`, or `env = true` for the variable of the secret's own name.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write the name of a variable, or true for the secret's own in upper case")]
pub(super) enum EnvKey {
    Wanted(bool),
    Name(String),
}

impl EnvKey {
    /// The variable, or none for `false`.
    pub(super) fn variable(&self, name: &SecretName) -> Result<Option<VariableName>, InvalidVariable> {
        match self {
            Self::Wanted(false) => Ok(None),
            Self::Wanted(true) => VariableName::of(name).map(Some),
            Self::Name(text) => text.parse().map(Some),
        }
    }
}

/// The identifier of an application, an identity or another object of the directory.
#[derive(Clone, Debug)]
pub(super) struct ObjectId(pub(super) String);

/// Says that a text is no [`ObjectId`].
#[derive(Debug, Error)]
#[error("'{0}' is no identifier: write it as Azure shows it, 32 hexadecimal digits in five groups")]
pub(super) struct InvalidObjectId(String);

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<Self, InvalidObjectId> {
        let canonical = uuid::Uuid::try_parse(text).map(|id| id.hyphenated().to_string());
        if canonical.is_ok_and(|canonical| canonical.eq_ignore_ascii_case(text)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidObjectId(text.to_owned()))
        }
    }
}

/// A TCP address to listen on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(pub(super) SocketAddr);

/// Says that a text is no [`Address`].
#[derive(Debug, Error)]
#[error("'{0}' is no address: write IP:PORT, as in 127.0.0.1:9580")]
pub(super) struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        text.parse().map(Self).map_err(|_| InvalidAddress(text.to_owned()))
    }
}
