//! Has a running agent go by its configuration file again: on SIGHUP, and when the file has changed.

mod file_watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::file_watch::FileWatch;
use crate::causes::with_causes;
use crate::check::Report;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::difference::Changes;
use crate::credentials::Units;
use crate::files;
use crate::logging::Levels;
use crate::notify::Announced;
use crate::record::Record;
use crate::refresh::{Plan, Plans, Wanted};
use crate::serve::Access;
use crate::signals::Hangup;

type Digest = [u8; 32];
type Read = dyn Fn() -> Result<(Config, Report), Report> + Send + Sync;

/// How the configuration is read again, under the defaults of the first time.
pub struct Reading {
    path: PathBuf,
    read: Arc<Read>,
    /// The digest of the file as it was read last. Most changes in its directory are none of the file.
    digest: Option<Digest>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reading").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reading {
    /// That of a file, which is read for the first time after this. None of something that can be read only once, as a pipe.
    #[must_use]
    pub fn of_file(
        path: &Path,
        read: impl Fn() -> Result<(Config, Report), Report> + Send + Sync + 'static,
    ) -> Option<Self> {
        path.is_file().then(|| Self { path: path.to_owned(), read: Arc::new(read), digest: digest(path) })
    }

    /// Reads and checks it on a thread of its own, since the machine may ask a network who its users are. Answers nothing
    /// where only a change would be news and there is none.
    async fn again(&mut self, cause: Cause) -> Option<Result<(Config, Report), Report>> {
        let (path, read, known) = (self.path.clone(), Arc::clone(&self.read), self.digest.take());
        let work = move || {
            // Before the rest, so that what changes meanwhile is noticed.
            let digest = digest(&path);
            let is_news = cause == Cause::Signal || digest != known;
            (digest, is_news.then(|| read()))
        };
        let (digest, outcome) = tokio::task::spawn_blocking(work).await.ok()?;
        self.digest = digest;
        outcome
    }
}

/// None of a file that cannot be read.
fn digest(path: &Path) -> Option<Digest> {
    std::fs::read(path).ok().map(|text| Sha256::digest(text).into())
}

/// Why the file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Signal,
    Change,
}

/// The running parts that can go by another configuration.
#[derive(Debug)]
pub struct Parts {
    /// The server's.
    pub access: watch::Sender<Arc<Access>>,
    /// That of the socket for credentials.
    pub units: watch::Sender<Arc<Units>>,
    /// That of what is kept for the next agent.
    pub wanted: watch::Sender<Arc<[Wanted]>>,
    /// The refresh loop's.
    pub plans: Plans,
    /// The files', where there are any.
    pub files: Option<files::Changes>,
    /// The log's.
    pub levels: Levels,
}

/// Reads the configuration again when asked to, and applies what differs, as a whole or not at all.
pub(crate) struct Reload {
    /// None where there is no file, or the agent is only for those who started it.
    pub(crate) reading: Option<Reading>,
    /// What the agent goes by.
    pub(crate) running: Config,
    pub(crate) parts: Parts,
    pub(crate) record: Record,
    pub(crate) announced: Announced,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Reload {
    /// Does so until stopped.
    pub(crate) async fn run(mut self, mut hangup: Hangup, stop: CancellationToken) {
        let mut watch = self.reading.as_ref().and_then(|reading| FileWatch::start(&reading.path));
        // What changed before somebody watched is noticed now.
        let mut cause = Some(Cause::Change);
        loop {
            let work = async {
                match cause.take() {
                    Some(cause) => self.reload(cause).await,
                    None => cause = Some(next(watch.as_mut(), &mut hangup).await),
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = work => {}
            }
        }
    }

    async fn reload(&mut self, cause: Cause) {
        let Some(reading) = &mut self.reading else {
            if cause == Cause::Signal {
                // A service manager that sent it waits for the end in any case.
                let _reloading = self.announced.reloading();
                tracing::info!(
                    "there is no configuration to read again: this agent was started for one command, or by flags"
                );
            }
            return;
        };
        let Some(outcome) = reading.again(cause).await else { return };
        let _reloading = self.announced.reloading();
        let outcome = match outcome {
            Ok((config, report)) => self.apply(config, &report).await,
            Err(report) => Err(report.problems()),
        };
        let now = self.clock.now();
        match outcome {
            Ok(changes) if changes.is_empty() => {
                tracing::info!("the configuration was read again, and changes nothing");
                self.record.applied(now);
            }
            Ok(changes) => {
                tracing::info!(%changes, "the configuration was read again");
                self.record.applied(now);
            }
            Err(problems) => {
                let problem = problems.join("; ");
                tracing::error!(problem, "the configuration is refused, and the one of before stays in use");
                self.record.refused(problems, now);
            }
        }
    }

    /// Applies what differs. Whatever can be refused is asked before anything is changed.
    async fn apply(&mut self, config: Config, report: &Report) -> Result<Changes, Vec<String>> {
        let changes = Changes::between(&self.running, &config)
            .map_err(|restarts| restarts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        if !changes.is_empty() {
            report.warnings().for_each(|warning| tracing::warn!("{warning}"));
            self.apply_to_parts(&config, &changes).await.map_err(|problem| vec![problem])?;
        }
        self.running = config;
        Ok(changes)
    }

    /// The files go last, and wait for the values of what is new: what is shown there is whole. A reader who loses a secret
    /// loses it at the socket first, and one who gains a secret gains it only after its values of before are gone.
    async fn apply_to_parts(&self, config: &Config, changes: &Changes) -> Result<(), String> {
        let Parts { access, units, wanted, plans, files, levels } = &self.parts;
        let tried = match files.as_ref().zip(config.files.clone()) {
            Some((files, settings)) => Some(files.try_out(settings).await.map_err(|error| with_causes(&error))?),
            None => None,
        };
        let plan = Plan { wanted: Arc::clone(&config.wanted), settings: config.rotation };
        plans.follow(plan, changes.to_more_readers.clone()).await.map_err(|error| with_causes(&error))?;
        wanted.send_replace(Arc::clone(&config.wanted));
        access.send_replace(Arc::clone(&config.serve.access));
        units.send_replace(config.credentials.as_ref().map(|of| Arc::new(of.units.clone())).unwrap_or_default());
        if let Some(tried) = tried {
            tried.follow();
        }
        if self.running.log.level != config.log.level {
            levels.set(config.log.level);
        }
        Ok(())
    }
}

async fn next(watch: Option<&mut FileWatch>, hangup: &mut Hangup) -> Cause {
    let changed = async {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = hangup.next() => Cause::Signal,
        () = changed => Cause::Change,
    }
}
