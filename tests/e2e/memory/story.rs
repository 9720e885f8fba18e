//! The life of secrets in one agent, with a look into its memory after each step.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;
use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;
use keyside_tests::binaries;
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::http::Connection;
use keyside_tests::memory_scan::{Count, Findings, Scanner, is_allowed};
use keyside_tests::report::skipped;
use keyside_tests::wait;
use nix::sys::signal::Signal;

use super::cast;
use super::stuck::ask_and_take_nothing;

/// Where values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    SecretMemory,
    Locked,
    /// Nothing can be locked.
    Exhausted,
}

impl Backend {
    /// What a live value counts as.
    pub(crate) fn live(self) -> Count {
        match self {
            Self::SecretMemory => Count::NONE,
            Self::Locked => Count::LOCKED,
            Self::Exhausted => Count { locked: 0, elsewhere: 1 },
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::SecretMemory => "memfd_secret",
            Self::Locked => "mlock",
            Self::Exhausted => "unprotected",
        }
    }

    fn config(self) -> String {
        let asked = if self == Self::Exhausted { "memfd_secret" } else { self.word() };
        format!("[memory]\nbackend = '{asked}'\n[rotation]\npoll_interval = '24h'\n")
    }

    /// Starts `program` with nothing to lock where that is wanted: root needs to lose the right to lock without a limit.
    fn command(self, program: &str) -> Command {
        if self != Self::Exhausted {
            return binaries::command(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "prlimit", "--memlock=0:0"]);
        command.arg(binaries::path(program)).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    }
}

/// What one look found.
pub(crate) struct Look {
    pub(crate) step: &'static str,
    pub(crate) live: (usize, Count),
    pub(crate) gone: (usize, Count),
    /// What is not as it should be.
    pub(crate) wrong: Vec<String>,
    pub(crate) findings: Findings,
}

/// How long an agent may take to put away what it has just used, before a look counts.
const TIDYING: Duration = Duration::from_secs(5);

pub(crate) struct Story {
    estate: Estate,
    agent: Agent,
    backend: Backend,
    scanner: Scanner,
    live: BTreeSet<String>,
    looks: Vec<Look>,
    patience: Duration,
}

/// Tells the whole story of one program; nothing where its memory cannot be read.
pub(crate) fn tell(program: &str, backend: Backend, wipes: bool) -> Option<Vec<Look>> {
    let secrets = cast::secrets();
    let secrets: Vec<_> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let estate = Estate::start(&secrets);
    let config = estate.config(&(backend.config() + &cast::config_without("")));
    let arguments = [OsStr::new("--config"), config.as_os_str()];
    let log = config.with_extension("log");
    let mut agent = Agent::start_by(backend.command(program), &arguments, &estate.socket(), &log, &estate.variables());
    agent.wait_until_ready();
    if !is_allowed(agent.pid()) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return None;
    }
    assert_eq!(agent.get("/v1/status").json()["operation"]["memory_protection"], backend.word());
    let patience = if wipes { TIDYING } else { Duration::ZERO };
    let (scanner, live) = (cast::scanner(), cast::live_at_first());
    let mut story = Story { estate, agent, backend, scanner, live, looks: Vec::new(), patience };
    story.look("after the first fetch");
    story.read();
    story.rotate();
    story.take_away();
    story.break_answers();
    Some(story.looks)
}

impl Story {
    /// Looks until all is as it should be, or it has had its time.
    fn look(&mut self, step: &'static str) {
        let started = Instant::now();
        let look = loop {
            let look = self.judge(step, self.scanner.process(self.agent.pid()));
            if look.wrong.is_empty() || started.elapsed() >= self.patience {
                break look;
            }
        };
        self.looks.push(look);
    }

    fn judge(&self, step: &'static str, findings: Findings) -> Look {
        let mut look = Look { step, live: Default::default(), gone: Default::default(), wrong: Vec::new(), findings };
        for name in self.scanner.names() {
            let is_live = self.live.contains(name);
            let (expected, sum) =
                if is_live { (self.backend.live(), &mut look.live) } else { (Count::NONE, &mut look.gone) };
            let found = look.findings.count(name);
            sum.0 += 1;
            sum.1.locked += found.locked;
            sum.1.elsewhere += found.elsewhere;
            if found != expected {
                look.wrong.push(format!("{name}: {found:?} in place of {expected:?}"));
            }
        }
        look
    }

    fn replace(&mut self, gone: &[String], live: &[String]) {
        for name in gone {
            assert!(self.live.remove(name), "{name} was live");
        }
        self.live.extend(live.iter().cloned());
    }

