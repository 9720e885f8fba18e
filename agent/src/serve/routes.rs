//! The answer to each call: what is in the store, for those who may have it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Sources;
use super::access::Access;
use super::admission::Connections;
use super::answer::{Answer, JSON, OCTETS, json_text};
use super::audit::Audit;
use super::body::Body;
use super::condition::{ETag, IfNoneMatch};
use super::documents::{Item, Listing, Operation, Refreshed, Status, Trouble, Verdict};
use super::limits::{Limits, RefreshBudget, Waits};
use super::notes::REFRESH;
use super::peer::Caller;
use super::problem::{Code, Problem};
use super::refusals::Refusals;
use super::request::{Call, Form};
use super::wait::newest;
use crate::metrics::{self, View};
use crate::refresh::DemandError;
use crate::secret::SecretName;
use crate::store::{Slot, Snapshot, State, Why};

/// When to ask again for what has not been fetched yet: a first fetch takes about a second, and `?wait` is better.
const NOT_YET_RETRY: Duration = Duration::from_secs(2);

/// When to ask again for what could not be confirmed for too long: an outage of hours does not end within seconds.
const TOO_STALE_RETRY: Duration = Duration::from_secs(30);

/// Everything that answers are made from. All connections share one.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) limits: Limits,
    pub(super) sources: Sources,
    pub(super) connections: Connections,
    pub(super) waits: Waits,
    pub(super) stop: CancellationToken,
    pub(super) audit: Option<Audit>,
    pub(super) refusals: Refusals,
    pub(super) budget: Mutex<RefreshBudget>,
}

/// What of a request is not in its [`Call`].
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) if_none_match: IfNoneMatch,
}

type Outcome = Result<Answer, Problem>;

impl Server {
    /// Answers a call.
    pub(super) async fn answer(&self, caller: &Caller, call: Call, asked: &Asked) -> Outcome {
        // What can wait is boxed, so that a read of a value carries no room for it.
        match call {
            Call::List { wait, after } => {
                let _waiting = wait.map(|_| self.waits.begin(caller.uid())).transpose()?;
                Ok(Box::pin(self.list(caller, wait, after, &asked.if_none_match)).await)
            }
            Call::Secret { name, form, wait } => {
                self.allow(caller, &name, form.route())?;
                let answer = self.secret(caller, &name, (form, wait), asked).await?;
                if answer.status == StatusCode::OK && asked.method == Method::GET {
                    tracing::debug!(secret = %name, %caller, "read");
                    self.sources.metrics.read(&name);
                }
                Ok(answer)
            }
            Call::Refresh { name } => Box::pin(self.refresh(caller, name)).await,
            Call::Status => Ok(Answer::json(&self.status(caller))),
            Call::Health if self.sources.pulse.is_alive() => Ok(Answer::json(&verdict("ok"))),
            Call::Health => Err(Code::RefreshStopped.into()),
            Call::Ready => self.ready(caller),
            Call::Metrics => Ok(self.metrics(caller)),
        }
    }

    /// Who may do what at the moment.
    fn access(&self) -> Arc<Access> {
        Arc::clone(&self.sources.access.borrow())
    }

    /// A caller who may not read a secret is told what one is told about a secret that does not exist, and by the same steps:
    /// each is looked up, counted and noted in the same way, so that a clock tells nothing, either.
    fn allow(&self, caller: &Caller, name: &SecretName, route: &'static str) -> Result<(), Problem> {
        let exists = self.sources.reader.snapshot().slots.contains_key(name);
        let may_read = self.access().may_read(caller, name);
        if exists && may_read {
            return Ok(());
        }
        self.refusals.tell(caller, name, exists);
        self.sources.metrics.denied(name, exists);
        self.note_denied(caller, route, name, exists);
        Err(Code::NotFound.into())
    }

    async fn list(
        &self,
        caller: &Caller,
        wait: Option<Duration>,
        after: Option<String>,
        known: &IfNoneMatch,
    ) -> Answer {
        let tag = |snapshot: &Snapshot| {
            let access = self.access();
            ETag::of_list(snapshot, |name| access.may_read(caller, name))
        };
        let start = tag(&self.sources.reader.snapshot());
        let is_news = |snapshot: &Snapshot| match (&after, known) {
            (Some(after), _) => tag(snapshot).opaque() != after,
            (None, IfNoneMatch::Nothing) => tag(snapshot) != start,
            (None, known) => !known.has(&tag(snapshot)),
        };
        let snapshot = newest(&self.sources.reader, &self.sources.access, wait, &self.stop, is_news).await;
        let tag = tag(&snapshot);
        let access = self.access();
        if known.has(&tag) {
            return Answer { status: StatusCode::NOT_MODIFIED, tag: Some(tag), ..Answer::default() };
        }
        let secrets = self.items(&snapshot, false, |name| access.may_read(caller, name));
        let listing = Listing { generation: tag.opaque().to_owned(), secrets };
        Answer { tag: Some(tag), ..Answer::json(&listing) }
    }

