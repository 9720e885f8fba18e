//! What readers get.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use hyper::StatusCode;

use crate::serve::fixtures::{Agent, GRACE, Setup};

#[tokio::test]
async fn a_value_is_its_bytes_and_nothing_else() {
    let agent = Agent::with_values(Setup::default()).await;
    let every: Vec<u8> = (0..=255).collect();
    let longest = vec![b'x'; 25_600];
    let rows: [&[u8]; 5] = [b"", b"one", &every, &longest, "Schlüssel \u{1f511}\n".as_bytes()];
    for (value, digit) in rows.into_iter().zip('b'..) {
        agent.set("db", digit, value);
        agent.look().await;
        let reply = agent.get("/v1/secrets/db/value").await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.body, value);
        assert_eq!(reply.header("content-length"), value.len().to_string());
        assert_eq!(reply.header("content-type"), "application/octet-stream");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("age"), "30");
        assert_eq!(reply.header("etag"), format!("\"{}\"", digit.to_string().repeat(32)));
        let head = agent.ask("HEAD", "/v1/secrets/db/value", &[]).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        assert_eq!(head.header("content-length"), value.len().to_string());
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_document_has_the_value_and_what_is_known_of_it() {
    let agent = Agent::with_values(Setup::default()).await;
    agent.set("db", 'b', "a \"quoted\"\\\n\u{1} Schlüssel".as_bytes());
    agent.set("token", 'c', b"\xff\x00");
    agent.look().await;
    let reply = agent.get("/v1/secrets/db").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let expected = serde_json::json!({
        "name": "db", "value": "a \"quoted\"\\\n\u{1} Schlüssel", "state": "fresh", "version": "b".repeat(32),
        "content_type": "text/plain", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z",
        "expires": null, "fetched": "2026-01-01T00:00:00Z", "age_seconds": 30, "stale": false, "vault": null,
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(agent.get("/v1/secrets/token").await.json()["value_base64"], "/wA=");
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_read_without_values() {
    let agent = Agent::with_values(Setup::default()).await;
    let reply = agent.get("/v1/secrets").await;
    let document = reply.json();
    let names: Vec<_> = document["secrets"].as_array().expect("a list").iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["db", "token"]);
    assert!(document["secrets"][0].get("value").is_none());
    assert_eq!(agent.ask("GET", "/v1/secrets", &[("if-none-match", reply.header("etag"))]).await.status, 304);
}

#[tokio::test]
async fn a_changed_hidden_secret_changes_nothing_that_others_see() {
    let agent = Agent::with_values(Setup::default()).await;
    let before = agent.get("/v1/secrets").await.body;
    agent.set("hidden", 'b', b"two");
    agent.look().await;
    assert_eq!(agent.get("/v1/secrets").await.body, before);
}

#[tokio::test]
async fn who_has_the_version_already_is_told_so() {
    let agent = Agent::with_values(Setup::default()).await;
    for target in ["/v1/secrets/db", "/v1/secrets/db/value"] {
        let tag = agent.get(target).await.header("etag").to_owned();
        for known in [tag.as_str(), "*", &format!("\"x\", {tag}"), &format!("W/{}", tag.trim_start_matches("W/"))] {
            let reply = agent.ask("GET", target, &[("if-none-match", known)]).await;
            assert_eq!((reply.status, reply.body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!((reply.header("etag"), reply.header("age")), (tag.as_str(), "30"));
        }
        let reply = agent.ask("GET", target, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for_or_said() {
    let agent = Setup::default().start();
    let reply = agent.get("/v1/secrets/db/value").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::SERVICE_UNAVAILABLE, "not_published".to_owned()));
    assert_eq!(reply.header("retry-after"), "2");
    let publication = async {
        agent.set("db", 'a', b"one");
        agent.look().await;
    };
    let (reply, ()) = tokio::join!(agent.get("/v1/secrets/db/value?wait=60s"), publication);
    assert_eq!(reply.body, "one");
}

#[tokio::test]
async fn a_reader_can_wait_for_the_next_version() {
    let agent = Agent::with_values(Setup::default()).await;
    let first = agent.get("/v1/secrets/db/value").await;
    let known = [("if-none-match", first.header("etag"))];
    let late = agent.ask("GET", "/v1/secrets/db/value?wait=20ms", &known).await;
    assert_eq!(late.status, StatusCode::NOT_MODIFIED);
    let rotation = async {
        agent.set("token", 'b', b"another secret's change does not count");
        agent.look().await;
        agent.set("db", 'b', b"two");
        agent.look().await;
    };
    let (second, ()) = tokio::join!(agent.ask("GET", "/v1/secrets/db/value?wait=60s", &known), rotation);
    assert_eq!((second.status, &second.body[..]), (StatusCode::OK, &b"two"[..]));
}

#[tokio::test]
async fn a_list_can_be_waited_for() {
    let agent = Agent::with_values(Setup::default()).await;
    let known = agent.get("/v1/secrets").await.json()["generation"].as_str().expect("a text").to_owned();
    let target = format!("/v1/secrets?wait=60s&after={known}");
    let rotation = async {
        agent.set("db", 'b', b"two");
        agent.look().await;
    };
    let (reply, ()) = tokio::join!(agent.get(&target), rotation);
    assert_ne!(reply.json()["generation"], known.as_str());
    assert_eq!(reply.json()["secrets"][0]["version"], "b".repeat(32));
    let again = agent.get("/v1/secrets?wait=60s&after=0").await;
    assert_eq!(again.json()["generation"], reply.json()["generation"], "another generation is answered at once");
    let late = agent.get("/v1/secrets?wait=20ms").await;
    assert_eq!((late.status, &late.body), (StatusCode::OK, &reply.body), "nothing happened meanwhile");
}

#[tokio::test]
async fn a_stale_value_is_served_and_marked() {
    let agent = Agent::with_values(Setup::default()).await;
    assert_eq!(agent.get("/v1/secrets/db/value").await.header("keyside-stale"), "");
    agent.remove("db");
    agent.look().await;
    let reply = agent.get("/v1/secrets/db/value").await;
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"one"[..]));
    assert_eq!(reply.header("keyside-stale"), "true");
    let document = agent.get("/v1/secrets/db").await.json();
    assert_eq!((&document["stale"], &document["state"]), (&true.into(), &"stale".into()));
}

#[tokio::test]
async fn the_end_of_the_agent_answers_those_who_wait_and_removes_the_socket() {
    let agent = Agent::with_values(Setup::default()).await;
    let socket = agent.socket.clone();
    let mut waiting = UnixStream::connect(&socket).expect("connected");
    let request = b"GET /v1/secrets/db/value?wait=600s HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n";
    waiting.write_all(request).expect("sent");
    // The server runs on one thread: what was there before the first of these is under way after the second.
    agent.get("/healthz").await;
    agent.get("/healthz").await;
    agent.stop().await;
    assert!(!socket.exists());
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "nobody is to ask on: {answer}");
}

#[tokio::test]
async fn who_has_sent_a_half_or_an_empty_line_does_not_hold_up_the_end() {
    for rest in ["", "\r\n", "\r", "GET /he"] {
        let agent = Agent::with_values(Setup::default()).await;
        let mut stream = UnixStream::connect(&agent.socket).expect("connected");
        write!(stream, "GET /healthz HTTP/1.1\r\n\r\n{rest}").expect("sent");
        agent.get("/healthz").await;
        agent.get("/healthz").await;
        let start = std::time::Instant::now();
        agent.stop().await;
        assert!(start.elapsed() < GRACE, "{rest:?}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_revoked_secret_is_gone_for_who_knew_it_and_waited_for_by_who_does_not() {
    let agent = Agent::with_values(Setup::default()).await;
    let tag = agent.get("/v1/secrets/db/value").await.header("etag").to_owned();
    let list = agent.get("/v1/secrets").await;
    agent.revoke("db").await;
    for target in ["/v1/secrets/db", "/v1/secrets/db/value", "/v1/secrets/db/value?wait=20ms"] {
        let reply = agent.get(target).await;
        assert_eq!((reply.status, reply.code()), (StatusCode::GONE, "revoked".to_owned()), "{target}");
        assert_eq!(reply.json()["detail"], "the vault has no such secret or version");
    }
    let known = agent.ask("GET", "/v1/secrets/db/value?wait=60s", &[("if-none-match", &tag)]).await;
    assert_eq!(known.status, StatusCode::GONE, "at once");
    let listed = agent.get("/v1/secrets").await;
    assert_eq!(listed.json()["secrets"][0]["state"], "revoked");
    assert_ne!(listed.header("etag"), list.header("etag"));
    let comes_back = async {
        agent.set("db", 'a', b"one");
        agent.look().await;
    };
    let (reply, ()) = tokio::join!(agent.get("/v1/secrets/db/value?wait=60s"), comes_back);
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"one"[..]));
}

#[tokio::test]
async fn what_could_not_be_confirmed_for_too_long_is_not_served() {
    let agent = Agent::with_values(Setup::default()).await;
    agent.fail();
    agent.pass(std::time::Duration::from_hours(25));
    agent.look().await;
    // The loop takes it away before it takes the next demand.
    agent.look().await;
    let reply = agent.get("/v1/secrets/db/value").await;
    assert_eq!((reply.status, reply.code()), (StatusCode::SERVICE_UNAVAILABLE, "too_stale".to_owned()));
    assert_eq!(reply.header("retry-after"), "30");
    assert_eq!(agent.get("/v1/secrets").await.json()["secrets"][0]["state"], "too_stale");
}
