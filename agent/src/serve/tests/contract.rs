//! The server and `docs/openapi.yaml` say the same.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::principal::Principal;
use crate::serve::audit::Settings;
use crate::serve::fixtures::{Agent, Reply, Setup};
use crate::serve::limits::Limits;
use crate::serve::problem::Code;
use crate::serve::problem::tests::ALL;
use crate::testing::own_uid;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.yaml");

/// The contract, and which of its responses were seen.
struct Contract {
    document: Value,
    seen: BTreeSet<(String, String, String)>,
}

impl Contract {
    fn read() -> Self {
        let text = std::fs::read_to_string(DOCUMENT).expect("the contract is there");
        Self { document: serde_saphyr::from_str(&text).expect("the contract is YAML"), seen: BTreeSet::new() }
    }

    /// Every response that the contract promises: path, method, status.
    fn promised(&self) -> BTreeSet<(String, String, String)> {
        let mut promised = BTreeSet::new();
        for (path, item) in self.document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("a path").iter().filter(|(key, _)| *key != "parameters")
            {
                for status in operation["responses"].as_object().expect("responses").keys() {
                    promised.insert((path.clone(), method.clone(), status.clone()));
                }
            }
        }
        promised
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                self.document.pointer(reference.trim_start_matches('#')).expect("the reference leads on")
            }
            None => value,
        }
    }

    fn validate(&self, schema: &Value, instance: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        let errors: Vec<_> = validator.iter_errors(instance).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:#?} in {instance:#}");
    }

    /// Holds an answer to what is promised for it.
    fn check(&mut self, path: &str, method: &str, reply: &Reply) {
        let what = format!("{method} {path}: {}", reply.status);
        let listed = &self.document["paths"][path][method]["responses"][reply.status.as_str()];
        assert!(listed.is_object(), "{what} is not promised: {reply:?}");
        let response = self.resolve(listed);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            match reply.headers.get(name) {
                Some(value) => self.validate(&header["schema"], &json!(value.to_str().expect("text")), &what),
                None => assert_ne!(header["required"], true, "{what}: no header {name}"),
            }
        }
        match response["content"].as_object() {
            Some(content) => {
                let media = &content.get(reply.header("content-type"));
                let media = media.unwrap_or_else(|| panic!("{what}: {reply:?} is none of {content:?}"));
                if media["schema"].is_object() {
                    self.validate(&media["schema"], &reply.json(), &what);
                }
            }
            None => assert!(reply.body.is_empty(), "{what}: no body is promised"),
        }
        self.seen.insert((path.to_owned(), method.to_owned(), reply.status.as_str().to_owned()));
    }

    async fn ask(&mut self, agent: &Agent, (method, path): (&str, &str), query: &str, headers: &[(&str, &str)]) {
        let target = path.replace("{name}", "db") + query;
        let reply = agent.ask(&method.to_uppercase(), &target, headers).await;
        self.check(path, method, &reply);
    }
}

const SECRET: (&str, &str) = ("get", "/v1/secrets/{name}");
const VALUE: (&str, &str) = ("get", "/v1/secrets/{name}/value");
const REFRESH: (&str, &str) = ("post", "/v1/refresh");
const OPERATIONS: [(&str, &str); 8] = [
    ("get", "/v1/secrets"),
    SECRET,
    VALUE,
    REFRESH,
    ("get", "/v1/status"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
];

#[tokio::test]
async fn every_promised_answer_is_given_as_promised() {
    let operators = vec![Principal::User(own_uid())];
    let mut contract = Contract::read();
    let agent = Agent::with_values(Setup { operators: operators.clone(), ..Setup::default() }).await;
    for operation in OPERATIONS {
        contract.ask(&agent, operation, "", &[]).await;
        contract.ask(&agent, operation, "?unknown=1", &[]).await;
        contract.ask(&agent, operation, "", &[("origin", "https://example.com")]).await;
        let reply = agent.ask("DELETE", &operation.1.replace("{name}", "db"), &[]).await;
        contract.check(operation.1, operation.0, &reply);
    }
    for operation in [("get", "/v1/secrets"), SECRET, VALUE] {
        contract.ask(&agent, operation, "?wait=1ms", &[("if-none-match", "*")]).await;
    }
    for (path, target) in [(SECRET.1, "/v1/secrets/absent"), (VALUE.1, "/v1/secrets/hidden/value")] {
        contract.check(path, "get", &agent.get(target).await);
    }
    contract.check(REFRESH.1, "post", &agent.ask("POST", "/v1/refresh?name=absent", &[]).await);
    agent.set("token", 'b', b"\xff");
    agent.remove("db");
    agent.look().await;
    contract.check(SECRET.1, "get", &agent.get("/v1/secrets/token").await);
    for operation in OPERATIONS {
        contract.ask(&agent, operation, "", &[]).await;
    }

    agent.revoke("db").await;
    for operation in [SECRET, VALUE, ("get", "/v1/secrets"), ("get", "/v1/status")] {
        contract.ask(&agent, operation, "", &[]).await;
    }

    let fresh = Setup { operators: operators.clone(), ..Setup::default() }.start();
    for operation in [SECRET, VALUE, ("get", "/readyz"), ("get", "/v1/secrets"), ("get", "/v1/status")] {
        contract.ask(&fresh, operation, "", &[]).await;
    }
    let dead = Setup { dead: true, operators: operators.clone(), ..Setup::default() }.start();
    contract.ask(&dead, ("get", "/healthz"), "", &[]).await;
    contract.ask(&dead, REFRESH, "", &[]).await;
    let limits = Limits { waits_per_user: 0, ..Limits::default() };
    let folder = tempfile::tempdir().expect("a directory");
    let audit = Some(Settings { file: folder.path().join("audit"), allow_upload: false });
    let full = Setup { limits, audit, operators: operators.clone(), ..Setup::default() }.start();
    for operation in [("get", "/v1/secrets"), SECRET, VALUE] {
        contract.ask(&full, operation, "?wait=1s", &[]).await;
    }
    contract.ask(&full, ("get", "/v1/status"), "", &[]).await;
    let limits = Limits { refresh_burst: 1, refresh_time: Duration::from_millis(1), ..Limits::default() };
    let hung = Setup { limits, operators, hung: true, ..Setup::default() }.start();
    contract.ask(&hung, REFRESH, "", &[]).await;
    contract.ask(&hung, REFRESH, "", &[]).await;

    let unseen: Vec<_> = contract.promised().difference(&contract.seen).cloned().collect();
    assert!(unseen.is_empty(), "promised, and never given here: {unseen:#?}");
}

#[test]
fn the_contract_lists_every_code() {
    let contract = Contract::read();
    let codes = &contract.document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    assert_eq!(codes, &json!(ALL.map(Code::as_str)));
}
