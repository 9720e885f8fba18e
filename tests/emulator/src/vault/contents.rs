//! The secrets of one vault, and the life of each: written, deleted, recovered, purged.
//!
//! Deletion and recovery take a while, as in Azure. What is seen meanwhile follows recorded traffic: a secret that is
//! being deleted or recovered is found nowhere, and writing to it is a conflict.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::access::milliseconds_after;
use super::refusal::Refusal;
use super::secret::{Change, DeletedSecret, Draft, Secret, Version};

const SECONDS_PER_DAY: i64 = 86_400;

/// How long deleted secrets are kept, and how long changes take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    /// None: the vault is of the old kind whose deletions are final.
    pub(crate) retention_days: Option<u16>,
    pub(crate) purge_protection: bool,
    pub(crate) delete_takes: Duration,
    pub(crate) recover_takes: Duration,
}

impl Lifecycle {
    /// The `recoveryLevel` that attributes show. 90 days is the default retention, 7 to 89 a customised one.
    pub(crate) fn recovery_level(&self) -> &'static str {
        match (self.retention_days, self.purge_protection) {
            (None, _) => "Purgeable",
            (Some(90..), false) => "Recoverable+Purgeable",
            (Some(90..), true) => "Recoverable",
            (Some(_), false) => "CustomizedRecoverable+Purgeable",
            (Some(_), true) => "CustomizedRecoverable",
        }
    }
}

/// What a deletion left behind.
#[derive(Debug)]
pub(crate) enum Removal<'a> {
    Kept(&'a DeletedSecret),
    Final(Secret),
}

/// Secrets and deleted secrets by their name in lower case: the service takes names in any case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Contents {
    secrets: BTreeMap<String, Secret>,
    deleted: BTreeMap<String, DeletedSecret>,
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

