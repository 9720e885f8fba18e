//! What came of a trial, as a line for whoever watches and as a row of the documentation's table.

use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;

use crate::control;
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
    /// How long somebody else took, who was asked at the same time and has nothing to do.
    control: Vec<Duration>,
    order: Vec<Seen>,
}

impl Reads {
    pub(crate) fn read(&mut self, agent: &Agent) {
        self.control.push(control::ask());
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

    /// How long reads took, and the control.
    pub(crate) fn times(self) -> [Times; 2] {
        [self.times, self.control].map(Times::new)
    }
}

/// How long many of the same took, in order.
#[derive(Clone, Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// What all but one of a thousand stay within.
    pub(crate) fn of_a_thousand(&self) -> Duration {
        self.0[self.0.len() - 1 - self.0.len() / 1_000]
    }

    fn all<'a>(times: impl Iterator<Item = &'a Self>) -> Self {
        Self::new(times.flat_map(|times| times.0.iter().copied()).collect())
    }
}

/// What came of a row in one phase.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) phase: Phase,
    /// What readers got while it lasted.
    pub(crate) readers: String,
    pub(crate) reads: Times,
    pub(crate) control: Times,
    pub(crate) calls: usize,
    pub(crate) allowed: usize,
    pub(crate) sign_ins: usize,
    /// From the end of it to the vault's own value; none where the vault is left alone for longer than the test.
    pub(crate) healed: Option<Duration>,
}

impl Outcome {
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { phase, readers, reads, calls, allowed, sign_ins, healed, .. } = self;
        let (phase, median, max, reads) = (phase.as_str(), reads.median(), reads.max(), reads.count());
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

/// All reads of the table in one line, and what they are held to: the machine's own delays, as the control shows them.
pub(crate) fn summary(rows: &[(String, Vec<Outcome>)]) -> String {
    let outcomes = || rows.iter().flat_map(|(_, outcomes)| outcomes);
    let (reads, control) = (outcomes().map(|outcome| &outcome.reads), outcomes().map(|outcome| &outcome.control));
    let slowest = reads.clone().map(Times::median).max().unwrap_or_default();
    let words = |times: &Times| {
        format!("of a thousand all but one within {:.1?}, the slowest {:.1?}", times.of_a_thousand(), times.max())
    };
    let (reads, control) = (Times::all(reads), Times::all(control));
    format!(
        "{} reads, at the median of the slowest trial {slowest:.1?}, {}; of who has nothing to do: at the median {:.1?}, {}",
        reads.count(),
        words(&reads),
        control.median(),
        words(&control)
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
