//! What the reads over the socket come to, as rows of the table.

use crate::floor::Floor;
use crate::reads::{Measure, Record, SCENARIOS, Scenario};
use crate::table::{Figure, Row, Target};

/// The agent, in the record.
pub(crate) const KEYSIDE: &str = "keyside";
/// The agent that writes an audit file.
pub(crate) const AUDITED: &str = "keyside with audit";

/// What the agent is measured beside.
const REFERENCE: &str = "hand-rolled";

/// Every row that was measured.
pub(crate) fn rows(record: &Record) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        for server in [KEYSIDE, AUDITED] {
            for measure in measures(*scenario, server) {
                rows.extend(row(record, (server, number), *measure));
            }
        }
    }
    rows
}

fn measures(scenario: Scenario, server: &str) -> &'static [Measure] {
    match (scenario.rate, server) {
        (Some(_), KEYSIDE) => &[Measure::Half, Measure::Most, Measure::NearlyAll],
        (None, KEYSIDE) => &[Measure::Half, Measure::Most, Measure::Rate, Measure::Cpu, Measure::Busy],
        (Some(_), _) => &[Measure::Most],
        (None, _) => &[Measure::Half, Measure::Rate, Measure::Cpu],
    }
}

fn row(record: &Record, (server, number): (&'static str, usize), measure: Measure) -> Option<Row> {
    let scenario = SCENARIOS[number];
    let median = |server| record.median(server, number, measure).map(|value| figure(measure, value));
    let audited = if server == AUDITED { ", with audit" } else { "" };
    let row = Row {
        what: format!("{}{audited}: {}", label(scenario), name(measure)),
        figure: Some(median(server)?),
        beside: Floor::ALL.iter().map(|floor| median(floor.name())).collect(),
        ratio: record.ratio((server, REFERENCE), number, measure),
        target: None,
    };
    Some(if server == KEYSIDE { Row { target: target(scenario, measure), ..row } } else { row })
}

/// How a scenario is called.
pub(crate) fn label(scenario: Scenario) -> String {
    match scenario {
        Scenario { rate: Some(rate), connections, .. } => format!("{rate} reads/s over {connections} connections"),
        Scenario { connections: 1, .. } => "1 connection, all on one core".to_owned(),
        Scenario { connections, .. } => format!("{connections} connections"),
    }
}

fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Half => "p50",
        Measure::Most => "p99",
        Measure::NearlyAll => "p99.9",
        Measure::Rate => "reads",
        Measure::Cpu => "server's CPU for a read",
        Measure::Busy => "server's core in use",
    }
}

fn figure(measure: Measure, value: f64) -> Figure {
    match measure {
        Measure::Half | Measure::Most | Measure::NearlyAll | Measure::Cpu => Figure::Time(value),
        Measure::Rate => Figure::Rate(value),
        Measure::Busy => Figure::Share(value),
    }
}

fn target(scenario: Scenario, measure: Measure) -> Option<Target> {
    match (scenario, measure) {
        (Scenario { connections: 1, rate: None, .. }, Measure::Half) => Some(Target::RatioAtMost(1.10)),
        (Scenario { connections: 64, rate: None, .. }, Measure::Rate) => Some(Target::RatioAtLeast(0.85)),
        (Scenario { connections: 64, rate: None, .. }, Measure::Cpu) => Some(Target::RatioAtMost(1.20)),
        _ => None,
    }
}
