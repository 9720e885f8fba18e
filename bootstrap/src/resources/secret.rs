//! A first secret: set once, and never over a value that is there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use keyside::secret::{SecretName, SecretValue};
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::config::Source;
use crate::declaration::OWNER_TAG;
use crate::item::{Item, Key, Known, Label, Observed, Removal};
use crate::vault_data::{DataError, Listed, NewVersion, Reason, Rights};

/// A secret that is set unless it is there.
#[derive(Debug)]
pub struct Seed {
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

    /// Makes a new version of it.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn set(&self, azure: &Azure, value: &SecretValue, rights: Rights) -> Result<Value, DataError> {
        let new = NewVersion {
            value,
            content_type: self.content_type.as_deref(),
            expires: self.expires_in.and_then(|span| expiry(azure.clock.now(), span)),
            tags: BTreeMap::from([(OWNER_TAG.to_owned(), self.estate.clone())]),
        };
        let version = match azure.vault.set(&self.name, &new, rights).await {
            Err(error) if azure.recover && matches!(*error.reason, Reason::InDeletedState) => {
                // What comes back has a value, which is not overwritten.
                azure.vault.recover(&self.name).await?;
                return Ok(Value::Null);
            }
            outcome => outcome?,
        };
        Ok(json!({"version": version.as_str()}))
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
            return Ok(Observed::absent());
        }
        match azure.vault.list(Rights::AreWhatTheyAre).await {
            Ok(listed) => Ok(self.find(&listed).unwrap_or_else(Observed::absent)),
            Err(error) => match *error.reason {
                Reason::Denied { .. } | Reason::Firewalled { .. } => {
                    Ok(Observed::absent().with_note("whether it is there shows when the operator's access acts"))
                }
                _ => Err(error.into()),
            },
        }
    }

    async fn write(&self, azure: &Azure, _known: &Known, _observed: &Observed) -> Result<Value> {
        let rights = Rights::MayBeOnTheirWay;
        let listed = azure.vault.list(rights).await?;
        if self.find(&listed).is_some() {
            return Ok(Value::Null);
        }
        let value = azure.values.take(&self.source)?;
        Ok(self.set(azure, &value, rights).await?)
    }

    async fn remove(&self, azure: &Azure, _known: &Known, _purge: bool) -> Result<Option<String>> {
        azure.vault.delete(&self.name).await?;
        Ok(None)
    }

    fn removal(&self) -> Removal {
        Removal::With(Key::Vault)
    }
}
