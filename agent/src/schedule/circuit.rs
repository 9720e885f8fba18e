//! Whether a vault may be asked: after repeated failures it is left alone, and one request tells when it is back.

use std::collections::BTreeSet;
use std::time::Duration;

use super::next::{backoff, respite};

/// After how many failures in a row, of any requests, the vault is left alone. Fewer would stop a vault for packets that
/// were lost; as many as run at once are spent before anyone knows.
const FAILURES_MAX: u32 = 4;

/// How many different requests must be among them, where there are as many: one that always fails says nothing about the
/// vault, and must not keep the others from it.
const SUBJECTS_MIN: usize = 2;

/// How soon to ask whether a probe has ended.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// The circuit to one vault. `S` tells requests apart.
#[derive(Clone, Debug)]
pub struct Circuit<S> {
    phase: Phase,
    failures: u32,
    failing: BTreeSet<S>,
    /// Those that failed while the vault answered others, and have not been answered since: that is a matter of theirs.
    alone: BTreeSet<S>,
    subjects: usize,
    limit: Duration,
    probe_time_max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Duration, openings: u32 },
    HalfOpen { since: Duration, openings: u32 },
}

/// How a circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Requests pass.
    Closed,
    /// None passes yet.
    Open,
    /// One is under way and decides.
    HalfOpen,
}

impl CircuitState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Whether a request may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// Not now; asking again makes sense in this time.
    Refused {
        /// How long to wait.
        wait: Duration,
    },
}

impl<S: Ord + Clone> Circuit<S> {
    /// A closed circuit for `subjects` different requests. The waits grow up to `limit`; a probe that says nothing for
    /// `probe_time_max` is given up.
    #[must_use]
    pub fn new(subjects: usize, limit: Duration, probe_time_max: Duration) -> Self {
        Self {
            phase: Phase::Closed,
            failures: 0,
            failing: BTreeSet::new(),
            alone: BTreeSet::new(),
            subjects,
            limit,
            probe_time_max,
        }
    }

    /// Goes by other numbers from now on, as given to [`Self::new`], and forgets only who fails alone: those may be gone.
    pub fn adapt(&mut self, subjects: usize, limit: Duration) {
        (self.subjects, self.limit) = (subjects, limit);
        self.alone.clear();
    }

    /// How it is at present.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// Whether a request would be let through now.
    #[must_use]
    pub fn permits(&self, now: Duration) -> Admission {
        let refused = |wait: Duration| if wait.is_zero() { Admission::Granted } else { Admission::Refused { wait } };
        match self.phase {
            Phase::Closed => Admission::Granted,
            Phase::Open { until, .. } => refused(until.saturating_sub(now)),
            Phase::HalfOpen { since, .. } => refused((since + self.probe_time_max).saturating_sub(now).min(PROBE_WAIT)),
        }
    }

    /// Lets a request about `subject` through, or not. The one that is let through when the wait is over is the probe, which
    /// is none that fails whatever the vault does.
    pub fn admit(&mut self, subject: &S, now: Duration) -> Admission {
        let admission = self.permits(now);
        if admission == Admission::Granted && self.phase != Phase::Closed && self.fails_alone(subject) {
            return Admission::Refused { wait: PROBE_WAIT };
        }
        if let (Admission::Granted, Phase::Open { openings, .. } | Phase::HalfOpen { openings, .. }) =
            (admission, self.phase)
        {
            self.phase = Phase::HalfOpen { since: now, openings };
        }
        admission
    }

    /// Notes that the vault answered about `subject`, be it with a refusal. Answers whether that closes the circuit.
    pub fn answered(&mut self, subject: &S) -> bool {
        let was_open = self.phase != Phase::Closed;
        self.phase = Phase::Closed;
        self.failures = 0;
        let failing = std::mem::take(&mut self.failing);
        if self.are_few(&failing) {
            self.alone.extend(failing);
        }
        self.alone.remove(subject);
        was_open
    }

    /// Notes that a request about `subject` failed. Answers whether that opens the circuit. A vault that says how long to
    /// wait is left alone at once and at least so long, up to five minutes.
    pub fn failed(&mut self, subject: &S, retry_after: Option<Duration>, now: Duration, dice: f64) -> bool {
        let asked = respite(retry_after);
        // Who waits as long as is asked for is whoever asked.
        if self.phase == Phase::Closed && self.fails_alone(subject) {
            return false;
        }
        self.failures += 1;
        self.failing.insert(subject.clone());
        let (until, openings) = match self.phase {
            Phase::Closed if self.is_enough() || !asked.is_zero() => (now + asked + backoff(0, self.limit, dice), 1),
            Phase::Closed => return false,
            // It was under way when the circuit opened.
            Phase::Open { until, openings } => (until.max(now + asked), openings),
            Phase::HalfOpen { openings, .. } => (now + asked + backoff(openings, self.limit, dice), openings + 1),
        };
        let was_closed = self.phase == Phase::Closed;
        self.phase = Phase::Open { until, openings };
        was_closed
    }

    /// Whether so much has failed that it must be the vault.
    fn is_enough(&self) -> bool {
        let others = self.subjects.saturating_sub(self.alone.len());
        self.failures >= FAILURES_MAX && self.failing.len() >= SUBJECTS_MIN.min(others)
    }

    /// Whether a failure of this one says nothing about the vault.
    fn fails_alone(&self, subject: &S) -> bool {
        self.are_few(&self.alone) && self.alone.contains(subject)
    }

