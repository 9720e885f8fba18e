//! `keyside run`: starts or joins an agent, starts a command with secrets in its environment, and looks after both.

mod children;
mod command;
mod keeper;
mod plan;
mod ready;
mod signals;
mod start;
mod terminal;

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use self::children::{Children, signal_code};
use self::command::{Outcome, Running};
use self::keeper::{Care, Keeper, Verdict, View};
use self::signals::{Held, Signals};
use self::start::{Beginning, Values, start};
use self::terminal::Terminal;
use crate::causes::with_causes;
use crate::cli::Exit;
use crate::environment::Environment;
use crate::kernel;
use crate::lease::{self, Aftermath, Share};
use crate::{files, socket};

pub use self::plan::{EnvFlag, InvalidEnvFlag, InvalidOnChange, NoPlan, OnChange, Plan};

/// How long an agent may take to end: its own time for answers under way and for tidying up, and some for a busy machine.
const AGENT_GRACE: Duration = Duration::from_secs(15);

/// How soon an agent that was lost while it was asked is asked again.
const LOST_PAUSE: Duration = Duration::from_millis(100);

/// Runs the command of a plan, and answers the code that the process is to end with. It must be called before any thread is
/// started.
///
/// # Errors
/// When the kernel refuses what it should not.
pub fn run(plan: &Plan, environment: &Environment) -> Result<ExitCode> {
    let held = Held::new()?;
    let beginning = Beginning {
        blocked: held.inherited(),
        children_ignored: kernel::heed_children().context("could not wait for children")?,
    };
    // Nothing else of what an agent forbids itself: the command would inherit it. This ends at exec (prctl(2)).
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "other processes of this user can read the supervisor's memory");
    }
    if let Err(error) = prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "orphans of the command are left to the first process");
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start a runtime")?;
    let outcome = runtime.block_on(supervise(plan, environment, beginning));
    runtime.shutdown_background();
    outcome.map(ExitCode::from)
}

async fn supervise(plan: &Plan, environment: &Environment, beginning: Beginning) -> Result<u8> {
    let signals = Signals::read()?;
    let children = Children::default();
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut run = Run {
        plan,
        children: &children,
        signals: receiver,
        ignored: signals::ignored(),
        beginning,
        terminal: Terminal::open(),
    };
    warn_of_collisions(plan, environment);
    tokio::select! {
        outcome = run.whole() => outcome,
        broken = pump(&signals, &children, sender) => match broken.context("could not read signals")? {},
    }
}

/// Reaps, and hands on every other signal.
async fn pump(signals: &Signals, children: &Children, sender: mpsc::UnboundedSender<Signal>) -> io::Result<Infallible> {
    loop {
        match signals.next().await? {
            Signal::SIGCHLD => children.reap(),
            // The receiver lives as long as the run.
            signal => drop(sender.send(signal)),
        }
    }
}

/// The vault's value wins: somebody asked for it by name.
fn warn_of_collisions(plan: &Plan, environment: &Environment) {
    for variable in plan.variables.keys().filter(|variable| environment.get(variable.as_str()).is_some()) {
        tracing::warn!(%variable, "it was set already; the command gets the vault's value instead");
    }
}

/// One run.
struct Run<'a> {
    plan: &'a Plan,
    children: &'a Children,
    signals: mpsc::UnboundedReceiver<Signal>,
    ignored: SigSet,
    beginning: Beginning,
    terminal: Option<Terminal>,
}

/// What comes before the command ends the run, or not.
enum Prelude<T> {
    Done(T),
    Ended(u8),
}

