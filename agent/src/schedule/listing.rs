//! Which look is cheapest: a list of the vault, or a fetch of each secret.

use std::time::Duration;

/// How all secrets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// By listing the vault, in at most so many requests; more would cost more than fetching.
    List {
        /// How many.
        calls_max: usize,
    },
    /// By fetching each.
    Fetch,
}

/// After how many failures in a row a list is left alone: the first may be a lost packet.
const FAILURES_MAX: u32 = 2;

/// What is known about lists of this vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    failures: u32,
    rests_until: Option<Duration>,
}

impl Listing {
    /// The cheapest look at `secrets`. A vault says how many secrets it has only by being listed, 25 with each request; so
    /// a list is tried, and given up when it takes as many requests as there are secrets to fetch.
    #[must_use]
    pub fn choose(&self, secrets: usize, now: Duration) -> Look {
        match secrets {
            2.. if self.rests_until.is_none_or(|until| until <= now) => Look::List { calls_max: secrets - 1 },
            _ => Look::Fetch,
        }
    }

    /// Notes that a list came to its end.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes that lists are refused to this identity, as they are where its role is for single secrets, or cannot be
    /// used, or are too long. None is tried before `until`.
    pub fn is_no_use(&mut self, until: Duration) {
        *self = Self { failures: 0, rests_until: Some(until) };
    }

    /// Notes that a list failed as in an outage. Where that goes on, secrets are fetched until `until`: something between
    /// here and the vault may stop lists only. Answers whether that is so now.
    pub fn failed(&mut self, until: Duration) -> bool {
        self.failures += 1;
        let is_left = self.failures >= FAILURES_MAX;
        if is_left {
            self.rests_until = Some(until);
        }
        is_left
    }

    /// Notes that the vault answers again after an outage, which then was the reason why lists failed.
    pub fn forgive(&mut self) {
        if self.failures > 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const LIST: Look = Look::List { calls_max: 19 };

    fn choice(listing: &Listing, now: Duration) -> Look {
        listing.choose(20, now)
    }

    #[test]
    fn one_secret_is_fetched_and_more_are_listed_within_what_fetching_would_cost() {
        let rows = [(0, Look::Fetch), (1, Look::Fetch), (2, Look::List { calls_max: 1 }), (20, LIST)];
        for (secrets, expected) in rows {
            assert_eq!(Listing::default().choose(secrets, Duration::ZERO), expected, "{secrets}");
        }
    }

    #[test]
    fn a_list_that_is_no_use_is_tried_again_later() {
        let mut listing = Listing::default();
        listing.is_no_use(HOUR);
        assert_eq!(choice(&listing, HOUR / 2), Look::Fetch);
        listing.forgive();
        assert_eq!(choice(&listing, HOUR / 2), Look::Fetch, "an outage was not the reason");
        assert_eq!(choice(&listing, HOUR), LIST);
    }

    #[test]
    fn lists_that_alone_fail_are_left_and_those_that_failed_in_an_outage_are_not() {
        let mut listing = Listing::default();
        assert!(!listing.failed(HOUR));
        assert_eq!(choice(&listing, Duration::ZERO), LIST, "once is no rule");
        assert!(listing.failed(HOUR));
        assert_eq!(choice(&listing, HOUR / 2), Look::Fetch);
        listing.forgive();
        assert_eq!(choice(&listing, HOUR / 2), LIST);
    }

    #[test]
    fn a_good_list_makes_up_for_a_failed_one() {
        let mut listing = Listing::default();
        listing.failed(HOUR);
        listing.succeeded();
        assert!(!listing.failed(HOUR));
    }
}
