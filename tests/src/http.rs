//! HTTP/1.1 over a Unix socket, as plainly as a test needs it to see the bytes themselves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::wait;

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// One connection to a socket, kept alive between requests.
#[derive(Debug)]
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects, with a bound on every read.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the agent listens");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a read timeout");
        Self(BufReader::new(stream))
    }

    /// Sends a request without a body and reads the answer.
    ///
    /// # Panics
    /// When the answer is not HTTP.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: keyside\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.0.get_mut().write_all(head.as_bytes()).expect("the request can be sent");
        read_answer(&mut self.0)
    }

    /// The connection itself, after the last answer.
    #[must_use]
    pub fn into_stream(self) -> UnixStream {
        self.0.into_inner()
    }

    /// Gets a path.
    ///
    /// # Panics
    /// When the answer is not HTTP.
    pub fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }
}

/// Gets a path over a connection of its own.
#[must_use]
pub fn get(socket: &Path, path: &str) -> Answer {
    Connection::open(socket).get(path)
}

fn read_answer(stream: &mut impl BufRead) -> Answer {
    let status_line = read_line(stream);
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(stream);
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let body = match (headers.get("content-length"), headers.get("transfer-encoding")) {
        (Some(length), _) => read_exactly(stream, length.parse().expect("a length")),
        (None, Some(_)) => read_chunks(stream),
        (None, None) => Vec::new(),
    };
    Answer { status, headers, body }
}

fn read_chunks(stream: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let length = usize::from_str_radix(&read_line(stream), 16).expect("a chunk length");
        body.extend(read_exactly(stream, length));
        read_line(stream);
        if length == 0 {
            return body;
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("the whole body");
    bytes
}

fn read_line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

/// Has the agent at `socket` look at every secret, as soon as it asks the vault again.
///
/// # Panics
/// When it refuses for another reason.
pub fn refresh(socket: &Path) {
    wait::until("the vault to be asked", || {
        let answer = Connection::open(socket).request("POST", "/v1/refresh", &[]);
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status == 503 && text.contains("held_back") {
            return None;
        }
        assert!((200..300).contains(&answer.status), "{text}");
        Some(())
    });
}
