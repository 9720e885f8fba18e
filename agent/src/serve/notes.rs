//! What goes into the audit: which answers, and by which words.

use hyper::{Method, StatusCode};

use super::answer::Answer;
use super::audit::{Entry, Event};
use super::peer::Caller;
use super::problem::{Code, Problem};
use super::request::Form;
use super::routes::Server;
use crate::secret::SecretName;
use crate::store::Snapshot;

/// Routes as the contract calls them.
pub(super) const REFRESH: &str = "/v1/refresh";
const DOCUMENT: &str = "/v1/secrets/{name}";
const VALUE: &str = "/v1/secrets/{name}/value";

impl Form {
    /// The route of secrets in this form.
    #[must_use]
    pub(super) fn route(self) -> &'static str {
        match self {
            Self::Document => DOCUMENT,
            Self::Value => VALUE,
        }
    }
}

/// A look at the vault that somebody has asked for, who may leave before it is over.
pub(super) struct Looking<'a> {
    server: &'a Server,
    caller: &'a Caller,
    name: Option<&'a SecretName>,
    verdict: &'static str,
}

impl Looking<'_> {
    /// The caller is told this.
    pub(super) fn end<T>(mut self, outcome: &Result<T, Problem>) {
        self.verdict = outcome.as_ref().map_or_else(|problem| problem.code.as_str(), |_| "looked");
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let Self { server, caller, name, verdict } = *self;
        let event = || Event { route: REFRESH, secret: name.cloned(), version: None, verdict };
        server.note(caller, server.generation(), event);
    }
}

impl Server {
    /// Writes down what came of a request for a secret that the caller may read.
    pub(super) fn note_secret(
        &self,
        caller: &Caller,
        (method, route): (&Method, &'static str),
        (snapshot, name): (&Snapshot, &SecretName),
        answer: &Result<Answer, Problem>,
    ) {
        let (verdict, is_of_version) = match answer {
            Err(problem) => (problem.code.as_str(), false),
            Ok(answer) if answer.status == StatusCode::NOT_MODIFIED => ("unchanged", true),
            Ok(_) if *method == Method::HEAD => ("described", true),
            Ok(_) => ("given", true),
        };
        self.note(caller, snapshot.generation, || {
            let published = snapshot.slots.get(name).filter(|_| is_of_version).and_then(|slot| slot.published.as_ref());
            let version = published.map(|published| published.secret.metadata.version.clone());
            Event { route, secret: Some(name.clone()), version, verdict }
        });
    }

    /// Writes down that a caller was told of no secret of this name. That one exists is for the audit alone.
    pub(super) fn note_denied(&self, caller: &Caller, route: &'static str, name: &SecretName, exists: bool) {
        let verdict = if exists { "denied" } else { "absent" };
        let event = || Event { route, secret: Some(name.clone()), version: None, verdict };
        self.note(caller, self.generation(), event);
    }

    /// Writes down what comes of asking for a look at the vault, once the answer is dropped.
    pub(super) fn note_look<'a>(&'a self, caller: &'a Caller, name: Option<&'a SecretName>) -> Looking<'a> {
        Looking { server: self, caller, name, verdict: "left" }
    }

    /// Writes down a request about secrets that made no sense. What it names is no name, and is not repeated.
    pub(super) fn note_misunderstood(&self, caller: &Caller, path: &str, problem: &Problem) {
        let route = match path {
            REFRESH => REFRESH,
            _ if !path.starts_with("/v1/secrets/") => return,
            _ if path.ends_with("/value") => VALUE,
            _ => DOCUMENT,
        };
        let verdict = if problem.code == Code::NotFound { "absent" } else { problem.code.as_str() };
        self.note(caller, self.generation(), || Event { route, secret: None, version: None, verdict });
    }

    fn generation(&self) -> u64 {
        self.sources.reader.snapshot().generation
    }

    fn note(&self, caller: &Caller, generation: u64, event: impl FnOnce() -> Event) {
        if let Some(audit) = &self.audit {
            audit.note(Entry::new(self.sources.clock.now(), caller, event(), generation));
        }
    }
}
