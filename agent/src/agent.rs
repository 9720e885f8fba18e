//! The agent: puts the parts together and runs them until it is told to stop.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::azure::identity::Identity;
use crate::azure::key_vault::KeyVault;
use crate::azure::{self, transport::Timeouts};
use crate::cli::Exit;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::environment::Environment;
use crate::files::FilesWriter;
use crate::hooks::{Helper, Hooks};
use crate::lease::{self, Lease};
use crate::logging::{Levels, Lines};
use crate::memory::Arena;
use crate::metrics::{Counted, Metrics};
use crate::notify::{Announced, ServiceManager};
use crate::passed::Passed;
use crate::process;
use crate::record::Record;
use crate::refresh::{self, Budget, Plan, Pulse, Refresh, Upstream, Wanted};
use crate::reload::{self, Reading, Reload};
use crate::serve::audit::AuditFile;
use crate::serve::{self, Access, Heart, Listeners};
use crate::signals::Signals;
use crate::store::{self, Reader};
use crate::tasks::Tasks;
use crate::warm::{Keeper, Standing, Today};
use crate::{credentials, files, hooks, notify, socket};

/// How long tasks may take to end beyond the time that answers under way have: they only put things away.
const TIDYING: Duration = Duration::from_secs(1);

/// How the agent is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Until it is told to stop.
    UntilStopped,
    /// Until nobody has a share of its lease, or it is told to stop.
    Leased,
    /// For one look, which leaves files behind for the program that they are meant for.
    OneLook,
}

/// A configuration, and how it can change while the agent runs.
#[derive(Debug)]
pub struct Configured {
    /// What the agent goes by at first.
    pub config: Config,
    /// How it is read again; none where it is not.
    pub reading: Option<Reading>,
    /// How the log's level is changed.
    pub levels: Levels,
    /// Where the log's lines go.
    pub lines: Lines,
}

/// Runs an agent. It must be called before any thread is started, since the process gives up rights for all of them.
///
/// Answers [`Exit::Config`] when the configuration or the environment does not fit this machine, and [`Exit::Taken`] when
/// another agent has the socket of a leased one. A vault that cannot be reached ends only [`Span::OneLook`], with
/// [`Exit::Unavailable`].
///
/// # Errors
/// When a part ended with an error.
pub fn run(configured: Configured, environment: &Environment, span: Span) -> Result<Exit> {
    let Configured { mut config, reading, levels, lines } = configured;
    // Whoever waits for its secrets is better told at once.
    if let Some(error) = config.identity.ruled_out(environment) {
        return Ok(unfit(&error.into()));
    }
    if span != Span::OneLook {
        Signals::hold_back()?;
    }
    let (opened, lease) = match Opened::open(&config, environment, span) {
        Ok(opened) => opened,
        Err(error) if span == Span::Leased && is_taken(&error) => return Ok(Exit::Taken),
        Err(error) => return Ok(unfit(&error)),
    };
    config.serve.limits = config.serve.limits.within(process::raise_descriptor_limit());
    let hardening = process::harden(&writable(&config, environment));
    let _detached = lines.detach().context("no thread to log on")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start a runtime")?;
    let keeps = span == Span::UntilStopped;
    let standing = Standing::of(if keeps { config.warm_restart } else { Some(false) }, config.memory, environment);
    let arena = if standing.is_on() { Arena::keeping(config.memory) } else { Arena::new(config.memory) };
    let (socket, files) = (config.serve.socket.clone(), config.files.as_ref().map(|files| files.directory.clone()));
    let outcome = runtime.block_on(async {
        let parts = match Parts::new(config, hardening, environment, (arena.clone(), standing)) {
            Ok(parts) => parts,
            Err(error) => return Ok(unfit(&error)),
        };
        match span {
            Span::UntilStopped | Span::Leased => {
                parts.run_until_stopped(opened, (reading, levels)).await.map(|()| Exit::Success)
            }
            Span::OneLook => parts.look_once(opened).await,
        }
    });
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    if let Some(lease) = lease {
        lease.close(|| files.iter().for_each(|directory| lease::remove_beside(&socket, directory)));
    }
    tracing::info!(held_bytes = arena.used_bytes(), "stopped");
    outcome
}

fn unfit(error: &anyhow::Error) -> Exit {
    tracing::error!(error = format!("{error:#}"), "the agent cannot start here");
    Exit::Config
}

fn is_taken(error: &anyhow::Error) -> bool {
    let cause = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|error| cause(error) == Some(io::ErrorKind::AddrInUse))
}

/// What is opened in the file system, or started, while the process still may.
struct Opened {
    listeners: Option<Listeners>,
    credentials: Option<credentials::Listeners>,
    writer: Option<FilesWriter>,
    lease: Option<Arc<File>>,
    audit: Option<AuditFile>,
    /// What the service manager kept for this agent, perhaps.
    kept: Vec<(String, OwnedFd)>,
    /// Commands get the limits and the rights that the agent was started with.
    helper: Option<Helper>,
}

