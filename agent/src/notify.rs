//! What systemd is told: ready, what the state is, that the agent lives, that it stops, and what to keep for the next one.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::causes::with_causes;
use crate::secret::SecretName;
use crate::store::{Reader, Snapshot};
use crate::tasks::stopped_within;
use crate::warm::Custody;

/// Whether the service manager was told that the agent is ready. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Announced(Arc<AtomicBool>);

impl Announced {
    fn by(&self, ready: bool) -> bool {
        ready && !self.0.swap(true, Ordering::Relaxed)
    }

    /// Tells the service manager that the configuration is read again, and answers the word for when that is over: what a
    /// service of `Type=notify-reload` says after SIGHUP. Before the agent is ready nothing is said, because the word at the
    /// end would say that it is.
    /// Source: `sd_notify(3)`, `RELOADING=1`.
    #[must_use = "the service manager waits for the end"]
    pub fn reloading(&self) -> Reloading {
        self.reloading_with(send as fn(&[NotifyState<'_>]))
    }

    fn reloading_with<S: FnMut(&[NotifyState<'_>])>(&self, mut send: S) -> Reloading<S> {
        let told = self.0.load(Ordering::Relaxed);
        if told {
            let since = NotifyState::monotonic_usec_now().into_iter();
            send(&std::iter::once(NotifyState::Reloading).chain(since).collect::<Vec<_>>());
        }
        Reloading { told, send }
    }
}

/// A configuration that is read; the service manager hears of the end when this is dropped.
#[derive(Debug)]
pub struct Reloading<S: FnMut(&[NotifyState<'_>]) = fn(&[NotifyState<'_>])> {
    told: bool,
    send: S,
}

impl<S: FnMut(&[NotifyState<'_>])> Drop for Reloading<S> {
    fn drop(&mut self) {
        if self.told {
            (self.send)(&[NotifyState::Ready]);
        }
    }
}

/// Tells the service manager that every required secret is there, once it is, and what the state is with every change.
/// Without a service manager, nothing is said; one that does not listen is told to the log.
pub async fn follow(reader: Reader, announced: Announced, stop: CancellationToken) {
    follow_with(reader, announced, stop, send).await;
}

async fn follow_with(
    mut reader: Reader,
    announced: Announced,
    stop: CancellationToken,
    mut send: impl FnMut(&[NotifyState<'_>]),
) {
    loop {
        let snapshot = reader.snapshot();
        let status = status(&snapshot);
        let ready = announced.by(snapshot.is_ready());
        drop(snapshot);
        if ready {
            send(&[NotifyState::Ready]);
        }
        send(&[NotifyState::Status(&status)]);
        tokio::select! {
            () = stop.cancelled() => break,
            true = reader.changed() => {}
            else => break,
        }
    }
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Tells the service manager that the agent lives, twice in each interval that it grants, as `sd_watchdog_enabled(3)`
/// advises; and once that it does not, where that is so. Does nothing where it grants none.
pub async fn keep_alive<F: Future<Output = bool>>(alive: impl Fn() -> F, stop: CancellationToken) {
    match sd_notify::watchdog_enabled() {
        Some(interval) => keep_alive_with(interval, alive, stop, send).await,
        None => stop.cancelled().await,
    }
}

async fn keep_alive_with<F: Future<Output = bool>>(
    interval: Duration,
    alive: impl Fn() -> F,
    stop: CancellationToken,
    mut send: impl FnMut(&[NotifyState<'_>]),
) {
    let mut told = false;
    loop {
        // Who takes half of the time until the next meal to answer does not live.
        let lives = timeout(interval / 4, alive()).await.unwrap_or(false);
        if lives {
            send(&[NotifyState::Watchdog]);
        } else if !told {
            tracing::error!("a part of the agent hangs: unless it goes on, the service manager ends the agent");
            send(&[NotifyState::Status("a part of the agent hangs")]);
        }
        told = !lives;
        if stopped_within(&stop, interval / 2).await {
            return;
        }
    }
}

/// The service manager, as who keeps descriptors (`FDSTORE=1` and `FDSTOREREMOVE=1` of `sd_notify(3)`). It does not say whether
/// it does: `FileDescriptorStoreMax=` of the unit allows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceManager;

impl Custody for ServiceManager {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        sd_notify::notify_with_fds(&[NotifyState::FdStore, NotifyState::FdName(name)], &[descriptor])
    }

    fn forget(&self, name: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)])
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(error = with_causes(&error), "the service manager does not listen");
    }
}

fn status(snapshot: &Snapshot) -> String {
    let awaited: Vec<_> = snapshot.awaited().map(SecretName::as_str).collect();
    if awaited.is_empty() {
        return format!("serving {} secrets, generation {}", snapshot.slots.len(), snapshot.generation);
    }
    format!("waiting for {}", awaited.join(", "))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::store;
    use crate::testing::{name, publish, secret};

    #[tokio::test]
    async fn the_service_manager_hears_ready_once_and_every_change() {
        let (publisher, reader) = store::channel([(name("db"), false)]);
        let stop = CancellationToken::new();
        let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let announced = Announced::default();
        let say = |states: &[NotifyState<'_>]| {
            let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
            tell.send(lines.join(" ")).expect("the test listens");
        };
        let follow = follow_with(reader, announced.clone(), stop.clone(), say);
        let changes = async {
            assert_eq!(heard.recv().await.expect("a word"), "STATUS=waiting for db");
            drop(announced.reloading_with(say));
            publish(&publisher, "db", Ok(secret('a', b"one")));
            assert_eq!(heard.recv().await.expect("a word"), "READY=1");
            assert_eq!(heard.recv().await.expect("a word"), "STATUS=serving 1 secrets, generation 1");
            publish(&publisher, "db", Ok(secret('b', b"two")));
            assert_eq!(heard.recv().await.expect("a word"), "STATUS=serving 1 secrets, generation 2");
            let reloading = announced.reloading_with(say);
            let word = heard.recv().await.expect("a word");
            assert!(word.starts_with("RELOADING=1 MONOTONIC_USEC="), "{word}");
            drop(reloading);
            assert_eq!(heard.recv().await.expect("a word"), "READY=1");
            stop.cancel();
            assert_eq!(heard.recv().await.expect("a word"), "STOPPING=1 STATUS=stopping");
        };
        tokio::join!(follow, changes);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_only_while_the_agent_lives() {
        let interval = Duration::from_secs(10);
        for silent in [false, true] {
            let stop = CancellationToken::new();
            let (mut meals, mut states) = (0, 0);
            let begun = Instant::now();
            let alive = || async move {
                let dies = begun.elapsed() >= Duration::from_secs(20);
                if dies && silent {
                    std::future::pending::<()>().await;
                }
                !dies
            };
            let count = |told: &[NotifyState<'_>]| match told {
                [NotifyState::Watchdog] => meals += 1,
                _ => states += 1,
            };
            let feed = keep_alive_with(interval, alive, stop.clone(), count);
            let end = async {
                tokio::time::sleep(Duration::from_mins(1)).await;
                stop.cancel();
            };
            tokio::join!(feed, end);
            assert_eq!((meals, states), (4, 1), "at 0, 5, 10 and 15 s, and then a word");
        }
    }
}
