//! How each hook fares, for the status.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::channel::Outcome;
use super::settings::Hook;

/// How all hooks fare. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Standing>>>);

/// How a hook fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is called.
    pub name: String,
    /// What it does now.
    pub state: State,
    /// How its last run ended.
    pub last: Option<Ended>,
}

/// What a hook does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for a change.
    Idle,
    /// It runs.
    Running,
    /// It cannot run, because the helper ended.
    Unavailable,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why, where it did not succeed.
    pub detail: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Board {
    /// All hooks, waiting.
    #[must_use]
    pub fn new(hooks: &[Hook]) -> Self {
        let standing = |hook: &Hook| Standing { name: hook.name.clone(), state: State::Idle, last: None };
        Self(Arc::new(Mutex::new(hooks.iter().map(standing).collect())))
    }

    /// All hooks, in the order of the configuration.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        self.lock().clone()
    }

    pub(super) fn started(&self, hook: usize) {
        if let Some(standing) = self.lock().get_mut(hook) {
            standing.state = State::Running;
        }
    }

    pub(super) fn ended(&self, hook: usize, ended: Ended) {
        if let Some(standing) = self.lock().get_mut(hook) {
            standing.state = if ended.outcome == Outcome::Unavailable { State::Unavailable } else { State::Idle };
            standing.last = Some(ended);
        }
    }

    /// No hook can run any more.
    pub(super) fn lost(&self) {
        for standing in self.lock().iter_mut() {
            standing.state = State::Unavailable;
        }
    }

    /// Held only to read or write a few words.
    fn lock(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
