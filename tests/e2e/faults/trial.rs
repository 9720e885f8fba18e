//! One row in one phase: what readers get while it lasts, what is asked of Azure meanwhile, and how soon all is well again.

use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;
use keyside_tests::http::Connection;
use keyside_tests::wait;

use crate::budget::{self, Length};
use crate::outcome::{Outcome, Reads, Seen};
use crate::row::{Meaning, Phase, Row, Strike};
use crate::scene::{INTERVAL, NEW, OLD, OTHER, OTHERS, SECRETS, STRUCK, Scene};

/// How long an outage lasts at least, beyond the first request: long enough for the circuit to open and to be probed several times.
const OUTAGE: Duration = Duration::from_secs(4);

/// How often a reader reads. Many trials run at once, and none of them is to slow the others.
const PAUSE: Duration = Duration::from_millis(25);

/// Longest wait for what a row leads to: two time-outs of a request, on a machine that is busy with other rows.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the machine may add to what the rules promise.
const SLACK: Duration = Duration::from_secs(3);

/// The longest time for which a read is answered from memory, at the median, beyond what the machine itself takes.
const READ_TIME: Duration = Duration::from_millis(10);

/// The respite that a vault is granted at most.
const RESPITE: u64 = 300;

/// Plays `row` in `phase` and asserts what the rules promise.
pub(crate) fn run(row: &Row, phase: Phase) -> Outcome {
    let mut scene = Scene::prepare(&row.strike);
    let start_ready = |scene: &Scene| {
        let mut agent = scene.start_agent();
        agent.wait_until_ready();
        agent
    };
    let before = (phase != Phase::Start).then(|| start_ready(&scene));
    let asked = scene.count(before.as_ref());
    let start = Instant::now();
    scene.strike(&row.strike, phase);
    if phase == Phase::Rotation {
        scene.cloud.set_secret(STRUCK, NEW);
    }
    let agent = before.unwrap_or_else(|| scene.start_agent());
    wait::until("the agent's socket", || std::os::unix::net::UnixStream::connect(agent.socket()).ok());

    let mut reads = Reads::default();
    let enough = Expected::of(row, phase);
    wait::until_within(PATIENCE, PAUSE, "what the outage leads to", || {
        reads.read(&agent);
        (start.elapsed() >= row.request_time + OUTAGE && reads.last() == enough.last()).then_some(())
    });
    enough.check(&reads);
    check_others(row, phase, &agent);
    let count = scene.count(Some(&agent));
    let (calls, sign_ins) = (count.calls - asked.calls, count.sign_ins - asked.sign_ins);
    let allowed = allowed(row, phase, start.elapsed()) * row.requests;
    assert!(calls <= allowed, "{calls} calls, {allowed} allowed in {:?}", start.elapsed());
    assert!(sign_ins <= allowed, "{sign_ins} sign-ins, {allowed} allowed in {:?}", start.elapsed());
    let healed = (row.meaning != Meaning::LeftAlone).then(|| heal(&mut scene, &agent, &mut reads, (row, phase)));
    let (readers, [reads, control]) = (enough.words(), reads.times());
    let (median, other) = (reads.median(), control.median());
    assert!(median < other + READ_TIME, "reads took {median:?} at the median, and who has nothing to do {other:?}");
    Outcome { phase, readers, reads, control, calls, allowed, sign_ins, healed }
}

/// Ends the outage and measures how long it takes until readers get what the vault has.
fn heal(scene: &mut Scene, agent: &Agent, reads: &mut Reads, (row, phase): (&Row, Phase)) -> Duration {
    let start = Instant::now();
    scene.heal();
    let fresh = if phase == Phase::Rotation { Seen::New } else { Seen::Old };
    wait::until_within(PATIENCE, PAUSE, "the vault's value", || {
        reads.read(agent);
        (reads.last() == fresh).then_some(())
    });
    let took = start.elapsed();
    let respite = if let Meaning::Throttled(asked) = row.meaning { asked } else { Duration::ZERO };
    // The request that is under way, one wait by the back-off or the interval, a round for what is left, and the answer.
    let promised = row.request_time + respite + INTERVAL * 2;
    assert!(took < promised + SLACK, "fresh after {took:?}, {promised:?} are promised");
    wait::until("readiness", || (agent.get("/readyz").status == 200).then_some(()));
    wait::until("the other secret", || (Seen::read(agent, OTHER, OTHERS) == Seen::Old).then_some(()));
    took
}

