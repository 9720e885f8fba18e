//! That a secret exists is seen by nobody who may not read it: not in any answer, and not in what it takes to make one.

use hyper::StatusCode;

use crate::serve::fixtures::{Agent, Reply, Setup};

/// Everything of an answer but the time of day.
fn bytes(reply: &Reply, name: &str) -> (StatusCode, Vec<(String, Vec<u8>)>, String) {
    let headers = reply.headers.iter().filter(|(key, _)| *key != "date");
    let headers = headers.map(|(key, value)| (key.to_string(), value.as_bytes().to_vec())).collect();
    (reply.status, headers, String::from_utf8_lossy(&reply.body).replace(name, "NAME"))
}

/// A way of asking for a secret: method, what follows its name, and headers.
type Way = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const WAYS: [Way; 22] = [
    ("GET", "", &[]),
    ("GET", "/value", &[]),
    ("HEAD", "", &[]),
    ("HEAD", "/value", &[]),
    ("GET", "?wait=60s", &[]),
    ("GET", "/value?wait=60s", &[]),
    ("GET", "?wait=60s", &[("if-none-match", "*")]),
    ("GET", "/value?wait=60s", &[("if-none-match", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"")]),
    ("GET", "", &[("if-none-match", "*")]),
    ("GET", "/value", &[("if-none-match", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"")]),
    ("GET", "?wait=soon", &[]),
    ("GET", "?unknown", &[]),
    ("GET", "/other", &[]),
    ("GET", "/value/", &[]),
    ("GET", "%20", &[]),
    ("POST", "", &[]),
    ("PUT", "/value", &[]),
    ("DELETE", "", &[]),
    ("OPTIONS", "", &[]),
    ("BREW", "/value", &[]),
    ("GET", "", &[("origin", "https://example.com")]),
    ("GET", "", &[("accept", "text/html"), ("range", "bytes=0-1")]),
];

#[tokio::test]
async fn a_hidden_secret_is_answered_byte_for_byte_like_an_absent_one() {
    let agent = Agent::with_values(Setup::default()).await;
    for (method, rest, headers) in WAYS {
        // Names of one length, since some answers repeat what was asked for.
        let [hidden, absent] = ["hidden", "absent"].map(|name| format!("/v1/secrets/{name}{rest}"));
        let hidden = agent.ask(method, &hidden, headers).await;
        let absent = agent.ask(method, &absent, headers).await;
        assert_eq!(bytes(&hidden, "hidden"), bytes(&absent, "absent"), "{method} {rest} {headers:?}");
        assert_ne!(hidden.status, StatusCode::OK, "{method} {rest}");
    }
    for query in ["?name=NAME", "?name=NAME&name=NAME", "?name=NAME%20", "?name=NAME&x=1"] {
        let [hidden, absent] = ["hidden", "absent"].map(|name| format!("/v1/refresh{}", query.replace("NAME", name)));
        let hidden = agent.ask("POST", &hidden, &[]).await;
        let absent = agent.ask("POST", &absent, &[]).await;
        assert_eq!(bytes(&hidden, "hidden"), bytes(&absent, "absent"), "{query}");
        assert!(hidden.status.is_client_error(), "{query}");
    }
}

#[tokio::test]
async fn refusals_do_not_use_up_what_only_existing_secrets_have() {
    let agent = Agent::with_values(Setup::default()).await;
    // More than the budget for looks: who may not read a secret takes nothing of it.
    for _ in 0..20 {
        assert_eq!(agent.ask("POST", "/v1/refresh?name=hidden", &[]).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(agent.ask("POST", "/v1/refresh?name=db", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_page_shows_a_name_that_is_hidden_nor_changes_with_it() {
    const PAGES: [&str; 5] = ["/v1/secrets", "/v1/secrets?wait=1ms", "/v1/status", "/metrics", "/readyz"];
    let agent = Agent::with_values(Setup::default()).await;
    for name in ["hidden", "absent"] {
        agent.get(&format!("/v1/secrets/{name}")).await;
    }
    for page in PAGES {
        let reply = agent.get(page).await;
        assert!(!String::from_utf8_lossy(&reply.body).contains("hidden"), "{page}");
    }
    let before = agent.get("/v1/secrets").await;
    let status = agent.get("/v1/status").await.json();
    agent.set("hidden", 'b', b"two");
    agent.look().await;
    agent.remove("hidden");
    agent.look().await;
    let after = agent.get("/v1/secrets").await;
    assert_eq!(bytes(&before, ""), bytes(&after, ""), "the generation and the tag, too");
    assert_eq!(status["secrets"], agent.get("/v1/status").await.json()["secrets"]);
    assert_eq!(status["failures"], agent.get("/v1/status").await.json()["failures"]);
}
