//! What the audit says of each answer.

use serde_json::Value;
use tempfile::TempDir;

use crate::principal::Principal;
use crate::serve::audit::Settings;
use crate::serve::fixtures::{Agent, Setup};
use crate::testing::own_uid;

fn audited(folder: &TempDir) -> Setup {
    let audit = Some(Settings { file: folder.path().join("audit"), allow_upload: false });
    Setup { audit, operators: vec![Principal::User(own_uid())], ..Setup::default() }
}

async fn lines_after_the_end(agent: Agent, folder: &TempDir) -> Vec<Value> {
    agent.stop().await;
    let text = std::fs::read_to_string(folder.path().join("audit")).expect("the audit");
    assert!(!text.contains("one"), "no value: {text}");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn in_short(line: &Value) -> String {
    let text = |key: &str| match &line[key] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().take(24).collect(),
        other => other.to_string(),
    };
    let version = if line["version"].is_null() { "-" } else { "v" };
    format!("{} {} {} {version}", text("route"), text("secret"), text("verdict"))
}

#[tokio::test]
async fn every_answer_about_a_secret_is_there_with_its_word() {
    let folder = tempfile::tempdir().expect("a directory");
    let agent = Agent::with_values(audited(&folder)).await;
    agent.get("/v1/secrets/db").await;
    agent.get("/v1/secrets/db/value").await;
    agent.ask("HEAD", "/v1/secrets/db/value", &[]).await;
    agent.ask("GET", "/v1/secrets/db/value", &[("if-none-match", "*")]).await;
    agent.get("/v1/secrets/hidden/value?wait=60s").await;
    agent.get("/v1/secrets/absent").await;
    agent.get("/v1/secrets/a%2fb/value").await;
    agent.ask("DELETE", "/v1/secrets/db", &[]).await;
    agent.get("/v1/secrets/db?wait=soon").await;
    agent.ask("POST", "/v1/refresh?name=hidden", &[]).await;
    agent.ask("POST", "/v1/refresh?name=db", &[]).await;
    agent.ask("POST", "/v1/refresh", &[]).await;
    agent.get("/v1/refresh").await;
    agent.revoke("db").await;
    agent.get("/v1/secrets/db").await;
    for page in ["/v1/secrets", "/v1/status", "/metrics", "/healthz", "/readyz", "/nowhere"] {
        agent.get(page).await;
    }
    let lines = lines_after_the_end(agent, &folder).await;
    let expected = [
        "/v1/secrets/{name} db given v",
        "/v1/secrets/{name}/value db given v",
        "/v1/secrets/{name}/value db described v",
        "/v1/secrets/{name}/value db unchanged v",
        "/v1/secrets/{name}/value hidden denied -",
        "/v1/secrets/{name} absent absent -",
        "/v1/secrets/{name}/value - absent -",
        "/v1/secrets/{name} - method_not_allowed -",
        "/v1/secrets/{name} - bad_query -",
        "/v1/refresh hidden denied -",
        "/v1/refresh db looked -",
        "/v1/refresh - looked -",
        "/v1/refresh - method_not_allowed -",
        "/v1/secrets/{name} db revoked -",
    ];
    assert_eq!(lines.iter().map(in_short).collect::<Vec<_>>(), expected);
    for line in &lines {
        assert_eq!(line["uid"], own_uid());
        assert_eq!(line["gid"], nix::unistd::getegid().as_raw());
        assert_eq!(line["pid"], std::process::id());
        assert_eq!(line["exited"], Value::Null, "it has not");
    }
    assert_eq!((&lines[0]["generation"], &lines[0]["version"]), (&1.into(), &"a".repeat(32).into()));
    assert!(lines[13]["generation"].as_u64() > lines[0]["generation"].as_u64());
}

#[tokio::test]
async fn who_is_asked_about_the_audit_must_be_an_operator() {
    let folder = tempfile::tempdir().expect("a directory");
    let agent = Agent::with_values(audited(&folder)).await;
    agent.get("/v1/secrets/db").await;
    let audit = loop {
        let audit = agent.get("/v1/status").await.json()["operation"]["audit"].clone();
        if audit["written"] != 0 {
            break audit;
        }
    };
    let file = folder.path().join("audit").display().to_string();
    assert_eq!(audit, serde_json::json!({"file": file, "written": 1, "lost": 0, "trouble": null}));
    let agent = Agent::with_values(Setup { operators: vec![], ..audited(&folder) }).await;
    let status = agent.get("/v1/status").await;
    assert!(!String::from_utf8_lossy(&status.body).contains("audit"), "{status:?}");
}
