//! What the agent counts, for Prometheus: for the whole agent, and for each secret that the one who asks may see.

mod counted;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use self::counted::Counted;
use self::series::{family, register_agent, register_states};
use crate::clock::Moment;
use crate::memory::Protection;
use crate::record::Standing;
use crate::refresh::Gates;
use crate::secret::{SecretName, Version};
use crate::store::Snapshot;
use crate::vault::FetchError;

/// The media type of the text that [`Metrics::text`] makes (`OpenMetrics` 1.0).
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;

/// Counters that live as long as the agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    request_time: Family<Labels, Histogram, fn() -> Histogram>,
    throttles: Counter,
    responses: Family<Labels, Counter>,
    /// The counters of the statuses that there were, so that none is looked for by its labels for each answer.
    by_status: Mutex<Vec<(u16, Counter)>>,
    denials: Counter,
    audit_lines: Family<Labels, Counter>,
    credentials: Family<Labels, Counter>,
    hook_runs: Family<Labels, Counter>,
    hooks_available: Family<Labels, Gauge>,
    secrets: Mutex<BTreeMap<SecretName, Counts>>,
    /// Denials of names that do not exist. Nobody is shown it; it takes as long to count as those of one that does.
    denied_in_vain: AtomicU64,
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
    pub now: Moment,
    /// How the vaults fare.
    pub gates: &'a Gates,
    /// When the agent started.
    pub started: Timestamp,
    /// How well values are protected; none before the first one.
    pub protection: Option<Protection>,
    /// How much memory they take; for operators only, because it grows with the values of secrets that nobody else sees.
    pub used_bytes: Option<usize>,
    /// How many connections are open.
    pub connections: usize,
    /// How the configuration stands.
    pub config: &'a Standing,
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
        let (requests, responses) = (Family::default(), Family::default());
        let (throttles, denials) = (Counter::default(), Counter::default());
        let request_time = Family::new_with_constructor(request_times as fn() -> Histogram);
        registry.register("vault_requests", "Requests to vaults, by operation and outcome", Family::clone(&requests));
        registry.register_with_unit(
            "vault_request_duration",
            "How long fetches and whole lists take",
            Unit::Seconds,
            Family::clone(&request_time),
        );
        registry.register("vault_throttles", "Requests that a vault answered with a wish to wait", throttles.clone());
        registry.register("responses", "Answers to callers, by HTTP status", Family::clone(&responses));
        registry.register("denials", "Reads refused to callers who are no readers", denials.clone());
        let audit_lines = Family::default();
        registry.register("audit_lines", "Lines of the audit, by what became of them", Family::clone(&audit_lines));
        let credentials = Family::default();
        registry.register("credentials", "Credentials that units asked for, by outcome", Family::clone(&credentials));
        let (hook_runs, hooks_available) = (Family::default(), Family::default());
        registry.register("hook_runs", "Runs of hooks, by how they ended", Family::clone(&hook_runs));
        registry.register("hook_available", "Whether the hook can run", Family::clone(&hooks_available));
        let (by_status, secrets) = (Mutex::default(), Mutex::default());
        Self {
            registry,
            requests,
            request_time,
            throttles,
            responses,
            by_status,
            denials,
            audit_lines,
            credentials,
            hook_runs,
            hooks_available,
            secrets,
            denied_in_vain: AtomicU64::new(0),
        }
    }

    /// Counts what was asked of a vault, `calls` requests that ended with `outcome`: `ok` or a [`FetchError::code`].
    fn asked(&self, operation: &'static str, outcome: &'static str, calls: usize, took: Duration) {
        let labels = vec![("operation", operation.to_owned()), ("outcome", outcome.to_owned())];
        self.requests.get_or_create(&labels).inc_by(calls as u64);
        self.request_time.get_or_create(&label("operation", &operation)).observe(took.as_secs_f64());
        if outcome == (FetchError::Throttled { retry_after: None }).code() {
            self.throttles.inc();
        }
    }

    /// Counts an answer to a caller.
    pub fn responded(&self, status: u16) {
        // Held only to look through a few numbers; nothing waits or fails inside.
        let mut known = self.by_status.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = known.iter().find(|(other, _)| *other == status) {
            counter.inc();
            return;
        }
        let counter = self.responses.get_or_create(&label("status", &status)).clone();
        counter.inc();
        known.push((status, counter));
    }

    /// Counts a value that was given to a reader.
    pub fn read(&self, name: &SecretName) {
        let mut secrets = self.secrets();
        match secrets.get_mut(name) {
            Some(counts) => counts.reads += 1,
            None => secrets.entry(name.clone()).or_default().reads += 1,
        }
    }

    /// Counts a read that was refused. Names that are not configured count in the sum only; to count one of them takes the
    /// same steps, so that nobody can tell by a clock which it was.
    pub fn denied(&self, name: &SecretName, exists: bool) {
        self.denials.inc();
        let mut secrets = self.secrets();
        match secrets.get_mut(name) {
            Some(counts) => counts.denials += 1,
            None if exists => secrets.entry(name.clone()).or_default().denials += 1,
            None => _ = self.denied_in_vain.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Counts lines of the audit that were written.
    pub fn audited(&self, lines: u64) {
        self.audit_lines.get_or_create(&label("outcome", &"written")).inc_by(lines);
    }

    /// Counts lines of the audit that were lost.
    pub fn audit_lost(&self, lines: u64) {
        self.audit_lines.get_or_create(&label("outcome", &"lost")).inc_by(lines);
    }

    /// How many lines of the audit were written, and how many lost.
    #[must_use]
    pub fn audit_lines(&self) -> (u64, u64) {
        let count = |outcome: &'static str| self.audit_lines.get_or_create(&label("outcome", &outcome)).get();
        (count("written"), count("lost"))
    }

    /// Counts credentials that units were given.
    pub fn credentials_given(&self, count: u64) {
        self.credentials.get_or_create(&label("outcome", &"given")).inc_by(count);
    }

    /// Counts credentials that units were refused, so that they did not start.
    pub fn credentials_refused(&self, count: u64) {
        self.credentials.get_or_create(&label("outcome", &"refused")).inc_by(count);
    }

    /// How many credentials were given, and how many refused.
    #[cfg(test)]
    pub(crate) fn credentials(&self) -> (u64, u64) {
        let count = |outcome: &'static str| self.credentials.get_or_create(&label("outcome", &outcome)).get();
        (count("given"), count("refused"))
    }

    /// Counts a run of a hook that ended with `outcome`, or that was missed because hooks cannot run.
    pub fn hook_ran(&self, hook: &str, outcome: &'static str) {
        let labels = vec![("hook", hook.to_owned()), ("outcome", outcome.to_owned())];
        self.hook_runs.get_or_create(&labels).inc();
    }

    /// Shows a hook that can run, and how its runs may end. Prometheus sees no increase where there was no number before.
    pub fn hook_known(&self, hook: &str, outcomes: impl IntoIterator<Item = &'static str>) {
        for outcome in outcomes {
            drop(self.hook_runs.get_or_create(&vec![("hook", hook.to_owned()), ("outcome", outcome.to_owned())]));
        }
        self.hook_available(hook, true);
    }

    /// Notes whether a hook can run.
    pub fn hook_available(&self, hook: &str, is_available: bool) {
        self.hooks_available.get_or_create(&label("hook", &hook)).set(is_available.into());
    }

    /// Counts the versions that changed since the last snapshot that was seen.
    pub fn saw(&self, snapshot: &Snapshot) {
        let mut secrets = self.secrets();
        if secrets.is_empty() {
            // Made in one go, its nodes are full.
            *secrets = snapshot.slots.keys().map(|name| (name.clone(), Counts::default())).collect();
        }
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

/// From 5 ms, the best that a vault does, to 40 s, longer than any deadline for a request.
fn request_times() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

fn label(key: &'static str, value: &dyn ToString) -> Labels {
    vec![(key, value.to_string())]
}
