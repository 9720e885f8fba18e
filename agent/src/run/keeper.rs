//! Keeps an agent at the socket: joins one, or starts one and starts it again; and tells what it says of the secrets.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::children::{Children, End};
use super::plan::Plan;
use crate::causes::with_causes;
use crate::cli::Exit;
use crate::client::{Client, Failure};
use crate::kernel::bequeath_no_descriptors;
use crate::serve::documents::Listing;

/// How soon an agent that is starting is looked for again.
const PAUSE: Duration = Duration::from_millis(20);

/// How soon an agent of somebody else's that does not answer is looked for again; he is the one who starts it.
const FOREIGN_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause before an agent that ends again and again is started again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long an agent must have answered to count as started well.
const WELL: Duration = Duration::from_mins(1);

/// How long the last lines of an agent that has ended are waited for.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What belongs to the service manager's conversation with this process, and not with an agent that it starts.
const OF_THE_SERVICE: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// What is known of the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// What it last said about the secrets that this user may read.
    pub(super) listing: Option<Arc<Listing>>,
    /// Why it does not answer; none while it does.
    pub(super) trouble: Option<String>,
    /// Why no agent can ever do what is needed.
    pub(super) verdict: Option<Verdict>,
}

/// The end of a run before its command, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) exit: Exit,
    /// Empty where the agent has said it all.
    pub(super) message: String,
}

/// Who starts the agent when there is none.
#[derive(Clone, Copy, Debug)]
pub(super) enum Care<'a> {
    /// This run, and those that share its lease.
    Ours,
    /// Somebody else, for good once the command relies on his agent.
    Foreign(&'a Cell<bool>),
}

/// Keeps an agent at the socket.
#[derive(Debug)]
pub(super) struct Keeper<'a> {
    plan: &'a Plan,
    children: &'a Children,
    care: Care<'a>,
    view: watch::Sender<View>,
    own: Option<Pid>,
    log: JoinSet<()>,
    pause: Duration,
}

impl<'a> Keeper<'a> {
    /// One that has not begun.
    pub(super) fn new(plan: &'a Plan, children: &'a Children, care: Care<'a>) -> Self {
        let view = watch::Sender::new(View::default());
        Self { plan, children, care, view, own: None, log: JoinSet::new(), pause: Duration::ZERO }
    }

    /// What it comes to know, from now on.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Keeps an agent as long as it is polled. It ends only when somebody else's agent has gone before anybody relied on it:
    /// then it may have been one of another run's, about to end.
    pub(super) async fn keep(&mut self) {
        loop {
            let start = Instant::now();
            let failure = self.follow().await;
            if start.elapsed() > WELL {
                self.pause = Duration::ZERO;
            }
            self.lost(&failure);
            let refused = matches!(failure, Failure::Refused { .. } | Failure::NotUnderstood);
            match self.care {
                Care::Foreign(relied_on) if self.plan.agent.is_some() && !refused && !relied_on.get() => return,
                Care::Ours if !refused => self.see_to_it().await,
                Care::Foreign(_) | Care::Ours => sleep(FOREIGN_PAUSE).await,
            }
        }
    }

    fn lost(&self, failure: &Failure) {
        let trouble = Some(with_causes(failure));
        self.view.send_if_modified(|view| {
            view.trouble != trouble && {
                view.trouble = trouble;
                true
            }
        });
    }

    /// Listens to the agent until it does not answer.
    async fn follow(&self) -> Failure {
        let conversation = async {
            let mut agent = Client::open(&self.plan.socket, self.plan.uid).await?;
            self.compare_vaults(&mut agent).await?;
            let mut known = None;
            loop {
                let listing = agent.listing(known.as_deref()).await?;
                known = Some(listing.generation.clone());
                self.view.send_modify(|view| {
                    view.listing = Some(Arc::new(listing));
                    view.trouble = None;
                });
            }
        };
        let outcome: Result<std::convert::Infallible, Failure> = conversation.await;
        match outcome {
            Err(failure) => failure,
        }
    }

