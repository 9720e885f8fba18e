//! What is to be asked when: the state of every secret's looks, moved on by what they brought. No waiting, no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::upstream::Answer;
use super::{Dice, Settings, Source};
use crate::clock::{Moment, between};
use crate::schedule::{Case, Facts, Listing, Look, Pace, Seen, Verdict};
use crate::secret::{Metadata, Secret};
use crate::store::Origin;
use crate::vault::{FetchError, Listed};

/// Not before something else happens.
const NEVER: Duration = Duration::MAX;

/// When which secret is looked at, and how.
#[derive(Debug)]
pub(super) struct Agenda {
    pace: Pace,
    revoke_after: Duration,
    has_fallback: bool,
    dice: Dice,
    listing: Listing,
    items: BTreeMap<Source, Item>,
    /// When all secrets are looked at next; never while a list is under way.
    round: Duration,
    /// How many lists failed in a row.
    attempt: u32,
    /// The next round is for those too that wait because the vault was out of reach.
    for_all: bool,
}

/// How the looks at one secret stand.
#[derive(Debug, Default)]
struct Item {
    /// When it is fetched by its own account, whatever the rounds bring; never while a fetch is under way.
    due: Duration,
    /// When it must be fetched though lists confirm it.
    full: Duration,
    trouble: Trouble,
    attempt: u32,
    case: Option<Case>,
    /// What lists are compared with; none before the first vault gave the secret.
    seen: Option<Seen>,
    was_given: bool,
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// Nothing: rounds look at it.
    #[default]
    None,
    /// The vault could not be asked. It is tried again by its own back-off, and a list may confirm it.
    Outage,
    /// The vault refused it, or gave what cannot be used. Only a fetch can tell that this is over.
    Answer,
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
            items: sources.into_iter().map(|source| (source, Item { due: now, ..Item::default() })).collect(),
            round: now + pace.phase(dice()),
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
            let listable = self.items.keys().filter(|source| source.version.is_none()).count();
            match self.listing.choose(listable, now) {
                Look::List { calls_max } => {
                    errands.list = Some(calls_max);
                    self.round = NEVER;
                    errands.fetch =
                        self.begin(|source, item| source.version.is_some() && item.trouble == Trouble::None);
                }
                Look::Fetch => errands.fetch = self.begin_round(now),
            }
        }
        let is_listing = self.round == NEVER;
        let due = self.begin(|source, item| item.due <= now && !(is_listing && item.may_be_confirmed(source)));
        errands.fetch.extend(due);
        errands.fetch.sort_by_key(|source| self.items.get(source).map(|item| item.trouble));
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
                return self.compare(|source| facts.get(&source.name.folded()), now);
            }
            Answer::Heard(Err(error)) if error.is_transient() => {
                if !self.listing.failed(later) && !self.has_fallback {
                    self.round = now + self.pace.wait_failed(self.attempt, error.retry_after(), (self.dice)());
                    self.attempt += 1;
                    // A packet may be lost, and a second later all is well. A vault that asks to wait is not looked at
                    // for long.
                    let held_back = error.retry_after().map_or_else(Vec::new, |_| self.untouched());
                    return Told { held_back, ..Told::default() };
                }
            }
            Answer::Heard(_) => {
                tracing::info!(answer = ?answer.reason(), "the vault is not listed: secrets are fetched one by one");
                self.listing.is_no_use(later);
            }
            Answer::HeldBack { wait } if !self.has_fallback => {
                self.round = now.saturating_add(*wait);
                return Told { held_back: self.untouched(), ..Told::default() };
            }
            Answer::HeldBack { .. } => {}
        }
        Told { fetch: self.begin_round(now), ..Told::default() }
    }

    /// Those that only a list would have looked at.
    fn untouched(&self) -> Vec<Source> {
        let is_untouched =
            |(source, item): &(&Source, &Item)| source.version.is_none() && item.trouble == Trouble::None;
        self.items.iter().filter(is_untouched).map(|(source, _)| source.clone()).collect()
    }

    /// Notes what a fetch brought.
    pub(super) fn fetched(&mut self, source: &Source, answer: &Answer<(Secret, Origin)>, now: Moment) -> Meaning {
        let (pace, revoke_after, dice) = (self.pace, self.revoke_after, self.dice);
        let Some(item) = self.items.get_mut(source) else { return Meaning::AsAnswered };
        match answer {
            Answer::Heard(Ok((secret, origin))) => item.given(&secret.metadata, origin, now, (pace, dice)),
            Answer::HeldBack { wait } => item.fail(Trouble::Outage, now.uptime.saturating_add(*wait)),
            Answer::Heard(Err(error)) if error.is_transient() => {
                let wait = pace.wait_failed(item.attempt, error.retry_after(), dice());
                item.attempt += 1;
                item.fail(Trouble::Outage, now.uptime + wait);
            }
            Answer::Heard(Err(error)) => {
                item.attempt = 0;
                return item.refused(error, now.uptime, (pace.wait(dice()), revoke_after));
            }
        }
        Meaning::AsAnswered
    }

    /// Notes that the first vault answers again: all that could not be looked at meanwhile is looked at now.
    pub(super) fn healed(&mut self, now: Duration) {
        self.listing.forgive();
        self.for_all = true;
        self.attempt = 0;
        if self.round != NEVER {
            self.round = now;
        }
    }

    /// Begins to fetch all that rounds are for, and says when the next round is.
    fn begin_round(&mut self, now: Duration) -> Vec<Source> {
        self.round = now + self.pace.wait((self.dice)());
        self.attempt = 0;
        let for_all = std::mem::take(&mut self.for_all);
        self.begin(|_, item| item.is_for_round(for_all))
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
                item.confirm();
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

impl Item {
    fn is_under_way(&self) -> bool {
        self.due == NEVER
    }

    fn is_for_round(&self, for_all: bool) -> bool {
        match self.trouble {
            Trouble::None => true,
            Trouble::Outage => for_all,
            Trouble::Answer => false,
        }
    }

    /// Whether a list can tell that it is as it was.
    fn may_be_confirmed(&self, source: &Source) -> bool {
        source.version.is_none() && self.trouble == Trouble::Outage && self.seen.is_some()
    }

    /// Leaves the next fetch as it was planned, which may be soon because the secret expires.
    fn confirm(&mut self) {
        if self.trouble == Trouble::Outage {
            self.due = self.full;
        }
        (self.trouble, self.attempt, self.case) = (Trouble::None, 0, None);
    }

    fn fail(&mut self, trouble: Trouble, due: Duration) {
        self.trouble = trouble;
        self.due = due;
    }

    fn given(&mut self, metadata: &Metadata, origin: &Origin, now: Moment, (pace, dice): (Pace, Dice)) {
        let facts = Facts { enabled: true, updated: metadata.updated, expires: metadata.expires };
        let seen = Seen::after(self.seen.as_ref(), facts, now.uptime, now.wall);
        // What a fallback gave is not what the first vault lists.
        self.seen = (!origin.is_fallback).then_some(seen);
        self.full = now.uptime + pace.wait_full(!self.was_given, dice());
        let sooner = metadata.expires.and_then(|expires| pace.wait_near_expiry(seconds_until(expires, now.wall)));
        self.due = sooner.map_or(self.full, |wait| self.full.min(now.uptime + wait));
        self.trouble = Trouble::None;
        (self.attempt, self.case, self.was_given) = (0, None, true);
    }

    fn refused(&mut self, error: &FetchError, now: Duration, (wait, revoke_after): (Duration, Duration)) -> Meaning {
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

impl<T> Answer<T> {
    fn reason(&self) -> &'static str {
        match self {
            Self::Heard(Ok(_)) => "it has too many secrets",
            Self::Heard(Err(error)) => error.code(),
            Self::HeldBack { .. } => "it is left alone",
        }
    }
}

/// How many seconds it is until `then`; negative where it has passed.
fn seconds_until(then: Timestamp, now: Timestamp) -> i64 {
    let seconds = |wait: Duration| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    if then < now { -seconds(between(then, now)).max(1) } else { seconds(between(now, then)) }
}
