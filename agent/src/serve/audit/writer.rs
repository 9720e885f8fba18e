//! The thread that writes the audit, so that no disk and no pipe ever holds up a reader.

use std::io;
use std::sync::{Arc, mpsc as channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Standing;
use super::file::AuditFile;
use super::line::Entry;
use crate::causes::with_causes;
use crate::metrics::Metrics;

/// How long lines may gather once the queue is empty. To wake a thread costs the one who reads a secret more than all the
/// rest of the audit; so that is done 200 times a second at most.
const GATHERING: Duration = Duration::from_millis(5);

/// How many bytes are written at once: as many as a pipe takes whole or not at all (`PIPE_BUF` in pipe(7)).
const BATCH_BYTES_MAX: usize = 4096;

/// More than the longest lines of one answer: a name has 127 characters at most, a version 32, and the rest is words and numbers.
pub(super) const ENTRY_BYTES_MAX: usize = 1024;

/// How soon a line is tried again at first, which is as long as a reader of a pipe may be busy without anybody hearing of
/// it; then each wait is twice as long, up to the longest.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long the agent's end waits for the last lines: a disk that has not written them by then hangs.
const END: Duration = Duration::from_millis(500);

/// The running thread.
#[derive(Debug)]
pub(in crate::serve) struct Writer {
    /// Nothing is ever sent; its end ends each wait.
    stop: channel::Sender<()>,
    ended: channel::Receiver<()>,
}

/// Whole lines that are written together.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
    entries: u64,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.text.len() + ENTRY_BYTES_MAX <= BATCH_BYTES_MAX
    }

    fn add(&mut self, entry: &Entry) {
        self.lines += entry.write_to(&mut self.text);
        self.entries += 1;
    }

    fn clear(&mut self) {
        self.text.clear();
        (self.lines, self.entries) = (0, 0);
    }
}

struct Work {
    file: AuditFile,
    entries: mpsc::Receiver<Entry>,
    standing: Arc<Standing>,
    metrics: Arc<Metrics>,
    stop: channel::Receiver<()>,
}

impl Writer {
    pub(super) fn start(
        file: AuditFile,
        entries: mpsc::Receiver<Entry>,
        (standing, metrics): (Arc<Standing>, Arc<Metrics>),
    ) -> io::Result<Self> {
        let (stop, stopped) = channel::channel();
        let (end, ended) = channel::channel();
        let work = Work { file, entries, standing, metrics, stop: stopped };
        let run = move || {
            work.run();
            drop(end);
        };
        thread::Builder::new().name("audit".to_owned()).spawn(run)?;
        Ok(Self { stop, ended })
    }

    /// Waits until everything is written, or cannot be. The queue must have no other end any more.
    pub(in crate::serve) fn finish(self) {
        drop(self.stop);
        if self.ended.recv_timeout(END) == Err(channel::RecvTimeoutError::Timeout) {
            tracing::error!("the audit hangs, and its last lines may be lost");
        }
    }
}

impl Work {
    fn run(mut self) {
        let mut batch = Batch::default();
        while let Some(entry) = self.entries.blocking_recv() {
            let mut next = Some(entry);
            while let Some(entry) = next {
                batch.add(&entry);
                while batch.has_room()
                    && let Ok(entry) = self.entries.try_recv()
                {
                    batch.add(&entry);
                }
                if !self.write(&batch.text, batch.lines) {
                    return self.give_up(batch.entries);
                }
                batch.clear();
                next = self.entries.try_recv().ok();
            }
            self.is_stopped_within(GATHERING);
        }
        let lost = *self.standing.lost();
        if lost.is_some_and(|lost| !self.write(&lost.last_line(), 1)) {
            self.tell_of_lost(0);
        }
    }

    /// Whether the lines were written, and not given up because the agent ends.
    fn write(&mut self, text: &[u8], lines: u64) -> bool {
        let mut retry = RETRY_MIN;
        let mut is_told = false;
        while let Err(error) = self.file.append(text) {
            if !is_told && (retry == RETRY_MAX || error.kind() != io::ErrorKind::WouldBlock) {
                is_told = true;
                self.tell_trouble(&error);
            }
            if self.is_stopped_within(retry) {
                return false;
            }
            retry = (retry * 2).min(RETRY_MAX);
        }
        if is_told {
            self.standing.set(None);
            tracing::info!(file = %self.file.path().display(), "the audit is written again");
        }
        self.metrics.audited(lines);
        true
    }

    fn tell_trouble(&self, error: &io::Error) {
        let why = with_causes(error);
        tracing::error!(file = %self.file.path().display(), error = why, "the audit cannot be written, and lines wait");
        self.standing.set(Some(why));
    }

    /// Nobody would be there to write them later.
    fn give_up(mut self, waiting: u64) {
        let mut lines = waiting;
        while self.entries.try_recv().is_ok() {
            lines += 1;
        }
        self.metrics.audit_lost(lines);
        self.tell_of_lost(lines);
    }

    /// Tells the log of what the audit will not tell.
    fn tell_of_lost(&self, more: u64) {
        let lines = self.standing.lost().map_or(0, |lost| lost.count) + more;
        tracing::error!(lines, file = %self.file.path().display(), "the last lines of the audit are lost");
    }

    /// Waits, and answers `true` at once when the agent ends.
    fn is_stopped_within(&self, wait: Duration) -> bool {
        self.stop.recv_timeout(wait) == Err(channel::RecvTimeoutError::Disconnected)
    }
}
