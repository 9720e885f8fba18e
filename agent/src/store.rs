//! The last good value of every secret, as one snapshot that is replaced whole: a publishing half and a reading half.

mod adopted;
mod configured;
mod hold;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use self::configured::{Carry, Configured};
pub use self::hold::Hold;
pub use self::slot::{Failure, Origin, Outcome, Published, Setback, Slot, State, Why, Withdrawn};
use crate::clock::Moment;
use crate::secret::SecretName;

/// Everything that readers may be told, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows by one with every change of a published value, of its metadata, or of which secrets there are; 0 before the
    /// first.
    pub generation: u64,
    /// One slot for each configured secret, by its local name.
    pub slots: BTreeMap<SecretName, Slot>,
    /// How many [`Hold`]s there are.
    held: usize,
    /// The generation that each part shows which holds readiness back, or did.
    shown: Vec<u64>,
}

impl Snapshot {
    /// Whether every required secret has a value, and everything that shows them has shown them.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_complete() && self.held == 0
    }

    /// Whether every required secret has a value.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.awaited().next().is_none()
    }

    /// Whether every part that shows the secrets in its own way shows this generation by now.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.shown.iter().all(|shown| *shown >= self.generation)
    }

    /// The required secrets that have no value: none yet, or none any more.
    pub fn awaited(&self) -> impl Iterator<Item = &SecretName> {
        self.slots.iter().filter(|(_, slot)| !slot.optional && slot.published.is_none()).map(|(name, _)| name)
    }
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
    pub outcome: Outcome,
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
    let slots = secrets.into_iter().map(|(name, optional)| (name, Slot::empty(optional))).collect();
    let (sender, receiver) = watch::channel(Arc::new(Snapshot { generation: 0, slots, held: 0, shown: Vec::new() }));
    (Publisher(sender), Reader(receiver))
}

impl Publisher {
    /// Takes what one look brought into a new snapshot. Readers that wait are woken only by what they see change.
    #[must_use = "the answer says whether readers see anything new"]
    pub fn apply(&self, fetched: Vec<Fetched>, now: Moment) -> Publication {
        self.change(|slots| {
            let take = |Fetched { name, outcome }| {
                slots.get_mut(&name).is_some_and(|slot: &mut Slot| slot.take(&name, outcome, now))
            };
            fetched.into_iter().map(take).fold(false, |changed, one| changed | one)
        })
    }

    /// Withdraws values that no vault has confirmed for `max_stale`, and warns when half of it is over.
    #[must_use = "the answer says whether values were withdrawn"]
    pub fn withdraw_old(&self, max_stale: Duration, now: Moment) -> Publication {
        self.change(|slots| {
            slots.iter_mut().fold(false, |changed, (name, slot)| changed | slot.grow_old(name, max_stale, now))
        })
    }

    /// The uptime at which [`Self::withdraw_old`] has something to do next, where nothing is confirmed before.
    #[must_use]
    pub fn ages_at(&self, max_stale: Duration) -> Option<Duration> {
        self.0.borrow().slots.values().filter_map(|slot| slot.ages_at(max_stale)).min()
    }

    /// Makes a new generation where `change` answers that readers see anything new.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<SecretName, Slot>) -> bool) -> Publication {
        let mut publication = Publication::Unchanged;
        self.0.send_if_modified(|snapshot| {
            let next = Arc::make_mut(snapshot);
            let changed = change(&mut next.slots);
            if changed {
                next.generation += 1;
                publication = Publication::Applied(next.generation);
            }
            changed
        });
        publication
    }

    /// Whether readers can be given this secret.
    #[must_use]
    pub fn has_value(&self, name: &SecretName) -> bool {
        self.with_value(name, |_| ()).is_some()
    }

    /// What `look` says of the value of this secret, where it has one.
    pub fn with_value<T>(&self, name: &SecretName, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        Some(look(self.0.borrow().slots.get(name)?.published.as_ref()?.secret.value.as_bytes()))
    }

    /// Holds readiness back until the answer is released or dropped.
    #[must_use]
    pub fn hold_readiness(&self) -> Hold {
        Hold::new(self.0.clone())
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
