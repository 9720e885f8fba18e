//! The last good value of every secret, as one snapshot that is replaced whole: a publishing half and a reading half.

mod hold;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::causes::with_causes;
use crate::clock::between;
use crate::secret::{Secret, SecretName};
use crate::vault::FetchError;

pub use self::hold::Hold;

/// Everything that readers may be told, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows by one with every change of a published value or its metadata; 0 before the first.
    pub generation: u64,
    /// One slot for each configured secret, by its local name.
    pub slots: BTreeMap<SecretName, Slot>,
    /// How many [`Hold`]s there are.
    held: usize,
    /// The generation that each part shows which holds readiness back, or did.
    shown: Vec<u64>,
}

impl Snapshot {
    /// Whether every required secret has been published, and everything that shows them has shown them.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_complete() && self.held == 0
    }

    /// Whether every required secret has been published.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.awaited().next().is_none()
    }

    /// Whether every part that shows the secrets in its own way shows this generation by now.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.shown.iter().all(|shown| *shown >= self.generation)
    }

    /// The required secrets that have not been published yet.
    pub fn awaited(&self) -> impl Iterator<Item = &SecretName> {
        self.slots.iter().filter(|(_, slot)| !slot.optional && slot.published.is_none()).map(|(name, _)| name)
    }
}

/// What is known of one secret.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Whether readiness does without it.
    pub optional: bool,
    /// The last good version, once there was one.
    pub published: Option<Published>,
    /// Why the latest look brought nothing; none after a good one.
    pub failure: Option<Failure>,
}

/// How a secret fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The latest look confirmed it.
    Fresh,
    /// There is a value, and the latest look failed.
    Stale,
    /// There has not been a value yet.
    Awaited,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Stale, Self::Awaited];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Awaited => "awaited",
        }
    }
}

/// A version that readers get.
#[derive(Clone, Debug)]
pub struct Published {
    /// The value and what the vault says about it.
    pub secret: Secret,
    /// When the vault last confirmed it.
    pub fetched: Timestamp,
}

/// Why looks fail, since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`FetchError::code`] of the latest one.
    pub code: &'static str,
    /// The latest error with its causes, for operators.
    pub message: String,
    /// The first of the unbroken row of failures.
    pub since: Timestamp,
}

/// What a look changed for readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// A new generation, with its number.
    Applied(u64),
    /// The same values as before.
    Unchanged,
}

/// What a look brought of one secret.
#[derive(Debug)]
pub struct Fetched {
    /// What readers call it.
    pub name: SecretName,
    /// The secret, or why there is none.
    pub result: Result<Secret, Arc<FetchError>>,
}

impl Publication {
    /// What both changed together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Applied(left), Self::Applied(right)) => Self::Applied(left.max(right)),
            (applied @ Self::Applied(_), Self::Unchanged) | (Self::Unchanged, applied) => applied,
        }
    }
}

/// The publishing half. There is one.
#[derive(Debug)]
pub struct Publisher(watch::Sender<Arc<Snapshot>>);

/// The reading half. Clones see the same snapshots.
#[derive(Clone, Debug)]
pub struct Reader(watch::Receiver<Arc<Snapshot>>);

/// Makes both halves, with an empty slot for each `(name, optional)`.
pub fn channel(secrets: impl IntoIterator<Item = (SecretName, bool)>) -> (Publisher, Reader) {
    let empty = |optional| Slot { optional, published: None, failure: None };
    let slots = secrets.into_iter().map(|(name, optional)| (name, empty(optional))).collect();
    let (sender, receiver) = watch::channel(Arc::new(Snapshot { generation: 0, slots, held: 0, shown: Vec::new() }));
    (Publisher(sender), Reader(receiver))
}

impl Publisher {
    /// Takes what one look fetched into a new snapshot. Readers that wait are woken only by a changed value.
    #[must_use = "the answer says whether readers see anything new"]
    pub fn apply(&self, fetched: Vec<Fetched>, now: Timestamp) -> Publication {
        let mut publication = Publication::Unchanged;
        self.0.send_if_modified(|snapshot| {
            let next = Arc::make_mut(snapshot);
            let mut changed = false;
            for Fetched { name, result } in fetched {
                if let Some(slot) = next.slots.get_mut(&name) {
                    changed |= slot.take(&name, result, now);
                }
            }
            if changed {
                next.generation += 1;
                publication = Publication::Applied(next.generation);
            }
            changed
        });
        publication
    }

    /// Whether the latest look at this secret failed.
    #[must_use]
    pub fn is_failing(&self, name: &SecretName) -> bool {
        self.0.borrow().slots.get(name).is_some_and(|slot| slot.failure.is_some())
    }

    /// Holds readiness back until the answer is released or dropped.
    #[must_use]
    pub fn hold_readiness(&self) -> Hold {
        Hold::new(self.0.clone())
    }
}

impl Published {
    /// How long ago the vault last confirmed it.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        between(self.fetched, now)
    }
}

