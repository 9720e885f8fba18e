//! What came of a trial, as a line for whoever watches and as a row of the documentation's table.

use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;

use crate::row::Phase;

/// What a reader got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    NotYet,
    Old,
    Stale,
    New,
    NewStale,
    Gone,
}

impl Seen {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotYet => "503",
            Self::Old => "value",
            Self::Stale => "value, stale",
            Self::New => "new value",
            Self::NewStale => "new value, stale",
            Self::Gone => "410",
        }
    }
}

/// What a reader got one after the other, and how long each read took, connection included.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    times: Vec<Duration>,
    order: Vec<Seen>,
}

impl Reads {
    pub(crate) fn read(&mut self, agent: &Agent) {
        let start = Instant::now();
        let seen = Seen::of_struck(agent);
        self.times.push(start.elapsed());
        if self.order.last() != Some(&seen) {
            self.order.push(seen);
        }
    }

    pub(crate) fn last(&self) -> Seen {
        *self.order.last().expect("it was read")
    }

    /// What was seen, without repetitions.
    pub(crate) fn order(&self) -> &[Seen] {
        &self.order
    }

    pub(crate) fn count(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() / 2]
    }

    pub(crate) fn max(&self) -> Duration {
        self.times.iter().copied().max().unwrap_or_default()
    }
}

/// What came of a row in one phase.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) phase: Phase,
    /// What readers got while it lasted.
    pub(crate) readers: String,
    pub(crate) reads: usize,
    pub(crate) median: Duration,
    pub(crate) max: Duration,
    pub(crate) calls: usize,
    pub(crate) allowed: usize,
    pub(crate) sign_ins: usize,
    /// From the end of it to the vault's own value; none where the vault is left alone for longer than the test.
    pub(crate) healed: Option<Duration>,
}

impl Outcome {
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { phase, readers, reads, median, max, calls, allowed, sign_ins, healed } = self;
        let phase = phase.as_str();
        let healed = healed.map_or("left alone".to_owned(), |time| format!("fresh after {}", seconds(time)));
        format!(
            "{name:34} {phase:9} readers: {readers:28} {reads:4} reads, median {median:>9.1?}, max {max:>9.1?}; \
             {calls:2} calls of {allowed:2}, {sign_ins:2} sign-ins; {healed}"
        )
    }
}

/// The documentation's table: for each fault what readers got, and the three phases side by side.
pub(crate) fn markdown(rows: &[(String, Vec<Outcome>)]) -> String {
    let mut text = String::from("| fault | at start | later | calls | fresh after |\n|---|---|---|---|---|\n");
    for (name, outcomes) in rows {
        let readers = |phase: Phase| {
            let outcome = outcomes.iter().find(|outcome| outcome.phase == phase);
            outcome.map_or_else(String::new, |outcome| outcome.readers.clone())
        };
        let each = |show: &dyn Fn(&Outcome) -> String| outcomes.iter().map(show).collect::<Vec<_>>().join(", ");
        let calls = each(&|outcome| format!("{} of {}", outcome.calls, outcome.allowed));
        let healed = each(&|outcome| outcome.healed.map_or("later".into(), seconds));
        let (start, later) = (readers(Phase::Start), readers(Phase::Steady));
        text.extend([["| ", name], [" | ", &start], [" | ", &later], [" | ", &calls], [" | ", &healed]].concat());
        text.push_str(" |\n");
    }
    text
}

/// All reads of the table in one line.
pub(crate) fn summary(rows: &[(String, Vec<Outcome>)]) -> String {
    let outcomes = || rows.iter().flat_map(|(_, outcomes)| outcomes);
    let reads: usize = outcomes().map(|outcome| outcome.reads).sum();
    let median = outcomes().map(|outcome| outcome.median).max().unwrap_or_default();
    let max = outcomes().map(|outcome| outcome.max).max().unwrap_or_default();
    format!("{reads} reads, at the median of the slowest trial {median:.1?}, the slowest of all {max:.1?}")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
