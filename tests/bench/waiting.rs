//! How soon readers who wait for a new version have it, from the first of them to the last.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use keyside_tests::agent::Agent;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::azure::{Azure, Holding, SECRET, VALUE};

/// Rotates a secret that `readers` wait for several times, and gives the seconds from the first answer to the last of each.
///
/// # Errors
/// When a reader does not get the new version.
pub(crate) fn measure(
    (azure, agent): (&Azure, &Agent),
    holding: Holding,
    readers: usize,
    rotations: usize,
) -> io::Result<Vec<f64>> {
    let once = |rotation| {
        let value = format!("{readers}-{rotation}-{VALUE}");
        let tag = agent.get(&format!("/v1/secrets/{SECRET}/value")).headers["etag"].clone();
        let waiting: io::Result<Vec<_>> = (0..readers).map(|_| wait(agent.socket(), &tag)).collect();
        // Each has been understood once this question, which came after them, is answered.
        let status = agent.get("/v1/status").status;
        assert_eq!(status, 200);
        azure.rotate(holding, &value);
        until_all_have_it(waiting?, &value)
    };
    (0..rotations).map(once).collect()
}

/// Asks for another version than the one that has this tag.
fn wait(socket: &Path, tag: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    let path = format!("/v1/secrets/{SECRET}/value?wait=60s");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: keyside\r\nIf-None-Match: {tag}\r\n\r\n")?;
    Ok(stream)
}

fn until_all_have_it(mut waiting: Vec<UnixStream>, value: &str) -> io::Result<f64> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (number, stream) in waiting.iter().enumerate() {
        epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
    }
    let mut events = vec![EpollEvent::empty(); waiting.len()];
    let (mut left, mut first) = (waiting.len(), None);
    while left > 0 {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        first.get_or_insert_with(Instant::now);
        for event in &events[..count] {
            let stream = &mut waiting[usize::try_from(event.data()).expect("the number of a reader")];
            let mut answer = [0; 1024];
            let length = stream.read(&mut answer)?;
            let answer = &answer[..length];
            if !answer.starts_with(b"HTTP/1.1 200") || !answer.ends_with(value.as_bytes()) {
                return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
            }
            left -= 1;
        }
    }
    Ok(first.map_or(0.0, |first| first.elapsed().as_secs_f64()))
}
