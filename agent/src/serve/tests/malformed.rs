//! Bytes that are no good requests: each is answered or dropped in bounded time, and the server goes on.

use crate::serve::fixtures::{Agent, Setup};
use crate::serve::limits::Limits;

/// What is sent, and how the answer must start.
type Sent<'a> = (&'static str, &'a [u8], &'static str);

/// An empty start is a connection that is closed without a word.
const SENT: &[Sent<'static>] = &[
    ("a good request", b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"),
    ("an old request", b"GET /healthz HTTP/1.0\r\n\r\n", "HTTP/1.0 200"),
    ("nothing", b"", ""),
    ("one byte", b"G", ""),
    ("half a request", b"GET /healthz HTTP/1.1\r\nHost", ""),
    ("an empty line", b"\r\n\r\n", ""),
    ("no HTTP", b"hello\r\n\r\n", "HTTP/1.1 400"),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
    ("HTTP/3.1", b"GET / HTTP/3.1\r\n\r\n", "HTTP/1.1 400"),
    ("a NUL in the path", b"GET /v1/secrets/d\0b HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"),
    ("a NUL in a header", b"GET /healthz HTTP/1.1\r\nHost: x\0\r\n\r\n", "HTTP/1.1 400"),
    ("a bare line feed in a header", b"GET /healthz HTTP/1.1\r\nHo\nst: x\r\n\r\n", "HTTP/1.1 400"),
    ("a space in a header name", b"GET /healthz HTTP/1.1\r\nHo st: x\r\n\r\n", "HTTP/1.1 400"),
    ("no path", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400"),
    ("bytes that are no text in the path", b"GET /v1/\xff\xfe HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 4"),
    ("a body", b"POST /v1/refresh?name=db HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413"),
    ("a promised body", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n", "HTTP/1.1 413"),
    (
        "a chunked body",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 413",
    ),
    (
        "two lengths",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 400",
    ),
    ("a length that is none", b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"),
    ("a tunnel", b"CONNECT db:443 HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"),
    ("an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"),
    ("an upgrade", b"GET /healthz HTTP/1.1\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP/1.1 200"),
    (
        "an expectation",
        b"POST /v1/refresh HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 413",
    ),
    (
        "two requests at once",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_makes_the_server_panic_or_hang() {
    let limits = Limits { request_time: std::time::Duration::from_secs(1), ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(20_000));
    let long_header = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let many_headers = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200));
    let endless_header = format!("GET /healthz HTTP/1.1\r\nX: {}", "a".repeat(1_000_000));
    let heads: [Sent<'_>; 4] = [
        ("a long path", long_path.as_bytes(), "HTTP/1.1 431"),
        ("a long header", long_header.as_bytes(), "HTTP/1.1 431"),
        ("many headers", many_headers.as_bytes(), "HTTP/1.1 431"),
        ("a header without an end", endless_header.as_bytes(), "HTTP/1.1 431"),
    ];
    std::thread::scope(|scope| {
        for (what, bytes, start) in SENT.iter().chain(&heads) {
            let agent = &agent;
            scope.spawn(move || {
                let answer = agent.send(bytes);
                assert!(answer.starts_with(start), "{what}: {answer:?}");
                assert!(!start.is_empty() || answer.is_empty(), "{what}: {answer:?}");
                assert!(answer.len() < 2000, "{what}: {answer:?}");
            });
        }
    });
    assert_eq!(agent.get("/v1/secrets/db/value").await.body, "one");
    agent.stop().await;
}

#[tokio::test]
async fn names_that_cannot_be_are_answered_with_the_one_document_for_nothing_here() {
    let agent = Agent::with_values(Setup::default()).await;
    let long = "a".repeat(500);
    let expected = agent.get("/v1/secrets/absent").await;
    for name in
        ["..", "%2e%2e", "a%2fb", "..%2f..%2fetc%2fpasswd", "db%00", "%00", "%", "%zz", "%ff", &long, "db%20", "d_b"]
    {
        let reply = agent.get(&format!("/v1/secrets/{name}")).await;
        assert_eq!((reply.status, &reply.body), (expected.status, &expected.body), "{name}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{name}");
    }
}

/// Method, target, headers, and the status and code that they get.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16, &'static str);

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let agent = Agent::with_values(Setup::default()).await;
    let rows: &[Row] = &[
        ("GET", "/nowhere", &[], 404, "not_found"),
        ("DELETE", "/v1/secrets/db", &[], 405, "method_not_allowed"),
        ("GET", "/v1/secrets?waits=1s", &[], 400, "bad_query"),
        ("GET", "/v1/secrets/db?wait=1h", &[], 400, "bad_query"),
        ("GET", "/healthz", &[("origin", "https://evil.example")], 403, "forwarded"),
        ("GET", "/v1/secrets/db", &[("x-forwarded-for", "10.0.0.1")], 403, "forwarded"),
        ("GET", "/v1/secrets/db", &[("forwarded", "for=10.0.0.1")], 403, "forwarded"),
        ("POST", "/v1/refresh", &[], 403, "not_operator"),
    ];
    for (method, target, headers, status, code) in rows {
        let reply = agent.ask(method, target, headers).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (*status, *code), "{method} {target}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["status"], *status);
    }
    let reply = agent.ask("PUT", "/v1/refresh", &[]).await;
    assert_eq!(reply.header("allow"), "POST");
}