impl Slot {
    /// How the secret fares.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.published, &self.failure) {
            (None, _) => State::Awaited,
            (Some(_), Some(_)) => State::Stale,
            (Some(_), None) => State::Fresh,
        }
    }

    /// Answers whether readers see another value or other metadata than before.
    fn take(&mut self, name: &SecretName, result: Result<Secret, Arc<FetchError>>, now: Timestamp) -> bool {
        match result {
            Ok(secret) => {
                if let Some(failure) = self.failure.take() {
                    tracing::info!(secret = %name, since = %failure.since, "the vault gives the secret again");
                }
                self.keep_or_replace(name, secret, now)
            }
            Err(error) => {
                self.note(name, &error, now);
                false
            }
        }
    }

    fn keep_or_replace(&mut self, name: &SecretName, secret: Secret, now: Timestamp) -> bool {
        match &mut self.published {
            Some(published) if published.secret.same_as(&secret) => {
                published.fetched = now;
                false
            }
            _ => {
                tracing::info!(secret = %name, version = %secret.metadata.version, "published");
                self.published = Some(Published { secret, fetched: now });
                true
            }
        }
    }

    /// Keeps the last good value. One line for each change of state, not for each failed look.
    fn note(&mut self, name: &SecretName, error: &FetchError, now: Timestamp) {
        let (code, message) = (error.code(), with_causes(error));
        let known = self.failure.take();
        if known.as_ref().is_none_or(|failure| failure.code != code) {
            let serving = if self.published.is_some() { "the last good version" } else { "nothing" };
            tracing::warn!(secret = %name, code, error = message, serving, "no fresh value");
        }
        self.failure = Some(Failure { code, message, since: known.map_or(now, |failure| failure.since) });
    }
}

impl Reader {
    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for a generation that this half has not waited for yet, and answers `false` when no publisher is left.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Arena;
    use crate::secret::SecretValue;
    use crate::testing::{name, secret};

    fn apply(publisher: &Publisher, local: &str, result: Result<Secret, FetchError>, second: i64) -> Publication {
        publisher.apply(vec![Fetched { name: name(local), result: result.map_err(Arc::new) }], at(second))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_first_value_makes_generation_one_and_the_same_again_none() {
        let (publisher, reader) = channel([(name("db"), false)]);
        assert!(!reader.snapshot().is_ready());
        let publication = apply(&publisher, "db", Ok(secret('a', b"one")), 10);
        assert_eq!(publication, Publication::Applied(1));
        assert!(reader.snapshot().is_ready());
        let publication = apply(&publisher, "db", Ok(secret('a', b"one")), 20);
        assert_eq!(publication, Publication::Unchanged);
        let slot = reader.snapshot().slots[&name("db")].clone();
        assert_eq!(slot.published.expect("kept").fetched, at(20), "the age starts again");
    }

    #[test]
    fn a_failed_look_keeps_the_last_good_value_and_remembers_since_when() {
        let (publisher, reader) = channel([(name("db"), false)]);
        let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 10);
        let _ = apply(&publisher, "db", Err(FetchError::NotFound), 20);
        let _ = apply(&publisher, "db", Err(FetchError::Disabled), 30);
        let slot = reader.snapshot().slots[&name("db")].clone();
        assert_eq!(slot.published.expect("kept").secret.value.as_bytes(), b"one");
        let failure = slot.failure.expect("noted");
        assert_eq!((failure.code, failure.since), ("disabled", at(20)));
        let _ = apply(&publisher, "db", Ok(secret('b', b"two")), 40);
        assert_eq!(reader.snapshot().slots[&name("db")].failure, None);
    }

    #[test]
    fn readiness_waits_for_required_secrets_only() {
        let (publisher, reader) = channel([(name("db"), false), (name("extra"), true)]);
        let _ = apply(&publisher, "extra", Ok(secret('a', b"x")), 1);
        assert_eq!(reader.snapshot().awaited().collect::<Vec<_>>(), [&name("db")]);
        let _ = apply(&publisher, "db", Ok(secret('a', b"x")), 2);
        assert!(reader.snapshot().is_ready());
    }

    #[test]
    fn a_superseded_value_is_wiped_when_its_last_reader_is_done() {
        let arena = Arena::unlocked();
        let held = |digit: char, value: &str| {
            let locked = arena.store(value.as_bytes()).expect("memory");
            Secret { value: SecretValue::new(locked), ..secret(digit, b"") }
        };
        let (publisher, reader) = channel([(name("db"), false)]);
        let _ = apply(&publisher, "db", Ok(held('a', "one")), 1);
        let in_flight = reader.snapshot().slots[&name("db")].published.as_ref().expect("one").secret.value.to_buffer();
        let _ = apply(&publisher, "db", Ok(held('b', "two")), 2);
        assert_eq!(&in_flight[..], b"one");
        assert_eq!(arena.used_bytes(), 128, "both are still held");
        drop(in_flight);
        assert_eq!(arena.used_bytes(), 64, "only the new one is left");
    }

    #[tokio::test]
    async fn readers_are_woken_by_changes_and_not_by_looks_without_one() {
        let (publisher, mut reader) = channel([(name("db"), false)]);
        let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 1);
        assert!(reader.changed().await);
        let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 2);
        let none = tokio::time::timeout(Duration::ZERO, reader.changed()).await;
        assert!(none.is_err(), "nothing new to see");
        drop(publisher);
        assert!(!reader.changed().await);
    }
}
