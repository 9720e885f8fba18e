//! What a plan is made of: things that can be observed, written and removed, and what was decided about each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use crate::azure::Azure;
use crate::config::Principal;
use crate::field::Difference;

/// What an item is called in plans, progress and errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// What kind of thing it is, `key vault` for instance.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.name)
    }
}

/// What is to be done about an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is not there and is made.
    Create,
    /// It is in a deleted state and is brought back.
    Recover,
    /// It is there and differs.
    Change(Vec<Difference>),
    /// It is there, and Azure is still at work on it.
    Await(String),
    /// It is there, as it should be.
    Leave,
    /// It cannot be brought to what is wanted; the text says why and what to do.
    Refuse(String),
}

impl Decision {
    /// Whether there is something to do.
    #[must_use]
    pub fn is_work(&self) -> bool {
        !matches!(self, Self::Leave)
    }

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Recover => "recover",
            Self::Change(_) => "change",
            Self::Await(_) => "await",
            Self::Leave => "leave",
            Self::Refuse(_) => "refuse",
        }
    }
}

/// What was found about an item.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What is to be done.
    pub decision: Decision,
    /// What Azure has, if it has anything.
    pub document: Option<Value>,
    /// Whether this program made it.
    pub ours: bool,
    /// Whether Azure keeps it in a deleted state.
    pub deleted: bool,
    /// What should be known before it is done.
    pub notes: Vec<String>,
}

impl Observed {
    /// It is not there.
    #[must_use]
    pub fn absent() -> Self {
        Self { decision: Decision::Create, document: None, ours: true, deleted: false, notes: Vec::new() }
    }

    /// It is there, as it should be.
    #[must_use]
    pub fn present(document: Value, ours: bool) -> Self {
        Self { decision: Decision::Leave, document: Some(document), ours, deleted: false, notes: Vec::new() }
    }

    /// The same with something that should be known.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// It cannot be brought to what is wanted.
    #[must_use]
    pub fn refused(reason: String) -> Self {
        Self { decision: Decision::Refuse(reason), document: None, ours: false, deleted: false, notes: Vec::new() }
    }
}

/// Which item another one refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The application's vault.
    Vault,
    /// The vault that only the workspace uses.
    WorkspaceVault,
    /// The machine learning workspace.
    Workspace,
    /// The agent's identity.
    Identity,
    /// Nobody refers to it.
    Unnamed,
}

/// What Azure has of the items that others refer to.
#[derive(Debug, Default)]
pub struct Known(Mutex<BTreeMap<Key, Value>>);

impl Known {
    /// Keeps what Azure has of `key`.
    pub fn keep(&self, key: Key, document: Value) {
        if key != Key::Unnamed {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, document);
        }
    }

    /// A text in what Azure has of `key`, by JSON pointer.
    #[must_use]
    pub fn text(&self, key: Key, pointer: &str) -> Option<String> {
        let documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        documents.get(&key)?.pointer(pointer)?.as_str().map(str::to_owned)
    }

    /// Whether Azure has `key`.
    #[must_use]
    pub fn has(&self, key: Key) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key)
    }

    /// The object id of a principal and what it is; none for one that does not exist yet.
    #[must_use]
    pub fn principal(&self, principal: &Principal, azure: &Azure) -> Option<(Uuid, &'static str)> {
        let id = |key, pointer| self.text(key, pointer)?.parse().ok().map(|id| (id, "ServicePrincipal"));
        match principal {
            Principal::Agent => id(Key::Identity, "/properties/principalId"),
            Principal::Workspace => id(Key::Workspace, "/identity/principalId"),
            Principal::Operator => Some(azure.operator()),
            Principal::Object(id, kind) => Some((*id, kind)),
        }
    }
}

/// What items are looked at and worked on with.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Whom to ask.
    pub azure: &'a Azure,
    /// What is known so far.
    pub known: &'a Known,
}

/// How an item goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// By being removed.
    ByItself,
    /// With what it is part of.
    With(Key),
    /// With what it is part of, and not from one that stays: nothing there tells who made it.
    OnlyWith(Key),
    /// Not at all: it is of no estate in particular.
    Never,
}

/// One thing that can be observed, written and removed.
#[async_trait]
pub trait Item: fmt::Debug + Send + Sync {
    /// What it is called.
    fn label(&self) -> Label;

    /// Which item others refer to it as.
    fn key(&self) -> Key {
        Key::Unnamed
    }

    /// Looks at it and decides. Writes nothing.
    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed>;

    /// Brings it to what is wanted and waits until it is usable. Answers with what Azure has then.
    async fn write(&self, azure: &Azure, known: &Known, observed: &Observed) -> Result<Value>;

    /// Removes it and waits until it is gone; `purge` leaves nothing that could be recovered. Answers why something of it
    /// stays, if it does.
    async fn remove(&self, azure: &Azure, known: &Known, purge: bool) -> Result<Option<String>>;

    /// How it goes away.
    fn removal(&self) -> Removal {
        Removal::ByItself
    }
}

/// An item and those that must be there before it, by their place in the list.
#[derive(Clone, Debug)]
pub struct Node {
    /// The item.
    pub item: Arc<dyn Item>,
    /// The places of those before it.
    pub after: Vec<usize>,
}
