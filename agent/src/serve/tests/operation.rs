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
        (operated(), "required secrets that have not been fetched yet: 1, among them hidden"),
        (Setup::default(), "required secrets that have not been fetched yet: 1"),
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
    assert_eq!(document["failures"][0]["code"], "not_found");
    assert_eq!(
        document["failures"][0]["message"],
        "the vault has no such secret or version: create it there, or correct name, vault_name or version here"
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
        "keyside_fetches_total{outcome=\"not_found\"} 1",
        "keyside_responses_total{status=\"404\"} 2",
        "keyside_memory_protection_info{protection=\"unprotected\"} 1",
        "keyside_ready 1",
        "# UNIT keyside_fetch_duration_seconds seconds",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
    assert!(text.contains("keyside_build_info{version=\""), "{text}");
}
