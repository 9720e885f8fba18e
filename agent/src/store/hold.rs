//! What holds readiness back: a part that shows the secrets in its own way, and can fail.

use std::sync::Arc;

use tokio::sync::watch;

use super::Snapshot;

/// Holds readiness back until it is released or dropped, and tells which generation its part shows.
#[derive(Debug)]
pub struct Hold {
    snapshots: watch::Sender<Arc<Snapshot>>,
    holds: bool,
    /// Which of [`Snapshot::shown`] is this part's.
    place: usize,
}

impl Hold {
    pub(super) fn new(snapshots: watch::Sender<Arc<Snapshot>>) -> Self {
        let place = snapshots.borrow().shown.len();
        snapshots.send_modify(|snapshot| {
            let snapshot = Arc::make_mut(snapshot);
            snapshot.shown.push(0);
            snapshot.held += 1;
        });
        Self { snapshots, holds: true, place }
    }

    /// Holds readiness back again. Like [`Self::release`] it wakes readers, but only where it changes something.
    pub fn resume(&mut self) {
        if !std::mem::replace(&mut self.holds, true) {
            self.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).held += 1);
        }
    }

    /// Notes that the part shows `generation`, and lets readiness go.
    pub fn show(&mut self, generation: u64) {
        if self.snapshots.borrow().shown[self.place] != generation {
            self.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).shown[self.place] = generation);
        }
        self.release();
    }

    /// Lets readiness go, until it is held back again.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.holds) {
            self.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).held -= 1);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::store::channel;
    use crate::testing::{name, publish, secret};

    #[tokio::test]
    async fn readiness_is_held_back_and_its_release_wakes_readers() {
        let (publisher, mut reader) = channel([(name("db"), false)]);
        let mut hold = publisher.hold_readiness();
        publish(&publisher, "db", Ok(secret('a', b"one")));
        assert!(reader.changed().await);
        assert!(reader.snapshot().is_complete() && !reader.snapshot().is_ready());
        hold.release();
        assert!(reader.changed().await);
        assert!(reader.snapshot().is_ready());
        hold.resume();
        assert!(reader.changed().await);
        hold.resume();
        let none = tokio::time::timeout(Duration::ZERO, reader.changed()).await;
        assert!(none.is_err() && !reader.snapshot().is_ready(), "held already");
        drop(hold);
        assert!(reader.snapshot().is_ready());
        assert_eq!(reader.snapshot().generation, 1, "nothing new to read");
    }

    #[test]
    fn a_generation_is_shown_once_every_part_shows_it() {
        let (publisher, reader) = channel([(name("db"), false)]);
        publish(&publisher, "db", Ok(secret('a', b"one")));
        assert!(reader.snapshot().is_shown(), "no part shows anything in its own way");
        let (mut first, mut second) = (publisher.hold_readiness(), publisher.hold_readiness());
        first.show(1);
        assert!(!reader.snapshot().is_shown());
        second.show(1);
        assert!(reader.snapshot().is_shown() && reader.snapshot().is_ready());
        publish(&publisher, "db", Ok(secret('b', b"two")));
        assert!(!reader.snapshot().is_shown() && reader.snapshot().is_ready());
    }
}