    fn read(&mut self) {
        let mut connection = Connection::open(self.agent.socket());
        for _ in 0..50 {
            for name in cast::names() {
                for path in [format!("/v1/secrets/{name}/value"), format!("/v1/secrets/{name}")] {
                    assert_eq!(connection.get(&path).status, 200, "{path}");
                }
            }
        }
        self.look("after 1,400 reads, values and JSON");
        let readers: Vec<_> = (0..64)
            .map(|number| {
                let path = ["/v1/secrets/long/value", "/v1/secrets/text", "/v1/secrets/bytes"][number % 3];
                let mut connection = Connection::open(self.agent.socket());
                std::thread::spawn(move || (0..5).all(|_| connection.get(path).status == 200))
            })
            .collect();
        assert!(readers.into_iter().all(|reader| reader.join().expect("a reader")));
        self.look("after 64 readers at once");
        let paths = ["/v1/secrets/long/value", "/v1/secrets/long"].repeat(4);
        let stuck: Vec<_> = paths.into_iter().map(|path| ask_and_take_nothing(&self.agent, path)).collect();
        self.look("while 8 readers take nothing");
        drop(stuck);
        assert_eq!(self.agent.get("/healthz").status, 200);
        self.look("after they left in the middle");
    }

    fn set(&self, name: &str, value: &str) {
        self.estate.emulator.set_secret(VAULT, name, value);
    }

    fn wait_for(&self, name: &str, value: &[u8]) {
        wait::until(name, || (self.agent.value(name) == value).then_some(()));
    }

    fn rotate(&mut self) {
        let path = "/v1/secrets/text/value?wait=60s";
        let known = self.agent.get("/v1/secrets/text/value").headers["etag"].clone();
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let (mut connection, known) = (Connection::open(self.agent.socket()), known.clone());
                std::thread::spawn(move || connection.request("GET", path, &[("if-none-match", &known)]).body)
            })
            .collect();
        self.set("bytes", &cast::encoded(2));
        self.set("long", &cast::long(2));
        self.set("pair", &cast::pair(1));
        self.set("text", cast::TEXT[1]);
        self.agent.refresh();
        self.wait_for("bytes", &cast::bytes(2));
        self.wait_for("long", cast::long(2).as_bytes());
        self.wait_for("password", cast::PASSWORD[1].as_bytes());
        for waiter in waiters {
            assert_eq!(waiter.join().expect("an answer"), cast::TEXT[1].as_bytes());
        }
        self.replace(&cast::rotated(1), &cast::rotated(2));
        self.look("after a rotation, with 8 who waited");
    }

    fn take_away(&mut self) {
        self.estate.emulator.run(&["secret", "disable", VAULT, "revoked"]);
        self.agent.refresh();
        let path = "/v1/secrets/revoked/value";
        wait::until("the revocation", || (self.agent.get(path).status == 410).then_some(()));
        self.replace(&["revoked".to_owned()], &[]);
        self.look("after a revocation");
        drop(self.estate.config(&(self.backend.config() + &cast::config_without("removed"))));
        self.agent.signal(Signal::SIGHUP);
        wait::until("the reload", || (self.agent.get("/v1/secrets/removed").status == 404).then_some(()));
        self.replace(&["removed".to_owned()], &[]);
        self.look("after a reload without a secret");
    }

    /// The second version of some first comes in an answer that cannot be used, then in a good one.
    fn break_answers(&mut self) {
        for (name, [_, value]) in cast::BROKEN {
            self.set(name, value);
            // The value starts at the tenth byte of the answer.
            let fault: &[&str] = match name {
                "cut-within" => &["--cut", "26"],
                "cut-behind" => &["--cut", "60"],
                "unfinished" => &["--status", "200", "--body", &format!(r#"{{"value":"{value}","id":nothing"#)],
                _ => &["--status", "200", "--body", &format!(r#"{{"value":"{value}","value":"{value}"}}"#)],
            };
            let requests = ["fault", "add", "--host", "*.vault.azure.net", "--path", &format!("/secrets/{name}*")];
            self.estate.emulator.run(&[&requests, fault].concat());
        }
        self.agent.refresh();
        wait::until("four failures", || (self.failures().len() == cast::BROKEN.len()).then_some(()));
        for (name, [first, _]) in cast::BROKEN {
            assert_eq!(self.agent.value(name), first.as_bytes(), "the last good value stays");
        }
        self.look("after answers that cannot be used");
        self.estate.emulator.run(&["fault", "clear"]);
        // What broke off is asked for again soon; what made no sense, when somebody wants it.
        for (number, (name, [_, second])) in cast::BROKEN.into_iter().enumerate() {
            if number == 2 {
                self.agent.refresh();
            }
            self.wait_for(name, second.as_bytes());
        }
        self.replace(&cast::broken(1), &cast::broken(2));
        self.look("after the vault has mended");
    }

    fn failures(&self) -> Vec<serde_json::Value> {
        let status = self.agent.get("/v1/status").json();
        let secrets = status["failures"].as_array().expect("a list").iter();
        secrets.filter(|failure| failure["name"] != "revoked").cloned().collect()
    }
}
