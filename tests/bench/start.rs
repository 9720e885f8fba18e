//! From the start of the process to the word that the agent is ready.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::azure::{Azure, Holding};
use crate::process::Started;

/// How long an agent may take. One that takes longer is broken, not slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts an agent several times, and gives the seconds that each took.
pub(crate) fn measure(azure: &Azure, holding: Holding, core: usize, starts: usize) -> Vec<f64> {
    let config = azure.config("start", holding, "");
    let manager = azure.estate.folder().join("notify.sock");
    let socket = UnixDatagram::bind(&manager).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    let once = || {
        let mut command = azure.command();
        command.args(["agent", "--config"]).arg(&config).env("NOTIFY_SOCKET", &manager).stderr(Stdio::null());
        let start = Instant::now();
        let agent = Started::on(core, &mut command);
        wait_for(&socket, "READY=1");
        let took = start.elapsed().as_secs_f64();
        drop(agent);
        while drained(&socket) {}
        took
    };
    (0..starts).map(|_| once()).collect()
}

fn wait_for(socket: &UnixDatagram, word: &str) {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).expect("the agent becomes ready");
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == word) {
            return;
        }
    }
}

/// Takes away what the last agent said, one message at a time.
fn drained(socket: &UnixDatagram) -> bool {
    socket.set_nonblocking(true).expect("a socket of ours");
    let found = socket.recv(&mut [0; 4096]).is_ok();
    socket.set_nonblocking(false).expect("a socket of ours");
    found
}
