//! The client's side of the socket: `keyside get`, `list`, `wait`, `status` and `health`.

pub(crate) mod connection;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::ETAG;
use hyper::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{Instant, timeout};

pub use self::connection::Search;
use self::connection::{Connection, Question, Unanswered};
use crate::causes::with_causes;
use crate::cli::{ClientCommand, Exit, Output, Place};
use crate::memory::{Arena, Locked, MemoryExhausted, Settings};
use crate::secret::SecretName;
use crate::serve::documents::{Listing, ProblemDocument, Status};

/// Most bytes that an answer may have: a value has at most 25 KiB (Key Vault's limit), a list may have many secrets.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a value may take to arrive once its head did.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long one question waits: well under what the agent grants, and short enough that a lost agent is noticed.
const WAIT_STEP: Duration = Duration::from_mins(1);

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("no secret '{name}': absent, or not readable by uid {uid}: see the agent's log")]
    Absent { name: SecretName, uid: u32 },
    #[error("no secret '{name}': it is revoked: {detail}")]
    Revoked { name: SecretName, detail: String },
    #[error("{0}")]
    NotYet(String),
    #[error("'{name}' did not come or change in time")]
    TimedOut { name: SecretName },
    #[error("the socket is not used")]
    Unsafe(#[source] io::Error),
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("the agent answered {status}: {detail}")]
    Refused { status: StatusCode, detail: String },
    #[error("the agent's answer is not understood: are both of the same version?")]
    NotUnderstood,
    #[error("the value finds no room")]
    NoRoom(#[from] MemoryExhausted),
    #[error("could not start a runtime")]
    Runtime(#[source] io::Error),
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

/// What is to be done where no agent is found.
const WITHOUT_AGENT: &str = "; start one by `keyside run` or `keyside agent`, name its socket by --socket or \
                             KEYSIDE_SOCKET, or read the vault without one by `keyside get --direct`";

impl Failure {
    /// How a command ends that this happens to.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Absent { .. } | Self::Revoked { .. } => Exit::Absent,
            Self::NotYet(_) | Self::TimedOut { .. } => Exit::NotYet,
            Self::Unsafe(_) | Self::Unanswered(_) | Self::Refused { .. } | Self::NotUnderstood => Exit::Unavailable,
            Self::Runtime(_) | Self::NoRoom(_) | Self::Output(_) => Exit::Internal,
        }
    }
}

/// Runs a command that asks an agent. Results go to `out`, and one line about what went wrong to `err`.
pub fn run(command: &ClientCommand, search: &Search, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return explain(&Failure::Runtime(error), err),
    };
    match runtime.block_on(ask(command, search, out)) {
        Ok(()) => Exit::Success,
        Err(failure) => explain(&failure, err),
    }
}

fn explain(failure: &Failure, err: &mut dyn Write) -> Exit {
    let remedy = match failure {
        Failure::Unanswered(Unanswered::Nobody(..)) => WITHOUT_AGENT,
        _ => "",
    };
    // A terminal that is gone changes nothing about the exit code.
    drop(writeln!(err, "keyside: {}{remedy}", with_causes(failure)));
    failure.exit()
}

async fn ask(command: &ClientCommand, search: &Search, out: &mut dyn Write) -> Result<(), Failure> {
    let (ClientCommand::Get { at, .. }
    | ClientCommand::List { at, .. }
    | ClientCommand::Wait { at, .. }
    | ClientCommand::Status { at, .. }
    | ClientCommand::Health { at, .. }) = command;
    let Place { socket } = at;
    let path = search.find(socket.as_deref()).map_err(Failure::Unsafe)?;
    let mut agent = Client { connection: search.connect(socket.as_deref(), &path).await?, uid: search.uid };
    match command {
        ClientCommand::Get { name, .. } => agent.get(name, out).await,
        ClientCommand::List { output, .. } => agent.show::<Listing>("/v1/secrets", *output, text::listing, out).await,
        ClientCommand::Status { output, .. } => agent.show::<Status>("/v1/status", *output, text::status, out).await,
        ClientCommand::Wait { name, change, timeout, .. } => agent.wait(name, *change, *timeout).await,
        ClientCommand::Health { ready, .. } => agent.health(*ready).await,
    }
}

/// A conversation with an agent.
pub(crate) struct Client {
    connection: Connection,
    uid: u32,
}

impl Client {
    /// Connects to the agent at `path`; `uid` is who asks.
    pub(crate) async fn open(path: &Path, uid: u32) -> Result<Self, Failure> {
        Ok(Self { connection: Connection::open(path).await?, uid })
    }