impl Contents {
    /// Forgets deleted secrets whose retention has ended.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.deleted.retain(|_, deleted| now.as_second() < deleted.scheduled_purge);
    }

    /// Every secret that can be seen, by name.
    pub(crate) fn visible(&self, now: Timestamp) -> impl Iterator<Item = (&str, &Secret)> {
        let seen = move |secret: &Secret| secret.visible_from <= now.as_millisecond();
        self.secrets.iter().filter(move |(_, secret)| seen(secret)).map(|(key, secret)| (key.as_str(), secret))
    }

    /// Every secret whose deletion is complete, by name.
    pub(crate) fn deleted(&self, now: Timestamp) -> impl Iterator<Item = (&str, &DeletedSecret)> {
        let complete = move |deleted: &DeletedSecret| deleted.complete_from <= now.as_millisecond();
        self.deleted.iter().filter(move |(_, deleted)| complete(deleted)).map(|(key, deleted)| (key.as_str(), deleted))
    }

    pub(crate) fn secret(&self, name: &str, now: Timestamp) -> Result<&Secret, Refusal> {
        let found = self.secrets.get(&key(name)).filter(|secret| secret.visible_from <= now.as_millisecond());
        found.ok_or_else(|| Refusal::secret_not_found(name))
    }

    fn secret_mut(&mut self, name: &str, now: Timestamp) -> Result<&mut Secret, Refusal> {
        let found = self.secrets.get_mut(&key(name)).filter(|secret| secret.visible_from <= now.as_millisecond());
        found.ok_or_else(|| Refusal::secret_not_found(name))
    }

    pub(crate) fn get(
        &self,
        name: &str,
        version: Option<&str>,
        now: Timestamp,
    ) -> Result<(&Secret, &Version), Refusal> {
        let secret = self.secret(name, now)?;
        let found = secret.version(version).ok_or_else(|| version_not_found(name, version))?;
        if found.enabled { Ok((secret, found)) } else { Err(Refusal::disabled()) }
    }

    pub(crate) fn set(&mut self, name: &str, draft: Draft, now: Timestamp) -> Result<&Secret, Refusal> {
        self.check_name_is_free_of_deletion(name, now)?;
        if !self.secrets.contains_key(&key(name)) {
            let secret = Secret::first(name, draft, now.as_second());
            return Ok(self.secrets.entry(key(name)).or_insert(secret));
        }
        let secret = self.secret_mut(name, now).map_err(|_| Refusal::being_recovered())?;
        if secret.is_managed() {
            return Err(Refusal::managed("set"));
        }
        secret.add(draft, now.as_second());
        Ok(secret)
    }

    pub(crate) fn update(
        &mut self,
        name: &str,
        version: Option<&str>,
        change: Change,
        now: Timestamp,
    ) -> Result<(&Secret, &Version), Refusal> {
        let secret = self.secret_mut(name, now)?;
        if secret.is_managed() {
            return Err(Refusal::managed("update"));
        }
        let found = secret.version_mut(version).ok_or_else(|| version_not_found(name, version))?;
        found.apply(change, now.as_second());
        let secret = self.secret(name, now)?;
        let found = secret.version(version).ok_or_else(|| version_not_found(name, version))?;
        Ok((secret, found))
    }

    pub(crate) fn delete(&mut self, name: &str, lifecycle: &Lifecycle, now: Timestamp) -> Result<Removal<'_>, Refusal> {
        if self.secret(name, now)?.is_managed() {
            return Err(Refusal::managed("delete"));
        }
        let secret = self.secrets.remove(&key(name)).ok_or_else(|| Refusal::secret_not_found(name))?;
        let Some(days) = lifecycle.retention_days else {
            return Ok(Removal::Final(secret));
        };
        let deleted = DeletedSecret {
            secret,
            deleted: now.as_second(),
            scheduled_purge: now.as_second() + i64::from(days) * SECONDS_PER_DAY,
            complete_from: milliseconds_after(now, lifecycle.delete_takes),
        };
        Ok(Removal::Kept(self.deleted.entry(key(name)).insert_entry(deleted).into_mut()))
    }

    pub(crate) fn get_deleted(&self, name: &str, now: Timestamp) -> Result<&DeletedSecret, Refusal> {
        let found = self.deleted.get(&key(name)).filter(|deleted| deleted.complete_from <= now.as_millisecond());
        found.ok_or_else(|| Refusal::deleted_secret_not_found(name))
    }

    pub(crate) fn recover(&mut self, name: &str, lifecycle: &Lifecycle, now: Timestamp) -> Result<&Secret, Refusal> {
        let mut secret = self.take_deleted(name, now)?.secret;
        secret.visible_from = milliseconds_after(now, lifecycle.recover_takes);
        Ok(self.secrets.entry(key(name)).or_insert(secret))
    }

    pub(crate) fn purge(&mut self, name: &str, now: Timestamp) -> Result<(), Refusal> {
        self.take_deleted(name, now).map(|_| ())
    }

    /// Writes back what a backup held, under the name and with the versions that it had.
    pub(crate) fn restore(&mut self, secret: Secret, now: Timestamp) -> Result<&Secret, Refusal> {
        self.check_name_is_free_of_deletion(&secret.name, now)?;
        if self.secrets.contains_key(&key(&secret.name)) {
            return Err(Refusal::already_exists(&secret.name));
        }
        let restored = Secret { visible_from: 0, ..secret };
        Ok(self.secrets.entry(key(&restored.name)).or_insert(restored))
    }

    fn take_deleted(&mut self, name: &str, now: Timestamp) -> Result<DeletedSecret, Refusal> {
        let found = self.deleted.get(&key(name)).ok_or_else(|| Refusal::deleted_secret_not_found(name))?;
        if found.complete_from > now.as_millisecond() {
            return Err(Refusal::being_deleted());
        }
        self.deleted.remove(&key(name)).ok_or_else(|| Refusal::deleted_secret_not_found(name))
    }

    fn check_name_is_free_of_deletion(&self, name: &str, now: Timestamp) -> Result<(), Refusal> {
        match self.deleted.get(&key(name)) {
            None => Ok(()),
            Some(deleted) if deleted.complete_from > now.as_millisecond() => Err(Refusal::being_deleted()),
            Some(_) => Err(Refusal::deleted_but_recoverable(name)),
        }
    }
}

fn version_not_found(name: &str, version: Option<&str>) -> Refusal {
    match version {
        None => Refusal::secret_not_found(name),
        Some(version) => Refusal::secret_not_found(&format!("{name}/{version}")),
    }
}

#[cfg(test)]
mod tests;
