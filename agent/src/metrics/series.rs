//! The series that are made anew for each scrape: how the agent and its secrets fare at that moment.

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Labels, View, label};
use crate::clock::Moment;
use crate::schedule::CircuitState;
use crate::secret::SecretName;
use crate::store::{Published, Slot, Snapshot, State};

/// The secrets that a caller may see.
pub(super) type Seen<'a> = Vec<(&'a SecretName, &'a Slot)>;

/// One series for each secret, with the value that `set` gives it.
pub(super) fn family<M: Default + EncodeMetric + TypedMetric>(
    seen: &Seen<'_>,
    set: impl Fn(&SecretName, &M),
) -> Family<Labels, M> {
    let family = Family::<Labels, M>::default();
    for (name, _) in seen {
        set(name, &family.get_or_create(&label("secret", name)));
    }
    family
}

/// What there is once for the whole agent.
pub(super) fn register_agent(registry: &mut Registry, view: &View<'_>) {
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
    register_config(registry, view);
    register_sums(registry, view.snapshot, view.now);
    register_circuits(registry, view);
}

/// Named as Prometheus names its own.
fn register_config(registry: &mut Registry, view: &View<'_>) {
    let (successful, at): (Gauge, Gauge) = Default::default();
    successful.set(view.config.problems.is_empty().into());
    at.set(view.config.loaded.as_second());
    registry.register(
        "config_last_reload_successful",
        "Whether the configuration that was read last is the one in use",
        successful,
    );
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "When the configuration in use was read",
        Unit::Seconds,
        at,
    );
}

/// Sums over all secrets, which name none.
fn register_sums(registry: &mut Registry, snapshot: &Snapshot, now: Moment) {
    let states = Family::<Labels, Gauge>::default();
    for state in State::ALL {
        let count = snapshot.slots.values().filter(|slot| slot.state() == state).count();
        states.get_or_create(&label("state", &state.as_str())).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("secrets", "Secrets, by how they fare", states);
    let ages = snapshot.slots.values().filter_map(|slot| slot.published.as_ref()).map(|one| age(one, now));
    let oldest: Gauge = Gauge::default();
    oldest.set(ages.max().unwrap_or_default());
    registry.register_with_unit("oldest_age", "The greatest age of any secret", Unit::Seconds, oldest);
    let published = snapshot.slots.values().filter_map(|slot| slot.published.as_ref());
    if let Some(expires) = published.filter_map(|one| one.secret.metadata.expires).min() {
        let next: Gauge = Gauge::default();
        next.set(expires.as_second());
        registry.register_with_unit(
            "next_expiry_timestamp",
            "When the first secret expires, or did",
            Unit::Seconds,
            next,
        );
    }
}

/// Vaults are numbered in the order in which they are tried; their names are for operators, in the status.
fn register_circuits(registry: &mut Registry, view: &View<'_>) {
    let circuits = Family::<Labels, Gauge>::default();
    for (index, gate) in view.gates.iter().enumerate() {
        for state in [CircuitState::Closed, CircuitState::Open, CircuitState::HalfOpen] {
            let labels = vec![("vault", index.to_string()), ("state", state.as_str().to_owned())];
            circuits.get_or_create(&labels).set(i64::from(gate.state() == state));
        }
    }
    registry.register("vault_circuit_state", "Whether the vault is asked: 1 for the state that holds", circuits);
}

/// What there is for each secret.
pub(super) fn register_states(registry: &mut Registry, seen: &Seen<'_>, now: Moment) {
    let ages = Family::<Labels, Gauge>::default();
    let successes = Family::<Labels, Gauge>::default();
    let expiries = Family::<Labels, Gauge>::default();
    let fallbacks = Family::<Labels, Gauge>::default();
    let states = Family::<Labels, Gauge>::default();
    for (name, slot) in seen {
        let secret = label("secret", name);
        if let Some(published) = &slot.published {
            ages.get_or_create(&secret).set(age(published, now));
            successes.get_or_create(&secret).set(published.fetched.wall.as_second());
            fallbacks.get_or_create(&secret).set(i64::from(published.origin.is_fallback));
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
    registry.register_with_unit(
        "secret_last_success_timestamp",
        "When the vault last confirmed the secret",
        Unit::Seconds,
        successes,
    );
    registry.register_with_unit("secret_expiry_timestamp", "When the secret expires", Unit::Seconds, expiries);
    registry.register("secret_from_fallback", "Whether a fallback vault gave the secret", fallbacks);
    registry.register("secret_state", "How the secret fares: 1 for the state that holds", states);
}

/// A gauge holds signed numbers.
fn age(published: &Published, now: Moment) -> i64 {
    i64::try_from(published.age(now).as_secs()).unwrap_or(i64::MAX)
}
