//! The loop against vaults in memory, in paused time.

mod agenda;
mod fields;
mod neighbours;
mod outage;
mod plan;
mod revocation;
mod rotation;

use super::*;
use crate::encoding::Encoding;
use crate::store::{self, Published, Reader, Slot, State};
use crate::testing::vault::{FakeVault, Otherwise};
use crate::testing::{TimerClock, name};

const INTERVAL: Duration = Duration::from_mins(2);
const SETTINGS: Settings = Settings {
    pace: Pace { interval: INTERVAL, full_refresh: Duration::from_hours(1) },
    revoke_after: Duration::from_mins(15),
    max_stale: Some(Duration::from_hours(24)),
};

/// When secrets were made that are no news, in seconds after the start.
const LONG_AGO: i64 = -86_400;

/// A secret that the vault calls otherwise than its readers do.
fn wanted(local: &str) -> Wanted {
    Wanted { vault_name: name(&format!("vault-{local}")), ..Wanted::named(name(local)) }
}

/// How a loop is set up.
struct Setup {
    vaults: Vec<FakeVault>,
    wanted: Vec<Wanted>,
    settings: Settings,
    dice: Dice,
}

impl Default for Setup {
    /// A loop over the secrets `db` and `token` of one vault, whose dice always fall in the middle.
    fn default() -> Self {
        Self {
            vaults: vec![FakeVault::default()],
            wanted: vec![wanted("db"), wanted("token")],
            settings: SETTINGS,
            dice: || 0.5,
        }
    }
}

/// A loop that runs until this is dropped.
struct Running {
    vault: FakeVault,
    reader: Reader,
    demands: Demands,
    plans: Plans,
    stop: CancellationToken,
    pulse: Pulse,
    gates: Gates,
    clock: TimerClock,
    tasks: tokio::task::JoinSet<()>,
}

impl Setup {
    fn of(vault: &FakeVault) -> Self {
        Self { vaults: vec![vault.clone()], ..Self::default() }
    }

    /// So many secrets, `s0` and so on, all in the first vault since long.
    fn many(count: usize) -> Self {
        let vault = FakeVault::default();
        let wanted: Vec<_> = (0..count).map(|number| wanted(&format!("s{number}"))).collect();
        for wanted in &wanted {
            vault.rotate_at(wanted.vault_name.as_str(), 'a', b"one", LONG_AGO);
        }
        Self { vaults: vec![vault], wanted, ..Self::default() }
    }

    fn refresh(self) -> (Refresh<FakeVault>, Reader, TimerClock) {
        let Self { vaults, wanted, settings, dice } = self;
        let (publisher, reader) = store::channel(wanted.iter().map(|one| (one.name.clone(), one.optional)));
        let clock = TimerClock::start();
        let budget =
            Budget { sources: wanted.len(), wait_max: settings.pace.interval, clock: Arc::new(clock.clone()), dice };
        let vaults = vaults.into_iter().enumerate().map(|(index, vault)| (format!("vault {index}"), vault));
        let refresh = Refresh {
            upstream: Upstream::new(vaults.collect(), budget),
            plan: Plan { wanted: wanted.into(), settings },
            publisher,
            arena: Arena::unlocked(),
            clock: Arc::new(clock.clone()),
            pulse: Pulse::default(),
            dice,
        };
        (refresh, reader, clock)
    }

    fn start(self) -> Running {
        let vault = self.vaults[0].clone();
        let (refresh, reader, clock) = self.refresh();
        let (demands, mut queue) = demands();
        let plans = queue.take_plans();
        let (stop, pulse, gates) = (CancellationToken::new(), refresh.pulse.clone(), refresh.upstream.gates());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(refresh.run(queue, stop.clone()));
        Running { vault, reader, demands, plans, stop, pulse, gates, clock, tasks }
    }
}

impl Running {
    fn slot(&self, local: &str) -> Slot {
        self.reader.snapshot().slots[&name(local)].clone()
    }

    fn published(&self, local: &str) -> Option<Published> {
        self.slot(local).published
    }

    fn value(&self, local: &str) -> Option<String> {
        let published = self.published(local)?;
        Some(String::from_utf8_lossy(published.secret.value.as_bytes()).into_owned())
    }

    fn age(&self, local: &str) -> Duration {
        self.published(local).expect("a value").age(self.clock.moment())
    }

