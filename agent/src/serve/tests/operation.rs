//! What operators and probes get.

use hyper::StatusCode;

use crate::principal::Principal;
use crate::serve::fixtures::{Agent, Setup};
use crate::testing::own_uid;

fn operated() -> Setup {
    Setup { operators: vec![Principal::User(own_uid())], ..Setup::default() }
}

#[tokio::test]
async fn readiness_waits_for_every_required_secret_and_names_only_what_the_caller_may_see() {
    for (setup, detail) in [
        (operated(), "required secrets without a value: 1, among them hidden"),
        (Setup::default(), "required secrets without a value: 1"),
    ] {
        let agent = setup.start();
        agent.set("db", 'a', b"one");
        agent.look().await;
        let reply = agent.get("/readyz").await;
        assert_eq!((reply.status, reply.code()), (StatusCode::SERVICE_UNAVAILABLE, "not_ready".to_owned()));
        assert_eq!(reply.json()["detail"], detail);
        assert_eq!(agent.get("/healthz").await.status, StatusCode::OK);
        agent.set("hidden", 'a', b"one");
        agent.look().await;
        assert_eq!(agent.get("/readyz").await.json()["status"], "ready");
    }
}

#[tokio::test]
async fn operators_see_everything_but_values_and_others_what_they_may_read() {
    let agent = Agent::with_values(operated()).await;
    agent.remove("hidden");
    agent.look().await;
    let status = agent.get("/v1/status").await;
    let document = status.json();
    assert_eq!(document["secrets"].as_array().map(Vec::len), Some(3));
    assert_eq!(document["operation"]["identity"], "managed identity");
    assert_eq!(document["operation"]["memory_protection"], serde_json::Value::Null, "nothing is held");
    let _held = agent.arena.store(b"two").expect("memory");
    let operation = agent.get("/v1/status").await.json()["operation"].clone();
    assert_eq!((&operation["memory_protection"], &operation["memory_used_bytes"]), (&"unprotected".into(), &64.into()));
    assert_eq!(document["failures"][0]["code"], "not_found");
    assert_eq!(
        document["failures"][0]["message"],
        "the vault has no such secret or version: create it there, or correct the name or version asked for"
    );
    assert!(!String::from_utf8_lossy(&status.body).contains("one"), "{document}");
    assert_eq!(agent.get("/v1/secrets/hidden").await.status, StatusCode::NOT_FOUND, "to see is not to read");

    let agent = Agent::with_values(Setup::default()).await;
    agent.remove("hidden");
    agent.remove("db");
    agent.look().await;
    let document = agent.get("/v1/status").await.json();
    assert_eq!(document["operation"], serde_json::Value::Null);
    assert!(!document.to_string().contains("hidden"), "{document}");
    assert_eq!(document["failures"][0]["name"], "db");
    assert_eq!(document["failures"][0]["message"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_look_can_be_asked_for_and_tells_what_came_of_it() {
    let agent = Agent::with_values(operated()).await;
    agent.set("db", 'b', b"two");
    let reply = agent.ask("POST", "/v1/refresh?name=db", &[]).await;
    assert_eq!(reply.json(), serde_json::json!({"changed": true, "failures": []}));
    assert_eq!(agent.get("/v1/secrets/db/value").await.body, "two");
    agent.remove("token");
    let document = agent.ask("POST", "/v1/refresh", &[]).await.json();
    assert_eq!((&document["changed"], &document["failures"][0]["name"]), (&false.into(), &"token".into()));
    let named = agent.ask("POST", "/v1/refresh?name=db", &[]).await.json();
    assert_eq!(named["failures"], serde_json::json!([]), "another secret's failure is not told");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let agent = Agent::with_values(operated()).await;
    agent.get("/v1/secrets/db/value").await;
    agent.get("/v1/secrets/db").await;
    agent.ask("HEAD", "/v1/secrets/db", &[]).await;
    agent.get("/v1/secrets/hidden").await;
    agent.get("/v1/secrets/absent").await;
    agent.remove("hidden");
    agent.look().await;
    let _held = agent.arena.store(b"two").expect("memory");
    let reply = agent.get("/metrics").await;
    assert_eq!(reply.header("content-type"), crate::metrics::MEDIA_TYPE);
    let text = String::from_utf8(reply.body.to_vec()).expect("text");
    for line in [
        "keyside_secret_reads_total{secret=\"db\"} 2",
        "keyside_secret_reads_total{secret=\"token\"} 0",
        "keyside_secret_denials_total{secret=\"hidden\"} 1",
        "keyside_denials_total 2",
        "keyside_secret_age_seconds{secret=\"db\"} 30",
        "keyside_oldest_age_seconds 30",
        "keyside_secret_state{secret=\"db\",state=\"fresh\"} 1",
        "keyside_secret_state{secret=\"hidden\",state=\"stale\"} 1",
        "keyside_secrets{state=\"fresh\"} 2",
        "keyside_vault_requests_total{operation=\"get\",outcome=\"not_found\"} 1",
        "keyside_responses_total{status=\"404\"} 2",
        "keyside_memory_protection_info{protection=\"unprotected\"} 1",
        "keyside_memory_used_bytes 64",
        "keyside_ready 1",
        "# UNIT keyside_vault_request_duration_seconds seconds",
        "keyside_vault_throttles_total 0",
        "keyside_vault_circuit_state{vault=\"0\",state=\"closed\"} 1",
        "keyside_secret_last_success_timestamp_seconds{secret=\"db\"} 1767225600",
        "keyside_secret_from_fallback{secret=\"db\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
    assert!(text.contains("keyside_build_info{version=\""), "{text}");
}

#[tokio::test]
async fn metrics_tell_nobody_but_operators_how_long_a_hidden_secret_is() {
    let agent = Agent::with_values(Setup::default()).await;
    let _held = agent.arena.store(b"short").expect("memory");
    let before = agent.get("/metrics").await.body;
    let _longer = agent.arena.store(&[7; 1_000]).expect("memory");
    let after = agent.get("/metrics").await.body;
    let memory = |body: &[u8]| {
        let text = String::from_utf8(body.to_vec()).expect("text");
        text.lines().filter(|line| line.contains("memory")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(memory(&before), memory(&after));
    assert!(!String::from_utf8_lossy(&after).contains("memory_used"));
}
