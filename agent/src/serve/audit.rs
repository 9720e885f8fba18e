//! Who was given what, and who was not: one line of JSON for each answer about a secret, written by a thread of its own.

mod file;
mod line;
mod place;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

pub use self::file::AuditFile;
use self::line::Lost;
pub(super) use self::line::{Entry, Event};
pub use self::place::{Finding, examine, uploaded_folder};
pub(super) use self::writer::Writer;
use super::documents;
use crate::metrics::Metrics;

/// How many lines may wait for a file that cannot be written, or not fast enough: a busy agent's of some seconds, in about
/// a megabyte of memory.
const LINES_WAITING_MAX: usize = 4096;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file, by its absolute path.
    pub file: PathBuf,
    /// Whether it may lie in a folder that a job uploads when it ends.
    pub allow_upload: bool,
}

/// The readers' end: it puts lines in a queue, and never waits.
#[derive(Debug)]
pub(super) struct Audit {
    queue: mpsc::Sender<Entry>,
    lost: Mutex<Option<Lost>>,
    standing: Arc<Standing>,
    metrics: Arc<Metrics>,
}

/// How the file fares.
#[derive(Debug)]
struct Standing {
    file: PathBuf,
    trouble: Mutex<Option<String>>,
}

impl Standing {
    /// Held only to change or copy a text; nothing waits or fails inside.
    fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Audit {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(file: AuditFile, metrics: &Arc<Metrics>) -> io::Result<(Self, Writer)> {
        let (queue, entries) = mpsc::channel(LINES_WAITING_MAX);
        let standing = Arc::new(Standing { file: file.path().to_owned(), trouble: Mutex::default() });
        metrics.audited(0);
        metrics.audit_lost(0);
        let writer = Writer::start(file, entries, (Arc::clone(&standing), Arc::clone(metrics)))?;
        Ok((Self { queue, lost: Mutex::default(), standing, metrics: Arc::clone(metrics) }, writer))
    }

    /// Has a line written. One that finds no room is lost: it is counted, and told of before the next that finds some.
    pub(super) fn note(&self, mut entry: Entry) {
        // Held only to count; nothing waits or fails inside.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        entry.lost = lost.take();
        if let Err(TrySendError::Full(entry) | TrySendError::Closed(entry)) = self.queue.try_send(entry) {
            *lost = Some(Lost::and_one(entry.lost, entry.at));
            self.metrics.audit_lost(1);
        }
    }

    /// What operators are told.
    pub(super) fn standing(&self) -> documents::Audit {
        let trouble = self.standing.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (written, lost) = self.metrics.audit_lines();
        documents::Audit { file: self.standing.file.display().to_string(), written, lost, trouble }
    }
}

#[cfg(test)]
mod tests;
