//! Many who wait for the same.

use std::time::Duration;

use futures::future::join_all;
use hyper::StatusCode;
use tokio::time::Instant;

use crate::process::raise_descriptor_limit;
use crate::serve::Limits;
use crate::serve::fixtures::{Agent, Setup};

const CROWD: usize = 1_000;

/// How long the whole crowd, which runs beside its server and is not optimized, may take. Alone it takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_thousand_who_wait_hear_of_a_change_at_once() {
    let places = CROWD + 100;
    assert!(raise_descriptor_limit() > 2 * places as u64, "both ends of a thousand connections");
    let limits =
        Limits { connections: places, connections_per_user: places, waits_per_user: places, ..Limits::default() };
    let agent = Agent::with_values(Setup { limits, ..Setup::default() }).await;
    let version = agent.get("/v1/secrets/db/value").await.header("etag").to_owned();
    let known = [("if-none-match", version.as_str())];
    let crowd = join_all((0..CROWD).map(|_| agent.ask("GET", "/v1/secrets/db/value?wait=60s", &known)));
    let change = async {
        let all = format!("keyside_connections {}\n", CROWD + 1);
        while !String::from_utf8_lossy(&agent.get("/metrics").await.body).contains(&all) {}
        agent.set("db", 'b', b"two");
        agent.look().await;
        Instant::now()
    };
    let (answers, published) = tokio::join!(crowd, change);
    assert!(published.elapsed() < PATIENCE, "{:?}", published.elapsed());
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK && answer.body == "two"));
}
