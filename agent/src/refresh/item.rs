//! How the looks at one secret stand, and what an answer changes about that.

use std::time::Duration;

use jiff::Timestamp;

use super::agenda::{Meaning, NEVER};
use super::trouble::Trouble;
use super::upstream::Past;
use super::{Dice, Source};
use crate::clock::{Moment, between};
use crate::schedule::{Case, Facts, Pace, Seen, Verdict};
use crate::secret::Metadata;
use crate::store::Origin;
use crate::vault::FetchError;

/// How the looks at one secret stand.
#[derive(Debug, Default)]
pub(super) struct Item {
    /// When it is fetched by its own account, whatever the rounds bring; never while a fetch is under way.
    pub(super) due: Duration,
    /// When the vault confirmed it last; zero before the first time.
    pub(super) confirmed: Duration,
    /// When it must be fetched though lists confirm it.
    pub(super) full: Duration,
    pub(super) trouble: Trouble,
    pub(super) attempt: u32,
    pub(super) case: Option<Case>,
    /// What lists are compared with; none before the first vault gave the secret.
    pub(super) seen: Option<Seen>,
    pub(super) was_given: bool,
}

impl Item {
    /// Which goes first: what has waited longest, and after that what may hang or fail again.
    pub(super) fn turn(&self) -> (Trouble, Duration) {
        (self.trouble.without_delay(), self.confirmed)
    }

    pub(super) fn past(&self) -> Past {
        Past { failed: self.attempt > 0, refused: self.case.is_some() }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.due == NEVER
    }

    pub(super) fn is_for_round(&self, for_all: bool) -> bool {
        match self.trouble {
            Trouble::None => true,
            Trouble::Delayed | Trouble::Outage => for_all,
            Trouble::Answer => false,
        }
    }

    /// Whether the first vault could not be asked for it the last time.
    pub(super) fn is_missed(&self) -> bool {
        self.trouble.is_outage() || (self.trouble == Trouble::None && self.was_given && self.seen.is_none())
    }

    /// Whether a list can tell that it is as it was.
    pub(super) fn may_be_confirmed(&self, source: &Source) -> bool {
        source.version.is_none() && self.trouble.is_outage() && self.seen.is_some()
    }

    /// Leaves the next fetch as it was planned, which may be soon because the secret expires.
    pub(super) fn confirm(&mut self, now: Duration) {
        if self.trouble.is_outage() {
            self.due = self.full;
        }
        self.confirmed = now;
        (self.trouble, self.attempt, self.case) = (Trouble::None, 0, None);
    }

    pub(super) fn fail(&mut self, trouble: Trouble, due: Duration) {
        self.trouble = trouble;
        self.due = due;
    }

    pub(super) fn given(&mut self, metadata: &Metadata, origin: &Origin, now: Moment, (pace, dice): (Pace, Dice)) {
        let facts = Facts { enabled: true, updated: metadata.updated, expires: metadata.expires };
        let seen = Seen::after(self.seen.as_ref(), facts, now.uptime, now.wall);
        // What a fallback gave is not what the first vault lists.
        self.seen = (!origin.is_fallback).then_some(seen);
        self.full = now.uptime + pace.wait_full(!self.was_given, dice());
        let sooner = metadata.expires.and_then(|expires| pace.wait_near_expiry(seconds_until(expires, now.wall)));
        self.due = sooner.map_or(self.full, |wait| self.full.min(now.uptime + wait));
        self.trouble = Trouble::None;
        self.confirmed = now.uptime;
        (self.attempt, self.case, self.was_given) = (0, None, true);
    }

    pub(super) fn refused(
        &mut self,
        error: &FetchError,
        now: Duration,
        (wait, revoke_after): (Duration, Duration),
    ) -> Meaning {
        self.fail(Trouble::Answer, now + wait);
        // Whatever lists say from now on, and whatever outage comes first: only a fetch ends this.
        self.seen = None;
        let Some(kind) = error.refusal() else { return Meaning::AsAnswered };
        let case = Case::heard(self.case, kind, now);
        self.case = Some(case);
        match case.verdict(revoke_after, now) {
            Verdict::Revoked => Meaning::Revoked,
            Verdict::Keep { ripens_in } => {
                self.due = now + wait.min(ripens_in);
                Meaning::AsAnswered
            }
        }
    }
}

/// How many seconds it is until `then`; negative where it has passed.
fn seconds_until(then: Timestamp, now: Timestamp) -> i64 {
    let seconds = |wait: Duration| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    if then < now { -seconds(between(then, now)).max(1) } else { seconds(between(now, then)) }
}
