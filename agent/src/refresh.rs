//! The loop that keeps the store fresh: look, publish what changed or keep what was good, wait, until stopped.

mod agenda;
mod board;
mod demand;
mod item;
mod plan;
mod pulse;
#[cfg(test)]
mod tests;
mod trouble;
mod upstream;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};
use crate::kernel;
use crate::memory::Arena;
use crate::schedule::Pace;
use crate::secret::Secret;
use crate::store::{Fetched, Origin, Outcome, Publication, Publisher, Setback};
pub use crate::vault::Source;
use crate::vault::{FetchError, Listed, Vault};

use self::agenda::{Agenda, Meaning};
use self::board::Board;
use self::demand::Demand;
pub use self::demand::{DemandError, DemandQueue, Demands, demands};
use self::plan::NewPlan;
pub use self::plan::{Plan, PlanError, Plans};
pub use self::pulse::Pulse;
use self::upstream::{Answer, Reply};
pub use self::upstream::{Budget, Gate, Gates, Upstream};
pub use self::wanted::Wanted;

/// How fresh secrets are kept, and how long without the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often the vault is looked at.
    pub pace: Pace,
    /// How long the vault must deny a secret before it counts as taken away.
    pub revoke_after: Duration,
    /// How long a value is served that the vault does not confirm; without end where there is none.
    pub max_stale: Option<Duration>,
}

/// Draws lots, evenly from 0 up to 1.
pub type Dice = fn() -> f64;

/// What the loop works with.
pub struct Refresh<V> {
    /// Where secrets come from.
    pub upstream: Upstream<V>,
    /// Which ones, and when.
    pub plan: Plan,
    /// Where they go.
    pub publisher: Publisher,
    /// Where decoded values are kept.
    pub arena: Arena,
    /// Dates the looks.
    pub clock: Arc<dyn Clock>,
    /// Shows that the loop lives.
    pub pulse: Pulse,
    /// Spreads the looks.
    pub dice: Dice,
}

/// From so many secrets on, what a look at them leaves free is worth giving back: each takes half a KiB meanwhile, between what
/// stays.
const MANY_SECRETS: usize = 200;

/// How many secrets a vault lists with one request, where nothing else is asked for.
const SECRETS_OF_CALL: usize = 25;

/// Longest time that the loop sleeps. The runtime's timer stands still while the machine is suspended and the agenda does
/// not, so this is how late the agent notices that it was.
const SLEEP_MAX: Duration = Duration::from_secs(30);

impl<V> std::fmt::Debug for Refresh<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Refresh").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl<V: Vault> Refresh<V> {
    /// Looks at every secret once.
    pub async fn once(&self) {
        let mut watch = Watch::new(self);
        watch.start_due();
        while let Some(first) = watch.flights.next().await {
            watch.land(first);
        }
    }

    /// Looks at once, then by the agenda and whenever asked to, until stopped. Each secret is published as soon as it
    /// comes; one that fails keeps its last good value, and the next look comes.
    pub async fn run(self, mut queue: DemandQueue, stop: CancellationToken) {
        let mut watch = Watch::new(&self);
        loop {
            let sleep = watch.rest();
            tokio::select! {
                // What has come may save what is due, and a demand counts from when it is met. The same dice then make the
                // same looks.
                biased;
                () = stop.cancelled() => return,
                Some(first) = watch.flights.next() => watch.land(first),
                () = tokio::time::sleep(sleep) => watch.start_due(),
                Some(plan) = queue.plans.recv() => watch.follow(plan),
                Some(demand) = queue.demands.recv() => watch.meet(demand),
            }
        }
    }
}

type Flights<'a> = FuturesUnordered<BoxFuture<'a, Landed>>;

/// A request that has ended.
enum Landed {
    Fetch(Source, Reply<(Secret, Origin)>),
    List(Reply<Listed>),
}

impl Landed {
    /// How many secrets it tells of.
    fn secrets(&self) -> usize {
        match self {
            Self::List(Reply { answer: Answer::Heard(Ok(listed)), .. }) => listed.calls() * SECRETS_OF_CALL,
            _ => 1,
        }
    }
}

