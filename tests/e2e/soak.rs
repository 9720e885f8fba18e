//! Ten thousand rotations under readers of the socket and of the files: whole values only, never an older one, nothing grows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;
use keyside_tests::cloud::Cloud;
use keyside_tests::report::{self, say};
use keyside_tests::wait;

const SECRETS: usize = 20;

/// Ten thousand rotations, and as many users as it takes to ask for a look in each round: one may ask for five at once, and
/// then every 6 s.
const ROUNDS: usize = 500;
const USERS: usize = 100;

/// How long a run lasts at most, unless `KEYSIDE_SOAK=whole` is set: each rotation is a TLS handshake, and takes 10 ms of an
/// agent that is built without optimization.
const LIMIT: Duration = Duration::from_secs(45);
const FIRST_USER: u32 = 64_500;

/// Without root there is one user, and a look every second.
const ROUNDS_BY_LOOKING: usize = WARM + 5;

/// After how many rounds what the agent takes is what it takes for good: its files of ten seconds lie there by then.
const WARM: usize = 40;

/// How long a reader rests after it has read every secret.
const PAUSE: Duration = Duration::from_millis(10);

/// What may come and go with requests that are under way: connections of readers and to Azure, directories of files.
const DESCRIPTORS_IN_FLIGHT: usize = 24;
const MEMORY_IN_FLIGHT_KIB: usize = 4 * 1024;
const HELD_IN_FLIGHT_BYTES: usize = 4 * 1024;

/// Asks for a look as the user that each line names, and prints the answer's body, which is one line.
const ASKER: &str = r#"
import os, socket, sys
for line in sys.stdin:
    connection = socket.socket(socket.AF_UNIX)
    os.seteuid(int(line))
    connection.connect(sys.argv[1])
    os.seteuid(0)
    connection.sendall(b"POST /v1/refresh HTTP/1.1\r\nHost: keyside\r\n\r\n")
    print(connection.recv(65536).decode().split("\r\n\r\n")[1], flush=True)
    connection.close()
"#;

/// How far the rotation is: what has begun to be written, and what every reader of the socket must see at least.
#[derive(Debug, Default)]
struct Progress {
    written: AtomicUsize,
    seen: AtomicUsize,
    ended: AtomicBool,
}

fn name(secret: usize) -> String {
    format!("secret-{secret:02}")
}

/// The value of a secret in a round: long enough that half of one would show, and always of one length.
fn value(name: &str, round: usize) -> String {
    format!("{name}:{round:06}:{}", format!("{round:06}/").repeat(40))
}

/// The round of a value, if it is a whole one of this secret.
fn round_of(name: &str, bytes: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(bytes).ok()?;
    let round = text.strip_prefix(name)?.get(1..7)?.parse().ok()?;
    (text == value(name, round)).then_some(round)
}

/// Reads every secret over and over, and gives the number of reads. `lag` is how many rounds may be published and not seen.
fn keep_reading(progress: &Progress, lag: usize, read: impl Fn(&str) -> Vec<u8>) -> usize {
    let (mut latest, mut reads) = ([0; SECRETS], 0);
    while !progress.ended.load(Ordering::SeqCst) {
        for (secret, latest) in latest.iter_mut().enumerate() {
            let at_least = progress.seen.load(Ordering::SeqCst).saturating_sub(lag);
            let bytes = read(&name(secret));
            let at_most = progress.written.load(Ordering::SeqCst);
            let round = round_of(&name(secret), &bytes)
                .unwrap_or_else(|| panic!("no whole value: {}", String::from_utf8_lossy(&bytes)));
            assert!(round >= *latest, "{}: {round} after {latest}", name(secret));
            assert!((at_least..=at_most).contains(&round), "{round} is not in {at_least}..={at_most}");
            *latest = round;
            reads += 1;
        }
        // Not a wait for anything: readers that never rest would take the processors from what they read.
        std::thread::sleep(PAUSE);
    }
    reads
}

/// What a process takes.
#[derive(Clone, Copy, Debug)]
struct Taken {
    resident_kib: usize,
    locked_kib: usize,
    held_bytes: usize,
    descriptors: usize,
}

impl Taken {
    fn by(agent: &Agent) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("the agent runs");
        let number = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line of it");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let metrics = String::from_utf8(agent.get("/metrics").body).expect("metrics are text");
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).expect("the agent runs").count();
        Self {
            resident_kib: number(&status, "VmRSS:"),
            locked_kib: number(&status, "VmLck:"),
            held_bytes: number(&metrics, "keyside_memory_used_bytes "),
            descriptors,
        }
    }
}

impl Taken {
    /// Holds it to what was taken before, but for what comes and goes.
    fn check_against(&self, before: &Self) {
        assert!(self.resident_kib <= before.resident_kib + MEMORY_IN_FLIGHT_KIB, "{self:?} after {before:?}");
        assert!(self.locked_kib <= before.locked_kib, "{self:?} after {before:?}");
        assert!(self.held_bytes <= before.held_bytes + HELD_IN_FLIGHT_BYTES, "{self:?} after {before:?}");
        assert!(self.descriptors <= before.descriptors + DESCRIPTORS_IN_FLIGHT, "{self:?} after {before:?}");
    }
}

/// Has the agent look at everything.
enum Looks {
    /// As one user after the other.
    Asked { asker: Child, answers: BufReader<std::process::ChildStdout>, asked: usize },
    /// By waiting for its own looks.
    Awaited,
}

