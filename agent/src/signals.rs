//! The signals that end the agent, and the end that they bring; and the one that has it read its configuration again.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

/// The signals that end the agent.
pub(crate) struct Signals([Signal; 2]);

/// The signal that asks for the configuration to be read again.
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Waits for the next one; those that came meanwhile are one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Signals {
    /// Keeps the signals waiting until [`Self::listen`], so that one that comes during the start does what any other
    /// does. Threads that are started meanwhile would keep them for good.
    pub(crate) fn hold_back() -> Result<()> {
        set().thread_block().context("could not hold signals back")
    }

    /// Listens from now on, and for those that were held back.
    pub(crate) fn listen() -> Result<(Self, Hangup)> {
        let listen = |kind| signal(kind).context("could not listen for signals");
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(listen);
        let signals = (Self([terminate?, interrupt?]), Hangup(hangup?));
        set().thread_unblock().context("could not let signals through")?;
        Ok(signals)
    }

    /// Waits for the end of the tasks, which a signal asks for by `stop`; a second signal does not wait.
    pub(crate) async fn join(mut self, tasks: Tasks, stop: CancellationToken, grace: Duration) -> Result<()> {
        let ended = tasks.join(grace);
        tokio::pin!(ended);
        tokio::select! {
            outcome = &mut ended => return outcome,
            () = self.next() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
        tokio::select! {
            outcome = ended => outcome,
            () = self.next() => bail!("a second signal ended the agent at once; files may be left"),
        }
    }

    async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

fn set() -> SigSet {
    SigSet::from_iter([Number::SIGTERM, Number::SIGINT, Number::SIGHUP])
}