    async fn secret(
        &self,
        caller: &Caller,
        name: &SecretName,
        (form, wait): (Form, Option<Duration>),
        asked: &Asked,
    ) -> Outcome {
        let known = &asked.if_none_match;
        let route = (&asked.method, form.route());
        let waiting = wait.map(|_| self.waits.begin(caller.uid())).transpose();
        let _waiting = match waiting {
            Ok(waiting) => waiting,
            Err(problem) => {
                let refusal = Err(problem);
                self.note_secret(caller, route, (&self.sources.reader.snapshot(), name), &refusal);
                return refusal;
            }
        };
        let is_news = |snapshot: &Snapshot| {
            let slot = snapshot.slots.get(name).filter(|_| self.access().may_read(caller, name));
            // Whoever may not read it any more waits for nothing.
            let Some(slot) = slot else { return true };
            match &slot.published {
                Some(published) => !known.has(&ETag::of(published, form)),
                // Who knows a value must hear that it is not served any more; who knows none waits for one.
                None => *known != IfNoneMatch::Nothing && slot.withdrawn.is_some(),
            }
        };
        let snapshot = newest(&self.sources.reader, &self.sources.access, wait, &self.stop, is_news).await;
        if wait.is_some() {
            // Who waited may have lost the right to it meanwhile.
            self.allow(caller, name, form.route())?;
        }
        let slot = snapshot.slots.get(name).ok_or_else(|| Problem::from(Code::NotFound));
        let answer = slot.and_then(|slot| self.secret_answer(name, slot, form, known));
        self.note_secret(caller, route, (&snapshot, name), &answer);
        answer
    }

    fn secret_answer(&self, name: &SecretName, slot: &Slot, form: Form, known: &IfNoneMatch) -> Outcome {
        let Some(published) = &slot.published else { return Err(no_value(slot)) };
        let now = self.sources.clock.moment();
        let tag = ETag::of(published, form);
        let known = known.has(&tag);
        let answer = Answer {
            tag: Some(tag),
            age: Some(published.age(now)),
            is_stale: slot.state() == State::Stale,
            ..Answer::default()
        };
        if known {
            return Ok(Answer { status: StatusCode::NOT_MODIFIED, ..answer });
        }
        let value = published.secret.value.to_buffer();
        Ok(match form {
            Form::Value => Answer { media_type: Some(OCTETS), body: Body::plain(value), ..answer },
            Form::Document => {
                let metadata = json_text(&Item::of(name, slot, now, false));
                Answer { media_type: Some(JSON), body: Body::document(value, &metadata), ..answer }
            }
        })
    }

    async fn refresh(&self, caller: &Caller, name: Option<SecretName>) -> Outcome {
        if let Some(name) = &name {
            self.allow(caller, name, REFRESH)?;
        }
        let looking = self.note_look(caller, name.as_ref());
        let outcome = self.look(caller, name.as_ref()).await;
        looking.end(&outcome);
        Ok(Answer::json(&outcome?))
    }

    async fn look(&self, caller: &Caller, name: Option<&SecretName>) -> Result<Refreshed, Problem> {
        if name.is_none() && !self.access().is_operator(caller) {
            return Err(Code::NotOperator.into());
        }
        // Held only to take from the budget; nothing waits or fails inside.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(caller.uid(), Instant::now())?;
        let look = timeout(self.limits.refresh_time, self.sources.demands.look(name.cloned()));
        let publication =
            look.await.map_err(|_| Problem::from(Code::RefreshTimeout))?.map_err(|error| match error {
                DemandError::Busy => Problem::from(Code::Busy).retry_after(NOT_YET_RETRY),
                DemandError::HeldBack(wait) => Problem::from(Code::HeldBack).retry_after(wait),
                DemandError::Stopping => Code::Stopping.into(),
            })?;
        let asked = |other: &SecretName| name.is_none_or(|name| name == other);
        let failures = self.failures(caller, &self.sources.reader.snapshot(), asked);
        let changed = matches!(publication, crate::store::Publication::Applied(_));
        Ok(Refreshed { changed, failures })
    }

