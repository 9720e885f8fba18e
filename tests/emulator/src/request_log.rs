//! What was asked of the emulator: never a query, a header or a body, so never a token or a value.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How many requests are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 10_000;

/// One request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it came, in RFC 3339, by the emulator's clock.
    pub time: String,
    /// The method; `CONNECT` for a tunnel through the proxy.
    pub method: String,
    /// The host it was meant for, without a port.
    pub host: String,
    /// The path, without its query.
    pub path: String,
    /// The status that was answered; none where the connection hung or broke first.
    pub status: Option<u16>,
    /// The fault that struck it.
    pub fault: Option<u64>,
}

/// The last requests, oldest first. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    // A std Mutex, because no section that holds it waits for anything.
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

impl RequestLog {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, entry: Entry) {
        let Entry { method, host, path, status, fault, .. } = &entry;
        tracing::info!(method, host, path, status, fault, "request");
        let mut entries = self.lock();
        if entries.len() == REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// Every remembered request, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_requests_are_forgotten_first() {
        let log = RequestLog::default();
        for number in 0..=REMEMBERED {
            log.add(Entry {
                time: String::new(),
                method: "GET".into(),
                host: "h".into(),
                path: format!("/{number}"),
                status: Some(200),
                fault: None,
            });
        }
        let entries = log.entries();
        assert_eq!((entries.len(), entries[0].path.as_str()), (REMEMBERED, "/1"));
    }
}
