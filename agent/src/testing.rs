//! Names, secrets, a vault and a clock for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::encoding::Encoding;
use crate::memory::Arena;
use crate::secret::{Metadata, Secret, SecretName, SecretValue};
use crate::selection::Selection;
use crate::store::{Fetched, Publication, Publisher};
use crate::vault::{FetchError, Source, Vault};

pub(crate) fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The moment at which everything in tests is made and fetched: 2026-01-01T00:00:00Z.
pub(crate) fn new_year() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("in range")
}

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

/// What is known of a secret whose version is 32 times the `digit`.
pub(crate) fn metadata(digit: char) -> Metadata {
    Metadata {
        version: digit.to_string().repeat(32).parse().expect("a version"),
        content_type: Some("text/plain".to_owned()),
        created: Some(new_year()),
        updated: Some(new_year()),
        expires: None,
    }
}

/// A secret whose version is 32 times the `digit`.
pub(crate) fn secret(digit: char, value: &[u8]) -> Secret {
    let value = SecretValue::new(Arena::unlocked().store(value).expect("memory"));
    Secret { metadata: metadata(digit), selection: Selection::Whole, encoding: Encoding::Text, value }
}

pub(crate) fn publish(publisher: &Publisher, local: &str, result: Result<Secret, FetchError>) -> Publication {
    publisher.apply(vec![Fetched { name: name(local), result: result.map_err(Arc::new) }], new_year())
}

/// A wall clock that follows the runtime's timer, so that under paused time one sleep moves both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerClock(Instant);

impl TimerClock {
    /// A clock that shows [`new_year`] now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        new_year() + SignedDuration::try_from(self.0.elapsed()).expect("a test is short")
    }
}

/// Gives what the test put in, and counts how often it was asked. Clones are the same vault.
#[derive(Clone, Default)]
pub(crate) struct FakeVault {
    contents: Arc<Mutex<Contents>>,
    otherwise: Otherwise,
}

#[derive(Default)]
struct Contents {
    secrets: BTreeMap<SecretName, Secret>,
    asked: usize,
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

impl FakeVault {
    /// A vault that holds nothing yet.
    pub(crate) fn with(otherwise: Otherwise) -> Self {
        Self { otherwise, ..Self::default() }
    }

    /// Puts a value in, or replaces it.
    pub(crate) fn set(&self, vault_name: &str, digit: char, value: &[u8]) {
        self.contents().secrets.insert(name(vault_name), secret(digit, value));
    }

    /// Takes a secret out.
    pub(crate) fn remove(&self, vault_name: &str) {
        self.contents().secrets.remove(&name(vault_name));
    }

    /// How often a secret was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.contents().asked
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("no panic")
    }
}

impl Vault for FakeVault {
    async fn fetch(&self, source: &Source) -> Result<Secret, FetchError> {
        let found = {
            let mut contents = self.contents();
            contents.asked += 1;
            contents.secrets.get(&source.name).cloned()
        };
        match (found, self.otherwise) {
            (Some(secret), _) => Ok(secret),
            (None, Otherwise::NotFound) => Err(FetchError::NotFound),
            (None, Otherwise::Unavailable) => {
                Err(FetchError::Unavailable(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()))
            }
            (None, Otherwise::Silence) => std::future::pending().await,
        }
    }
}
