//! What is to be asked when: the state of every secret's looks, moved on by what they brought. No waiting, no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::item::Item;
use super::trouble::Trouble;
use super::upstream::{Answer, Past};
use super::{Dice, Settings, Source};
use crate::clock::Moment;
use crate::schedule::{Facts, Listing, Look, Pace, Strain};
use crate::secret::Secret;
use crate::store::Origin;
use crate::vault::{FetchError, Listed};

/// Not before something else happens.
pub(super) const NEVER: Duration = Duration::MAX;

/// A list that fails within this may be told of as late as after the next one.
const QUICK: Duration = Duration::from_secs(2);

/// When which secret is looked at, and how.
#[derive(Debug)]
pub(super) struct Agenda {
    pace: Pace,
    revoke_after: Duration,
    has_fallback: bool,
    dice: Dice,
    listing: Listing,
    /// How much it strains the vaults that each secret is fetched.
    strain: Strain,
    items: BTreeMap<Source, Item>,
    /// When all secrets are looked at next; never while a list is under way.
    round: Duration,
    /// When the latest list began.
    listed: Duration,
    /// How many lists failed in a row.
    attempt: u32,
    /// The next round is for those too that wait because the vault was out of reach.
    for_all: bool,
}

/// What to ask now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errands {
    /// A list, in at most so many requests.
    pub(super) list: Option<usize>,
    /// These secrets.
    pub(super) fetch: Vec<Source>,
}

/// What a list told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// These are as they were.
    pub(super) confirmed: Vec<Source>,
    /// These were not looked at.
    pub(super) held_back: Vec<Source>,
    /// These have to be fetched.
    pub(super) fetch: Vec<Source>,
}

/// What a fetch means for its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is as the answer says.
    AsAnswered,
    /// It has been taken away.
    Revoked,
}

impl Agenda {
    /// Everything is fetched at `now`, and a part of the interval later the rounds begin.
    pub(super) fn new(
        sources: impl IntoIterator<Item = Source>,
        settings: &Settings,
        now: Duration,
        dice: Dice,
    ) -> Self {
        let pace = settings.pace;
        Self {
            pace,
            revoke_after: settings.revoke_after,
            has_fallback: false,
            dice,
            listing: Listing::default(),
            strain: Strain::default(),
            items: sources.into_iter().map(|source| (source, Item { due: now, ..Item::default() })).collect(),
            round: now + pace.phase(dice()),
            listed: now,
            attempt: 0,
            for_all: false,
        }
    }

    /// Goes by other sources and settings from now on, and fetches what is new or `renewed`, of which what is known says
    /// nothing any more. Where the pace is faster than before, it holds for what is planned already.
    pub(super) fn follow(
        &mut self,
        sources: Vec<Source>,
        renewed: &BTreeSet<Source>,
        settings: &Settings,
        now: Duration,
    ) {
        let (pace, dice) = (settings.pace, self.dice);
        (self.pace, self.revoke_after) = (pace, settings.revoke_after);
        let sources: BTreeSet<_> = sources.into_iter().collect();
        self.items.retain(|source, _| sources.contains(source));
        if self.round != NEVER {
            self.round = self.round.min(now + pace.wait(dice()));
        }
        for (source, item) in self.items.iter_mut().filter(|(_, item)| !item.is_under_way()) {
            if renewed.contains(source) {
                (item.seen, item.due) = (None, now);
            }
            item.full = item.full.min(now + pace.wait_full(false, dice()));
            item.due = item.due.min(now + pace.wait_full(false, dice()));
        }
        for source in sources {
            self.items.entry(source).or_insert_with(|| Item { due: now, ..Item::default() });
        }
    }

    /// Fetches take the place of lists that the first vault cannot give.
    pub(super) fn with_fallback(self, has_fallback: bool) -> Self {
        Self { has_fallback, ..self }
    }

    /// When there is something to ask next.
    pub(super) fn due(&self) -> Duration {
        let items = self.items.iter().filter(|(source, item)| !self.waits_for_list(source, item));
        items.map(|(_, item)| item.due).fold(self.round, Duration::min)
    }

    /// Whether the list that is under way may save this fetch.
    fn waits_for_list(&self, source: &Source, item: &Item) -> bool {
        self.round == NEVER && item.may_be_confirmed(source)
    }

