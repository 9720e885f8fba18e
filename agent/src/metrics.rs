//! What the agent counts, for Prometheus: for the whole agent, and for each secret that the one who asks may see.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::memory::Protection;
use crate::secret::{Secret, SecretName, Version};
use crate::store::{Published, Slot, Snapshot, State};
use crate::vault::{FetchError, Source, Vault};

/// The media type of the text that [`Metrics::text`] makes (`OpenMetrics` 1.0).
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// Counters that live as long as the agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    fetches: Family<Labels, Counter>,
    fetch_time: Histogram,
    responses: Family<Labels, Counter>,
    denials: Counter,
    hook_runs: Family<Labels, Counter>,
    hooks_available: Family<Labels, Gauge>,
    secrets: Mutex<BTreeMap<SecretName, Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    version: Option<Version>,
    version_changes: u64,
    reads: u64,
    denials: u64,
}

/// The agent at the moment of a scrape, as far as the one who scrapes may see it.
pub struct View<'a> {
    /// The store.
    pub snapshot: &'a Snapshot,
    /// Whose series are shown. Sums are over all secrets.
    pub visible: &'a dyn Fn(&SecretName) -> bool,
    /// The current time.
    pub now: Timestamp,
    /// When the agent started.
    pub started: Timestamp,
    /// How well values are protected; none before the first one.
    pub protection: Option<Protection>,
    /// How much memory they take; for operators only, because it grows with the values of secrets that nobody else sees.
    pub used_bytes: Option<usize>,
    /// How many connections are open.
    pub connections: usize,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("View").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("keyside");
        let (fetches, responses) = (Family::default(), Family::default());
        let denials = Counter::default();
        // From 5 ms, the best that a vault does, to 40 s, longer than any deadline for a fetch.
        let fetch_time = Histogram::new(exponential_buckets(0.005, 2.0, 14));
        registry.register("fetches", "Fetches from the vault, by outcome", Family::clone(&fetches));
        registry.register_with_unit(
            "fetch_duration",
            "How long fetches from the vault take",
            Unit::Seconds,
            fetch_time.clone(),
        );
        registry.register("responses", "Answers to callers, by HTTP status", Family::clone(&responses));
        registry.register("denials", "Reads refused to callers who are no readers", denials.clone());
        let (hook_runs, hooks_available) = (Family::default(), Family::default());
        registry.register("hook_runs", "Runs of hooks, by how they ended", Family::clone(&hook_runs));
        registry.register("hook_available", "Whether the hook can run", Family::clone(&hooks_available));
        let secrets = Mutex::default();
        Self { registry, fetches, fetch_time, responses, denials, hook_runs, hooks_available, secrets }
    }

    /// Counts a fetch from the vault that ended with `outcome`: `ok` or a [`FetchError::code`].
    pub fn fetched(&self, outcome: &'static str, took: Duration) {
        self.fetches.get_or_create(&label("outcome", &outcome)).inc();
        self.fetch_time.observe(took.as_secs_f64());
    }

    /// Counts an answer to a caller.
    pub fn responded(&self, status: u16) {
        self.responses.get_or_create(&label("status", &status)).inc();
    }

    /// Counts a value that was given to a reader.
    pub fn read(&self, name: &SecretName) {
        self.secrets().entry(name.clone()).or_default().reads += 1;
    }

    /// Counts a read that was refused. Names that are not configured count in the sum only.
    pub fn denied(&self, name: Option<&SecretName>) {
        self.denials.inc();
        if let Some(name) = name {
            self.secrets().entry(name.clone()).or_default().denials += 1;
        }
    }

    /// Counts a run of a hook that ended with `outcome`, or that was missed because hooks cannot run.
    pub fn hook_ran(&self, hook: &str, outcome: &'static str) {
        let labels = vec![("hook", hook.to_owned()), ("outcome", outcome.to_owned())];
        self.hook_runs.get_or_create(&labels).inc();
    }

    /// Notes whether a hook can run.
    pub fn hook_available(&self, hook: &str, is_available: bool) {
        self.hooks_available.get_or_create(&label("hook", &hook)).set(is_available.into());
    }

    /// Counts the versions that changed since the last snapshot that was seen.
    pub fn saw(&self, snapshot: &Snapshot) {
        let mut secrets = self.secrets();
        for (name, slot) in &snapshot.slots {
            let Some(published) = &slot.published else { continue };
            let counts = secrets.entry(name.clone()).or_default();
            let version = &published.secret.metadata.version;
            counts.version_changes += u64::from(counts.version.as_ref().is_some_and(|known| known != version));
            counts.version = Some(version.clone());
        }
    }

    /// Everything in the text format of `OpenMetrics`.
    #[must_use]
    pub fn text(&self, view: &View<'_>) -> String {
        let mut text = String::new();
        let mut momentary = Registry::with_prefix("keyside");
        register_agent(&mut momentary, view);
        self.register_secrets(&mut momentary, view);
        // Writing to a text does not fail, and nothing else in the encoder does.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &momentary))
            .and_then(|()| encode_eof(&mut text));
        text
    }

    fn register_secrets(&self, registry: &mut Registry, view: &View<'_>) {
        let secrets = self.secrets();
        let seen: Vec<_> = view.snapshot.slots.iter().filter(|(name, _)| (view.visible)(name)).collect();
        let count = |pick: fn(&Counts) -> u64| {
            family::<Counter>(&seen, |name, counter| {
                counter.inc_by(secrets.get(name).map(pick).unwrap_or_default());
            })
        };
        registry.register("secret_reads", "Values given to readers", count(|counts| counts.reads));
        registry.register(
            "secret_denials",
            "Reads refused to callers who are no readers of the secret",
            count(|counts| counts.denials),
        );
        registry.register(
            "secret_version_changes",
            "New versions seen since the start",
            count(|counts| counts.version_changes),
        );
        register_states(registry, &seen, view.now);
    }

    /// Held only to change or to read a few numbers; nothing waits or fails inside.
    fn secrets(&self) -> MutexGuard<'_, BTreeMap<SecretName, Counts>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn label(key: &'static str, value: &dyn ToString) -> Labels {
    vec![(key, value.to_string())]
}

