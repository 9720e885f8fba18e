//! The index of what is kept: each secret, how it is made, what the vault said of it and when, and where its value lies.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::memory::Place;
use crate::refresh::Wanted;
use crate::secret::{Metadata, SecretValue};
use crate::store::{Published, Snapshot};

/// What is kept. Nothing in it is confidential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub(super) secrets: Vec<Kept>,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// What readers call it.
    pub(super) name: String,
    /// [`recipe`].
    pub(super) recipe: String,
    /// The vault that gave it.
    pub(super) vault: String,
    pub(super) version: String,
    pub(super) content_type: Option<String>,
    pub(super) created: Option<Timestamp>,
    pub(super) updated: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    /// When the vault last confirmed it, by the time of day.
    pub(super) fetched: Timestamp,
    /// The same by the time since the machine's start, in nanoseconds.
    pub(super) fetched_uptime: u64,
    /// Where the value lies: the mapping's number, and offset and length in bytes.
    pub(super) chunk: usize,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// How a secret is made, in words that differ whenever anything differs that decides its value, but the vault.
pub(super) fn recipe(wanted: &Wanted) -> String {
    let Wanted { vault_name, version, selection, encoding, .. } = wanted;
    format!("{vault_name} {version:?} {selection:?} {encoding:?}")
}

impl Index {
    /// What can be kept of a snapshot, and the values. A value that was made by an earlier configuration is not kept: it would
    /// be taken for what it is not.
    pub(super) fn of(snapshot: &Snapshot, wanted: &[Wanted]) -> (Self, Vec<SecretValue>) {
        let keep = |one: &Wanted| {
            let slot = snapshot.slots.get(&one.name).filter(|slot| !slot.is_new)?;
            let published = slot.published.as_ref()?;
            Some((Kept::of(one, published)?, published.secret.value.clone()))
        };
        let (secrets, values) = wanted.iter().filter_map(keep).unzip();
        (Self { secrets }, values)
    }
}

impl Kept {
    fn of(wanted: &Wanted, published: &Published) -> Option<Self> {
        let Place { chunk, offset, length } = published.secret.value.locked().place()?;
        let Metadata { version, content_type, created, updated, expires } = &published.secret.metadata;
        Some(Self {
            name: wanted.name.to_string(),
            recipe: recipe(wanted),
            vault: published.origin.vault.to_string(),
            version: version.to_string(),
            content_type: content_type.clone(),
            created: *created,
            updated: *updated,
            expires: *expires,
            fetched: published.fetched.wall,
            fetched_uptime: u64::try_from(published.fetched.uptime.as_nanos()).ok()?,
            chunk,
            offset,
            length,
        })
    }
}
