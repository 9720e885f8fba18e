//! A cached read over the socket, beside servers that do less: in rounds in which each has its turn, so that what else the
//! machine does meets all of them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::load::{Exchange, Load};
use crate::process::{Cores, cpu_time, on};
use crate::scale::Scale;

/// One of the servers under load.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// Its process.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) socket: PathBuf,
    /// What it is asked.
    pub(crate) exchange: Exchange,
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// How many connections there are.
    pub(crate) connections: usize,
    /// How many requests are due in a second; none for as many as can be answered.
    pub(crate) rate: Option<u32>,
    /// Whether the generator shares the server's core.
    pub(crate) one_core: bool,
}

/// Every scenario.
pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario { connections: 1, rate: None, one_core: true },
    Scenario { connections: 8, rate: None, one_core: false },
    Scenario { connections: 64, rate: None, one_core: false },
    Scenario { connections: 64, rate: Some(20_000), one_core: false },
];

/// What is measured of a server in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// The latency that half of the reads did not exceed, in seconds.
    Half,
    /// The latency that 99 in 100 did not exceed.
    Most,
    /// The latency that 999 in 1,000 did not exceed.
    NearlyAll,
    /// How many reads there were in a second.
    Rate,
    /// How long the server was on its core for each read, in seconds.
    Cpu,
    /// Which share of the time it was.
    Busy,
}

/// What was measured, round by round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(BTreeMap<(&'static str, usize, Measure), Vec<f64>>);

impl Record {
    /// The median over all rounds; none where it was not measured.
    pub(crate) fn median(&self, server: &'static str, scenario: usize, measure: Measure) -> Option<f64> {
        Some(median(self.0.get(&(server, scenario, measure))?.clone()))
    }

    /// The median of what a server needed for each that another one needed in the same round.
    pub(crate) fn ratio(&self, pair: (&'static str, &'static str), scenario: usize, measure: Measure) -> Option<f64> {
        let of = |server| self.0.get(&(server, scenario, measure));
        let quotients = of(pair.0)?.iter().zip(of(pair.1)?).map(|(left, right)| left / right);
        Some(median(quotients.collect()))
    }
}

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures all servers in all scenarios.
///
/// # Errors
/// When a server does not answer as it should.
pub(crate) fn measure(servers: &[Server], cores: Cores, scale: Scale) -> io::Result<Record> {
    let mut record = Record::default();
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        for round in 0..scale.rounds {
            // Each goes first in turn: the first one finds the caches as another scenario left them.
            for index in 0..servers.len() {
                let server = &servers[(index + round) % servers.len()];
                let core = if scenario.one_core { cores.server } else { cores.generator };
                let figures = on(core, || turn(server, *scenario, scale))?;
                for (measure, value) in figures {
                    record.0.entry((server.name, number, measure)).or_default().push(value);
                }
            }
        }
    }
    Ok(record)
}

fn turn(server: &Server, scenario: Scenario, scale: Scale) -> io::Result<[(Measure, f64); 6]> {
    let mut load = Load::open(&server.socket, &server.exchange, scenario.connections)?;
    let before = cpu_time(server.pid);
    let sight = match scenario.rate {
        Some(rate) => load.open_loop(rate, scale.span)?,
        None => load.closed(scale.span)?,
    };
    let used = cpu_time(server.pid).saturating_sub(before).as_secs_f64();
    let took = sight.took.as_secs_f64();
    let answers = f64::from(u32::try_from(sight.answers()).expect("a short time"));
    Ok([
        (Measure::Half, sight.quantile(500)),
        (Measure::Most, sight.quantile(990)),
        (Measure::NearlyAll, sight.quantile(999)),
        (Measure::Rate, answers / took),
        (Measure::Cpu, used / answers),
        (Measure::Busy, used / took),
    ])
}
