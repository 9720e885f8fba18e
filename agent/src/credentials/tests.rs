//! What units get, over real sockets, from a server that takes this process for the service manager.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::socket::{AddressFamily, Shutdown, SockFlag, SockType, UnixAddr, connect, shutdown, socket};
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::store::{self, Fetched, Outcome, Publisher, Setback};
use crate::testing::{moment, name, own_uid, publish, secret};
use crate::vault::FetchError;

/// A server of `db` and `token`, which the unit `train.service` may have, to callers from the control group `group`.
struct Server {
    publisher: Publisher,
    units: watch::Sender<Arc<Units>>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tasks: JoinSet<Result<()>>,
    base: tempfile::TempDir,
}

fn units(pattern: &str) -> Arc<Units> {
    let pattern: UnitPattern = pattern.parse().expect("a pattern");
    Arc::new(["db", "token"].map(|local| (name(local), vec![pattern.clone()])).into())
}

/// Puts this process into a control group, as the kernel would show it.
fn show(base: &Path, group: &str) {
    let shown = base.join("cgroup").join(group);
    std::fs::create_dir_all(&shown).expect("made");
    std::fs::write(shown.join("cgroup.procs"), format!("{}\n", std::process::id())).expect("written");
}

impl Server {
    fn start(uid: u32, group: &str) -> Self {
        let base = tempfile::tempdir().expect("a directory");
        show(base.path(), group);
        let settings = Settings { socket: base.path().join("c.sock"), wait: WAIT, units: Units::new() };
        let listeners = bind(Some(&settings), Vec::new()).expect("bound").expect("configured");
        let (publisher, reader) = store::channel([(name("db"), false), (name("token"), true)]);
        let (sender, receiver) = watch::channel(units("train.service"));
        let stop = CancellationToken::new();
        let trust = Trust { groups: base.path().join("cgroup"), uid };
        let metrics = Arc::new(Metrics::new());
        let sources = Sources { reader, units: receiver, metrics: Arc::clone(&metrics) };
        let room = Room::new(trust, WAIT, sources, stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listeners, Arc::new(room)));
        Self { publisher, units: sender, metrics, stop, tasks, base }
    }

    /// A server with a value of `db`, for this process as the unit `train.service`.
    fn of_one() -> Self {
        let server = Self::start(own_uid(), "system.slice/train.service");
        let _ = publish(&server.publisher, "db", Ok(secret('a', b"hunter2")));
        server
    }

    /// Calls as systemd does: from an abstract address, with nothing to say.
    fn call(&self, address: &str) -> UnixStream {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let unique = u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed);
        let own = UnixAddr::new_abstract(format!("{unique:x}{address}").as_bytes()).expect("an address");
        let peer = UnixAddr::new(&self.base.path().join("c.sock")).expect("a path");
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        nix::sys::socket::bind(socket.as_raw_fd(), &own).expect("bound");
        connect(socket.as_raw_fd(), &peer).expect("the server listens");
        shutdown(socket.as_raw_fd(), Shutdown::Write).expect("nothing to say");
        let stream = StdStream::from(socket);
        stream.set_nonblocking(true).expect("set");
        UnixStream::from_std(stream).expect("in a runtime")
    }

    async fn ask(&self, address: &str) -> Vec<u8> {
        read(self.call(address)).await
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic").expect("a clean end");
        }
        assert!(!self.base.path().join("c.sock").exists(), "the socket is removed");
    }
}

async fn read(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the end");
    bytes
}

/// Whether systemd takes these bytes for too many, and so does not start the unit.
fn fails_the_unit(bytes: &[u8]) -> bool {
    bytes.len() > 1024 * 1024 && bytes.iter().all(|&byte| byte == 0)
}

const DB: &str = "/unit/train.service/db";

#[tokio::test]
async fn a_unit_gets_the_bytes_that_it_may_have_and_nothing_else() {
    let server = Server::of_one();
    assert_eq!(server.ask(DB).await, b"hunter2");
    for refused in [
        "/unit/train.service/absent",
        "/unit/train.service/..",
        "/unit/other.service/db",
        "/unit/train.service",
        "/other/train.service/db",
        "",
    ] {
        assert!(fails_the_unit(&server.ask(refused).await), "{refused}");
    }
    server.units.send_replace(units("other@*.service"));
    assert!(fails_the_unit(&server.ask(DB).await), "not any more");
    server.units.send_replace(units("*"));
    assert_eq!(server.ask(DB).await, b"hunter2", "by a reload");
    assert_eq!(server.metrics.credentials(), (2, 7));
    server.stop().await;
}

