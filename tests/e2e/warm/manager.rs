//! A service manager as far as an agent can tell: it is told things, passes sockets, and keeps descriptors between two agents.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use keyside_tests::agent::Agent;
use keyside_tests::binaries;
use keyside_tests::estate::Estate;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Descriptors that wait to be inherited have numbers from here on, so that none is in the place of another's target.
const WAITING_FROM: i32 = 100;

/// What was said so far, and what is kept.
#[derive(Debug, Default)]
struct Heard {
    words: Vec<String>,
    kept: Vec<(String, OwnedFd)>,
}

/// A service manager with one service.
pub(crate) struct Manager {
    socket: PathBuf,
    heard: Arc<Mutex<Heard>>,
    pub(crate) listener: UnixListener,
}

impl Manager {
    /// One that listens for the agent of this estate.
    pub(crate) fn start(estate: &Estate) -> Self {
        let socket = estate.folder().join("notify");
        let ears = UnixDatagram::bind(&socket).expect("bound");
        let heard = Arc::<Mutex<Heard>>::default();
        let told = Arc::clone(&heard);
        // It ends with the test's process.
        std::thread::spawn(move || while hear(&ears, &told).is_some() {});
        std::fs::create_dir_all(estate.socket().parent().expect("a parent")).expect("made");
        let listener = UnixListener::bind(estate.socket()).expect("bound");
        Self { socket, heard, listener }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("not poisoned")
    }

    /// Whether a datagram with this line has come.
    pub(crate) fn was_told(&self, line: &str) -> bool {
        self.heard().words.iter().any(|datagram| datagram.lines().any(|said| said == line))
    }

    /// Forgets what was said, and not what is kept.
    pub(crate) fn turn_the_page(&self) {
        self.heard().words.clear();
    }

    /// The names of what is kept.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.heard().kept.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Drops all that is kept, as `systemctl stop` does.
    pub(crate) fn drop_kept(&self) {
        self.heard().kept.clear();
    }

    /// Keeps something that no agent gave.
    pub(crate) fn smuggle(&self, name: &str, descriptor: impl AsFd) {
        let copy = descriptor.as_fd().try_clone_to_owned().expect("a copy");
        self.heard().kept.push((name.to_owned(), copy));
    }

    /// Starts the agent with the socket, what is kept, and a watchdog.
    pub(crate) fn start_agent(&self, config: &Path, estate: &Estate, vault: Vault) -> Agent {
        let heard = self.heard();
        let kept = heard.kept.iter().map(|(name, descriptor)| (name.as_str(), descriptor.as_fd()));
        let passed: Vec<_> = [("agent", self.listener.as_fd())].into_iter().chain(kept).collect();
        let waiting: Vec<_> = passed.iter().map(|(_, descriptor)| inheritable(descriptor)).collect();
        let names: Vec<_> = passed.iter().map(|(name, _)| *name).collect();
        let places = waiting.iter().enumerate().map(|(index, from)| format!("{}<&{}", index + 3, from.as_raw_fd()));
        let closed = waiting.iter().map(|from| format!("{}<&-", from.as_raw_fd()));
        let script =
            format!("export LISTEN_PID=$$; exec \"$0\" \"$@\" {}", places.chain(closed).collect::<Vec<_>>().join(" "));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(binaries::path("keyside"));
        let mut variables = estate.variables();
        if vault == Vault::Down {
            variables.insert("HTTPS_PROXY".to_owned(), "http://127.0.0.1:9".to_owned());
        }
        let socket = self.socket.to_str().expect("text");
        for (name, value) in [
            ("NOTIFY_SOCKET", socket),
            ("FDSTORE", "16"),
            ("WATCHDOG_USEC", "400000"),
            ("LISTEN_FDS", &waiting.len().to_string()),
            ("LISTEN_FDNAMES", &names.join(":")),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        let arguments = [Path::new("--config"), config].map(Path::as_os_str);
        Agent::start_by(command, &arguments, &estate.socket(), &config.with_extension("log"), &variables)
    }
}

/// Whether the vault can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vault {
    Up,
    Down,
}

fn inheritable(descriptor: &impl AsFd) -> OwnedFd {
    let copy = fcntl_dupfd_cloexec(descriptor, WAITING_FROM).expect("a copy");
    fcntl_setfd(&copy, FdFlags::empty()).expect("set");
    copy
}

/// Takes one datagram in; none once the socket is gone.
fn hear(ears: &UnixDatagram, heard: &Mutex<Heard>) -> Option<()> {
    let mut bytes = [0; 4096];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut more = RecvAncillaryBuffer::new(&mut room);
    let message = recvmsg(ears, &mut [IoSliceMut::new(&mut bytes)], &mut more, RecvFlags::CMSG_CLOEXEC).ok()?;
    let text = String::from_utf8_lossy(&bytes[..message.bytes]).into_owned();
    let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default().to_owned();
    let mut heard = heard.lock().expect("not poisoned");
    if text.lines().any(|line| line == "FDSTOREREMOVE=1") {
        heard.kept.retain(|(known, _)| *known != name);
    }
    for part in more.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            heard.kept.extend(descriptors.map(|descriptor| (name.clone(), descriptor)));
        }
    }
    heard.words.push(text);
    Some(())
}
