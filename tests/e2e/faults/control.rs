//! Who is asked in the same way as the agent and has nothing to do: what a busy machine adds to every time measured on it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long it takes to be answered by a thread that only sends back what it gets, connection included.
pub(crate) fn ask() -> Duration {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    let socket = SOCKET.get_or_init(serve);
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let mut answer = [0];
    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut answer)).expect("it answers");
    start.elapsed()
}

/// Starts the thread, which lives as long as the test.
fn serve() -> PathBuf {
    let folder = tempfile::TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
    let socket = folder.path().join("control.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    std::thread::spawn(move || {
        let _folder = folder;
        for mut stream in listener.incoming().flatten() {
            let mut question = [0];
            // Who went away wants no answer.
            drop(stream.read_exact(&mut question).and_then(|()| stream.write_all(&question)));
        }
    });
    socket
}

#[test]
fn it_answers() {
    assert!(ask() > Duration::ZERO);
}
