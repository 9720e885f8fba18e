//! The loop that keeps the store fresh: look, publish what changed or keep what was good, wait, until stopped.

mod demand;
mod pulse;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::encoding::Encoding;
use crate::memory::Arena;
use crate::schedule::{Look, Schedule};
use crate::secret::{SecretName, Version};
use crate::store::{Outcome, Publication, Publisher};
use crate::vault::{FetchError, Vault};

pub use self::demand::{DemandError, DemandQueue, Demands, demands};
pub use self::pulse::Pulse;

/// How many requests to the vault may be under way at once, for the whole agent.
const CONCURRENT_FETCHES: usize = 4;

/// One secret to keep fresh.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What readers call it.
    pub name: SecretName,
    /// What the vault calls it.
    pub vault_name: SecretName,
    /// The version to keep to, or none for the newest.
    pub version: Option<Version>,
    /// How the vault's text becomes the bytes that readers get.
    pub encoding: Encoding,
    /// Whether readiness does without it.
    pub optional: bool,
}

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

/// Longest time that one fetch may take with all that belongs to it, a token included, and then some.
const FETCH_TIME_MAX: Duration = Duration::from_mins(2);

impl<V> std::fmt::Debug for Refresh<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Refresh").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl<V: Vault> Refresh<V> {
    /// Looks at every secret once.
    pub async fn once(&self) -> (Look, Publication) {
        self.look(None).await
    }

    /// Looks at once, then every `interval` and whenever asked to, until stopped.
    ///
    /// # Errors
    /// None: a look that fails keeps the last good values, and the next one comes.
    pub async fn run(self, interval: Duration, mut demands: DemandQueue, stop: CancellationToken) -> Result<()> {
        let mut schedule = Schedule::new(interval);
        let mut due = Instant::now();
        loop {
            self.tell_pulse(due.saturating_duration_since(Instant::now()));
            let demand = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep_until(due) => None,
                Some(demand) = demands.next() => Some(demand),
            };
            let name = demand.as_ref().and_then(|demand| demand.name.clone());
            let (look, publication) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                answer = self.look(name.as_ref()) => answer,
            };
            tracing::debug!(?look, ?publication, "looked");
            // A demand for one secret must not put off the look at all of them.
            if name.is_none() {
                due = Instant::now() + schedule.wait(look, fastrand::f64());
            }
            if let Some(demand) = demand {
                demand.answer(publication);
            }
        }
    }

    fn tell_pulse(&self, wait: Duration) {
        let next_look = self.clock.now().saturating_add(wait).unwrap_or(jiff::Timestamp::MAX);
        self.pulse.say(next_look, wait + self.look_time_max());
    }

    /// How long a look at every secret may take when each fetch takes as long as it may.
    fn look_time_max(&self) -> Duration {
        let rounds = self.wanted.len().div_ceil(CONCURRENT_FETCHES).max(1);
        FETCH_TIME_MAX * u32::try_from(rounds).unwrap_or(u32::MAX)
    }

    async fn look(&self, only: Option<&SecretName>) -> (Look, Publication) {
        let chosen = self.wanted.iter().filter(|wanted| only.is_none_or(|name| *name == wanted.name));
        let fetches: Vec<_> = chosen.map(|wanted| self.fetch(wanted).boxed()).collect();
        let outcomes: Vec<Outcome> =
            futures::stream::iter(fetches).buffer_unordered(CONCURRENT_FETCHES).collect().await;
        let look = summary(&outcomes);
        (look, self.publisher.apply(outcomes, self.clock.now()))
    }

    async fn fetch(&self, wanted: &Wanted) -> Outcome {
        let fetched = self.vault.fetch(&wanted.vault_name, wanted.version.as_ref()).await;
        let decoded = fetched.and_then(|secret| wanted.encoding.decode(secret, &self.arena));
        (wanted.name.clone(), decoded)
    }
}

fn summary(outcomes: &[Outcome]) -> Look {
    let failures =
        || outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).filter(|error| error.is_transient());
    if failures().next().is_none() {
        return Look::Answered;
    }
    let wishes = failures().filter_map(|error| match error {
        FetchError::Throttled { retry_after } => *retry_after,
        _ => None,
    });
    Look::Failed { retry_after: wishes.max() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Reader};
    use crate::testing::{FakeVault, Otherwise, TimerClock, name};

    const INTERVAL: Duration = Duration::from_mins(2);

    fn wanted(local: &str) -> Wanted {
        Wanted {
            name: name(local),
            vault_name: name(&format!("vault-{local}")),
            version: None,
            encoding: Encoding::Text,
            optional: false,
        }
    }

    struct Running {
        vault: FakeVault,
        reader: Reader,
        demands: Demands,
        stop: CancellationToken,
        pulse: Pulse,
        task: tokio::task::JoinHandle<Result<()>>,
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
    async fn every_secret_is_fetched_at_once_and_published_in_one_generation() {
        let vault = FakeVault::with(Otherwise::Unavailable);
        vault.set("vault-db", 'a', b"one");
        vault.set("vault-token", 'b', b"two");
        let mut running = start(vault);
        assert!(running.reader.changed().await);
        assert_eq!(running.reader.snapshot().generation, 1);
        assert_eq!(value(&running.reader, "db").as_deref(), Some("one"));
        assert_eq!(value(&running.reader, "token").as_deref(), Some("two"));
        running.stop.cancel();
        running.task.await.expect("no panic").expect("a clean stop");
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
        running.task.await.expect("no panic").expect("a clean stop");
        assert_eq!(running.demands.look(None).await, Err(DemandError::Stopping));
    }
}
