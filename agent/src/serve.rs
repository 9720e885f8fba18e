//! The socket: what is in the store, over HTTP, to those who may read it.

mod accept;
mod access;
mod admission;
mod answer;
pub mod audit;
mod body;
mod condition;
mod connection;
pub mod documents;
#[cfg(test)]
pub(crate) mod fixtures;
mod head;
mod heart;
mod limits;
mod listen;
mod notes;
mod peer;
mod problem;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
pub(crate) mod received;
mod refusals;
mod request;
mod routes;
mod sending;
#[cfg(test)]
mod tests;
mod wait;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::admission::Connections;
use self::audit::{Audit, AuditFile};
use self::limits::{RefreshBudget, Waits};
use self::refusals::Refusals;
use self::routes::Server;
use crate::clock::Clock;
use crate::hooks::Board;
use crate::memory::Arena;
use crate::metrics::Metrics;
use crate::process;
use crate::record::Record;
use crate::refresh::{Demands, Gates, Pulse};
use crate::store::Reader;
use crate::warm;

pub use self::access::Access;
pub use self::heart::Heart;
pub use self::limits::Limits;
pub use self::listen::{Listeners, bind};
pub(crate) use self::listen::{SocketFile, bind_path, compare};

/// The operator's settings for the socket.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the socket is made.
    pub socket: PathBuf,
    /// Where health, readiness and metrics are served too, for kubelets and Prometheus. Nobody is known there, so the
    /// metrics name no secret.
    pub tcp: Option<SocketAddr>,
    /// Who may do what, at first.
    pub access: Arc<Access>,
    /// How much the server takes upon itself.
    pub limits: Limits,
    /// Where it is written down who was given what, if it is.
    pub audit: Option<audit::Settings>,
    /// How long answers that are under way at the end may take.
    pub grace: Duration,
}

/// What the server answers from.
pub struct Sources {
    /// The secrets.
    pub reader: Reader,
    /// Who may do what from now on, beginning with what the settings say.
    pub access: watch::Receiver<Arc<Access>>,
    /// Has the vault looked at.
    pub demands: Demands,
    /// How the vaults fare.
    pub gates: Gates,
    /// Tells the time for ages.
    pub clock: Arc<dyn Clock>,
    /// What does not change, or changes elsewhere.
    pub about: About,
    /// Where it is written down who was given what, if it is.
    pub audit: Option<AuditFile>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Whether the loop that looks for new versions lives, and when it looks next.
    pub pulse: Pulse,
    /// Tells others that the server lives.
    pub heart: Heart,
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sources").field("about", &self.about).finish_non_exhaustive()
    }
}

/// What the status says about the agent.
pub struct About {
    /// The URL of the vault.
    pub vault: String,
    /// When the agent started.
    pub started: Timestamp,
    /// Where values are kept.
    pub arena: Arena,
    /// Whether they outlive a restart.
    pub warm_restart: warm::Standing,
    /// As whom the agent signed in, once it did.
    pub identity: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Whether the configuration was read again, and what came of it.
    pub config: Record,
    /// What the process forbade itself, and how that went.
    pub hardening: process::Report,
    /// How the hooks fare.
    pub hooks: Board,
}

impl fmt::Debug for About {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("About").field("vault", &self.vault).finish_non_exhaustive()
    }
}

/// Serves until stopped, then lets the answers under way finish within the grace period.
///
/// The server has a thread and a runtime of its own, so that nothing about the vault shows in a reader's latency.
///
/// # Errors
/// When the thread or its runtime cannot be had, or when the server panicked.
pub async fn run(listeners: Listeners, settings: Settings, sources: Sources, stop: CancellationToken) -> Result<()> {
    let stop = stop.child_token();
    // Also when this future is dropped before its end.
    let _stop_thread = stop.clone().drop_guard();
    let (tell, end) = oneshot::channel();
    let serve = move || {
        // Nobody waits for the answer only when the whole agent was given up.
        drop(tell.send(serve(listeners, &settings, sources, stop)));
    };
    let thread = std::thread::Builder::new().name("serve".to_owned()).spawn(serve).context("no thread to serve on")?;
    let outcome = end.await;
    match thread.join() {
        Ok(()) => outcome.unwrap_or_else(|_| Err(anyhow!("the server ended without a word"))),
        Err(_) => Err(anyhow!("the server panicked")),
    }
}

fn serve(listeners: Listeners, settings: &Settings, mut sources: Sources, stop: CancellationToken) -> Result<()> {
    let Settings { limits, grace, .. } = *settings;
    let file = sources.audit.take();
    let audit = file.map(|file| Audit::start(file, &sources.metrics)).transpose().context("no thread for the audit")?;
    let (audit, writer) = audit.unzip();
    let server = Arc::new(Server {
        limits,
        sources,
        connections: Connections::new(limits),
        waits: Waits::new(limits),
        stop,
        audit,
        refusals: Refusals::default(),
        budget: Mutex::new(RefreshBudget::new(limits)),
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime to serve on")?;
    let outcome = runtime.block_on(accept::everyone(listeners, server, grace));
    // Connections that were cut off let go of the server only now, and with it of the audit's queue.
    drop(runtime);
    writer.into_iter().for_each(audit::Writer::finish);
    outcome
}