type Seen<'a> = Vec<(&'a SecretName, &'a Slot)>;

/// One series for each secret, with the value that `set` gives it.
fn family<M: Default + EncodeMetric + TypedMetric>(
    seen: &Seen<'_>,
    set: impl Fn(&SecretName, &M),
) -> Family<Labels, M> {
    let family = Family::<Labels, M>::default();
    for (name, _) in seen {
        set(name, &family.get_or_create(&label("secret", name)));
    }
    family
}

fn register_agent(registry: &mut Registry, view: &View<'_>) {
    let one = |labels: Labels| {
        let family = Family::<Labels, Gauge>::default();
        family.get_or_create(&labels).set(1);
        family
    };
    let number = |value: usize| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge
    };
    let started: Gauge = Gauge::default();
    started.set(view.started.as_second());
    let build = one(label("version", &env!("CARGO_PKG_VERSION")));
    registry.register("build_info", "The agent's version", build);
    registry.register_with_unit("start_timestamp", "When the agent started", Unit::Seconds, started);
    registry.register("ready", "Whether every required secret is there", number(view.snapshot.is_ready().into()));
    if let Some(protection) = view.protection {
        let protection = one(label("protection", &protection));
        registry.register("memory_protection_info", "The worst protection among the memory of values", protection);
    }
    if let Some(used_bytes) = view.used_bytes {
        registry.register_with_unit("memory_used", "How much memory values take", Unit::Bytes, number(used_bytes));
    }
    registry.register("connections", "Open connections", number(view.connections));
    let states = Family::<Labels, Gauge>::default();
    for state in State::ALL {
        let count = view.snapshot.slots.values().filter(|slot| slot.state() == state).count();
        states.get_or_create(&label("state", &state.as_str())).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("secrets", "Secrets, by how they fare", states);
    let ages = view.snapshot.slots.values().filter_map(|slot| slot.published.as_ref()).map(|one| age(one, view.now));
    let oldest: Gauge = Gauge::default();
    oldest.set(ages.max().unwrap_or_default());
    registry.register_with_unit("oldest_age", "The greatest age of any secret", Unit::Seconds, oldest);
}

