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
        while let Some(entry) = self.entries.blocking_recv() {
            let mut next = Some(entry);
            while let Some(entry) = next {
                if !self.write(&entry) {
                    return self.give_up();
                }
                next = self.entries.try_recv().ok();
            }
            self.is_stopped_within(GATHERING);
        }
    }

    /// Whether all lines of the entry were written, and not given up because the agent ends.
    fn write(&mut self, entry: &Entry) -> bool {
        entry.lines().all(|line| self.write_line(&line))
    }

    fn write_line(&mut self, line: &[u8]) -> bool {
        let mut retry = RETRY_MIN;
        let mut is_told = false;
        while let Err(error) = self.file.append(line) {
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
        self.metrics.audited(1);
        true
    }

    fn tell_trouble(&self, error: &io::Error) {
        let why = with_causes(error);
        tracing::error!(file = %self.file.path().display(), error = why, "the audit cannot be written, and lines wait");
        self.standing.set(Some(why));
    }

    /// Nobody would be there to write them later.
    fn give_up(mut self) {
        let mut lines = 1;
        while self.entries.try_recv().is_ok() {
            lines += 1;
        }
        self.metrics.audit_lost(lines);
        tracing::error!(lines, file = %self.file.path().display(), "the last lines of the audit are lost");
    }

    /// Waits, and answers `true` at once when the agent ends.
    fn is_stopped_within(&self, wait: Duration) -> bool {
        self.stop.recv_timeout(wait) == Err(channel::RecvTimeoutError::Disconnected)
    }
}