/// What a handful of answers brought.
#[derive(Default)]
struct News {
    outcomes: Vec<Fetched>,
    /// Whose fetches have ended.
    ended: Vec<Source>,
    /// What a list says is to be fetched.
    to_fetch: Vec<Source>,
}

/// The loop's state: what is due, what is under way, and who waits for it.
struct Watch<'a, V> {
    refresh: &'a Refresh<V>,
    plan: Plan,
    agenda: Agenda,
    board: Board,
    flights: Flights<'a>,
    /// How many secrets were told of since no request was under way.
    landed: usize,
}

impl<'a, V: Vault> Watch<'a, V> {
    fn new(refresh: &'a Refresh<V>) -> Self {
        let plan = refresh.plan.clone();
        let agenda = Agenda::new(plan.sources(None), &plan.settings, refresh.clock.uptime(), refresh.dice)
            .with_fallback(refresh.upstream.has_fallback());
        Self { refresh, plan, agenda, board: Board::default(), flights: Flights::new(), landed: 0 }
    }

    /// Withdraws what has grown too old, says that the loop lives, and answers how long it may sleep.
    fn rest(&mut self) -> Duration {
        let Refresh { publisher, clock, pulse, .. } = self.refresh;
        let (now, max_stale) = (clock.moment(), self.plan.settings.max_stale);
        let ages_at = || max_stale.and_then(|max_stale| Some((max_stale, publisher.ages_at(max_stale)?)));
        if let Some((max_stale, at)) = ages_at()
            && at <= now.uptime
            && publisher.withdraw_old(max_stale, now) != Publication::Unchanged
        {
            let without = self.plan.wanted.iter().filter(|wanted| !publisher.has_value(&wanted.name));
            without.for_each(|wanted| self.agenda.lost(&wanted.source(), now.uptime));
        }
        let due = ages_at().map_or(self.agenda.due(), |(_, at)| at.min(self.agenda.due()));
        let sleep = due.saturating_sub(now.uptime).min(SLEEP_MAX);
        let next_look = self.agenda.next_round().map(|round| {
            let wait = round.saturating_sub(now.uptime);
            now.wall.saturating_add(wait).unwrap_or(jiff::Timestamp::MAX)
        });
        pulse.say(next_look, sleep, self.plan.settings.pace.interval);
        sleep
    }

    /// Begins whatever is due.
    fn start_due(&mut self) {
        let errands = self.agenda.take(self.refresh.clock.uptime());
        if let Some(calls_max) = errands.list {
            let upstream = &self.refresh.upstream;
            self.flights.push(async move { Landed::List(upstream.list(calls_max).await) }.boxed());
        }
        self.begin(errands.fetch);
    }

    fn begin(&mut self, mut sources: Vec<Source>) {
        // Stable, so that what came last time still goes before what did not.
        sources.sort_by_key(|source| self.plan.is_optional(source));
        self.board.begin(&sources);
        self.fly(sources);
    }

    fn fly(&mut self, sources: Vec<Source>) {
        let (upstream, agenda) = (&self.refresh.upstream, &self.agenda);
        let fetch = |source: Source| {
            let past = agenda.past(&source);
            async move {
                let reply = upstream.fetch(&source, past).await;
                Landed::Fetch(source, reply)
            }
            .boxed()
        };
        self.flights.extend(sources.into_iter().map(fetch));
    }

    /// Goes by another plan from now on.
    fn follow(&mut self, next: NewPlan) {
        let Some(renewed) = next.replace(&mut self.plan, &self.refresh.publisher) else { return };
        let sources = self.plan.sources(None);
        self.refresh.upstream.serve(sources.len(), self.plan.settings.pace.interval);
        self.agenda.follow(sources, &renewed, &self.plan.settings, self.refresh.clock.uptime());
        self.start_due();
    }

