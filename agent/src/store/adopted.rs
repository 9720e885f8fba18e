//! Values that an agent before this one left, published before any vault was asked.

use super::{Publication, Published, Publisher, Setback};
use crate::clock::Moment;
use crate::secret::SecretName;

impl Publisher {
    /// Publishes what another agent left, marked as a value is that the vault does not confirm. What is not configured is not
    /// taken.
    pub fn adopt(&self, left: Vec<(SecretName, Published)>, now: Moment) {
        let publication = self.change(|slots| {
            let take = |(name, published)| slots.get_mut(&name).map(|slot| slot.adopt(published, now));
            left.into_iter().filter_map(take).count() > 0
        });
        if let Publication::Applied(generation) = publication {
            tracing::debug!(generation, "served from before any look");
        }
    }
}

impl Setback {
    /// A vault that has not been asked yet about what another agent left.
    pub(super) fn unconfirmed() -> Self {
        let message =
            "the value is from before the agent was restarted, and no vault has confirmed it since".to_owned();
        Self { code: "unconfirmed", message, is_outage: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{State, channel};
    use crate::testing::{moment, name, origin, publish, secret};
    use crate::vault::FetchError;

    #[test]
    fn what_was_left_is_ready_and_stale_until_the_vault_confirms_it() {
        let (publisher, reader) = channel([(name("db"), false)]);
        let left = |local| (name(local), Published::new(secret('a', b"one"), moment(10), origin()));
        publisher.adopt(vec![left("db"), left("gone")], moment(40));
        let snapshot = reader.snapshot();
        let slot = &snapshot.slots[&name("db")];
        assert_eq!((snapshot.generation, snapshot.is_ready(), snapshot.slots.len()), (1, true, 1));
        assert_eq!((slot.state(), slot.is_new), (State::Stale, false));
        assert_eq!(slot.published.as_ref().map(|one| one.age(moment(40)).as_secs()), Some(30));
        let code = || reader.snapshot().slots[&name("db")].failure.as_ref().map(|failure| failure.code);
        assert_eq!(code(), Some("unconfirmed"));
        let _ = publish(&publisher, "db", Err(FetchError::NotFound));
        assert_eq!(code(), Some("not_found"));
        let _ = publish(&publisher, "db", Ok(secret('a', b"one")));
        assert_eq!(reader.snapshot().slots[&name("db")].state(), State::Fresh);
        assert_eq!(reader.snapshot().generation, 1, "nothing new to read");
    }
}