    /// When all secrets are looked at next, as far as that is known.
    pub(super) fn next_round(&self) -> Option<Duration> {
        (self.round != NEVER).then_some(self.round)
    }

    /// What to ask at `now`. Each is under way from then on, until its answer is noted.
    pub(super) fn take(&mut self, now: Duration) -> Errands {
        let mut errands = Errands::default();
        if self.round <= now {
            match self.look(now) {
                Look::List { calls_max } => {
                    errands.list = Some(calls_max);
                    (self.round, self.listed) = (NEVER, now);
                    errands.fetch =
                        self.begin(|source, item| source.version.is_some() && item.trouble == Trouble::None);
                }
                Look::Fetch => errands.fetch = self.begin_round(now),
            }
        }
        let is_listing = self.round == NEVER;
        let due = self.begin(|source, item| item.due <= now && !(is_listing && item.may_be_confirmed(source)));
        errands.fetch.extend(due);
        errands.fetch.sort_by_key(|source| self.items.get(source).map(Item::turn));
        errands
    }

    /// Notes that secrets are asked for at somebody's wish.
    pub(super) fn begin_these(&mut self, sources: &[Source]) {
        for source in sources {
            if let Some(item) = self.items.get_mut(source) {
                item.due = NEVER;
            }
        }
    }

    /// What came of the last requests for a secret.
    pub(super) fn past(&self, source: &Source) -> Past {
        self.items.get(source).map(Item::past).unwrap_or_default()
    }

    /// Notes that what was fetched could not be used by all who want it, so that no list can confirm it.
    pub(super) fn doubt(&mut self, source: &Source) {
        if let Some(item) = self.items.get_mut(source).filter(|item| item.trouble == Trouble::None) {
            item.seen = None;
        }
    }

    /// Notes that the value is held no more, so that no list can confirm it.
    pub(super) fn lost(&mut self, source: &Source, now: Duration) {
        let Some(item) = self.items.get_mut(source) else { return };
        item.seen = None;
        if item.trouble == Trouble::None && !item.is_under_way() {
            item.due = now;
        }
    }

    /// Notes what a list brought, and answers what follows from it.
    pub(super) fn listed(&mut self, answer: &Answer<Listed>, now: Duration) -> Told {
        let later = now + self.pace.wait_full(false, (self.dice)());
        match answer {
            Answer::Heard(Ok(Listed::Whole { facts, .. })) => {
                self.listing.succeeded();
                self.strain = Strain::default();
                return self.compare(|source| facts.get(&source.name.folded()), now);
            }
            Answer::Heard(Err(error)) if error.is_transient() => {
                // To fetch each secret instead would cost a vault that throttles more still.
                let is_left = !matches!(error, FetchError::Throttled { .. }) && self.listing.failed(later);
                if !is_left && !self.has_fallback {
                    let is_first = self.attempt == 0;
                    self.round = now + self.pace.wait_failed(self.attempt, error.retry_after(), (self.dice)());
                    self.attempt += 1;
                    // A packet may be lost, and a second later all is well. A vault that asks to wait is not looked at for
                    // long, and one that hung was not for long already.
                    let was_quick = now.saturating_sub(self.listed) < QUICK;
                    let passes = is_first && was_quick && error.retry_after().is_none();
                    let held_back = if passes { Vec::new() } else { self.not_looked_at() };
                    return Told { held_back, ..Told::default() };
                }
            }
            Answer::Heard(_) => {
                tracing::info!(answer = ?answer.reason(), "the vault is not listed: secrets are fetched one by one");
                self.listing.is_no_use(later);
            }
            Answer::HeldBack { wait } if !self.has_fallback => {
                self.round = now.saturating_add(*wait);
                return Told { held_back: self.not_looked_at(), ..Told::default() };
            }
            Answer::HeldBack { .. } => {}
        }
        Told { fetch: self.begin_round(now), ..Told::default() }
    }