fn register_states(registry: &mut Registry, seen: &Seen<'_>, now: Timestamp) {
    let ages = Family::<Labels, Gauge>::default();
    let expiries = Family::<Labels, Gauge>::default();
    let states = Family::<Labels, Gauge>::default();
    for (name, slot) in seen {
        let secret = label("secret", name);
        if let Some(published) = &slot.published {
            ages.get_or_create(&secret).set(age(published, now));
            if let Some(expires) = published.secret.metadata.expires {
                expiries.get_or_create(&secret).set(expires.as_second());
            }
        }
        for state in State::ALL {
            let labels = vec![("secret", name.to_string()), ("state", state.as_str().to_owned())];
            states.get_or_create(&labels).set(i64::from(slot.state() == state));
        }
    }
    registry.register_with_unit("secret_age", "How long ago the vault last confirmed the secret", Unit::Seconds, ages);
    registry.register_with_unit("secret_expiry_timestamp", "When the secret expires", Unit::Seconds, expiries);
    registry.register("secret_state", "How the secret fares: 1 for the state that holds", states);
}

/// A gauge holds signed numbers.
fn age(published: &Published, now: Timestamp) -> i64 {
    i64::try_from(published.age(now).as_secs()).unwrap_or(i64::MAX)
}

/// A vault whose fetches are counted.
#[derive(Debug)]
pub struct Counted<V> {
    vault: V,
    metrics: Arc<Metrics>,
}

impl<V> Counted<V> {
    /// Counts what `vault` does in `metrics`.
    pub fn new(vault: V, metrics: Arc<Metrics>) -> Self {
        Self { vault, metrics }
    }
}

impl<V: Vault> Vault for Counted<V> {
    async fn fetch(&self, source: &Source) -> Result<Secret, FetchError> {
        let start = Instant::now();
        let fetched = self.vault.fetch(source).await;
        self.metrics.fetched(fetched.as_ref().map_or_else(FetchError::code, |_| "ok"), start.elapsed());
        fetched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;
    use crate::testing::{name, new_year, publish, secret};

    fn shown(metrics: &Metrics, snapshot: &Snapshot, visible: bool) -> String {
        metrics.text(&View {
            snapshot,
            visible: &|_| visible,
            now: new_year(),
            started: new_year(),
            protection: Some(Protection::Locked),
            used_bytes: None,
            connections: 1,
        })
    }

    #[test]
    fn a_new_version_counts_as_a_change_and_the_first_one_does_not() {
        let metrics = Metrics::new();
        let (publisher, reader) = store::channel([(name("db"), false)]);
        for digit in ['a', 'a', 'b', 'a'] {
            publish(&publisher, "db", Ok(secret(digit, b"one")));
            metrics.saw(&reader.snapshot());
        }
        let text = shown(&metrics, &reader.snapshot(), true);
        assert!(text.contains("keyside_secret_version_changes_total{secret=\"db\"} 2\n"), "{text}");
    }

    #[test]
    fn who_may_see_no_secret_sees_no_name() {
        let metrics = Metrics::new();
        let (publisher, reader) = store::channel([(name("db-password"), false)]);
        publish(&publisher, "db-password", Ok(secret('a', b"one")));
        metrics.read(&name("db-password"));
        metrics.denied(Some(&name("db-password")));
        let text = shown(&metrics, &reader.snapshot(), false);
        assert!(!text.contains("db-password"), "{text}");
        assert!(text.contains("keyside_denials_total 1\n") && text.contains("keyside_secrets{state=\"fresh\"} 1\n"));
    }
}
