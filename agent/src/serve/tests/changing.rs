//! What callers notice of another configuration: on connections that are open, and while they wait.

use std::sync::Arc;

use hyper::StatusCode;

use crate::principal::Principal;
use crate::refresh::{Plan, Wanted};
use crate::schedule::Pace;
use crate::serve::Access;
use crate::serve::fixtures::{Agent, Setup};
use crate::testing::{name, own_uid};

impl Agent {
    fn let_read(&self, readable: &[&str]) {
        let own = || vec![Principal::User(own_uid())];
        let readers = readable.iter().map(|local| (name(local), own())).collect();
        self.access.send_replace(Arc::new(Access { operators: vec![], readers }));
    }

    async fn want(&self, wanted: &[&str]) {
        let minute = std::time::Duration::from_mins(1);
        let pace = Pace { interval: minute, full_refresh: minute };
        let settings = crate::refresh::Settings { pace, revoke_after: minute, max_stale: None };
        let wanted = wanted.iter().map(|local| Wanted::named(name(local))).collect();
        self.plans.follow(Plan { wanted, settings }, [].into()).await.expect("the loop follows");
    }
}

/// Waits until a call has come as far as to wait: the server answers one after the other, and the call came first.
async fn until_it_waits(agent: &Agent) {
    for _ in 0..20 {
        assert_eq!(agent.get("/healthz").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn whoever_loses_a_secret_while_waiting_for_it_is_told_that_there_is_none() {
    for is_removed in [false, true] {
        let agent = Agent::with_values(Setup::default()).await;
        let version = agent.get("/v1/secrets/db/value").await.header("etag").to_owned();
        let known = [("if-none-match", version.as_str())];
        let wait = agent.ask("GET", "/v1/secrets/db/value?wait=60s", &known);
        let change = async {
            until_it_waits(&agent).await;
            if is_removed { agent.want(&["hidden", "token"]).await } else { agent.let_read(&["token"]) }
        };
        let (reply, ()) = tokio::join!(wait, change);
        assert_eq!((reply.status, reply.code()), (StatusCode::NOT_FOUND, "not_found".to_owned()), "{is_removed}");
        assert_eq!(agent.get("/v1/secrets/token/value").await.body, "one", "the other one is still there");
    }
}

#[tokio::test]
async fn whoever_waits_for_the_list_hears_of_a_secret_that_is_readable_now() {
    let agent = Agent::with_values(Setup::default()).await;
    let names = |list: &serde_json::Value| -> Vec<String> {
        let secrets = list["secrets"].as_array().expect("a list");
        secrets.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    };
    let before = agent.get("/v1/secrets").await.json();
    assert_eq!(names(&before), ["db", "token"]);
    let wait = format!("/v1/secrets?wait=60s&after={}", before["generation"].as_str().expect("a generation"));
    let change = async {
        until_it_waits(&agent).await;
        agent.let_read(&["db", "token", "hidden"]);
    };
    let (reply, ()) = tokio::join!(agent.get(&wait), change);
    assert_eq!(names(&reply.json()), ["db", "hidden", "token"]);
}
