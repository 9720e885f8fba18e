//! What is exposed, held to what the manual, the dashboard and the alerts name.

use std::collections::BTreeSet;

use super::*;
use crate::store;
use crate::testing::{gates, moment, name, new_year, publish, secret};

fn view<'a>(snapshot: &'a Snapshot, visible: &'a dyn Fn(&SecretName) -> bool, gates: &'a Gates) -> View<'a> {
    const CONFIG: &Standing =
        &Standing { loaded: Timestamp::UNIX_EPOCH, attempted: Timestamp::UNIX_EPOCH, problems: Vec::new() };
    View {
        config: CONFIG,
        snapshot,
        visible,
        now: moment(0),
        gates,
        started: new_year(),
        protection: Some(Protection::Locked),
        used_bytes: None,
        connections: 1,
    }
}

fn shown(metrics: &Metrics, snapshot: &Snapshot, visible: bool) -> String {
    metrics.text(&view(snapshot, &|_| visible, &gates()))
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

/// What is exposed where there is something of everything.
fn everything() -> String {
    let metrics = Metrics::new();
    let (publisher, reader) = store::channel([(name("db"), false)]);
    let mut expiring = secret('a', b"one");
    expiring.metadata.expires = Some(new_year());
    publish(&publisher, "db", Ok(expiring));
    metrics.asked("get", "ok", 1, Duration::ZERO);
    metrics.responded(200);
    metrics.audited(1);
    metrics.credentials_given(0);
    metrics.hook_known("reload", ["succeeded", "failed"]);
    metrics.hook_ran("reload", "succeeded");
    let (snapshot, gates) = (reader.snapshot(), gates());
    metrics.text(&View { used_bytes: Some(64), ..view(&snapshot, &|_| true, &gates) })
}

#[test]
fn the_manual_lists_every_metric_and_no_other() {
    let text = everything();
    let exposed: BTreeSet<_> = text
        .lines()
        .filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        })
        .collect();
    let manual = include_str!("../../../docs/operations.md");
    let listed = manual.lines().filter_map(|line| line.strip_prefix("| `keyside_")?.split_once('`'));
    let listed: BTreeSet<_> = listed.map(|(rest, _)| format!("keyside_{rest}")).collect();
    assert_eq!(exposed, listed);
}

#[test]
fn the_dashboard_and_the_alerts_ask_only_for_series_that_there_are() {
    let text = everything();
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let series = |text: &'static str| text.split(|letter| !is_word(letter)).filter(|word| word.starts_with("keyside_"));
    let exposed: BTreeSet<_> = text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for (file, asked) in [
        ("dashboard", include_str!("../../../docs/grafana-dashboard.json")),
        ("alerts", include_str!("../../../docs/alerts.yaml")),
    ] {
        let missing: BTreeSet<_> = series(asked).filter(|name| !exposed.contains(name)).collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
        assert!(series(asked).count() > 5, "{file}");
    }
}

#[test]
fn the_first_failure_of_a_hook_is_an_increase() {
    assert!(everything().contains("keyside_hook_runs_total{hook=\"reload\",outcome=\"failed\"} 0\n"));
}

#[test]
fn the_manual_lists_every_alert_and_no_other() {
    let alerts = include_str!("../../../docs/alerts.yaml");
    let alerts: BTreeSet<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let manual = include_str!("../../../docs/operations.md");
    let listed = manual.lines().filter_map(|line| line.strip_prefix("| `Keyside")?.split_once('`'));
    let listed: Vec<_> = listed.map(|(rest, _)| format!("Keyside{rest}")).collect();
    assert_eq!(alerts, listed.iter().map(String::as_str).collect());
}

#[test]
fn who_may_see_no_secret_sees_no_name() {
    let metrics = Metrics::new();
    let (publisher, reader) = store::channel([(name("db-password"), false)]);
    publish(&publisher, "db-password", Ok(secret('a', b"one")));
    metrics.read(&name("db-password"));
    metrics.denied(&name("db-password"), true);
    let text = shown(&metrics, &reader.snapshot(), false);
    assert!(!text.contains("db-password"), "{text}");
    assert!(text.contains("keyside_denials_total 1\n") && text.contains("keyside_secrets{state=\"fresh\"} 1\n"));
}