impl Looks {
    fn new(socket: &Path) -> Self {
        if !nix::unistd::geteuid().is_root() {
            return Self::Awaited;
        }
        let mut command = Command::new("python3");
        let mut asker = command
            .args(["-c", ASKER])
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let answers = BufReader::new(asker.stdout.take().expect("a piped output"));
        Self::Asked { asker, answers, asked: 0 }
    }

    /// Comes back when every secret is of `round`.
    fn look(&mut self, agent: &Agent, round: usize) {
        match self {
            Self::Asked { asker, answers, asked } => {
                let user = FIRST_USER + u32::try_from(*asked % USERS).expect("a small number");
                *asked += 1;
                let mut input = asker.stdin.as_ref().expect("a piped input");
                writeln!(input, "{user}").expect("the asker listens");
                let mut answer = String::new();
                answers.read_line(&mut answer).expect("the asker answers");
                assert!(answer.contains(r#""changed":true,"failures":[]"#), "round {round}: {answer}");
            }
            Self::Awaited => {
                let is_there = |name: String| round_of(&name, &agent.value(&name)) == Some(round);
                wait::until("the round", || (0..SECRETS).map(name).all(is_there).then_some(()));
            }
        }
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        if let Self::Asked { asker, .. } = self {
            // It ends with its input, too.
            drop(asker.kill().and_then(|()| asker.wait()));
        }
    }
}

/// A configuration of every secret, with an operator for each user who asks, if any does.
fn start(cloud: &Cloud) -> Agent {
    let is_root = nix::unistd::geteuid().is_root();
    let interval = if is_root { "24h" } else { "1s" };
    let secrets: Vec<_> = (0..SECRETS).map(|secret| format!("[[secret]]\nname = '{}'\n", name(secret))).collect();
    let secrets = secrets.concat();
    let config = cloud.config(&format!("[rotation]\npoll_interval = '{interval}'\n{secrets}"));
    let operators: Vec<_> = (FIRST_USER..).take(USERS).chain([0]).map(|uid| format!("uid:{uid}")).collect();
    if is_root {
        let text = std::fs::read_to_string(&config).expect("the configuration");
        let api = format!("[api]\noperators = {operators:?}\n");
        std::fs::write(&config, text.replacen("[api]\n", &api, 1)).expect("the configuration");
    }
    let mut agent = Agent::start(&config, &cloud.socket(), &cloud.variables());
    agent.wait_until_ready();
    agent
}

#[test]
fn rotations_under_readers_tear_nothing_step_never_back_and_grow_nothing() {
    let first: Vec<_> = (0..SECRETS).map(|secret| (name(secret), value(&name(secret), 0))).collect();
    let first: Vec<_> = first.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let cloud = Cloud::start(&first);
    let agent = start(&cloud);
    let (progress, files) = (Progress::default(), cloud.secrets_folder());
    let by_socket = || keep_reading(&progress, 0, |name| agent.value(name));
    let by_file = || keep_reading(&progress, 1, |name| std::fs::read(files.join(name)).expect("never missing"));
    std::thread::scope(|scope| {
        let readers = [scope.spawn(by_socket), scope.spawn(by_socket)];
        let file_readers = [scope.spawn(by_file), scope.spawn(by_file)];
        // However the rotations end, readers must not go on for ever.
        let rotated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rotate(&cloud, &agent, &progress)));
        progress.ended.store(true, Ordering::SeqCst);
        let count = |threads: [std::thread::ScopedJoinHandle<'_, usize>; 2]| -> usize {
            threads.map(|thread| thread.join().expect("every read is right")).into_iter().sum()
        };
        let log = agent.log();
        let warnings = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).take(20);
        warnings.for_each(say);
        let (sockets, files) = (count(readers), count(file_readers));
        rotated.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        say(&format!(
            "soak: {sockets} reads of the socket and {files} of files, all whole and none of an older version"
        ));
        assert!(sockets > SECRETS && files > SECRETS);
    });
}

/// Rotates every secret again and again, and holds what the agent takes to what it took once it was warm.
fn rotate(cloud: &Cloud, agent: &Agent, progress: &Progress) {
    let mut looks = Looks::new(agent.socket());
    let rounds = if matches!(looks, Looks::Asked { .. }) { ROUNDS } else { ROUNDS_BY_LOOKING };
    let is_whole = report::wish("KEYSIDE_SOAK").is_some_and(|wish| wish == "whole");
    let (start, mut warm, mut looking) = (Instant::now(), None, Duration::ZERO);
    let mut round = 0;
    while round < rounds && (is_whole || round <= WARM || start.elapsed() < LIMIT) {
        round += 1;
        progress.written.store(round, Ordering::SeqCst);
        for secret in 0..SECRETS {
            cloud.set_secret(&name(secret), &value(&name(secret), round));
        }
        let asked = Instant::now();
        looks.look(agent, round);
        looking += asked.elapsed();
        progress.seen.store(round, Ordering::SeqCst);
        if round == WARM {
            warm = Some(Taken::by(agent));
        }
        if round % (WARM * 2) == 0 {
            say(&format!("soak: {} rotations: {:?}", round * SECRETS, Taken::by(agent)));
        }
    }
    let (warm, taken) = (warm.expect("that many rounds"), Taken::by(agent));
    say(&format!("soak: {} rotations in {:.1?}, {looking:.1?} by the agent", round * SECRETS, start.elapsed()));
    say(&format!("soak: from {warm:?} to {taken:?}"));
    taken.check_against(&warm);
}