    /// The bytes of a secret.
    pub(crate) async fn value(&mut self, name: &SecretName) -> Result<Locked, Failure> {
        let target = format!("/v1/secrets/{name}/value");
        let answer = self.connection.ask(Question::get(&target)).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer, Some(name)).await);
        }
        self.body(answer).await
    }

    /// What the caller may read, at once, or when it differs from the generation that is known.
    pub(crate) async fn listing(&mut self, known: Option<&str>) -> Result<Listing, Failure> {
        let Some(known) = known else { return self.document("/v1/secrets", Duration::ZERO).await };
        let target = format!("/v1/secrets?wait={}s&after={known}", WAIT_STEP.as_secs());
        self.document(&target, WAIT_STEP).await
    }

    /// How the agent fares.
    pub(crate) async fn status(&mut self) -> Result<Status, Failure> {
        self.document("/v1/status", Duration::ZERO).await
    }

    /// Why the agent is not ready; nothing when it is.
    pub(crate) async fn unreadiness(&mut self) -> Result<Option<String>, Failure> {
        let answer = self.connection.ask(Question::get("/readyz")).await?;
        if answer.status() == StatusCode::OK {
            // Read to its end, so that the connection can be asked again.
            return self.body(answer).await.map(|_| None);
        }
        Ok(Some(self.detail(answer).await))
    }

    async fn document<T: DeserializeOwned>(&mut self, target: &str, wait: Duration) -> Result<T, Failure> {
        let answer = self.connection.ask(Question { wait, ..Question::get(target) }).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer, None).await);
        }
        let document = self.body(answer).await?;
        serde_json::from_slice(document.as_ref()).map_err(|_| Failure::NotUnderstood)
    }

    /// Writes a value only when all of it is there, so that what comes behind a pipe never takes a part for the whole.
    async fn get(&mut self, name: &SecretName, out: &mut dyn Write) -> Result<(), Failure> {
        let value = self.value(name).await?;
        out.write_all(value.as_ref())?;
        out.flush()?;
        Ok(())
    }

    async fn show<T: DeserializeOwned>(
        &mut self,
        target: &str,
        output: Output,
        print: fn(&T) -> String,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let answer = self.connection.ask(Question::get(target)).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(answer, None).await);
        }
        let document = self.body(answer).await?;
        match output {
            Output::Json => {
                out.write_all(document.as_ref())?;
                out.write_all(b"\n")?;
            }
            Output::Text => {
                let document = serde_json::from_slice(document.as_ref()).map_err(|_| Failure::NotUnderstood)?;
                out.write_all(print(&document).as_bytes())?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// Waits by asking for the head of the value only, so that no value travels. What the vault has taken away may come
    /// back, so only who waits for a change of it is told.
    async fn wait(&mut self, name: &SecretName, change: bool, limit: Option<Duration>) -> Result<(), Failure> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut known = None;
        if change {
            known = self.present_tag(name).await?;
        }
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let step = left.unwrap_or(WAIT_STEP).min(WAIT_STEP);
            let target = format!("/v1/secrets/{name}/value?wait={}ms", step.as_millis());
            let question = Question { method: Method::HEAD, target: &target, known: known.as_deref(), wait: step };
            let answer = self.connection.ask(question).await?;
            match answer.status() {
                StatusCode::OK => return Ok(()),
                StatusCode::NOT_MODIFIED | StatusCode::SERVICE_UNAVAILABLE => {}
                StatusCode::GONE if known.is_none() => {}
                _ => return Err(self.refused(answer, Some(name)).await),
            }
            if left.is_some_and(|left| left <= step) {
                return Err(Failure::TimedOut { name: name.clone() });
            }
        }
    }

    /// The tag of the present version; none when there is no version yet.
    async fn present_tag(&mut self, name: &SecretName) -> Result<Option<String>, Failure> {
        let target = format!("/v1/secrets/{name}/value");
        let answer = self.connection.ask(Question { method: Method::HEAD, ..Question::get(&target) }).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned)),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GONE => Ok(None),
            _ => Err(self.refused(answer, Some(name)).await),
        }
    }

    async fn health(&mut self, ready: bool) -> Result<(), Failure> {
        let target = if ready { "/readyz" } else { "/healthz" };
        let answer = self.connection.ask(Question::get(target)).await?;
        match (answer.status(), ready) {
            (StatusCode::OK, _) => Ok(()),
            (StatusCode::SERVICE_UNAVAILABLE, true) => Err(Failure::NotYet(self.detail(answer).await)),
            _ => Err(self.refused(answer, None).await),
        }
    }

    /// What a refusal means for a command about this secret.
    async fn refused(&mut self, answer: Response<Incoming>, about: Option<&SecretName>) -> Failure {
        match (answer.status(), about) {
            (StatusCode::NOT_FOUND, Some(name)) => Failure::Absent { name: name.clone(), uid: self.uid },
            (StatusCode::GONE, Some(name)) => {
                Failure::Revoked { name: name.clone(), detail: self.detail(answer).await }
            }
            (StatusCode::SERVICE_UNAVAILABLE, Some(_)) => Failure::NotYet(self.detail(answer).await),
            (status, _) => Failure::Refused { status, detail: self.detail(answer).await },
        }
    }

    /// The sentence for people in a problem document.
    async fn detail(&mut self, answer: Response<Incoming>) -> String {
        let Ok(body) = self.body(answer).await else { return "no reason is given".to_owned() };
        match serde_json::from_slice::<ProblemDocument>(body.as_ref()) {
            Ok(document) => text::legible(&document.detail),
            Err(_) => "no reason is given".to_owned(),
        }
    }

    /// The whole body, in locked memory where there is some.
    async fn body(&mut self, answer: Response<Incoming>) -> Result<Locked, Failure> {
        let promised = answer.body().size_hint().lower();
        let capacity = usize::try_from(promised).unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
        let mut buffer = Arena::new(Settings::default()).buffer(capacity)?;
        let mut body = answer.into_body();
        let all = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.connection.broken(error))?;
                let data = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
                if buffer.len() + data.len() > ANSWER_BYTES_MAX {
                    return Err(Failure::NotUnderstood);
                }
                buffer.extend(data)?;
            }
            Ok(())
        };
        timeout(BODY_TIME, all).await.map_err(|_| self.connection.late())??;
        Ok(buffer.freeze())
    }
}