    /// Whether it can be a matter of theirs that these fail. Where it is most, it is the vault after all.
    fn are_few(&self, failing: &BTreeSet<S>) -> bool {
        failing.len() * 2 <= self.subjects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(2);

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn circuit(subjects: usize) -> Circuit<u32> {
        Circuit::new(subjects, LIMIT, second(60))
    }

    fn opened(now: Duration) -> Circuit<u32> {
        let mut circuit = circuit(20);
        for subject in 0..FAILURES_MAX {
            circuit.failed(&subject, None, now, 1.0);
        }
        circuit
    }

    #[test]
    fn repeated_failures_of_several_requests_open_it_and_of_one_alone_only_where_there_is_no_other() {
        let rows: [(&str, usize, &[u32], bool); 5] = [
            ("too few", 20, &[1, 2, 3], false),
            ("enough", 20, &[1, 2, 3, 4], true),
            ("two of them", 20, &[1, 1, 1, 2], true),
            ("always the same", 20, &[1; 50], false),
            ("the same, and no other", 1, &[1; 4], true),
        ];
        for (row, subjects, failures, opens) in rows {
            let mut circuit = circuit(subjects);
            let opened =
                failures.iter().fold(false, |opened, subject| opened | circuit.failed(subject, None, LIMIT, 0.5));
            assert_eq!(opened, opens, "{row}");
            assert_eq!(circuit.state() == CircuitState::Open, opens, "{row}");
        }
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_anew() {
        let mut circuit = circuit(20);
        for subject in 0..9 {
            circuit.failed(&subject, None, LIMIT, 0.5);
            if subject % 3 == 2 {
                assert!(!circuit.answered(&99), "it was never open");
            }
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[test]
    fn those_that_go_on_failing_while_the_vault_answers_others_count_no_more_unless_they_are_most() {
        for (failing, opens) in [(2, false), (10, false), (11, true)] {
            let mut circuit = circuit(20);
            for subject in 0..failing {
                circuit.failed(&subject, None, LIMIT, 0.5);
                circuit.answered(&99);
            }
            let opened =
                (0..40).fold(false, |opened, turn| opened | circuit.failed(&(turn % failing), None, LIMIT, 0.5));
            assert_eq!(opened, opens, "{failing}");
        }
    }

    #[test]
    fn one_that_fails_alone_is_no_probe_and_its_answer_makes_it_like_the_others() {
        let mut circuit = circuit(20);
        circuit.failed(&1, None, LIMIT, 0.5);
        circuit.answered(&2);
        for subject in 2..20 {
            circuit.failed(&subject, None, LIMIT, 0.0);
        }
        assert_eq!(circuit.admit(&1, LIMIT), Admission::Refused { wait: PROBE_WAIT });
        assert_eq!(circuit.admit(&2, LIMIT), Admission::Granted);
        assert!(circuit.answered(&2));
        assert!(!circuit.fails_alone(&3), "it failed with the vault");
        circuit.answered(&1);
        assert!(!circuit.fails_alone(&1));
    }

    #[test]
    fn one_that_alone_is_asked_to_wait_again_and_again_has_the_others_wait_once() {
        let mut circuit = circuit(20);
        assert!(circuit.failed(&1, Some(second(20)), Duration::ZERO, 0.0), "it may be the vault");
        assert_eq!(circuit.admit(&2, second(20)), Admission::Granted);
        assert!(circuit.answered(&2));
        assert!(!circuit.failed(&1, Some(second(20)), second(21), 0.0));
        assert_eq!(circuit.admit(&2, second(21)), Admission::Granted);
    }

    #[test]
    fn one_probe_passes_when_the_wait_is_over_and_decides() {
        let mut circuit = opened(second(100));
        assert_eq!(circuit.admit(&1, second(100)), Admission::Refused { wait: second(1) });
        assert_eq!(circuit.admit(&1, second(101)), Admission::Granted);
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        assert_eq!(circuit.admit(&1, second(101)), Admission::Refused { wait: PROBE_WAIT }, "one only");
        assert!(!circuit.failed(&9, None, second(102), 1.0), "it was open before");
        assert_eq!(circuit.admit(&1, second(103)), Admission::Refused { wait: second(1) });
        assert_eq!(circuit.admit(&1, second(104)), Admission::Granted);
        assert!(circuit.answered(&1));
        assert_eq!(circuit.admit(&1, second(104)), Admission::Granted);
        assert_eq!(circuit.admit(&1, second(104)), Admission::Granted, "closed");
    }

    #[test]
    fn failed_probes_double_the_wait_up_to_its_limit() {
        let (mut circuit, mut now, mut waits) = (opened(Duration::ZERO), Duration::ZERO, Vec::new());
        for _ in 0..10 {
            let Admission::Refused { wait } = circuit.permits(now) else { panic!("open") };
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(circuit.admit(&1, now), Admission::Granted);
            circuit.failed(&1, None, now, 1.0);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
    }

    #[test]
    fn a_vault_that_says_how_long_is_left_alone_at_once_and_so_long() {
        let rows = [(20, 20), (86_400, 300)];
        for (asked, granted) in rows {
            let mut circuit = circuit(20);
            assert!(circuit.failed(&1, Some(second(asked)), Duration::ZERO, 0.0));
            assert_eq!(circuit.permits(Duration::ZERO), Admission::Refused { wait: second(granted) });
            circuit.failed(&2, None, second(1), 1.0);
            assert_eq!(circuit.permits(second(1)), Admission::Refused { wait: second(granted - 1) }, "no sooner");
        }
    }

    #[test]
    fn a_probe_that_never_ends_is_given_up() {
        let mut circuit = opened(Duration::ZERO);
        assert_eq!(circuit.admit(&1, second(1)), Admission::Granted);
        assert_eq!(circuit.permits(second(60)), Admission::Refused { wait: PROBE_WAIT });
        assert_eq!(circuit.admit(&1, second(61)), Admission::Granted);
    }
}
