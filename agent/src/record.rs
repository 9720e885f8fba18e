//! When the configuration was read, and what came of it, for the status and the metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// What came of reading the configuration. Clones share it.
#[derive(Clone, Debug)]
pub struct Record(Arc<Mutex<Standing>>);

/// How the configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When the configuration was read by which the agent goes.
    pub loaded: Timestamp,
    /// When it was read last.
    pub attempted: Timestamp,
    /// Why the agent does not go by what was read last; empty where it does.
    pub problems: Vec<String>,
}

impl Record {
    /// A configuration that is good, as it was read at the start.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Standing { loaded: now, attempted: now, problems: Vec::new() })))
    }

    /// How the configuration stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Notes that the agent goes by what was read.
    pub fn applied(&self, now: Timestamp) {
        *self.lock() = Standing { loaded: now, attempted: now, problems: Vec::new() };
    }

    /// Notes that it goes by what was read before.
    pub fn refused(&self, problems: Vec<String>, now: Timestamp) {
        let mut standing = self.lock();
        (standing.attempted, standing.problems) = (now, problems);
    }

    /// Held only to read or write a few words.
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
