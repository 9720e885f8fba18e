//! The loop that keeps the store fresh: look, publish what changed or keep what was good, wait, until stopped.

mod board;
mod demand;
mod pulse;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::memory::Arena;
use crate::schedule::{Look, Schedule};
use crate::secret::SecretName;
use crate::store::{Fetched, Publication, Publisher};
use crate::vault::{FetchError, Vault};

use self::board::Board;
pub use self::demand::{DemandError, DemandQueue, Demands, demands};
pub use self::pulse::Pulse;
pub use self::wanted::Wanted;

/// How many requests to the vault may be under way at once, for the whole agent. With four, one that is slow holds up a
/// quarter of a look at most, and a thousand agents that start together stay within what a vault allows, 4,000 requests in
/// ten seconds.
const CONCURRENT_FETCHES: usize = 4;

/// What the loop works with.
pub struct Refresh<V> {
    /// Where secrets come from.
    pub vault: V,
    /// Which ones.
    pub wanted: Vec<Wanted>,
    /// Where they go.
    pub publisher: Publisher,
    /// Where decoded values are kept.
    pub arena: Arena,
    /// Dates the looks.
    pub clock: Arc<dyn Clock>,
    /// Shows that the loop lives.
    pub pulse: Pulse,
}

/// Longest time that one fetch may take: four times the deadline that the vault's client sets itself, a token included,
/// because a loop that is thought dead is restarted by the service manager.
const FETCH_TIME_MAX: Duration = Duration::from_mins(2);

impl<V> std::fmt::Debug for Refresh<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Refresh").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<V: Vault> Refresh<V> {
    /// Looks at every secret once.
    pub async fn once(&self) {
        let permits = Semaphore::new(CONCURRENT_FETCHES);
        let mut flights: Flights<'_> =
            self.in_order().into_iter().map(|name| self.fetch(name, &permits).boxed()).collect();
        while let Some(first) = flights.next().await {
            self.publish(first, &mut flights);
        }
    }

    /// Looks at once, then every `interval` and whenever asked to, until stopped. Each secret is published as soon as it
    /// comes; one that fails keeps its last good value, and the next look comes.
    pub async fn run(self, interval: Duration, mut demands: DemandQueue, stop: CancellationToken) {
        let permits = Semaphore::new(CONCURRENT_FETCHES);
        let (mut board, mut flights) = (Board::default(), Flights::new());
        let (mut schedule, mut due) = (Schedule::new(interval), Instant::now());
        loop {
            self.tell_pulse(due);
            let names = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due), if !board.is_looking() => board.ask(&self.in_order(), None),
                Some(demand) = demands.next() => {
                    let names = demand.name.clone().map_or_else(|| self.in_order(), |name| vec![wanted::leader(&self.wanted, name)]);
                    board.ask(&names, Some(demand))
                }
                Some(first) = flights.next() => {
                    let mut again = Vec::new();
                    for (name, look, publication) in self.publish(first, &mut flights) {
                        let (answered, follow) = board.landed(&name, look, publication);
                        for question in answered {
                            // A look at one secret must not put off the look at all of them.
                            if question.is_whole() {
                                due = Instant::now() + schedule.wait(question.look, fastrand::f64());
                            }
                            question.answer();
                        }
                        again.extend(follow.then_some(name));
                    }
                    again
                }
            };
            flights.extend(names.into_iter().map(|name| self.fetch(name, &permits).boxed()));
        }
    }

    /// Publishes what has come, all that is there by now in one generation.
    fn publish(&self, first: Flown, flights: &mut Flights<'_>) -> Vec<(SecretName, Look, Publication)> {
        let mut together = vec![first];
        while let Some(Some(flown)) = flights.next().now_or_never() {
            together.push(flown);
        }
        let looks: Vec<_> = together.iter().map(|flown| (flown.leader.clone(), flown.look())).collect();
        let fetched = together.into_iter().flat_map(|flown| flown.fetched).collect();
        let publication = self.publisher.apply(fetched, self.clock.now());
        tracing::debug!(?looks, ?publication, "looked");
        looks.into_iter().map(|(name, look)| (name, look, publication)).collect()
    }

    /// The leaders of all secrets: first those that readiness waits for and that came last time, so that none of them
    /// waits for one that hangs.
    fn in_order(&self) -> Vec<SecretName> {
        let mut wanted: Vec<_> = self.wanted.iter().collect();
        wanted.sort_by_key(|wanted| (self.publisher.is_failing(&wanted.name), wanted.optional));
        let mut leaders = Vec::new();
        for leader in wanted.into_iter().map(|wanted| wanted::leader(&self.wanted, wanted.name.clone())) {
            if !leaders.contains(&leader) {
                leaders.push(leader);
            }
        }
        leaders
    }

    fn tell_pulse(&self, due: Instant) {
        let wait = due.saturating_duration_since(Instant::now());
        let next_look = self.clock.now().saturating_add(wait).unwrap_or(jiff::Timestamp::MAX);
        self.pulse.say(next_look, wait + self.look_time_max());
    }

    /// How long a look at every secret may take when each fetch takes as long as it may.
    fn look_time_max(&self) -> Duration {
        let rounds = self.wanted.len().div_ceil(CONCURRENT_FETCHES).max(1);
        FETCH_TIME_MAX * u32::try_from(rounds).unwrap_or(u32::MAX)
    }

    async fn fetch(&self, leader: SecretName, permits: &Semaphore) -> Flown {
        let _permit = permits.acquire().await;
        let Some(source) = self.wanted.iter().find(|wanted| wanted.name == leader).map(Wanted::source) else {
            let unknown = Fetched { name: leader.clone(), result: Err(FetchError::NotFound.into()) };
            return Flown { leader, fetched: vec![unknown] };
        };
        let whole = self.vault.fetch(&source).await.map_err(Arc::new);
        Flown { fetched: wanted::make_all(&self.wanted, &source, &whole, &self.arena), leader }
    }
}

