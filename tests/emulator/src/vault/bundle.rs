//! The data plane's answers as they go over the wire, member by member in the service's order.

use std::collections::BTreeMap;

use serde::Serialize;

use super::api_version::ApiVersion;
use super::contents::Lifecycle;
use super::secret::{DeletedSecret, Secret, Version};

/// What all bundles of one answer share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'a> {
    /// `https://NAME.vault.azure.net`, whatever address the caller used.
    pub(crate) vault_url: &'a str,
    pub(crate) lifecycle: &'a Lifecycle,
    pub(crate) api_version: ApiVersion,
}

/// Which members of a secret an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// The value, and an id with its version.
    Value,
    /// An id with its version.
    VersionedId,
    /// An id without a version, as in lists of secrets.
    PlainId,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bundle<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed: Option<bool>,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_version: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    created: i64,
    updated: i64,
    recovery_level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    recoverable_days: Option<u16>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletedBundle<'a> {
    recovery_id: String,
    deleted_date: i64,
    scheduled_purge_date: i64,
    #[serde(flatten)]
    bundle: Bundle<'a>,
}

/// A list's page. `nextLink` is there on the last page too, as null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    pub(crate) value: Vec<T>,
    pub(crate) next_link: Option<String>,
}

/// A backup, in an answer and in a request.
#[derive(Debug, Serialize)]
pub(crate) struct BackupBlob {
    pub(crate) value: String,
}

impl Style<'_> {
    pub(crate) fn bundle<'b>(&self, secret: &'b Secret, version: &'b Version, show: Show) -> Bundle<'b> {
        let plain_id = format!("{}/secrets/{}", self.vault_url, secret.name);
        let in_full = show == Show::Value;
        Bundle {
            value: in_full.then(|| version.value.expose()),
            content_type: version.content_type.as_deref(),
            id: if show == Show::PlainId { plain_id } else { format!("{plain_id}/{}", version.id) },
            managed: version.certificate_key.as_ref().map(|_| true),
            attributes: self.attributes(version),
            tags: version.tags.as_ref(),
            kid: version.certificate_key.as_deref().filter(|_| in_full),
            previous_version: version
                .previous
                .as_deref()
                .filter(|_| in_full && self.api_version.shows_previous_version()),
        }
    }

    pub(crate) fn deleted<'b>(&self, deleted: &'b DeletedSecret, show: Show) -> DeletedBundle<'b> {
        DeletedBundle {
            recovery_id: format!("{}/deletedsecrets/{}", self.vault_url, deleted.secret.name),
            deleted_date: deleted.deleted,
            scheduled_purge_date: deleted.scheduled_purge,
            bundle: self.bundle(&deleted.secret, deleted.secret.latest(), show),
        }
    }

    fn attributes(&self, version: &Version) -> Attributes {
        let days = self.lifecycle.retention_days.filter(|_| self.api_version.shows_recoverable_days());
        Attributes {
            enabled: version.enabled,
            nbf: version.not_before,
            exp: version.expires,
            created: version.created,
            updated: version.updated,
            recovery_level: self.lifecycle.recovery_level(),
            recoverable_days: days,
        }
    }
}
