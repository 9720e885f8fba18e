//! Another set of secrets in the place of the one before, while readers read.

use super::{Publisher, Slot};
use crate::secret::SecretName;

/// A secret as it is configured from now on.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What readers call it.
    pub name: SecretName,
    /// Whether readiness does without it.
    pub optional: bool,
    /// What of the time before still holds, where there was a secret of this name.
    pub carry: Carry,
}

/// What of a secret stays when the configuration changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// Everything: it has not changed.
    Over,
    /// The last good value, until there is another or it grows too old.
    UntilRenewed,
    /// Nothing.
    Nothing,
}

impl Publisher {
    /// Has exactly these secrets from now on. What is gone is wiped once its last reader is done with it.
    pub fn configure(&self, secrets: Vec<Configured>) {
        // A change of generation alone would wake nobody who waits for readiness, so there is one for any difference.
        let _ = self.change(|slots| {
            let mut before = std::mem::take(slots);
            let mut changed = false;
            for Configured { name, optional, carry } in secrets {
                let (slot, differs) = carry.apply(before.remove(&name), optional);
                changed |= differs;
                slots.insert(name, slot);
            }
            for name in before.keys() {
                tracing::info!(secret = %name, "not configured any more: its value is wiped");
            }
            changed || !before.is_empty()
        });
    }
}

impl Carry {
    /// The slot from now on, and whether it differs from before.
    fn apply(self, before: Option<Slot>, optional: bool) -> (Slot, bool) {
        match (self, before) {
            (Self::Over, Some(slot)) => {
                let differs = slot.optional != optional;
                (Slot { optional, ..slot }, differs)
            }
            (Self::UntilRenewed, Some(slot)) => (Slot { published: slot.published, ..Slot::empty(optional) }, true),
            _ => (Slot::empty(optional), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Arena;
    use crate::secret::{Secret, SecretValue};
    use crate::store::{State, channel};
    use crate::testing::{name, publish, secret};
    use crate::vault::FetchError;

    fn configured(local: &str, optional: bool, carry: Carry) -> Configured {
        Configured { name: name(local), optional, carry }
    }

    #[test]
    fn what_stays_of_a_secret_follows_from_what_changed() {
        let arena = Arena::unlocked();
        let (publisher, reader) = channel(["same", "renewed", "emptied", "gone"].map(|local| (name(local), false)));
        for local in ["same", "renewed", "emptied", "gone"] {
            let value = SecretValue::new(arena.store(local.as_bytes()).expect("memory"));
            publish(&publisher, local, Ok(Secret { value, ..secret('a', b"") }));
            publish(&publisher, local, Err(FetchError::NotFound));
        }
        let held = arena.used_bytes();
        publisher.configure(vec![
            configured("same", false, Carry::Over),
            configured("renewed", false, Carry::UntilRenewed),
            configured("emptied", false, Carry::Nothing),
            configured("added", true, Carry::UntilRenewed),
        ]);
        let snapshot = reader.snapshot();
        assert_eq!(snapshot.generation, 5);
        let shown: Vec<_> =
            snapshot.slots.iter().map(|(name, slot)| (name.as_str(), slot.state(), slot.is_new)).collect();
        let expected = [
            ("added", State::Awaited, true),
            ("emptied", State::Awaited, true),
            ("renewed", State::Fresh, true),
            ("same", State::Stale, false),
        ];
        assert_eq!(shown, expected);
        assert_eq!(arena.used_bytes(), held / 2, "two of four are wiped");
        assert_eq!(snapshot.awaited().collect::<Vec<_>>(), [&name("emptied")]);
    }

    #[tokio::test]
    async fn nobody_is_woken_where_nothing_changed() {
        let (publisher, mut reader) = channel([(name("db"), false)]);
        publisher.configure(vec![configured("db", false, Carry::Over)]);
        let none = tokio::time::timeout(std::time::Duration::ZERO, reader.changed()).await;
        assert!(none.is_err() && reader.snapshot().generation == 0);
        publisher.configure(vec![configured("db", true, Carry::Over)]);
        assert!(reader.changed().await && reader.snapshot().is_ready(), "it is optional now");
    }
}