    fn status(&self, caller: &Caller) -> Status {
        let snapshot = self.sources.reader.snapshot();
        let about = &self.sources.about;
        let access = self.access();
        let visible = |name: &SecretName| access.may_see(caller, name);
        Status {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            started: about.started,
            ready: snapshot.is_ready(),
            refreshing: self.sources.pulse.is_alive(),
            poll_interval_seconds: self.sources.pulse.poll_interval().as_secs(),
            next_look: self.sources.pulse.next_look(),
            operation: access.is_operator(caller).then(|| Operation {
                vault: about.vault.clone(),
                circuits: self
                    .sources
                    .gates
                    .iter()
                    .map(|gate| (gate.origin.vault.to_string(), gate.state().as_str().to_owned()))
                    .collect(),
                identity: (about.identity)(),
                memory_protection: about.arena.protection().map(|protection| protection.to_string()),
                memory_used_bytes: about.arena.used_bytes() as u64,
                warm_restart: about.warm_restart.to_string(),
                generation: snapshot.generation,
                hardening: about
                    .hardening
                    .measures()
                    .map(|(name, outcome)| (name.to_owned(), outcome.to_string()))
                    .into(),
                config: about.config.standing().into(),
                audit: self.audit.as_ref().map(Audit::standing),
                hooks: about.hooks.standings().into_iter().map(Into::into).collect(),
            }),
            secrets: self.items(&snapshot, access.is_operator(caller), visible),
            failures: self.failures(caller, &snapshot, visible),
        }
    }

    fn ready(&self, caller: &Caller) -> Outcome {
        let snapshot = self.sources.reader.snapshot();
        if snapshot.is_ready() {
            return Ok(Answer::json(&verdict("ready")));
        }
        let names: Vec<_> = snapshot.awaited().filter(|name| self.access().may_see(caller, name)).collect();
        let awaited = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let detail = match (snapshot.awaited().count(), awaited.as_str()) {
            (0, _) => "the files have not been written yet".to_owned(),
            (count, "") => format!("required secrets without a value: {count}"),
            (count, awaited) => format!("required secrets without a value: {count}, among them {awaited}"),
        };
        Err(Problem::new(Code::NotReady, detail).retry_after(NOT_YET_RETRY))
    }

    fn metrics(&self, caller: &Caller) -> Answer {
        let (about, access) = (&self.sources.about, self.access());
        let text = self.sources.metrics.text(&View {
            snapshot: &self.sources.reader.snapshot(),
            visible: &|name| access.may_see(caller, name),
            now: self.sources.clock.moment(),
            gates: &self.sources.gates,
            started: about.started,
            protection: about.arena.protection(),
            used_bytes: access.is_operator(caller).then(|| about.arena.used_bytes()),
            connections: self.connections.count(),
            config: &about.config.standing(),
        });
        Answer { media_type: Some(metrics::MEDIA_TYPE), body: Body::plain(text), ..Answer::default() }
    }

    fn items(&self, snapshot: &Snapshot, to_operator: bool, visible: impl Fn(&SecretName) -> bool) -> Vec<Item> {
        let now = self.sources.clock.moment();
        let seen = snapshot.slots.iter().filter(|(name, _)| visible(name));
        seen.map(|(name, slot)| Item::of(name, slot, now, to_operator)).collect()
    }

    fn failures(&self, caller: &Caller, snapshot: &Snapshot, asked: impl Fn(&SecretName) -> bool) -> Vec<Trouble> {
        let operator = self.access().is_operator(caller);
        let failing = snapshot.slots.iter().filter(|(name, _)| asked(name));
        failing
            .filter_map(|(name, slot)| slot.failure.as_ref().map(|failure| Trouble::of(name, failure, operator)))
            .collect()
    }
}

/// Why a secret has no value.
fn no_value(slot: &Slot) -> Problem {
    match slot.withdrawn.map(|withdrawn| withdrawn.why) {
        Some(why @ Why::Revoked(_)) => Problem::new(Code::Revoked, why.to_string()),
        Some(why @ Why::TooStale) => Problem::new(Code::TooStale, format!("the secret is not served any more: {why}"))
            .retry_after(TOO_STALE_RETRY),
        None => {
            let why = slot.failure.as_ref().map(|failure| format!(": the latest look ended with '{}'", failure.code));
            let detail = format!("the secret has not been fetched yet{}", why.unwrap_or_default());
            Problem::new(Code::NotPublished, detail).retry_after(NOT_YET_RETRY)
        }
    }
}

fn verdict(status: &str) -> Verdict {
    Verdict { status: status.to_owned() }
}
