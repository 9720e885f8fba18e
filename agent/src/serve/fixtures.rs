//! A whole served agent for tests.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::audit::{self, AuditFile};
use super::{About, Access, Heart, Limits, Settings, Sources, bind, run};
use crate::clock::Clock;
use crate::environment::Environment;
use crate::hooks::Board;
use crate::memory::Arena;
use crate::metrics::{Counted, Metrics};
use crate::principal::Principal;
use crate::process::{self, Outcome};
use crate::record::Record;
use crate::refresh::{self, Budget, Demands, Plan, Plans, Pulse, Refresh, Upstream, Wanted, demands};
use crate::schedule::Pace;
use crate::store;
use crate::testing::vault::{FakeVault, Otherwise, unavailable};
use crate::testing::{name, new_year, origin, own_uid};
use crate::warm::Standing;

/// Rounds that no test sees.
const SETTINGS: refresh::Settings = refresh::Settings {
    pace: Pace { interval: Duration::from_hours(1), full_refresh: Duration::from_hours(1) },
    revoke_after: Duration::from_mins(15),
    max_stale: Some(Duration::from_hours(24)),
};

/// A clock that shows half a minute after [`new_year`].
#[derive(Debug)]
pub(crate) struct HalfAMinuteLater;

impl Clock for HalfAMinuteLater {
    fn now(&self) -> Timestamp {
        new_year() + jiff::SignedDuration::from_secs(30)
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A clock that stands at [`new_year`] until a test moves it.
#[derive(Clone, Debug, Default)]
struct FromNewYear(Arc<AtomicU64>);

impl Clock for FromNewYear {
    fn now(&self) -> Timestamp {
        new_year() + jiff::SignedDuration::try_from(self.uptime()).expect("a test is short")
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// How an agent is set up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) operators: Vec<Principal>,
    pub(crate) limits: Limits,
    pub(crate) audit: Option<audit::Settings>,
    pub(crate) tcp: bool,
    /// The loop that looks for new versions has ended.
    pub(crate) dead: bool,
    /// The vault never answers.
    pub(crate) hung: bool,
}

/// An agent that serves `db` and `token` to this process, and `hidden` to another user, over a real socket.
pub(crate) struct Agent {
    pub(crate) socket: PathBuf,
    pub(crate) tcp: Option<std::net::SocketAddr>,
    pub(crate) demands: Demands,
    pub(crate) plans: Plans,
    pub(crate) access: watch::Sender<Arc<Access>>,
    /// Whose use the status and the metrics tell.
    pub(crate) arena: Arena,
    clock: FromNewYear,
    vault: FakeVault,
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
    _directory: tempfile::TempDir,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().expect("a code").to_owned()
    }
}

/// How long the end of the agent waits for answers that nobody takes.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

impl Setup {
    /// Starts the agent. The vault is looked at when the test asks for it, and nothing is published before.
    pub(crate) fn start(self) -> Agent {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("agent.sock");
        let otherwise = if self.hung { Otherwise::Silence } else { Otherwise::NotFound };
        let (vault, stop, metrics) = (FakeVault::with(otherwise), CancellationToken::new(), Arc::new(Metrics::new()));
        let (publisher, reader) =
            store::channel(["db", "hidden", "token"].map(|local| (name(local), local == "token")));
        let (demands, mut queue) = demands();
        let plans = queue.take_plans();
        let (arena, clock) = (Arena::unlocked(), FromNewYear::default());
        let refresh = Refresh {
            upstream: Upstream::new(
                vec![(origin().vault.to_string(), Counted::new(vault.clone(), Arc::clone(&metrics)))],
                Budget { sources: 3, wait_max: Duration::from_secs(2), clock: Arc::new(clock.clone()), dice: || 1.0 },
            ),
            plan: Plan { wanted: ["db", "hidden", "token"].map(wanted).into(), settings: SETTINGS },
            publisher,
            arena: arena.clone(),
            clock: Arc::new(clock.clone()),
            pulse: Pulse::default(),
            dice: || 1.0,
        };
        let own = vec![Principal::User(own_uid())];
        let others = vec![Principal::User(own_uid() + 1)];
        let settings = Settings {
            socket: socket.clone(),
            tcp: self.tcp.then(|| ([127, 0, 0, 1], 0).into()),
            access: Access {
                operators: self.operators,
                readers: [(name("db"), own.clone()), (name("token"), own), (name("hidden"), others)].into(),
            }
            .into(),
            limits: self.limits,
            audit: self.audit.clone(),
            grace: GRACE,
        };
        let (access, watched) = watch::channel(Arc::clone(&settings.access));
        let sources = Sources {
            audit: self.audit.map(|settings| AuditFile::open(settings).expect("it can be opened")),
            reader,
            access: watched,
            demands: demands.clone(),
            gates: refresh.upstream.gates(),
            clock: Arc::new(HalfAMinuteLater),
            about: about(arena.clone()),
            metrics,
            pulse: refresh.pulse.clone(),
            heart: Heart::default(),
        };
        let listeners = bind(&settings, Vec::new()).expect("bound");
        let tcp = listeners.tcp.as_ref().map(|listener| listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        if self.dead {
            refresh.pulse.stop();
        } else {
            tasks.spawn(refresh.run(queue, stop.clone()).map(Ok));
        }
        tasks.spawn(run(listeners, settings, sources, stop.clone()));
        Agent { socket, tcp, demands, plans, access, arena, clock, vault, stop, tasks, _directory: directory }
    }
}

fn wanted(local: &str) -> Wanted {
    Wanted { optional: local == "token", ..Wanted::named(name(local)) }
}

fn about(arena: Arena) -> About {
    About {
        vault: "https://v.vault.azure.net".to_owned(),
        started: new_year(),
        warm_restart: Standing::of(Some(false), crate::memory::Settings::default(), &Environment::default()),
        arena,
        identity: Arc::new(|| Some("managed identity".to_owned())),
        config: Record::new(new_year()),
        hardening: process::Report {
            not_dumpable: Outcome::Applied,
            no_core_dumps: Outcome::Applied,
            no_new_privileges: Outcome::Applied,
            confined: Outcome::Partial,
        },
        hooks: Board::default(),
    }
}

impl Agent {
    /// An agent with one value in `db`, `token` and `hidden` each, already published.
    pub(crate) async fn with_values(setup: Setup) -> Self {
        let agent = setup.start();
        for local in ["db", "token", "hidden"] {
            agent.set(local, 'a', b"one");
        }
        agent.look().await;
        agent
    }

    /// Puts a value into the vault.
    pub(crate) fn set(&self, local: &str, digit: char, value: &[u8]) {
        self.vault.set(local, digit, value);
    }

    /// Takes a secret out of the vault.
    pub(crate) fn remove(&self, local: &str) {
        self.vault.remove(local);
    }

    /// Has the vault fail.
    pub(crate) fn fail(&self) {
        self.vault.fail(Some(unavailable));
    }

    /// Lets time pass for the loop.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    /// Takes a secret out of the vault, and has the agent believe it.
    pub(crate) async fn revoke(&self, local: &str) {
        self.remove(local);
        self.look().await;
        self.pass(Duration::from_secs(10));
        self.look().await;
    }

    /// Has the vault looked at.
    pub(crate) async fn look(&self) {
        self.demands.look(None).await.expect("the loop answers");
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[]).await
    }

    /// Asks over a connection of its own.
    pub(crate) async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.expect("connected");
        exchange(stream, method, target, headers).await
    }

    /// Sends bytes and reads until the agent closes the connection, at most a few seconds.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        // The agent may refuse before it has read everything.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                panic!("no end of the answer: {error}")
            }
            _ => String::from_utf8_lossy(&answer).into_owned(),
        }
    }

    /// Stops the agent and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic").expect("a clean end");
        }
    }
}

/// Sends one request over `stream` with a real client.
pub(crate) async fn exchange(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Reply {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("host", "keyside");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::<Bytes>::default()).expect("a request")).await;
    let (parts, body) = answer.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Reply { status: parts.status, headers: parts.headers, body }
}
