//! Answers that nobody takes: how much of a value is in memory while they wait.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64ct::{Base64, Encoding as _};
use keyside_tests::agent::Agent;
use keyside_tests::estate::Estate;
use keyside_tests::memory_scan::{self, Count};
use keyside_tests::report::{say, skipped};

/// Where a long value has an escape: beyond what the agent gathers before it sends, so that JSON goes out in two parts.
pub(crate) const ESCAPE_AT: usize = 17_000;

/// How many connections ask and take nothing.
const STUCK: usize = 5;

/// Asks 40 times for a path, takes one byte of the first answer, and so has the agent stuck in the middle of one.
pub(crate) fn ask_and_take_nothing(agent: &Agent, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(agent.socket()).expect("the agent listens");
    let requests = format!("GET {path} HTTP/1.1\r\nHost: keyside\r\n\r\n").repeat(40);
    stream.write_all(requests.as_bytes()).expect("the requests can be sent");
    stream.read_exact(&mut [0]).expect("the first byte");
    // One thread serves everybody, so while it answers these it goes on with the others until they are stuck.
    for _ in 0..20 {
        assert_eq!(agent.get("/healthz").status, 200);
    }
    stream
}

#[test]
fn answers_that_nobody_takes_are_no_copies() {
    // One marker 600 times, so that a part of a copy is found, too. The connection takes up to the escape in one go, and is
    // then full: the rest waits.
    let marker = "stuck-value-7Wq2mZk9Xw4rT8bV1yLc5nHj3pD;";
    let text = format!("{}\"{}", marker.repeat(ESCAPE_AT / marker.len()), marker.repeat(175));
    let marker = marker.as_bytes();
    // In base64 each 384 bytes make the same 512 characters.
    let bytes: Vec<u8> = (0..384_u32).map(|number| 0x80 | (number * 7 % 128).to_le_bytes()[0]).collect();
    let encoded = Base64::encode_string(&bytes);
    let estate = Estate::start(&[("text", &text), ("bytes", &encoded.repeat(48))]);
    let agent = estate.agent(
        "[memory]\nbackend = 'mlock'\n[[secret]]\nname = 'text'\n[[secret]]\nname = 'bytes'\nencoding = 'base64'\n",
    );
    if !memory_scan::is_allowed(agent.pid()) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let once = Count { locked: 600, elsewhere: 0 };
    assert_eq!(memory_scan::count(agent.pid(), marker), once, "before");
    for path in ["/v1/secrets/text/value", "/v1/secrets/text"] {
        let _stuck: Vec<_> = (0..STUCK).map(|_| ask_and_take_nothing(&agent, path)).collect();
        assert_eq!(memory_scan::count(agent.pid(), marker), once, "{path}");
    }
    let _stuck: Vec<_> = (0..STUCK).map(|_| ask_and_take_nothing(&agent, "/v1/secrets/bytes")).collect();
    let pieces = memory_scan::count(agent.pid(), &encoded.as_bytes()[..40]);
    say(&format!("{STUCK} stuck readers of base64: {} encoded pieces in memory", pieces.locked + pieces.elsewhere));
    assert!(pieces.locked == 0 && pieces.elsewhere <= STUCK, "{pieces:?}");
}
