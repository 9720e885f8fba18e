//! What came of a trial, as a line for whoever watches and as a row of the documentation's table.

use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;
use keyside_tests::starvation::Thread;

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
    /// The same without the time in which the reader or the agent's server could have run and had no processor.
    own: Vec<Duration>,
    order: Vec<Seen>,
    threads: Option<[Thread; 2]>,
}

impl Reads {
    pub(crate) fn read(&mut self, agent: &Agent) {
        let threads = self.threads.get_or_insert_with(|| {
            [Thread::current(), Thread::named(agent.pid(), "serve").expect("an agent that listens serves")]
        });
        let starved = |threads: &[Thread; 2]| threads.iter().map(Thread::starved).sum::<Duration>();
        let (before, start) = (starved(threads), Instant::now());
        let seen = Seen::of_struck(agent);
        let took = start.elapsed();
        self.own.push(took.saturating_sub(starved(threads) - before));
        self.times.push(took);
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

    /// What of each read was not a wait for a processor.
    pub(crate) fn own(self) -> Vec<Duration> {
        self.own
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
    pub(crate) own: Vec<Duration>,
    pub(crate) calls: usize,
    pub(crate) allowed: usize,
    pub(crate) sign_ins: usize,
    /// From the end of it to the vault's own value; none where the vault is left alone for longer than the test.
    pub(crate) healed: Option<Duration>,
}

impl Outcome {
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { phase, readers, reads, median, max, calls, allowed, sign_ins, healed, .. } = self;
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

/// All times of reads but for waits for a processor, the longest one last.
pub(crate) fn own_times(rows: &[(String, Vec<Outcome>)]) -> Vec<Duration> {
    let mut times: Vec<_> =
        rows.iter().flat_map(|(_, outcomes)| outcomes).flat_map(|outcome| outcome.own.clone()).collect();
    times.sort_unstable();
    times
}

/// All reads of the table in one line.
pub(crate) fn summary(rows: &[(String, Vec<Outcome>)]) -> String {
    let outcomes = || rows.iter().flat_map(|(_, outcomes)| outcomes);
    let reads: usize = outcomes().map(|outcome| outcome.reads).sum();
    let median = outcomes().map(|outcome| outcome.median).max().unwrap_or_default();
    let max = outcomes().map(|outcome| outcome.max).max().unwrap_or_default();
    let own = own_times(rows);
    let (thousandth, slowest) = (own[own.len() - 1 - own.len() / 1000], own[own.len() - 1]);
    format!(
        "{reads} reads, at the median of the slowest trial {median:.1?}, the slowest of all {max:.1?}; without waits for a \
         processor all but one of a thousand within {thousandth:.1?}, the slowest {slowest:.1?}"
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
