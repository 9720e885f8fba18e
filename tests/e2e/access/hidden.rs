//! That a secret exists is not seen by who may not read it: the same bytes, and no other time.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use keyside_tests::estate::Estate;
use keyside_tests::http::Connection;
use keyside_tests::report::say;
use keyside_tests::user::User;

use super::{STRANGER, TRAINER, may_be_others};

/// Everything that comes back before the agent closes, but for the time of day.
fn exchange(socket: &Path, request: &str) -> Vec<String> {
    let mut stream = UnixStream::connect(socket).expect("the agent listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text, and the end");
    answer
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
        .map(str::to_owned)
        .collect()
}

/// Requests for a secret called NAME.
const REQUESTS: [&str; 9] = [
    "GET /v1/secrets/NAME HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "GET /v1/secrets/NAME/value HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "HEAD /v1/secrets/NAME/value HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "GET /v1/secrets/NAME/value?wait=60s HTTP/1.1\r\nConnection: close\r\nHost: x\r\nIf-None-Match: *\r\n\r\n",
    "GET /v1/secrets/NAME?wait=60s HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "DELETE /v1/secrets/NAME HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "BREW /v1/secrets/NAME/value HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "POST /v1/refresh?name=NAME HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
    "GET /v1/secrets/NAME?wait=x HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n",
];

/// How many pairs are timed: enough that what disturbs some of them moves no middle.
const PAIRS: usize = 3_000;

/// How much longer the one may take: far more than what differs, and far less than any extra step that waits, writes, or
/// asks the vault. What is finer than that, the bench shows.
const FACTOR: f64 = 1.5;

#[test]
fn a_hidden_secret_is_like_an_absent_one_to_the_byte_and_in_time() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("hidden", "a-value-that-nobody-sees")]);
    let audit = format!("[audit]\nfile = '{}'\n", estate.folder().join("audit").display());
    let secret = format!("[[secret]]\nname = 'hidden'\nfile = false\nreaders = ['uid:{TRAINER}']\n");
    let agent = estate.agent(&(audit + &secret));
    User::alone(STRANGER).act(|| {
        for request in REQUESTS {
            let [hidden, absent] =
                ["hidden", "absent"].map(|name| exchange(agent.socket(), &request.replace("NAME", name)));
            assert_eq!(hidden, absent, "{request}");
            assert!(hidden[0].starts_with("HTTP/1.1 4"), "{request}: {hidden:?}");
        }
        for page in ["/v1/secrets", "/v1/status", "/metrics", "/readyz"] {
            let answer = agent.get(page);
            assert!(!String::from_utf8_lossy(&answer.body).contains("hidden"), "{page}");
        }
        // Beyond what the log remembers of one user.
        (0..100).for_each(|number| assert_eq!(agent.get(&format!("/v1/secrets/n{number}")).status, 404));
        let medians = medians(agent.socket());
        say(&format!("a hidden secret takes {:?}, an absent one {:?}", medians[0], medians[1]));
        let factor = medians[0].as_secs_f64() / medians[1].as_secs_f64();
        assert!((1.0 / FACTOR..FACTOR).contains(&factor), "{factor}: {medians:?}");
    });
    assert!(agent.log().contains("no secret of this name is configured"), "the log knows");
}

/// The middle of the times of both, taken by turns.
fn medians(socket: &Path) -> [Duration; 2] {
    let mut connection = Connection::open(socket);
    let mut took = [Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS)];
    for _ in 0..PAIRS {
        for (name, took) in ["hidden", "absent"].iter().zip(&mut took) {
            let start = Instant::now();
            assert_eq!(connection.get(&format!("/v1/secrets/{name}/value")).status, 404);
            took.push(start.elapsed());
        }
    }
    took.map(|mut took| {
        took.sort_unstable();
        took[PAIRS / 2]
    })
}
