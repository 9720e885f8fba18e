//! A vault that gives what the test put in, fails as the test wants, and counts what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{name, new_year, secret};
use crate::schedule::Facts;
use crate::secret::{Metadata, Secret, SecretName};
use crate::vault::{FetchError, Listed, Source, Vault};

/// How many secrets a page of a list has.
const PAGE: usize = 25;

/// A vault in memory. Clones are the same vault.
#[derive(Clone)]
pub(crate) struct FakeVault {
    contents: Arc<Mutex<Contents>>,
    otherwise: Otherwise,
    start: Instant,
}

type Fault = fn() -> FetchError;

#[derive(Default)]
struct Contents {
    secrets: BTreeMap<SecretName, Secret>,
    /// How many secrets there are that nobody asks for.
    others: usize,
    asked: Vec<SecretName>,
    pages: usize,
    hidden: Vec<SecretName>,
    fault: Option<Fault>,
    faults: BTreeMap<SecretName, Fault>,
    slow: BTreeMap<SecretName, Duration>,
    list_fault: Option<Fault>,
    latency: Option<Duration>,
}

/// What is answered about a secret that is not in a [`FakeVault`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Otherwise {
    /// That it does not exist.
    #[default]
    NotFound,
    /// That the vault cannot be reached.
    Unavailable,
    /// Nothing, ever.
    Silence,
}

impl Default for FakeVault {
    fn default() -> Self {
        Self::with(Otherwise::default())
    }
}

impl FakeVault {
    /// A vault that holds nothing yet.
    pub(crate) fn with(otherwise: Otherwise) -> Self {
        Self { contents: Arc::default(), otherwise, start: Instant::now() }
    }

    /// Puts a value in, or replaces it, as if that had been at [`new_year`].
    pub(crate) fn set(&self, vault_name: &str, digit: char, value: &[u8]) {
        self.contents().secrets.insert(name(vault_name), secret(digit, value));
    }

    /// Puts a value in, or replaces it, now, where this vault was made at [`new_year`].
    pub(crate) fn rotate(&self, vault_name: &str, digit: char, value: &[u8]) {
        let second = i64::try_from(self.start.elapsed().as_secs()).expect("a test is short");
        self.rotate_at(vault_name, digit, value, second);
    }

    /// Puts a value in, as if that had been so many seconds after [`new_year`].
    pub(crate) fn rotate_at(&self, vault_name: &str, digit: char, value: &[u8], second: i64) {
        self.insert(vault_name, digit, value, |metadata| metadata.updated = Some(at(second)));
    }

    /// Puts a value in that expires so many seconds after [`new_year`].
    pub(crate) fn expire(&self, vault_name: &str, digit: char, value: &[u8], second: i64) {
        self.insert(vault_name, digit, value, |metadata| metadata.expires = Some(at(second)));
    }

    fn insert(&self, vault_name: &str, digit: char, value: &[u8], change: impl FnOnce(&mut Metadata)) {
        let mut secret = secret(digit, value);
        change(&mut secret.metadata);
        self.contents().secrets.insert(name(vault_name), secret);
    }

    /// Leaves a secret out of lists.
    pub(crate) fn hide_from_lists(&self, vault_name: &str) {
        self.contents().hidden.push(name(vault_name));
    }

    /// Takes a secret out.
    pub(crate) fn remove(&self, vault_name: &str) {
        self.contents().secrets.remove(&name(vault_name));
    }

    /// Adds secrets that nobody asks for.
    pub(crate) fn fill(&self, others: usize) {
        self.contents().others = others;
    }

    /// Answers everything with this error, or with none any more.
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        self.contents().fault = fault;
    }

    /// Answers lists with this error, or with none any more.
    pub(crate) fn fail_lists(&self, fault: Option<Fault>) {
        self.contents().list_fault = fault;
    }

    /// Answers fetches of one secret with this error, or with none any more.
    pub(crate) fn fail_one(&self, vault_name: &str, fault: Option<Fault>) {
        let mut contents = self.contents();
        contents.faults.remove(&name(vault_name));
        contents.faults.extend(fault.map(|fault| (name(vault_name), fault)));
    }

    /// Takes so long for every answer about one secret.
    pub(crate) fn slow_down(&self, vault_name: &str, latency: Duration) {
        self.contents().slow.insert(name(vault_name), latency);
    }

    /// Takes so long for every answer.
    pub(crate) fn answer_after(&self, latency: Duration) {
        self.contents().latency = Some(latency);
    }

    async fn think(&self, about: Option<&SecretName>) {
        let latency = {
            let contents = self.contents();
            about.and_then(|name| contents.slow.get(name).copied()).or(contents.latency)
        };
        if let Some(latency) = latency {
            tokio::time::sleep(latency).await;
        }
    }

    /// How often a secret was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.contents().asked.len()
    }

    /// How often this secret was asked for.
    pub(crate) fn asked_for(&self, vault_name: &str) -> usize {
        self.contents().asked.iter().filter(|asked| asked.as_str() == vault_name).count()
    }

    /// What was asked for, in that order.
    pub(crate) fn asked_names(&self) -> Vec<String> {
        self.contents().asked.iter().map(ToString::to_string).collect()
    }

    /// How many pages of lists were asked for.
    pub(crate) fn pages(&self) -> usize {
        self.contents().pages
    }

    /// Everything that was asked.
    pub(crate) fn calls(&self) -> usize {
        self.asked() + self.pages()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("no panic")
    }
}

fn at(second: i64) -> Timestamp {
    new_year() + SignedDuration::from_secs(second)
}

pub(crate) fn unavailable() -> FetchError {
    FetchError::Unavailable(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
}

pub(crate) fn throttled() -> FetchError {
    FetchError::Throttled { retry_after: None }
}

pub(crate) fn denied() -> FetchError {
    FetchError::Denied { code: "ForbiddenByRbac", remedy: "give it a role" }
}

impl Vault for FakeVault {
    async fn fetch(&self, source: &Source) -> Result<Secret, FetchError> {
        let name = &source.name;
        let (found, fault) = {
            let mut contents = self.contents();
            contents.asked.push(name.clone());
            (contents.secrets.get(name).cloned(), contents.fault.or_else(|| contents.faults.get(name).copied()))
        };
        self.think(Some(name)).await;
        if let Some(fault) = fault {
            return Err(fault());
        }
        match (found, self.otherwise) {
            (Some(secret), _) => Ok(secret),
            (None, Otherwise::NotFound) => Err(FetchError::NotFound),
            (None, Otherwise::Unavailable) => Err(unavailable()),
            (None, Otherwise::Silence) => std::future::pending().await,
        }
    }

    async fn list(&self, calls_max: usize) -> Result<Listed, FetchError> {
        self.think(None).await;
        let mut contents = self.contents();
        let fault = contents.fault.or(contents.list_fault);
        if let Some(fault) = fault {
            contents.pages += 1;
            return Err(fault());
        }
        let pages = (contents.secrets.len() + contents.others).div_ceil(PAGE).max(1);
        contents.pages += pages.min(calls_max);
        if pages > calls_max {
            return Ok(Listed::TooLong { calls: calls_max });
        }
        let facts = |secret: &Secret| Facts {
            enabled: true,
            updated: secret.metadata.updated,
            expires: secret.metadata.expires,
        };
        let listed = contents.secrets.iter().filter(|(name, _)| !contents.hidden.contains(name));
        let facts = listed.map(|(name, secret)| (name.folded(), facts(secret))).collect();
        Ok(Listed::Whole { facts, calls: pages })
    }
}