type Flights<'a> = FuturesUnordered<BoxFuture<'a, Flown>>;

/// What one request brought, for every secret that is made from it.
struct Flown {
    leader: SecretName,
    fetched: Vec<Fetched>,
}

impl Flown {
    fn look(&self) -> Look {
        self.fetched.iter().map(look).fold(Look::Answered, Look::and)
    }
}

fn look(fetched: &Fetched) -> Look {
    match fetched.result.as_ref().map_err(AsRef::as_ref) {
        Err(FetchError::Throttled { retry_after }) => Look::Failed { retry_after: *retry_after },
        Err(error) if error.is_transient() => Look::Failed { retry_after: None },
        _ => Look::Answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Reader};
    use crate::testing::{FakeVault, Otherwise, TimerClock, name};

    const INTERVAL: Duration = Duration::from_mins(2);

    fn wanted(local: &str) -> Wanted {
        Wanted { vault_name: name(&format!("vault-{local}")), ..Wanted::named(name(local)) }
    }

    struct Running {
        vault: FakeVault,
        reader: Reader,
        demands: Demands,
        stop: CancellationToken,
        pulse: Pulse,
        task: tokio::task::JoinHandle<()>,
    }

    /// Starts the loop over the secrets `db` and `token`.
    #[expect(clippy::disallowed_methods, reason = "the test waits for its one task itself")]
    fn start(vault: FakeVault) -> Running {
        let wanted = vec![wanted("db"), wanted("token")];
        let (publisher, reader) = store::channel(wanted.iter().map(|one| (one.name.clone(), one.optional)));
        let clock = Arc::new(TimerClock::start());
        let refresh = Refresh {
            vault: vault.clone(),
            wanted,
            publisher,
            arena: Arena::unlocked(),
            clock,
            pulse: Pulse::default(),
        };
        let (demands, queue) = demands();
        let stop = CancellationToken::new();
        let pulse = refresh.pulse.clone();
        let task = tokio::spawn(refresh.run(INTERVAL, queue, stop.clone()));
        Running { vault, reader, demands, stop, pulse, task }
    }

    fn value(reader: &Reader, local: &str) -> Option<String> {
        let published = reader.snapshot().slots[&name(local)].published.clone()?;
        Some(String::from_utf8_lossy(published.secret.value.as_bytes()).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn every_secret_is_fetched_at_once_and_those_that_come_together_make_one_generation() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-db", 'a', b"one");
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault);
        assert!(running.reader.changed().await);
        assert_eq!(running.reader.snapshot().generation, 1);
        assert_eq!(value(&running.reader, "db").as_deref(), Some("one"));
        assert_eq!(value(&running.reader, "token").as_deref(), Some("two"));
        running.stop.cancel();
        running.task.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_version_is_noticed_within_two_intervals() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-db", 'a', b"one");
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault.clone());
        assert!(running.reader.changed().await);
        vault.set("vault-db", 'c', b"three");
        let start = Instant::now();
        assert!(running.reader.changed().await);
        assert!(start.elapsed() <= 2 * INTERVAL, "{:?}", start.elapsed());
        assert_eq!(value(&running.reader, "db").as_deref(), Some("three"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_failing_secret_holds_up_no_other_and_comes_when_it_can() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault.clone());
        assert!(running.reader.changed().await);
        assert_eq!(value(&running.reader, "token").as_deref(), Some("two"));
        assert_eq!(running.reader.snapshot().slots[&name("db")].failure.as_ref().map(|f| f.code), Some("unavailable"));
        vault.set("vault-db", 'a', b"one");
        assert!(running.reader.changed().await);
        assert!(running.reader.snapshot().is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_that_hangs_holds_up_no_other() {
        let vault = FakeVault::with(Otherwise::Silence);
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault.clone());
        let started = Instant::now();
        assert!(running.reader.changed().await);
        assert_eq!(value(&running.reader, "token").as_deref(), Some("two"));
        vault.set("vault-token", 'c', b"three");
        let publication = running.demands.look(Some(name("token"))).await.expect("the loop answers");
        assert_eq!(publication, Publication::Applied(2), "while the other one still hangs");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_readiness_waits_for_and_what_came_last_time_goes_first() {
        let vault = FakeVault::default();
        vault.set("vault-b", 'a', b"one");
        let optional = Wanted { optional: true, ..wanted("a") };
        let wanted = vec![optional, wanted("z"), wanted("b")];
        let (publisher, _reader) = store::channel(wanted.iter().map(|one| (one.name.clone(), one.optional)));
        let clock = Arc::new(TimerClock::start());
        let refresh = Refresh { vault, wanted, publisher, arena: Arena::unlocked(), clock, pulse: Pulse::default() };
        assert_eq!(refresh.in_order(), ["z", "b", "a"].map(name));
        refresh.once().await;
        assert_eq!(refresh.in_order(), ["b", "z", "a"].map(name));
    }

    #[tokio::test(start_paused = true)]
    async fn a_demand_looks_now_and_tells_what_changed() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-db", 'a', b"one");
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault.clone());
        assert!(running.reader.changed().await);
        vault.set("vault-db", 'c', b"three");
        let asked = running.vault.asked();
        let publication = running.demands.look(Some(name("db"))).await.expect("the loop answers");
        assert_eq!(publication, Publication::Applied(2));
        assert_eq!(running.vault.asked(), asked + 1, "only the one that was named");
        assert_eq!(running.demands.look(None).await, Ok(Publication::Unchanged));
    }

    #[tokio::test(start_paused = true)]
    async fn demands_for_one_secret_do_not_put_off_the_look_at_all() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-db", 'a', b"one");
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault.clone());
        assert!(running.reader.changed().await);
        vault.set("vault-token", 'd', b"four");
        for _ in 0..300 {
            running.demands.look(Some(name("db"))).await.expect("the loop answers");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(value(&running.reader, "token").as_deref(), Some("four"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_pulse_stops_when_a_look_hangs_and_not_while_the_loop_waits() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-db", 'a', b"one");
        vault.set("vault-token", 'b', b"two");
        let clock = TimerClock::start();
        let running = start(vault);
        tokio::time::sleep(10 * INTERVAL).await;
        assert!(running.pulse.is_alive());
        let next = running.pulse.next_look().expect("it has begun").duration_since(clock.now());
        assert!(next.is_positive() && next <= jiff::SignedDuration::from_secs(132), "{next:?}");

        let wanted = vec![wanted("db")];
        let (publisher, _reader) = store::channel([(name("db"), false)]);
        let pulse = Pulse::default();
        let clock = Arc::new(TimerClock::start());
        let hung = Refresh {
            vault: FakeVault::with(Otherwise::Silence),
            wanted,
            publisher,
            arena: Arena::unlocked(),
            clock,
            pulse: pulse.clone(),
        };
        let (_demands, queue) = demands();
        let run = hung.run(INTERVAL, queue, CancellationToken::new());
        tokio::time::timeout(2 * FETCH_TIME_MAX, run).await.expect_err("it hangs");
        assert!(!pulse.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_demand_after_the_end_says_so() {
        let running = start(FakeVault::with(Otherwise::Unavailable));
        running.stop.cancel();
        running.task.await.expect("no panic");
        assert_eq!(running.demands.look(None).await, Err(DemandError::Stopping));
    }
}
