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

impl Entry {
    /// Whether it changed something in Azure: a sign-in does not, nor does the question whether a name is free.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let changes = matches!(self.method.as_str(), "PUT" | "PATCH" | "DELETE" | "POST");
        let asks = self.host == "login.microsoftonline.com"
            || self.path.to_ascii_lowercase().ends_with("/oauth2/v2.0/token")
            || self.path.to_ascii_lowercase().ends_with("/checknameavailability");
        changes && !asks && self.status.is_some_and(|status| (200..300).contains(&status))
    }
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

    /// Waits for `answer`, and remembers the request as unanswered where its client has gone before.
    pub(crate) async fn until<T>(&self, entry: &Entry, answer: impl Future<Output = T>) -> T {
        let mut unanswered = Unanswered(Some((self, entry)));
        let answer = answer.await;
        unanswered.0 = None;
        answer
    }

    /// Every remembered request, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    /// How many of them changed something in Azure.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.lock().iter().filter(|entry| entry.is_write()).count()
    }
}

/// Remembers a request when it is dropped.
struct Unanswered<'a>(Option<(&'a RequestLog, &'a Entry)>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some((log, entry)) = self.0 {
            log.add(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_what_changed_something() {
        let arm = "management.azure.com";
        let rows = [
            ("PUT", arm, "/subscriptions/s/resourcegroups/rg", Some(201), true),
            ("DELETE", arm, "/subscriptions/s/resourcegroups/rg", Some(202), true),
            ("PUT", arm, "/subscriptions/s/resourcegroups/rg", Some(409), false),
            ("PUT", arm, "/subscriptions/s/resourcegroups/rg", None, false),
            ("GET", arm, "/subscriptions/s/resourcegroups/rg", Some(200), false),
            ("POST", arm, "/subscriptions/s/providers/Microsoft.Storage/register", Some(200), true),
            ("POST", arm, "/subscriptions/s/providers/Microsoft.KeyVault/checkNameAvailability", Some(200), false),
            ("POST", "login.microsoftonline.com", "/t/oauth2/v2.0/token", Some(200), false),
            ("PUT", "kv.vault.azure.net", "/secrets/db", Some(200), true),
        ];
        for (method, host, path, status, expected) in rows {
            let [time, method, host, path] = ["", method, host, path].map(str::to_string);
            let entry = Entry { time, method, host, path, status, fault: None };
            assert_eq!(entry.is_write(), expected, "{entry:?}");
        }
    }

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