impl Opened {
    fn open(config: &Config, environment: &Environment, span: Span) -> Result<(Self, Option<Lease>)> {
        if span != Span::OneLook {
            let uid = nix::unistd::geteuid().as_raw();
            socket::make_directory(&config.serve.socket, uid).context("no directory for the socket")?;
        }
        // An agent that answers and has no lease would be taken for one that somebody else looks after.
        let lease =
            (span == Span::Leased).then(|| Lease::open(&config.serve.socket).context("no lease")).transpose()?;
        let passed = Passed::take().context("what the service manager passes does not fit")?;
        let bind = || serve::bind(&config.serve, passed.agent).context("could not listen");
        let listeners = (span != Span::OneLook).then(bind).transpose()?;
        let bind = || credentials::bind(config.credentials.as_ref(), passed.credentials);
        let credentials = (span != Span::OneLook).then(bind).transpose().context("could not listen for units")?;
        let audit = config.serve.audit.clone().filter(|_| span != Span::OneLook);
        let audit = audit.map(AuditFile::open).transpose().context("no audit can be written")?;
        let writer = config.files.as_ref().map(|settings| {
            FilesWriter::open(settings, files::RETIRE_AFTER, Instant::now()).context("no files can be written")
        });
        let has_hooks = span != Span::OneLook && !config.hooks.is_empty();
        let helper = has_hooks.then(|| start_helper(config, environment)).transpose()?;
        let opened = Self {
            listeners,
            credentials: credentials.flatten(),
            writer: writer.transpose()?,
            lease: lease.as_ref().map(Lease::file),
            audit,
            kept: passed.kept,
            helper,
        };
        Ok((opened, lease))
    }
}

fn start_helper(config: &Config, environment: &Environment) -> Result<Helper> {
    let files = config.files.as_ref().map(|files| files.directory.as_path());
    let variables = hooks::variables(environment, &config.serve.socket, files);
    Helper::start(&config.hooks, &variables).context("could not start the hooks' helper")
}

/// Where the process, and what it may have to start, must be able to write.
fn writable(config: &Config, environment: &Environment) -> Vec<PathBuf> {
    let socket = config.serve.socket.parent().map(Into::into);
    let credentials = config.credentials.as_ref().and_then(|of| of.socket.parent()).map(Into::into);
    let files = config.files.as_ref().map(|files| files.directory.clone());
    let identity = config.identity.writable(environment);
    // Where it is rotated, a file is made anew.
    let audit = config.serve.audit.as_ref().and_then(|audit| audit.file.parent()).map(Into::into);
    [socket, credentials, files, identity, audit].into_iter().flatten().filter(|directory| directory.is_dir()).collect()
}

/// The parts, connected and not yet running.
struct Parts {
    config: Config,
    hardening: process::Report,
    identity: Arc<Identity>,
    refresh: Refresh<Counted<KeyVault>>,
    reader: Reader,
    arena: Arena,
    warm_restart: Standing,
    heart: Heart,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    hooks: Hooks,
    record: Record,
}