    fn states(&self) -> Vec<State> {
        self.reader.snapshot().slots.values().map(Slot::state).collect()
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn two_secrets(otherwise: Otherwise) -> FakeVault {
    let vault = FakeVault::with(otherwise);
    vault.rotate_at("vault-db", 'a', b"one", LONG_AGO);
    vault.rotate_at("vault-token", 'b', b"two", LONG_AGO);
    vault
}

#[tokio::test(start_paused = true)]
async fn every_secret_is_fetched_at_once_and_those_that_come_together_make_one_generation() {
    let mut running = Setup::of(&two_secrets(Otherwise::Unavailable)).start();
    assert!(running.reader.changed().await);
    assert_eq!(running.reader.snapshot().generation, 1);
    assert_eq!(running.value("db").as_deref(), Some("one"));
    assert_eq!(running.value("token").as_deref(), Some("two"));
    running.stop.cancel();
    running.tasks.join_next().await.expect("one task").expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_several_want_is_fetched_once() {
    let vault = two_secrets(Otherwise::NotFound);
    let encoded = Wanted { encoding: Encoding::Base64, optional: true, ..wanted("db") };
    let alias = Wanted { name: name("alias"), ..wanted("db") };
    let running = Setup { wanted: vec![alias, encoded], ..Setup::of(&vault) }.start();
    pass(1).await;
    assert_eq!(vault.asked(), 1);
    assert_eq!(running.value("alias").as_deref(), Some("one"));
    let failure = running.slot("db").failure.expect("it is no base64");
    assert_eq!((failure.code, running.value("db")), ("unusable", None));
}

#[tokio::test(start_paused = true)]
async fn one_failing_secret_holds_up_no_other_and_comes_when_it_can() {
    let vault = FakeVault::with(Otherwise::Unavailable);
    vault.set("vault-token", 'b', b"two");
    let mut running = Setup::of(&vault).start();
    assert!(running.reader.changed().await);
    assert_eq!(running.value("token").as_deref(), Some("two"));
    assert_eq!(running.slot("db").failure.map(|failure| failure.code), Some("unavailable"));
    vault.set("vault-db", 'a', b"one");
    assert!(running.reader.changed().await);
    assert!(running.reader.snapshot().is_ready());
}

#[tokio::test(start_paused = true)]
async fn one_failing_secret_never_opens_the_circuit_that_others_go_through() {
    let vault = two_secrets(Otherwise::NotFound);
    vault.fail_one("vault-db", Some(crate::testing::vault::unavailable));
    let running = Setup::of(&vault).start();
    for _ in 0..600 {
        pass(1).await;
        assert!(running.gates.iter().all(|gate| gate.state() == crate::schedule::CircuitState::Closed));
    }
    assert!(running.age("token") < 2 * INTERVAL, "{:?}", running.age("token"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_hangs_holds_up_no_other() {
    let vault = FakeVault::with(Otherwise::Silence);
    vault.set("vault-token", 'b', b"two");
    let mut running = Setup::of(&vault).start();
    let started = running.clock.uptime();
    assert!(running.reader.changed().await);
    assert_eq!(running.value("token").as_deref(), Some("two"));
    vault.set("vault-token", 'c', b"three");
    let publication = running.demands.look(Some(name("token"))).await.expect("the loop answers");
    assert_eq!(publication, Publication::Applied(2), "while the other one still hangs");
    assert_eq!(running.clock.uptime(), started);
    pass(1_000).await;
    assert!(running.pulse.is_alive(), "the loop lives");
    assert!(vault.asked_for("vault-db") > 1, "the hanging request was given up");
}

#[tokio::test(start_paused = true)]
async fn what_readiness_waits_for_and_what_came_last_time_goes_first() {
    let vault = FakeVault::default();
    vault.set("vault-b", 'a', b"one");
    let optional = Wanted { optional: true, ..wanted("a") };
    let setup = Setup { wanted: vec![optional, wanted("z"), wanted("b")], ..Setup::of(&vault) };
    let running = Setup { settings: Settings { revoke_after: Duration::from_hours(9), ..SETTINGS }, ..setup }.start();
    pass(1).await;
    assert_eq!(vault.asked_names(), ["vault-b", "vault-z", "vault-a"]);
    running.demands.look(None).await.expect("the loop answers");
    assert_eq!(vault.asked_names()[3..], ["vault-b", "vault-z", "vault-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_demand_looks_now_and_tells_what_changed() {
    let vault = two_secrets(Otherwise::Unavailable);
    let mut running = Setup::of(&vault).start();
    assert!(running.reader.changed().await);
    vault.set("vault-db", 'c', b"three");
    let publication = running.demands.look(Some(name("db"))).await.expect("the loop answers");
    assert_eq!(publication, Publication::Applied(2));
    assert_eq!((vault.asked(), vault.asked_for("vault-db")), (3, 2), "only the one that was named");
    assert_eq!(running.demands.look(None).await, Ok(Publication::Unchanged));
}

#[tokio::test(start_paused = true)]
async fn demands_for_one_secret_do_not_put_off_the_look_at_all() {
    let vault = two_secrets(Otherwise::Unavailable);
    let mut running = Setup::of(&vault).start();
    assert!(running.reader.changed().await);
    vault.rotate("vault-token", 'd', b"four");
    for _ in 0..300 {
        running.demands.look(Some(name("db"))).await.expect("the loop answers");
        pass(1).await;
    }
    assert_eq!(running.value("token").as_deref(), Some("four"));
}

#[tokio::test(start_paused = true)]
async fn the_pulse_says_when_the_next_look_is() {
    let running = Setup::of(&two_secrets(Otherwise::NotFound)).start();
    pass(10 * INTERVAL.as_secs() + 7).await;
    assert!(running.pulse.is_alive());
    let next = running.pulse.next_look().expect("it has begun").duration_since(running.clock.now());
    assert!(next.is_positive() && next <= jiff::SignedDuration::from_secs(132), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_demand_after_the_end_says_so() {
    let mut running = Setup::default().start();
    running.stop.cancel();
    running.tasks.join_next().await.expect("one task").expect("no panic");
    assert_eq!(running.demands.look(None).await, Err(DemandError::Stopping));
}

#[tokio::test(start_paused = true)]
async fn one_look_ends_when_every_secret_was_asked_for_once() {
    let vault = FakeVault::with(Otherwise::Unavailable);
    vault.set("vault-token", 'b', b"two");
    let (refresh, reader, _clock) = Setup::of(&vault).refresh();
    refresh.once().await;
    assert_eq!(vault.asked(), 2);
    assert!(reader.snapshot().slots[&name("token")].published.is_some());
}