    /// The same names in another vault are other secrets. Only operators are told the vault, which is this user's own agent's
    /// business; where somebody else configured it, it is his.
    async fn compare_vaults(&self, agent: &mut Client) -> Result<(), Failure> {
        let Some(vault) = &self.plan.vault else { return Ok(()) };
        let served = agent.status().await?.operation.map(|operation| operation.vault);
        if let Some(served) = served.filter(|served| served != vault) {
            let socket = self.plan.socket.display();
            let message =
                format!("the agent at {socket} serves {served} and not {vault}: give this run another --socket");
            self.pronounce(Exit::Config, message);
        }
        Ok(())
    }

    fn pronounce(&self, exit: Exit, message: String) {
        self.view.send_modify(|view| view.verdict = Some(Verdict { exit, message }));
    }

    /// Starts an agent, unless one of ours is starting, and sees to one that has ended.
    async fn see_to_it(&mut self) {
        let Some(own) = self.own else { return self.start().await };
        match self.children.end(own) {
            None => sleep(PAUSE).await,
            Some(end) => {
                self.own = None;
                // It is dead, so its lines end; who inherited them would be a program of its identity's.
                drop(timeout(LAST_LINES, self.log.join_next()).await);
                self.after(end).await;
            }
        }
    }

    async fn after(&mut self, end: End) {
        let unfit = [Exit::Config, Exit::Usage].map(|exit| End::Code(exit as u8));
        match end {
            // The faster one answers soon.
            End::Code(code) if code == Exit::Taken as u8 => sleep(PAUSE).await,
            end if unfit.contains(&end) && self.view.borrow().listing.is_none() => {
                self.pronounce(Exit::Config, String::new());
                sleep(PAUSE_MAX).await;
            }
            end => {
                let ended = Ended(end);
                self.view.send_modify(|view| view.trouble = Some(format!("the agent ended {ended}")));
                tracing::warn!(%ended, again_in = ?self.pause, "the agent has ended and is started again");
                // Those who share it start one at once, too, and all but one of them for nothing.
                sleep(self.pause + Duration::from_millis(fastrand::u64(0..100))).await;
                self.pause = (self.pause * 2).clamp(Duration::from_secs(1), PAUSE_MAX);
            }
        }
    }

    async fn start(&mut self) {
        match self.spawn() {
            Ok(pid) => self.own = Some(pid),
            Err(error) => {
                self.pronounce(Exit::Internal, format!("the agent cannot be started: {error}"));
                sleep(PAUSE_MAX).await;
            }
        }
    }

    /// In a process group of its own, so that what the terminal sends to the command does not reach it. Its log goes through
    /// this process: an agent that outlives it must not hold open what the caller reads to its end.
    fn spawn(&mut self) -> io::Result<Pid> {
        let mut command = Command::new(own_program()?);
        command.arg0("keyside").args(self.plan.agent.iter().flatten()).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for name in OF_THE_SERVICE {
            command.env_remove(name);
        }
        bequeath_no_descriptors(&mut command);
        let mut agent = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(agent.id()).map_err(io::Error::other)?);
        self.children.watch(pid);
        if let Some(errors) = agent.stderr.take() {
            let lines = pipe::Receiver::from_owned_fd(errors.into())?;
            self.log.spawn(pass_on(lines));
        }
        Ok(pid)
    }
}

/// This program, also when its file has been replaced since it was started.
fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { "/proc/self/exe".into() })
}

async fn pass_on(mut lines: pipe::Receiver) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = lines.read(&mut buffer).await {
        // When standard error is closed, nobody is left to tell.
        drop(io::stderr().write_all(&buffer[..length]));
    }
}

/// How an agent ended, in words.
struct Ended(End);

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            End::Code(code) => write!(formatter, "with code {code}"),
            End::Signal(signal) => write!(formatter, "by {signal}"),
        }
    }
}