impl Run<'_> {
    async fn whole(&mut self) -> Result<u8> {
        loop {
            let share = match self.take_share().await {
                Ok(share) => share,
                Err(error) => {
                    let message = with_causes(&error);
                    return Ok(tell(&Verdict { exit: Exit::Unavailable, message }));
                }
            };
            let started = Cell::new(false);
            let care = if share.is_some() { Care::Ours } else { Care::Foreign(&started) };
            let mut keeper = Keeper::new(self.plan, self.children, care);
            let view = keeper.view();
            let code = tokio::select! {
                code = self.commands(view, &started) => code,
                () = keeper.keep() => continue,
            };
            if let Some(share) = share {
                self.give_back(share).await;
            }
            return Ok(code);
        }
    }

    /// None where somebody else's agent is joined: one that answers and has no lease was started for other reasons.
    async fn take_share(&self) -> io::Result<Option<Share>> {
        let socket = &self.plan.socket;
        let lease = socket::lease_file(socket);
        // Before and after: an agent that was just ending, or just starting, has one only at one of these times.
        let leased = lease.exists();
        let answers = std::os::unix::net::UnixStream::connect(socket).is_ok();
        if self.plan.agent.is_none() || answers && !leased && !lease.exists() {
            return Ok(None);
        }
        loop {
            socket::make_directory(socket, self.plan.uid).map_err(|error| about_directory(socket, error))?;
            match Share::take(socket, AGENT_GRACE).await {
                // Whoever was here last has just removed the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Somebody else's.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && answers => return Ok(None),
                outcome => return outcome.map(Some),
            }
        }
    }

    /// Runs the command, as often as it is to be started again.
    async fn commands(&mut self, mut view: watch::Receiver<View>, started: &Cell<bool>) -> u8 {
        loop {
            let (values, versions) = match self.prepare(&mut view).await {
                Prelude::Done(ready) => ready,
                Prelude::Ended(code) => return code,
            };
            let group = match start(self.plan, &values, self.beginning, self.terminal.as_ref()) {
                Ok(group) => group,
                Err(not_started) => return complain(not_started.code, &not_started.message),
            };
            drop(values);
            started.set(true);
            self.children.watch(group);
            let mut running = Running::new(self.plan, self.children, self.terminal.as_ref(), group);
            match running.until_its_end(&mut self.signals, &mut view, versions).await {
                Outcome::Ended(code) => return code,
                Outcome::ToRestart => {}
            }
        }
    }

    /// Waits until everything is there and asks for the values. A signal that would end the command ends this.
    async fn prepare(&mut self, view: &mut watch::Receiver<View>) -> Prelude<(Values, command::Versions)> {
        let preparation = values(self.plan, view);
        tokio::pin!(preparation);
        loop {
            tokio::select! {
                outcome = &mut preparation => return match outcome {
                    Ok(ready) => Prelude::Done(ready),
                    Err(verdict) => Prelude::Ended(tell(&verdict)),
                },
                Some(signal) = self.signals.recv() => match signal {
                    // Somebody had it ignored, as nohup does.
                    signal if self.ignored.contains(signal) => {}
                    Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT => {
                        return Prelude::Ended(signal_code(signal));
                    }
                    Signal::SIGTSTP => signals::suspend(),
                    _ => {}
                },
            }
        }
    }

    /// Gives the share back; what nobody else needs is gone afterwards.
    async fn give_back(&self, share: Share) {
        match share.give_back(AGENT_GRACE, || self.tidy()).await {
            Aftermath::Goes => return,
            Aftermath::Ended | Aftermath::Lost => {}
            Aftermath::Late => tracing::warn!("the agent takes long to end; its files may still be there"),
        }
        if let Some(directory) = self.plan.socket.parent().filter(|_| self.plan.is_private()) {
            // What is not empty, since another run has begun, stays as it is.
            drop(std::fs::remove_dir(directory));
        }
    }

    /// Removes what an agent left that was killed.
    fn tidy(&self) {
        if let Some(files) = &self.plan.files {
            if let Err(error) = files::wipe_all(&files.directory) {
                tracing::warn!(error = with_causes(&error), "files may be left");
            }
            lease::remove_beside(&self.plan.socket, &files.directory);
        }
        if let Err(error) = std::fs::remove_file(&self.plan.socket)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, socket = %self.plan.socket.display(), "the socket is left behind");
        }
    }
}

/// Waits until everything is there, and asks for the values: again when the agent is lost between the two.
async fn values(plan: &Plan, view: &mut watch::Receiver<View>) -> Result<(Values, command::Versions), Verdict> {
    let deadline = Instant::now() + plan.timeout;
    loop {
        ready::wait(plan, view, deadline).await?;
        let versions = view.borrow().listing.as_ref().map(|listing| ready::versions(plan, listing));
        match Values::fetch(plan).await {
            Err(Verdict { exit: Exit::Unavailable, .. }) if Instant::now() < deadline => sleep(LOST_PAUSE).await,
            outcome => return outcome.map(|values| (values, versions.unwrap_or_default())),
        }
    }
}

/// Names the directory where only the kernel has spoken.
fn about_directory(socket: &Path, error: io::Error) -> io::Error {
    let message = || format!("the directory of {} cannot be made: {error}", socket.display());
    if error.raw_os_error().is_some() { io::Error::new(error.kind(), message()) } else { error }
}

fn tell(verdict: &Verdict) -> u8 {
    complain(verdict.exit as u8, &verdict.message)
}

fn complain(code: u8, message: &str) -> u8 {
    if !message.is_empty() {
        // When standard error is closed, nobody is left to tell.
        drop(writeln!(io::stderr(), "keyside: {message}"));
    }
    code
}
