//! What a list says about a secret, and whether it has to be fetched for it.

use std::time::Duration;

use jiff::Timestamp;

/// What a list says about one secret; the value and the version are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it may be read.
    pub enabled: bool,
    /// When it last changed, to the second.
    pub updated: Option<Timestamp>,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

/// How long after a change is first seen another one can carry the same second: the second itself, and as much again for
/// a vault that is more than one machine.
const SECOND: Duration = Duration::from_secs(2);

/// How far this machine's clock may be from the vault's. Tokens would not be accepted beyond it (Entra allows five minutes).
const SKEW_MAX: Duration = Duration::from_mins(5);

/// What the latest fetches of a secret showed, as far as lists are compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    facts: Facts,
    /// Whether a later change would show in the facts: they are to the second only.
    is_settled: bool,
    since: Duration,
}

impl Seen {
    /// What is known after a fetch that showed `facts` at `now`, by the time of day `wall`, when `before` was known.
    ///
    /// A secret may change twice in one second and be fetched between. It is therefore fetched once more when that second
    /// is over for certain, which a look at the time of day alone cannot tell: the two clocks may differ.
    #[must_use]
    pub fn after(before: Option<&Self>, facts: Facts, now: Duration, wall: Timestamp) -> Self {
        let since = before.filter(|before| before.facts == facts).map_or(now, |before| before.since);
        let is_old = facts
            .updated
            .is_none_or(|updated| Duration::try_from(wall.duration_since(updated)).is_ok_and(|age| age > SKEW_MAX));
        Self { facts, since, is_settled: is_old || now >= since + SECOND }
    }

    /// Whether a list that says `listed` leaves no doubt that nothing has changed. `None` is a list without the name.
    #[must_use]
    pub fn is_confirmed_by(&self, listed: Option<&Facts>) -> bool {
        self.is_settled && self.facts.enabled && listed == Some(&self.facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn facts(updated: i64) -> Facts {
        Facts { enabled: true, updated: Some(at(updated)), expires: None }
    }

    #[test]
    fn a_list_that_says_the_same_confirms_and_every_difference_leads_to_a_fetch() {
        let seen = Seen::after(None, facts(1_000), Duration::ZERO, at(10_000));
        let rows = [
            ("the same", Some(facts(1_000)), true),
            ("changed later", Some(facts(1_001)), false),
            ("restored from a backup", Some(facts(999)), false),
            ("disabled", Some(Facts { enabled: false, ..facts(1_000) }), false),
            ("another expiry", Some(Facts { expires: Some(at(20_000)), ..facts(1_000) }), false),
            ("no time", Some(Facts { updated: None, ..facts(1_000) }), false),
            ("not in the list", None, false),
        ];
        for (row, listed, expected) in rows {
            assert_eq!(seen.is_confirmed_by(listed.as_ref()), expected, "{row}");
        }
    }

    #[test]
    fn what_changed_just_now_is_fetched_once_more_whatever_the_clocks_say() {
        let second = Duration::from_secs;
        for skew in [-200, 0, 200] {
            let wall = at(1_000 + skew);
            let first = Seen::after(None, facts(1_000), second(50), wall);
            assert!(!first.is_confirmed_by(Some(&facts(1_000))), "a second change may hide: {skew}");
            let soon = Seen::after(Some(&first), facts(1_000), second(51), wall);
            assert!(!soon.is_confirmed_by(Some(&facts(1_000))), "still: {skew}");
            let later = Seen::after(Some(&soon), facts(1_000), second(52), wall);
            assert!(later.is_confirmed_by(Some(&facts(1_000))), "{skew}");
            let changed = Seen::after(Some(&later), facts(1_002), second(53), wall);
            assert!(!changed.is_confirmed_by(Some(&facts(1_002))), "{skew}");
        }
    }

    #[test]
    fn an_old_secret_costs_one_fetch_at_the_start_and_a_disabled_one_is_never_confirmed() {
        assert!(Seen::after(None, facts(1_000), Duration::ZERO, at(1_301)).is_confirmed_by(Some(&facts(1_000))));
        let disabled = Facts { enabled: false, ..facts(1_000) };
        assert!(!Seen::after(None, disabled, Duration::ZERO, at(9_000)).is_confirmed_by(Some(&disabled)));
    }
}
