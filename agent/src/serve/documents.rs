//! The shapes of the answers in JSON, for the server that writes them and for the client that reads them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::hooks::{self, Outcome};
use crate::record::Standing;
use crate::secret::SecretName;
use crate::store::{Failure, Slot, State};

/// The answer to `GET /v1/secrets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Changes whenever anything in the list does; opaque, so that it tells nothing about secrets that are not listed.
    pub generation: String,
    /// What the caller may read, by name.
    pub secrets: Vec<Item>,
}

/// One secret without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What readers call it.
    pub name: String,
    /// Whether there is a value, and whether the vault still confirms it.
    pub state: State,
    /// The version of the value.
    pub version: Option<String>,
    /// The owner's free text about the format.
    pub content_type: Option<String>,
    /// When this version was made.
    pub created: Option<Timestamp>,
    /// When this version or its attributes last changed.
    pub updated: Option<Timestamp>,
    /// When this version expires.
    pub expires: Option<Timestamp>,
    /// When the vault last confirmed it.
    pub fetched: Option<Timestamp>,
    /// How long ago that was, in whole seconds.
    pub age_seconds: Option<u64>,
    /// Whether the latest look failed, so that the vault may have a newer version.
    pub stale: bool,
    /// The vault that gave it; for operators only.
    pub vault: Option<String>,
}

/// The answer to `POST /v1/refresh`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// Whether the look brought anything new to anyone.
    pub changed: bool,
    /// What the look could not fetch, of what the caller asked for.
    pub failures: Vec<Trouble>,
}

/// A look that brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What readers call the secret.
    pub name: String,
    /// The word for programs.
    pub code: String,
    /// The first of the unbroken row of failures.
    pub since: Timestamp,
    /// The latest error with its causes; for operators only.
    pub message: Option<String>,
}

impl Trouble {
    /// What the caller is told of a failure.
    #[must_use]
    pub fn of(name: &SecretName, failure: &Failure, to_operator: bool) -> Self {
        Self {
            name: name.to_string(),
            code: failure.code.to_owned(),
            since: failure.since,
            message: to_operator.then(|| failure.message.clone()),
        }
    }
}

/// The answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's own version.
    pub agent: String,
    /// When the agent started.
    pub started: Timestamp,
    /// Whether every required secret has a value.
    pub ready: bool,
    /// Whether the loop that looks for new versions runs.
    pub refreshing: bool,
    /// How often it looks, in seconds.
    pub poll_interval_seconds: u64,
    /// When it looks next; none before it has begun.
    pub next_look: Option<Timestamp>,
    /// What only operators are told.
    pub operation: Option<Operation>,
    /// The secrets that the caller may see.
    pub secrets: Vec<Item>,
    /// Why the latest looks at some of them failed.
    pub failures: Vec<Trouble>,
}

/// What only operators are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Where the secrets come from.
    pub vault: String,
    /// That vault and those that stand in for it: `closed` where it may be asked, `open` where it failed and is left
    /// alone, `half_open` where one request decides.
    pub circuits: BTreeMap<String, String>,
    /// As whom the agent signed in; none before it did.
    pub identity: Option<String>,
    /// The worst protection among the memory in use: `memfd_secret`, `mlock` or `unprotected`; none before the first value.
    pub memory_protection: Option<String>,
    /// How much memory values take, in bytes.
    pub memory_used_bytes: u64,
    /// How many times anything was published.
    pub generation: u64,
    /// What the process forbade itself, by name: `applied`, `partial`, or why the kernel refused it.
    pub hardening: BTreeMap<String, String>,
    /// When the configuration was read, and what came of it.
    pub config: Config,
    /// How the audit fares; none where none is kept.
    pub audit: Option<Audit>,
    /// How each hook fares, in the order of the configuration.
    pub hooks: Vec<Hook>,
}

/// How the audit fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Where it is written.
    pub file: String,
    /// How many lines were written since the start.
    pub written: u64,
    /// How many were lost.
    pub lost: u64,
    /// Why none can be written now; none where they can.
    pub trouble: Option<String>,
}

/// When the configuration was read, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// When the configuration was read by which the agent goes.
    pub loaded: Timestamp,
    /// When it was read last.
    pub attempted: Timestamp,
    /// Why the agent does not go by what was read last; empty where it does.
    pub problems: Vec<String>,
}

impl From<Standing> for Config {
    fn from(standing: Standing) -> Self {
        let Standing { loaded, attempted, problems } = standing;
        Self { loaded, attempted, problems }
    }
}

/// How a hook fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// What it is called.
    pub name: String,
    /// What it does now.
    pub state: hooks::State,
    /// How its last run ended; none before the first.
    pub last: Option<HookRun>,
}

/// How a run of a hook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// How.
    pub outcome: Outcome,
    /// Why, where it did not succeed.
    pub detail: Option<String>,
    /// When.
    pub ended: Timestamp,
}

impl From<hooks::Standing> for Hook {
    fn from(standing: hooks::Standing) -> Self {
        let hooks::Standing { name, state, last } = standing;
        let last = last.map(|last| HookRun { outcome: last.outcome, detail: last.detail, ended: last.at });
        Self { name, state, last }
    }
}

/// The answer to `GET /healthz` and `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `ok` or `ready`.
    pub status: String,
}

/// A problem as it is sent, in `application/problem+json`. Its type is `about:blank`, so the title is the status's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// The word for programs.
    pub code: String,
    /// The sentence for people.
    pub detail: String,
}

impl Item {
    /// What is known of a secret at `now`.
    #[must_use]
    pub fn of(name: &SecretName, slot: &Slot, now: Moment, to_operator: bool) -> Self {
        let published = slot.published.as_ref();
        let metadata = published.map(|published| &published.secret.metadata);
        Self {
            name: name.to_string(),
            state: slot.state(),
            version: metadata.map(|metadata| metadata.version.to_string()),
            content_type: metadata.and_then(|metadata| metadata.content_type.clone()),
            created: metadata.and_then(|metadata| metadata.created),
            updated: metadata.and_then(|metadata| metadata.updated),
            expires: metadata.and_then(|metadata| metadata.expires),
            fetched: published.map(|published| published.fetched.wall),
            age_seconds: published.map(|published| published.age(now).as_secs()),
            stale: slot.state() == State::Stale,
            vault: published.filter(|_| to_operator).map(|published| published.origin.vault.to_string()),
        }
    }
}