impl Parts {
    fn new(
        config: Config,
        hardening: process::Report,
        environment: &Environment,
        (arena, standing): (Arena, Standing),
    ) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = azure::Settings {
            vault_url: config.vault.clone(),
            fallback: config.fallback.clone(),
            identity: config.identity.clone(),
            timeouts: Timeouts::default(),
        };
        let connection = azure::connect(settings, environment, arena.clone(), Arc::clone(&clock))?;
        let azure::Connection { vault, fallback, identity, .. } = connection;
        let metrics = Arc::new(Metrics::new());
        let vaults = std::iter::once(vault).chain(fallback).map(|vault| Counted::new(vault, Arc::clone(&metrics)));
        let names = std::iter::once(&config.vault).chain(&config.fallback).map(ToString::to_string);
        let budget = Budget {
            sources: config.wanted.iter().map(Wanted::source).collect::<BTreeSet<_>>().len(),
            wait_max: config.rotation.pace.interval,
            clock: Arc::clone(&clock),
            dice: fastrand::f64,
        };
        let (publisher, reader) = store::channel(config.wanted.iter().map(|one| (one.name.clone(), one.optional)));
        let refresh = Refresh {
            upstream: Upstream::new(names.zip(vaults).collect(), budget),
            plan: Plan { wanted: Arc::clone(&config.wanted), settings: config.rotation },
            publisher,
            arena: arena.clone(),
            clock: Arc::clone(&clock),
            pulse: Pulse::default(),
            dice: fastrand::f64,
        };
        let hooks = Hooks::new(&config.hooks, Arc::clone(&metrics), Arc::clone(&clock));
        let record = Record::new(clock.now());
        let heart = Heart::default();
        let warm_restart = standing;
        Ok(Self {
            config,
            hardening,
            identity,
            refresh,
            reader,
            arena,
            warm_restart,
            heart,
            clock,
            metrics,
            hooks,
            record,
        })
    }

    async fn run_until_stopped(self, opened: Opened, (reading, levels): (Option<Reading>, Levels)) -> Result<()> {
        let (signals, hangup) = Signals::listen()?;
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        let (demands, mut queue) = refresh::demands();
        let (access, readers) = watch::channel(Arc::clone(&self.config.serve.access));
        let grace = self.config.serve.grace + TIDYING;
        tracing::info!(vault = %self.config.vault, secrets = self.config.wanted.len(), "started");

        let keeper = self.take_over(opened.kept);
        let (wanted, watched) = watch::channel(Arc::clone(&self.config.wanted));
        let reader = self.reader.clone();
        tasks.start_unfailing("warm restart", |stop| keeper.run(reader, watched, stop));
        if let Some(listeners) = opened.listeners {
            let (settings, sources) = (self.config.serve.clone(), self.sources((demands, readers), opened.audit));
            tasks.start("serve", |stop| serve::run(listeners, settings, sources, stop));
        }
        let units = self.config.credentials.as_ref().map(|of| Arc::new(of.units.clone())).unwrap_or_default();
        let (units, watched) = watch::channel(units);
        if let Some(listeners) = opened.credentials {
            let wait = self.config.credentials.as_ref().map_or(credentials::WAIT, |of| of.wait);
            let (reader, metrics) = (self.reader.clone(), Arc::clone(&self.metrics));
            let sources = credentials::Sources { reader, units: watched, metrics };
            tasks.start("credentials", |stop| credentials::run(listeners, wait, sources, stop));
        }
        let mut files = None;
        if let Some(mut writer) = opened.writer {
            files = Some(writer.take_changes());
            let (reader, hold) = (self.reader.clone(), self.refresh.publisher.hold_readiness());
            tasks.start("files", |stop| writer.run(reader, hold, stop));
        }
        if let Some(helper) = opened.helper {
            let reader = self.reader.clone();
            tasks.start("hooks", |stop| self.hooks.run(helper, reader, stop));
        }
        if let Some(lease) = opened.lease {
            tasks.start("lease", |stop| Lease::lapse(lease, stop));
        }
        let announced = Announced::default();
        let reload = Reload {
            reading,
            running: self.config,
            parts: reload::Parts { access, units, wanted, plans: queue.take_plans(), files, levels },
            record: self.record,
            announced: announced.clone(),
            clock: self.clock,
        };
        tasks.start_unfailing("reload", |stop| reload.run(hangup, stop));
        let (pulse, heart) = (self.refresh.pulse.clone(), self.heart);
        tasks.start_unfailing("refresh", |stop| self.refresh.run(queue, stop));
        tasks.start_unfailing("identity", |stop| self.identity.refresh_ahead(stop));
        tasks.start_unfailing("notify", |stop| notify::follow(self.reader, announced, stop));
        tasks.start_unfailing("watchdog", |stop| async move {
            let alive = || async { pulse.is_alive() && heart.beats().await };
            notify::keep_alive(alive, stop).await;
        });
        signals.join(tasks, stop, grace).await
    }

    /// Publishes what an agent before this one left, and answers who keeps it up for the next one.
    fn take_over(&self, kept: Vec<(String, OwnedFd)>) -> Keeper<ServiceManager> {
        let keeper = Keeper::new(ServiceManager, self.arena.clone(), self.warm_restart.clone(), kept);
        let vaults: Vec<_> = self.refresh.upstream.gates().iter().map(|gate| gate.origin.clone()).collect();
        let today = Today {
            wanted: &self.config.wanted,
            vaults: &vaults,
            max_stale: self.config.rotation.max_stale,
            now: self.clock.moment(),
        };
        keeper.adopt(&self.refresh.publisher, today);
        keeper
    }

    fn sources(
        &self,
        (demands, access): (refresh::Demands, watch::Receiver<Arc<Access>>),
        audit: Option<AuditFile>,
    ) -> serve::Sources {
        let identity = Arc::clone(&self.identity);
        serve::Sources {
            reader: self.reader.clone(),
            access,
            demands,
            gates: self.refresh.upstream.gates(),
            clock: Arc::clone(&self.clock),
            about: serve::About {
                vault: self.config.vault.to_string(),
                started: self.clock.now(),
                arena: self.arena.clone(),
                warm_restart: self.warm_restart.clone(),
                identity: Arc::new(move || identity.source().map(|source| source.to_string())),
                config: self.record.clone(),
                hardening: self.hardening.clone(),
                hooks: self.hooks.board.clone(),
            },
            audit,
            metrics: Arc::clone(&self.metrics),
            pulse: self.refresh.pulse.clone(),
            heart: self.heart.clone(),
        }
    }

    /// Looks once and writes the files, which stay: nobody else would be there to remove them.
    async fn look_once(self, opened: Opened) -> Result<Exit> {
        self.refresh.once().await;
        let snapshot = self.reader.snapshot();
        if !snapshot.is_complete() {
            let awaited: Vec<_> = snapshot.awaited().map(ToString::to_string).collect();
            tracing::error!(secrets = awaited.join(", "), "not every required secret could be had; no file is written");
            return Ok(Exit::Unavailable);
        }
        if let Some(mut writer) = opened.writer {
            writer.publish(&snapshot, Instant::now())?;
        }
        Ok(Exit::Success)
    }
}
