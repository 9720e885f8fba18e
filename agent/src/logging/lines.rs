//! Lines of the log on their way to standard error, where whoever reads them may be slow: nothing that logs waits for that.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait to be written. A start with a thousand secrets has fewer, and they take less than a MiB.
const LINES_MAX: usize = 4096;

/// How long the end waits for lines that nobody reads.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where lines go: straight to standard error at first. Clones are the same way.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Way>);

#[derive(Debug, Default)]
struct Way {
    /// A bounded one would have room for all that may wait from the start: 128 KiB.
    queue: Mutex<Option<Sender<Vec<u8>>>>,
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

/// Has lines written by a thread of their own until it is dropped.
#[derive(Debug)]
pub struct Detached {
    way: Arc<Way>,
    written: Receiver<()>,
}

impl Lines {
    /// Has a thread write from now on. A pipe that nobody empties then costs lines, of which the log tells the number, and
    /// holds up neither a reader nor a look at the vault.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn detach(&self) -> io::Result<Detached> {
        let ((sender, lines), (end, written)) = (mpsc::channel(), mpsc::channel());
        let way = Arc::clone(&self.0);
        let write = move || {
            let _end = end;
            way.write(&lines);
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(write)?;
        *self.0.queue.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(Detached { way: Arc::clone(&self.0), written })
    }
}

/// Says the last thing that a process has to say, and waits no longer than a second for whoever reads standard error.
pub fn say_last(line: &str) {
    let lines = Lines::default();
    // Without a thread nobody is told: a pipe that nobody empties would hold up the end for ever.
    let Ok(_detached) = lines.detach() else { return };
    lines.0.take(line.as_bytes());
}

impl Way {
    /// Writes lines until there is nobody left to send one.
    fn write(&self, lines: &Receiver<Vec<u8>>) {
        loop {
            let line = match lines.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    // There is room for it now.
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    if lost > 0 {
                        tracing::warn!(lines = lost, "the log was read too slowly: lines are lost");
                    }
                    let Ok(line) = lines.recv() else { return };
                    line
                }
            };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            // A line that nobody reads any more is lost.
            drop(io::stderr().write_all(&line));
        }
    }

    /// Takes a line, if it is not to be written straight away. The lock is held only to put it into the queue.
    fn take(&self, line: &[u8]) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return false };
        // Counted before it can be taken out, so that the number is never less than none.
        let is_lost = self.waiting.load(Ordering::Relaxed) >= LINES_MAX || {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            queue.send(line.to_vec()).is_err()
        };
        if is_lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        true
    }
}

impl Drop for Detached {
    /// Waits for what is still to be written, though not for long.
    fn drop(&mut self) {
        self.way.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nothing is ever sent: the end of the thread ends this.
        let _ = self.written.recv_timeout(FAREWELL);
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A log's whole line comes in one piece.
impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.take(line) { Ok(line.len()) } else { io::stderr().write(line) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_those_that_may_wait_are_lost_and_counted() {
        let way = Way::default();
        assert!(!way.take(b"one\n"), "nobody writes for it yet");
        let (sender, lines) = mpsc::channel();
        *way.queue.lock().expect("no panic") = Some(sender);
        assert!((0..=LINES_MAX).all(|_| way.take(b"two\n")));
        assert_eq!(way.lost.load(Ordering::Relaxed), 1);
        assert_eq!(lines.try_iter().count(), LINES_MAX);
    }
}
