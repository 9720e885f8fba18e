//! What one caller cannot take from the others.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use hyper::StatusCode;

use crate::serve::fixtures::{Agent, Setup, exchange};
use crate::serve::limits::Limits;

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_closed_and_hold_up_nobody() {
    let limits = Limits { request_time: Duration::from_secs(1), ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let silent: Vec<_> = (0..50).map(|_| UnixStream::connect(&agent.socket).expect("connected")).collect();
    assert_eq!(agent.get("/v1/secrets/db/value").await.body, "one");
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        assert_eq!(stream.read(&mut [0; 1]).expect("closed by the agent"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_trickles_in_does_not_live_longer_than_one_that_is_silent() {
    let limits = Limits { request_time: Duration::from_secs(1), ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let mut stream = UnixStream::connect(&agent.socket).expect("connected");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
    let start = std::time::Instant::now();
    // A byte about every 20 ms, until the agent has had enough.
    while stream.write_all(b"G").is_ok() && stream.read(&mut [0; 1]).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "the agent is patient without end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_is_given_up() {
    let limits = Limits { request_time: Duration::from_secs(1), ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    agent.set("db", 'b', &vec![b'x'; 25_600]);
    agent.look().await;
    let mut stream = UnixStream::connect(&agent.socket).expect("connected");
    stream.set_write_timeout(Some(Duration::from_secs(10))).expect("set");
    let request = b"GET /v1/secrets/db/value HTTP/1.1\r\nHost: x\r\n\r\n";
    // Once the buffers of the kernel are full of answers, the agent reads no more requests, and then it closes.
    let refused = std::iter::repeat_with(|| stream.write_all(request)).find_map(Result::err).expect("an end");
    assert!(
        matches!(refused.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset),
        "{refused}"
    );
    assert_eq!(agent.get("/v1/secrets/token/value").await.body, "one");
}

#[tokio::test]
async fn a_reader_may_wait_longer_than_a_request_may_take() {
    let limits = Limits { request_time: Duration::from_secs(1), ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let reply = agent.ask("GET", "/v1/secrets/db/value?wait=2s", &[("if-none-match", "*")]).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_connection_that_asked_nothing_does_not_put_off_the_end() {
    let agent = Agent::with_values(Setup::default()).await;
    let _silent = UnixStream::connect(&agent.socket).expect("connected");
    let mut half = UnixStream::connect(&agent.socket).expect("connected");
    half.write_all(b"GET /healthz HT").expect("sent");
    agent.get("/healthz").await;
    let start = std::time::Instant::now();
    agent.stop().await;
    assert!(start.elapsed() < Duration::from_secs(2), "the grace period is five: {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_too_many_connections_is_told_so() {
    let limits = Limits { connections_per_user: 2, ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let _both = [(); 2].map(|()| UnixStream::connect(&agent.socket).expect("connected"));
    let answer = agent.send(b"");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}");
    assert!(head.contains("\r\nretry-after: 1"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).expect("JSON")["code"], "too_many_connections");
}

#[tokio::test]
async fn a_thousand_reads_over_one_connection_are_answered() {
    let agent = Agent::with_values(Setup::default()).await;
    let mut connection = crate::client::connection::Connection::open(&agent.socket).await.expect("connected");
    for _ in 0..1000 {
        let question = crate::client::connection::Question::get("/v1/secrets/db/value");
        let answer = connection.ask(question).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body").to_bytes();
        assert_eq!(body, "one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_waits_for_too_many_changes_is_told_so_and_still_reads() {
    let limits = Limits { waits_per_user: 2, ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let request = b"GET /v1/secrets/db/value?wait=60s HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n";
    let waiting = [(); 2].map(|()| {
        let mut stream = UnixStream::connect(&agent.socket).expect("connected");
        stream.write_all(request).expect("sent");
        stream
    });
    // The server answers one after the other, and both came first.
    agent.get("/healthz").await;
    agent.get("/healthz").await;
    for target in ["/v1/secrets/db?wait=1s", "/v1/secrets/db/value?wait=1s", "/v1/secrets?wait=1s&after=x"] {
        let reply = agent.get(target).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (429, "too_many_waits"), "{target}");
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(agent.get("/v1/secrets/db/value").await.body, "one", "who does not wait is answered");
    assert_eq!(agent.get("/v1/secrets/hidden?wait=1s").await.status, StatusCode::NOT_FOUND, "as what does not exist");
    drop(waiting);
    let reply = until_answered(&agent, "/v1/secrets?wait=1ms").await;
    assert_eq!(reply.status, StatusCode::OK, "given back");
}

/// Asks until the server has noticed that others left.
async fn until_answered(agent: &Agent, target: &str) -> crate::serve::fixtures::Reply {
    loop {
        let reply = agent.get(target).await;
        if reply.status != StatusCode::TOO_MANY_REQUESTS {
            return reply;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn too_many_looks_are_refused_with_the_time_to_wait() {
    let limits = Limits { refresh_burst: 2, refresh_interval: Duration::from_mins(1), ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    for _ in 0..2 {
        assert_eq!(agent.ask("POST", "/v1/refresh?name=db", &[]).await.status, StatusCode::OK);
    }
    let reply = agent.ask("POST", "/v1/refresh?name=db", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (429, "too_many_refreshes"));
    assert!((1..=60).contains(&reply.header("retry-after").parse().expect("seconds")), "{reply:?}");
}

#[tokio::test]
async fn the_network_is_answered_about_health_only() {
    let agent = Agent::with_values(Setup { tcp: true, ..Setup::default() }).await;
    let ask = async |target| {
        let stream = tokio::net::TcpStream::connect(agent.tcp.expect("an address")).await.expect("connected");
        exchange(stream, "GET", target, &[]).await
    };
    assert_eq!(ask("/healthz").await.status, StatusCode::OK);
    assert_eq!(ask("/readyz").await.status, StatusCode::OK);
    let metrics = ask("/metrics").await;
    assert_eq!(metrics.status, StatusCode::OK);
    assert!(!String::from_utf8_lossy(&metrics.body).contains("db"), "no secret is named");
    assert!(!String::from_utf8_lossy(&metrics.body).contains("memory_used"), "nor how long they are");
    for target in ["/v1/secrets", "/v1/secrets/db", "/v1/secrets/db/value", "/v1/status"] {
        assert_eq!(ask(target).await.status, StatusCode::NOT_FOUND, "{target}");
    }
}