/// What the rules allow to be asked in an outage of this length.
fn allowed(row: &Row, phase: Phase, whole: Duration) -> usize {
    let length = Length { whole, request: row.request_time };
    let of_one = phase == Phase::Rotation && matches!(row.strike, Strike::Answer(_));
    match row.meaning {
        Meaning::Outage if of_one => budget::outage_of_one(length, INTERVAL),
        Meaning::Outage => budget::outage(length, INTERVAL),
        // A round may begin between the strike and the first secret that is struck.
        Meaning::Throttled(asked) => budget::throttled(whole, asked) + usize::from(of_one) * SECRETS,
        Meaning::LeftAlone => budget::throttled(whole, Duration::from_secs(RESPITE)) + usize::from(of_one) * SECRETS,
        Meaning::Unusable | Meaning::Taken => budget::refused(whole, INTERVAL, SECRETS),
    }
}

/// What readers are promised to get, one after the other.
struct Expected(&'static [Seen]);

impl Expected {
    fn of(row: &Row, phase: Phase) -> Self {
        let is_taken = row.meaning == Meaning::Taken;
        Self(match (phase, is_taken) {
            (Phase::Start, false) => &[Seen::NotYet],
            (Phase::Start, true) => &[Seen::NotYet, Seen::Gone],
            (_, false) => &[Seen::Old, Seen::Stale],
            (_, true) => &[Seen::Old, Seen::Stale, Seen::Gone],
        })
    }

    fn last(&self) -> Seen {
        *self.0.last().expect("something is always seen")
    }

    /// Whether nothing else was seen, nor in another order; what is passed through may be too short to be seen.
    fn check(&self, reads: &Reads) {
        let mut expected = self.0.iter();
        for seen in reads.order() {
            assert!(expected.any(|other| other == seen), "readers got {:?}", reads.order());
        }
    }

    fn words(&self) -> String {
        self.0.iter().map(|seen| seen.as_str()).collect::<Vec<_>>().join(" → ")
    }
}

/// The agent is well and says what is wrong, and what is not struck is as it was.
fn check_others(row: &Row, phase: Phase, agent: &Agent) {
    assert_eq!(agent.get("/healthz").status, 200);
    let status = agent.get("/v1/status").json();
    let failures = status["failures"].as_array().expect("a list");
    let failure = failures.iter().find(|failure| failure["name"] == STRUCK);
    let code = failure.and_then(|failure| failure["code"].as_str()).unwrap_or_default();
    // A vault that is left alone is unavailable also to whoever was not the one to find out why.
    let held_back = matches!(row.meaning, Meaning::Outage | Meaning::Throttled(_) | Meaning::LeftAlone);
    assert!(code == row.code || held_back && code == "unavailable", "{code}: {status}");
    let is_ready = agent.get("/readyz").status == 200;
    let is_taken = row.meaning == Meaning::Taken;
    assert_eq!(is_ready, phase != Phase::Start && !is_taken, "{status}");
    if row.meaning == Meaning::LeftAlone {
        let answer = Connection::open(agent.socket()).request("POST", "/v1/refresh", &[]);
        let wait: u64 = answer.headers["retry-after"].parse().expect("seconds");
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("held_back")));
        assert!((RESPITE - OUTAGE.as_secs() * 4..=RESPITE + INTERVAL.as_secs()).contains(&wait), "{wait} s");
    }
    let other = Seen::read(agent, OTHER, OTHERS);
    match (phase, &row.strike, row.meaning) {
        (Phase::Rotation, Strike::Answer(_), Meaning::Outage | Meaning::Unusable | Meaning::Taken) => {
            assert_eq!(other, Seen::Old, "only one secret is struck");
        }
        (Phase::Start, ..) => assert!(matches!(other, Seen::NotYet | Seen::Gone), "{other:?}"),
        (_, _, Meaning::Taken) => {}
        _ => assert!(matches!(other, Seen::Old | Seen::Stale), "{other:?}"),
    }
}

impl Seen {
    /// What a reader gets of a secret whose values are known.
    pub(crate) fn read(agent: &Agent, name: &str, old: &str) -> Self {
        let answer = agent.get(&format!("/v1/secrets/{name}/value"));
        let is_stale = answer.headers.contains_key("keyside-stale");
        match (answer.status, is_stale, answer.body.as_slice()) {
            (200, false, value) if value == old.as_bytes() => Self::Old,
            (200, true, value) if value == old.as_bytes() => Self::Stale,
            (200, false, value) if value == NEW.as_bytes() => Self::New,
            (200, true, value) if value == NEW.as_bytes() => Self::NewStale,
            (503, ..) => Self::NotYet,
            (410, ..) => Self::Gone,
            (status, ..) => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }

    /// What a reader gets of the secret that is struck.
    pub(crate) fn of_struck(agent: &Agent) -> Self {
        Self::read(agent, STRUCK, OLD)
    }
}