    /// Fetches for somebody who asks, unless no vault may be asked.
    fn meet(&mut self, demand: Demand) {
        if let Some(wait) = self.refresh.upstream.closed_for() {
            demand.answer(Err(DemandError::HeldBack(wait)));
            return;
        }
        let sources = self.plan.sources(demand.name.as_ref());
        if sources.is_empty() {
            // It has just been taken out of the configuration.
            demand.answer(Ok(Publication::Unchanged));
            return;
        }
        let now = self.board.ask(&sources, demand);
        self.agenda.begin_these(&now);
        self.fly(now);
    }

    /// Publishes what has come, all that is there by now in one generation.
    fn land(&mut self, first: Landed) {
        let mut together = vec![first];
        while let Some(Some(landed)) = self.flights.next().now_or_never() {
            together.push(landed);
        }
        self.landed += together.iter().map(Landed::secrets).sum::<usize>();
        let (now, mut news) = (self.refresh.clock.moment(), News::default());
        for landed in together {
            match landed {
                Landed::List(reply) => self.list_landed(&reply, now, &mut news),
                Landed::Fetch(source, reply) => self.fetch_landed(source, reply, now, &mut news),
            }
        }
        let publication = self.refresh.publisher.apply(news.outcomes, now);
        tracing::debug!(fetched = news.ended.len(), ?publication, "looked");
        self.settle(news.ended, publication);
        self.begin(news.to_fetch);
        if self.flights.is_empty() && std::mem::take(&mut self.landed) >= MANY_SECRETS {
            kernel::give_back_free_memory();
        }
    }

    fn list_landed(&mut self, reply: &Reply<Listed>, now: Moment, news: &mut News) {
        if reply.healed {
            self.agenda.healed(now.uptime);
        }
        let told = self.agenda.listed(&reply.answer, now.uptime);
        for source in &told.confirmed {
            news.outcomes.extend(self.all(source, || Outcome::Confirmed));
        }
        for source in &told.held_back {
            news.outcomes.extend(self.all(source, || match &reply.answer {
                Answer::Heard(Err(error)) => failed(error),
                _ => Outcome::HeldBack,
            }));
        }
        news.to_fetch.extend(told.fetch);
    }

    fn fetch_landed(&mut self, source: Source, reply: Reply<(Secret, Origin)>, now: Moment, news: &mut News) {
        if reply.healed {
            self.agenda.healed(now.uptime);
        }
        let meaning = self.agenda.fetched(&source, &reply.answer, now);
        let outcomes = self.outcomes(&source, reply.answer, meaning);
        if outcomes.iter().any(|fetched| matches!(fetched.outcome, Outcome::Failed(_))) {
            self.agenda.doubt(&source);
        }
        news.outcomes.extend(outcomes);
        news.ended.push(source);
    }

    /// Tells those who asked, and fetches again for those who asked meanwhile.
    fn settle(&mut self, ended: Vec<Source>, publication: Publication) {
        let again: Vec<_> = ended.into_iter().filter(|source| self.board.landed(source, publication)).collect();
        self.agenda.begin_these(&again);
        self.fly(again);
    }

    /// The same for everybody who wants what is fetched from `source`.
    fn all(&self, source: &Source, outcome: impl Fn() -> Outcome) -> Vec<Fetched> {
        self.plan.wanting(source).map(|wanted| Fetched { name: wanted.name.clone(), outcome: outcome() }).collect()
    }

    /// What an answer means for everybody who wants it.
    fn outcomes(&self, source: &Source, answer: Answer<(Secret, Origin)>, meaning: Meaning) -> Vec<Fetched> {
        match (answer, meaning) {
            (Answer::HeldBack { .. }, _) => self.all(source, || Outcome::HeldBack),
            (Answer::Heard(Err(error)), Meaning::AsAnswered) => self.all(source, || failed(&error)),
            (Answer::Heard(Err(error)), Meaning::Revoked) => {
                self.all(source, || Outcome::Revoked(Setback::from(&error)))
            }
            (Answer::Heard(Ok((secret, origin))), _) => {
                wanted::make_all(self.plan.wanting(source), &secret, &origin, &self.refresh.arena)
            }
        }
    }
}

fn failed(error: &FetchError) -> Outcome {
    Outcome::Failed(Setback::from(error))
}
