//! A first secret: set once, and never over a value that is there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use keyside::clock::Clock as _;
use keyside::secret::{SecretName, SecretValue};
use serde_json::{Value, json};

use crate::azure::{Azure, Sight};
use crate::config::Source;
use crate::declaration::OWNER_TAG;
use crate::id::ArmId;
use crate::item::{Item, Key, Known, Label, Observed, Removal};
use crate::vault_data::{Listed, NewVersion, Reason, Rights};

/// A secret that is set unless it is there.
#[derive(Debug)]
pub struct Seed {
    /// The vault that it is in.
    pub vault: ArmId,
    /// Its name.
    pub name: SecretName,
    /// What kind of value it is.
    pub content_type: Option<String>,
    /// After how long a version expires.
    pub expires_in: Option<Duration>,
    /// Where the first value comes from.
    pub source: Source,
    /// The estate's number, for the tag.
    pub estate: String,
}

impl Seed {
    fn find(&self, listed: &BTreeMap<String, Listed>) -> Option<Observed> {
        let one = listed.get(&self.name.as_str().to_ascii_lowercase())?;
        let ours = one.tags.get(OWNER_TAG) == Some(&self.estate);
        let observed = Observed::present(Value::Null, ours);
        Some(if one.enabled { observed } else { observed.with_note("it is disabled, so nobody can read it") })
    }

    /// It is not there. Whether its first value can be had is looked at before anything of the estate is written.
    fn absent(&self, azure: &Azure) -> Observed {
        match azure.values.look(&self.source) {
            Ok(()) => Observed::absent(),
            Err(error) => Observed::refused(format!("its first value cannot be had: {error:#}")),
        }
    }

    /// Nobody can say yet whether it is there, in which case no value is needed.
    fn unseen(&self, azure: &Azure, note: &str) -> Observed {
        let observed = Observed::absent().with_note(note);
        match azure.values.look(&self.source) {
            Ok(()) => observed,
            Err(error) => observed.with_note(format!("if it is not, its first value cannot be had: {error:#}")),
        }
    }

    /// A new version of it.
    #[must_use]
    pub fn version<'a>(&'a self, azure: &Azure, value: &'a SecretValue) -> NewVersion<'a> {
        NewVersion {
            value,
            content_type: self.content_type.as_deref(),
            expires: self.expires_in.and_then(|span| expiry(azure.clock.now(), span)),
            tags: BTreeMap::from([(OWNER_TAG.to_owned(), self.estate.clone())]),
        }
    }
}

/// When a version that is made at `now` expires.
#[must_use]
pub fn expiry(now: Timestamp, span: Duration) -> Option<Timestamp> {
    now.checked_add(SignedDuration::try_from(span).ok()?).ok()
}

#[async_trait]
impl Item for Seed {
    fn label(&self) -> Label {
        Label { kind: "secret", name: self.name.to_string() }
    }

    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed> {
        if !known.has(Key::Vault) {
            let note = "whether it is there shows when the vault is back";
            return Ok(if azure.recover { self.unseen(azure, note) } else { self.absent(azure) });
        }
        Ok(match azure.secrets(&self.vault).await? {
            Sight::Of(listed) => self.find(&listed).unwrap_or_else(|| self.absent(azure)),
            Sight::Denied => self.unseen(azure, "whether it is there shows when the operator's access acts"),
            Sight::Gone => self.absent(azure),
        })
    }

    async fn write(&self, azure: &Azure, _known: &Known, _observed: &Observed) -> Result<Value> {
        let rights = Rights::MayBeOnTheirWay;
        let listed = azure.vault.list(rights).await?;
        if self.find(&listed).is_some() {
            return Ok(Value::Null);
        }
        let value = azure.values.take(&self.source)?;
        match azure.vault.set_first(&self.name, &self.version(azure, &value), rights).await {
            // What comes back has a value, which is not overwritten.
            Err(error) if azure.recover && matches!(*error.reason, Reason::InDeletedState) => {
                azure.vault.recover(&self.name).await?;
                Ok(Value::Null)
            }
            outcome => Ok(outcome?.map_or(Value::Null, |version| json!({"version": version.as_str()}))),
        }
    }

    async fn remove(&self, azure: &Azure, _known: &Known, _purge: bool) -> Result<Option<String>> {
        azure.vault.delete(&self.name).await?;
        Ok(None)
    }

    fn removal(&self) -> Removal {
        Removal::With(Key::Vault)
    }
}
