//! One reader's latency, alone and while another user floods the same agent: what a bench prints and a test bounds.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::user::User;

/// How the other user floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Nobody else is there.
    Quiet,
    /// As many connections as the agent grants, silent.
    Silent,
    /// A hundred connections that all ask again as soon as they are answered.
    Asking,
    /// Names that do not exist, over a hundred connections.
    Guessing,
    /// Connections that are opened and closed as fast as one thread can, most of them over the limit.
    Knocking,
    /// More connections at once than the agent grants, kept open, again and again.
    Crowding,
}

impl Flood {
    /// All of them, the quiet first.
    pub const ALL: [Self; 6] =
        [Self::Quiet, Self::Silent, Self::Asking, Self::Guessing, Self::Knocking, Self::Crowding];
}

/// How long reads took.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of them were faster.
    pub p50: Duration,
    /// 99 of 100 were faster.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
    /// How many requests and connections of the other user were done meanwhile.
    pub others: u64,
}

/// How many connections the other user has who asks over all of them.
const ASKERS: usize = 100;

/// More than the agent grants one user by default.
const OVER_THE_LIMIT: usize = 300;

/// Reads `path` as `reader` so many times over one connection, a moment between two reads, while `other` floods.
///
/// # Panics
/// When a read is not answered with 200, or this is not root.
#[must_use]
pub fn read_among(
    socket: &Path,
    path: &str,
    (reader, other): (User<'_>, User<'_>),
    flood: Flood,
    reads: usize,
) -> Latency {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| other.act(|| make(flood, socket, path, (&stop, &done))));
        let took = reader.act(|| time(socket, path, reads, &stop));
        latency(took, done.load(Ordering::Relaxed))
    })
}

/// The flood begins with the first reads; what it does to them before it is at its height only makes the rest look better,
/// so the first tenth is not counted.
fn time(socket: &Path, path: &str, reads: usize, stop: &AtomicBool) -> Vec<Duration> {
    const PAUSE: Duration = Duration::from_micros(500);
    let mut connection = Connection::open(socket);
    let warm_up = reads / 10;
    let mut took = Vec::with_capacity(reads + warm_up);
    for _ in 0..reads + warm_up {
        let start = Instant::now();
        let status = connection.get(path).status;
        took.push(start.elapsed());
        if status != 200 {
            stop.store(true, Ordering::Relaxed);
            panic!("{path} was answered with {status}");
        }
        std::thread::sleep(PAUSE);
    }
    stop.store(true, Ordering::Relaxed);
    took.split_off(warm_up)
}

fn latency(mut took: Vec<Duration>, others: u64) -> Latency {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    Latency { p50: at(50), p99: at(99), max: at(100), others }
}

fn make(flood: Flood, socket: &Path, path: &str, (stop, done): (&AtomicBool, &AtomicU64)) {
    let goes_on = || !stop.load(Ordering::Relaxed);
    match flood {
        Flood::Quiet => {}
        Flood::Silent => {
            let _silent: Vec<_> = (0..OVER_THE_LIMIT).filter_map(|_| UnixStream::connect(socket).ok()).collect();
            done.store(1, Ordering::Relaxed);
            while goes_on() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Flood::Asking => ask(socket, path, (stop, done)),
        Flood::Guessing => ask(socket, "/v1/secrets/no-such-name/value", (stop, done)),
        Flood::Knocking => {
            while goes_on() {
                drop(UnixStream::connect(socket));
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Flood::Crowding => {
            while goes_on() {
                let crowd: Vec<_> = (0..OVER_THE_LIMIT).filter_map(|_| UnixStream::connect(socket).ok()).collect();
                done.fetch_add(crowd.len() as u64, Ordering::Relaxed);
            }
        }
    }
}

/// From one thread, so that the flood is the agent's work and not this machine's: all are asked, then all answers taken.
fn ask(socket: &Path, path: &str, (stop, done): (&AtomicBool, &AtomicU64)) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: keyside\r\n\r\n");
    let connect = |_| UnixStream::connect(socket).expect("the agent listens");
    let mut all: Vec<_> = (0..ASKERS).map(connect).collect();
    let mut answer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        for stream in &mut all {
            stream.write_all(request.as_bytes()).expect("the agent reads");
        }
        for stream in &mut all {
            // Answers here are short, and come in one piece; what is left of one is read with the next.
            let read = stream.read(&mut answer).expect("an answer");
            assert!(read > 0, "the agent closed a connection that asked");
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}