    /// Notes what a fetch brought.
    pub(super) fn fetched(&mut self, source: &Source, answer: &Answer<(Secret, Origin)>, now: Moment) -> Meaning {
        let (pace, revoke_after, dice) = (self.pace, self.revoke_after, self.dice);
        let Some(item) = self.items.get_mut(source) else { return Meaning::AsAnswered };
        match answer {
            Answer::Heard(Ok((secret, origin))) => {
                self.strain.granted();
                item.given(&secret.metadata, origin, now, (pace, dice));
            }
            Answer::HeldBack { wait } => item.fail(item.trouble.held_back(), now.uptime.saturating_add(*wait)),
            Answer::Heard(Err(error)) if error.is_transient() => {
                let wait = pace.wait_failed(item.attempt, error.retry_after(), dice());
                item.attempt += 1;
                let is_throttled = matches!(error, FetchError::Throttled { .. });
                item.fail(if is_throttled { Trouble::Delayed } else { Trouble::Outage }, now.uptime + wait);
                if is_throttled {
                    self.strain.throttled();
                }
            }
            Answer::Heard(Err(error)) => {
                item.attempt = 0;
                return item.refused(error, now.uptime, (pace.wait(dice()), revoke_after));
            }
        }
        Meaning::AsAnswered
    }

    /// Notes that the first vault answers again: all that it could not be asked for meanwhile is looked at now, and no more
    /// than that. One that throttles seems to be back with each request that it grants.
    pub(super) fn healed(&mut self, now: Duration) {
        self.listing.forgive();
        self.attempt = 0;
        if self.look(now) == Look::Fetch {
            for item in self.items.values_mut().filter(|item| item.is_missed() && !item.is_under_way()) {
                item.due = now;
            }
            return;
        }
        self.for_all = true;
        if self.round != NEVER {
            self.round = now;
        }
    }

    /// How all secrets are looked at cheapest. A list tells nothing of those that were never given.
    fn look(&self, now: Duration) -> Look {
        let is_told = |(source, item): &(&Source, &Item)| source.version.is_none() && item.was_given;
        self.listing.choose(self.items.iter().filter(is_told).count(), now)
    }

    /// What a list that failed would have told of.
    fn not_looked_at(&self) -> Vec<Source> {
        let items = self.items.iter();
        let untouched = items.filter(|(source, item)| source.version.is_none() && item.trouble == Trouble::None);
        untouched.map(|(source, _)| source.clone()).collect()
    }

    /// Begins to fetch all that rounds are for, and says when the next round is.
    fn begin_round(&mut self, now: Duration) -> Vec<Source> {
        let dice = [(self.dice)(), (self.dice)()];
        let listable = self.items.keys().filter(|source| source.version.is_none()).count();
        // The next look may be a list, which costs little and need not be put off.
        let wait = match self.listing.choose(listable, now) {
            Look::List { .. } => self.pace.wait(dice[0]),
            Look::Fetch => self.strain.wait(&self.pace, dice),
        };
        self.round = now + wait;
        self.attempt = 0;
        let for_all = std::mem::take(&mut self.for_all);
        self.begin(|_, item| item.trouble == Trouble::Delayed || item.is_for_round(for_all))
    }

    fn compare<'a>(&mut self, facts: impl Fn(&Source) -> Option<&'a Facts>, now: Duration) -> Told {
        let mut told = Told::default();
        self.round = now + self.pace.wait((self.dice)());
        self.attempt = 0;
        let for_all = std::mem::take(&mut self.for_all);
        for (source, item) in
            self.items.iter_mut().filter(|(source, item)| source.version.is_none() && !item.is_under_way())
        {
            let is_confirmed = item.seen.as_ref().is_some_and(|seen| seen.is_confirmed_by(facts(source)));
            if is_confirmed {
                item.confirm(now);
                told.confirmed.push(source.clone());
            } else if item.is_for_round(for_all) {
                item.due = NEVER;
                told.fetch.push(source.clone());
            }
        }
        told
    }

    /// Begins the fetches of those that are not under way.
    fn begin(&mut self, is_meant: impl Fn(&Source, &Item) -> bool) -> Vec<Source> {
        let begin = |(source, item): (&Source, &mut Item)| {
            let begins = !item.is_under_way() && is_meant(source, item);
            begins.then(|| {
                item.due = NEVER;
                source.clone()
            })
        };
        self.items.iter_mut().filter_map(begin).collect()
    }
}

impl<T> Answer<T> {
    fn reason(&self) -> &'static str {
        match self {
            Self::Heard(Ok(_)) => "it has too many secrets",
            Self::Heard(Err(error)) => error.code(),
            Self::HeldBack { .. } => "it is left alone",
        }
    }
}
