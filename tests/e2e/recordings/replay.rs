//! Asks the emulator what a recording asked, in its order, and compares each answer.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::body;
use crate::cassette::{Exchange, Recording};
use crate::emulated::{Answer, Call, Emulated};
use crate::headers;
use crate::learnt::Learnt;
use crate::seed::{CHANGES_TAKE_SECONDS, Seed};
use crate::table::Row;
use crate::verdict::Verdict;

/// Replays `recording` against an emulator of its own.
pub(crate) async fn replay(recording: &Recording) -> Result<Vec<Row>> {
    let emulated = Emulated::start(&Seed::of(recording)?.to_toml()?).await?;
    let mut session = Session { emulated, learnt: Learnt::default(), token: None };
    let mut rows = Vec::new();
    let mut previous: Option<&Exchange> = None;
    for (index, exchange) in recording.exchanges.iter().enumerate() {
        if previous.is_some_and(|previous| has_waited(previous, exchange)) {
            session.emulated.advance(Duration::from_secs(CHANGES_TAKE_SECONDS));
        }
        let problem = || format!("{}, exchange {index}", recording.name);
        let answer = session.ask(exchange).await.with_context(problem)?;
        let mut verdict = Verdict::default();
        verdict.expect("status", &exchange.status, &answer.status);
        headers::compare(&mut verdict, (recording.recorder, exchange), &answer.headers, &mut session.learnt);
        body::compare(&mut verdict, (recording.recorder, exchange), answer.body.as_ref(), &mut session.learnt);
        rows.push(Row {
            recording: recording.name.clone(),
            exchange: index,
            request: format!("{} {}", exchange.method, exchange.path()),
            status: exchange.status,
            verdict,
        });
        previous = Some(exchange);
    }
    Ok(rows)
}

/// Whether `exchange` shows as complete what `previous` showed under way: the same question, another answer.
fn has_waited(previous: &Exchange, exchange: &Exchange) -> bool {
    let under_way = matches!(previous.status, 404 | 409);
    under_way && previous.asks_as(exchange) && previous.status != exchange.status
}

/// A client's state during a replay.
struct Session {
    emulated: Emulated,
    learnt: Learnt,
    token: Option<String>,
}

impl Session {
    /// Makes the request of `exchange`. Recorders strip Authorization: a request had a token unless it was answered
    /// with a challenge.
    async fn ask(&mut self, exchange: &Exchange) -> Result<Answer> {
        let target = self.learnt.translate(&exchange.target);
        let body = exchange.request_body.as_deref().map(|body| self.learnt.translate(body));
        if exchange.status != 401 && self.token.is_none() {
            self.sign_in(&exchange.host).await?;
        }
        let token = self.token.as_deref().filter(|_| exchange.status != 401);
        let call = Call {
            method: &exchange.method,
            host: &exchange.host,
            target: &target,
            token,
            content_type: exchange.content_type.as_deref(),
            body: body.as_deref(),
        };
        self.emulated.call(&call).await
    }

    /// Takes a token for the resource that the vault's own challenge names, as an SDK does.
    async fn sign_in(&mut self, host: &str) -> Result<()> {
        let target = "/secrets?api-version=7.0";
        let answer = self.emulated.call(&Call { method: "GET", host, target, ..Call::default() }).await?;
        let challenge = answer.headers.get("www-authenticate").context("the vault does not challenge")?;
        let (_, resource) = challenge.split_once("resource=\"").context("the challenge names no resource")?;
        let scope = format!("{}/.default", resource.trim_end_matches('"'));
        self.token = Some(self.emulated.token(&scope).await?);
        Ok(())
    }
}