#[tokio::test]
async fn who_is_not_the_unit_that_it_says_gets_nothing() {
    for group in ["system.slice/other.service", "user.slice/user-0.slice/session-1.scope", ""] {
        let server = Server::start(own_uid(), group);
        let _ = publish(&server.publisher, "db", Ok(secret('a', b"hunter2")));
        assert!(fails_the_unit(&server.ask(DB).await), "{group}");
    }
    let server = Server::of_one();
    std::fs::remove_dir_all(server.base.path().join("cgroup")).expect("there");
    assert!(fails_the_unit(&server.ask(DB).await), "no group is shown");
    let server = Server::start(own_uid() + 1, "system.slice/train.service");
    let _ = publish(&server.publisher, "db", Ok(secret('a', b"hunter2")));
    assert!(fails_the_unit(&server.ask(DB).await), "a caller of another user");
}

#[tokio::test]
async fn a_unit_waits_for_a_secret_that_is_not_there_yet() {
    let server = Server::of_one();
    let caller = server.call("/unit/train.service/token");
    let publish = async {
        // Once this is answered, the one before has been taken in.
        assert_eq!(server.ask(DB).await, b"hunter2");
        let _ = publish(&server.publisher, "token", Ok(secret('b', b"late")));
    };
    let (bytes, ()) = tokio::join!(read(caller), publish);
    assert_eq!(bytes, b"late");
}

#[tokio::test]
async fn units_that_wait_hold_up_nobody_else() {
    let server = Server::of_one();
    let waiting: Vec<_> = (0..WAITING_MAX).map(|_| server.call("/unit/train.service/token")).collect();
    let one_more = timeout(READ_TIME_MAX, server.ask("/unit/train.service/token"));
    assert!(fails_the_unit(&one_more.await.expect("at once")), "there is no place to wait in");
    let other = timeout(READ_TIME_MAX, server.ask(DB));
    assert_eq!(other.await.expect("at once"), b"hunter2", "what is there takes no place");
    let _ = publish(&server.publisher, "token", Ok(secret('b', b"late")));
    for caller in waiting {
        assert_eq!(read(caller).await, b"late");
    }
    assert_eq!(server.ask("/unit/train.service/token").await, b"late");
}

#[tokio::test]
async fn nobody_is_taken_in_before_every_required_secret_is_there() {
    let server = Server::start(own_uid(), "system.slice/train.service");
    let caller = server.call(DB);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let early = caller.try_read(&mut [0]).expect_err("no answer");
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    let _ = publish(&server.publisher, "db", Ok(secret('a', b"hunter2")));
    assert_eq!(read(caller).await, b"hunter2");
}

#[tokio::test]
async fn a_secret_that_was_taken_away_fails_the_unit_at_once() {
    let server = Server::of_one();
    assert_eq!(server.ask(DB).await, b"hunter2");
    let outcome = Outcome::Revoked(Setback::from(&FetchError::NotFound));
    let _ = server.publisher.apply(vec![Fetched { name: name("db"), outcome }], moment(1));
    assert!(fails_the_unit(&server.ask(DB).await));
}

#[tokio::test]
async fn the_end_of_the_agent_fails_the_units_that_wait() {
    let server = Server::of_one();
    let caller = server.call("/unit/train.service/token");
    assert_eq!(server.ask(DB).await, b"hunter2", "the other has been taken in");
    let (bytes, ()) = tokio::join!(read(caller), server.stop());
    assert!(fails_the_unit(&bytes));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_secret_has_an_end() {
    let (_publisher, reader) = store::channel([(name("db"), false)]);
    let (_sender, units) = watch::channel(units("train.service"));
    let stop = CancellationToken::new();
    let sources = Sources { reader, units, metrics: Arc::default() };
    let room = Room::new(Trust::default(), WAIT, sources, stop);
    let claim = Claim::read(b"1/unit/train.service/db").expect("a claim");
    let refusal = room.wait_for(&name("db"), &claim).await.expect_err("nothing comes");
    assert_eq!(refusal.to_string(), "train.service was not given it: there is no value after 60s");
}

#[tokio::test]
async fn the_socket_is_for_the_service_manager_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::of_one();
    let mode = std::fs::metadata(server.base.path().join("c.sock")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
