//! Agents of the real engine, each with dice of its own, against one vault; and what is seen of them over time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyside::clock::Clock;
use keyside::config::Config;
use keyside::memory::Arena;
use keyside::refresh::{self, Budget, Plan, Pulse, Refresh, Upstream};
use keyside::secret::{SecretName, Version};
use keyside::store::{self, Reader};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::TimerClock;
use crate::course::{Course, WINDOW};
use crate::vault::{ModelVault, Window};

tokio::task_local! {
    static DICE: RefCell<fastrand::Rng>;
}

/// What a simulation showed, window by window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// What it was of.
    pub(crate) course: Course,
    /// What the vault answered.
    pub(crate) windows: Vec<Window>,
    /// How the agents were at the end of each window.
    pub(crate) sights: Vec<Sight>,
}

/// How the agents are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// How many have every secret, in any version.
    pub(crate) ready: usize,
    /// How many have the newest version of every secret.
    pub(crate) fresh: usize,
    /// The age of an agent's oldest value: in the middle of all agents, of 99 in 100, and the greatest.
    pub(crate) ages: [Duration; 3],
}

/// Runs a simulation, the same one each time.
pub(crate) fn simulate(course: Course) -> Record {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing of the machine");
    runtime.block_on(run(Arc::new(course)))
}

async fn run(course: Arc<Course>) -> Record {
    let (clock, config) = (TimerClock::start(), course.config());
    let names = config.wanted.iter().map(|wanted| wanted.vault_name.clone());
    let vault = ModelVault::new(&course, clock, names);
    let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
    let mut readers = Vec::new();
    for number in 0..course.agents {
        let (refresh, reader) = agent(&config, &vault, clock);
        readers.push(reader);
        let (_, demands) = refresh::demands();
        let dice = RefCell::new(fastrand::Rng::with_seed(number.into()));
        tasks.spawn(DICE.scope(dice, refresh.run(demands, stop.clone())));
    }
    let mut sights = Vec::new();
    let mut rotations = course.rotations.iter().peekable();
    while clock.uptime() < course.end {
        tokio::time::sleep(WINDOW).await;
        sights.push(see(&readers, &vault.versions(), clock));
        while rotations.next_if(|at| **at <= clock.uptime()).is_some() {
            vault.rotate();
        }
    }
    stop.cancel();
    tasks.join_all().await;
    let mut windows = vault.windows();
    windows.resize(sights.len(), Window::default());
    Record { course: Course::clone(&course), windows, sights }
}

fn agent(config: &Config, vault: &ModelVault, clock: TimerClock) -> (Refresh<ModelVault>, Reader) {
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let dice = || DICE.with(|dice| dice.borrow_mut().f64());
    let (publisher, reader) = store::channel(config.wanted.iter().map(|one| (one.name.clone(), one.optional)));
    let wait_max = config.rotation.pace.interval;
    let budget = Budget { sources: config.wanted.len(), wait_max, clock: Arc::clone(&clock), dice };
    let refresh = Refresh {
        upstream: Upstream::new(vec![(config.vault.to_string(), vault.clone())], budget),
        plan: Plan { wanted: config.wanted.clone(), settings: config.rotation },
        publisher,
        arena: Arena::unlocked(),
        clock,
        pulse: Pulse::default(),
        dice,
    };
    (refresh, reader)
}

fn see(readers: &[Reader], versions: &BTreeMap<SecretName, Version>, clock: TimerClock) -> Sight {
    let (now, mut ready, mut fresh, mut ages) = (clock.moment(), 0, 0, Vec::new());
    for reader in readers {
        let snapshot = reader.snapshot();
        let published = || snapshot.slots.values().filter_map(|slot| slot.published.as_ref());
        // Names in the store are those of the vault, in the same order.
        let newest = published().zip(versions.values()).all(|(one, newest)| one.secret.metadata.version == *newest);
        let is_complete = snapshot.is_complete();
        ready += usize::from(is_complete);
        fresh += usize::from(is_complete && newest);
        ages.push(published().map(|one| one.age(now)).max().unwrap_or(now.uptime));
    }
    ages.sort_unstable();
    let age = |part: usize| ages[(ages.len() * part / 100).min(ages.len() - 1)];
    Sight { ready, fresh, ages: [age(50), age(99), age(100)] }
}
