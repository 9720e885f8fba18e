//! Publishes the secrets as files on tmpfs, a generation at a time: every open sees one whole generation, old ones are wiped.

mod acl;
mod change;
mod finding;
mod generation;
mod links;
mod mount;
mod path;
mod planned;
mod settings;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::fstat;
use rustix::process::{getegid, geteuid};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::change::{ChangeError, Changes, Tried};
use self::change::{ChangeQueue, SETTLE_MAX};
pub use self::finding::{Finding, Findings};
use self::generation::{Content, GenerationName};
use self::links::Directory;
pub use self::mount::examine;
pub use self::path::{InvalidPath, RelativePath};
use self::planned::Planned;
pub use self::settings::{EnvFile, InvalidMode, Mode, OnStop, Problem, Settings, Target, UnknownOnStop};
use crate::causes::with_causes;
use crate::store::{Hold, Reader, Snapshot};

/// How long a superseded generation stays for readers that opened `..data` before the swap. They open two files in a
/// row; ten seconds also let one through that was paused or swapped out meanwhile.
pub const RETIRE_AFTER: Duration = Duration::from_secs(10);

/// How soon a generation that could not be written is tried again. The usual cause, a full tmpfs, ends without notice.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often the files are compared with the store without a new generation. Nothing else would bring back what another
/// program of the agent's user removed; a minute is what an operator waits, and the comparison takes microseconds.
const COMPARE_EVERY: Duration = Duration::from_mins(1);

/// The setgid bit, which makes a directory give its group to what is created in it.
const SETGID: u32 = 0o2000;

/// Says why there can be no files, or not this generation of them.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The directory cannot be made, opened, listed or locked.
    #[error("could not use the directory {directory}")]
    Directory {
        /// The directory of the settings.
        directory: PathBuf,
        /// What the kernel or the directory's content is against.
        #[source]
        cause: io::Error,
    },
    /// The files could not be written or shown; readers still see those of before.
    #[error("could not write the files in {directory}")]
    Write {
        /// The directory of the settings.
        directory: PathBuf,
        /// What went wrong, with the file's path where it was one file.
        #[source]
        cause: io::Error,
    },
    /// The directory is no longer the one that was opened.
    #[error("{directory} was removed or replaced, and cannot be taken over: put it right, or restart the agent")]
    Replaced {
        /// The directory of the settings.
        directory: PathBuf,
        /// Why what is there now cannot be used; the agent's confinement may be the reason.
        #[source]
        cause: Box<FilesError>,
    },
}

/// What a publication changed for readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There is a new generation.
    Applied,
    /// The generation that was there has the same files, bytes and access.
    Unchanged,
}

/// Writes the files of one directory. There is one writer for each directory, which a lock on it ensures.
#[derive(Debug)]
pub struct FilesWriter {
    settings: Settings,
    directory: Directory,
    planned: Vec<Planned>,
    group: u32,
    current: Option<GenerationName>,
    superseded: VecDeque<(GenerationName, Instant)>,
    retire_after: Duration,
    number: u64,
    /// Why the files are not as they should be, as it was logged.
    trouble: Option<String>,
    changes: Option<ChangeQueue>,
    /// Until when the files of before stay while secrets that are new to the configuration have not been looked at.
    settling: Option<Instant>,
}

impl FilesWriter {
    /// Takes over the directory, which is made where it does not exist. The generation that an earlier run left stays
    /// as it is until [`Self::publish`] brings another; older leftovers are removed after `retire_after`.
    ///
    /// # Errors
    /// [`FilesError::Directory`] when the directory cannot be used or another agent uses it, [`FilesError::Write`] when
    /// a file could not be written for its readers.
    pub fn open(settings: &Settings, retire_after: Duration, now: Instant) -> Result<Self, FilesError> {
        let unusable = |cause| FilesError::Directory { directory: settings.directory.clone(), cause };
        make_directory(&settings.directory).map_err(unusable)?;
        let directory = Directory::open(&settings.directory).map_err(unusable)?;
        directory.check_owner().map_err(unusable)?;
        let group = group_of_files(settings.group, &directory).map_err(unusable)?;
        let current = directory.current().map_err(unusable)?;
        let leftovers = directory.generations().map_err(unusable)?;
        let superseded = leftovers.into_iter().filter(|name| Some(name) != current.as_ref());
        let superseded = superseded.map(|name| (name, now + retire_after)).collect();
        let writer = Self {
            planned: planned::plan(settings, geteuid().as_raw(), group),
            settings: settings.clone(),
            group,
            current,
            superseded,
            retire_after,
            number: 0,
            trouble: None,
            changes: None,
            settling: None,
            directory,
        };
        writer.rehearse(group, &writer.planned).map_err(|cause| writer.unwritten(cause))?;
        Ok(writer)
    }

    /// Writes every file without its content and removes it again, which only a program's start should fail at: groups
    /// that cannot be given, readers that the file system cannot express, names that something else has.
    fn rehearse(&self, group: u32, planned: &[Planned]) -> io::Result<()> {
        let empty: Vec<_> = planned.iter().map(Planned::empty).collect();
        self.directory.check_names(&empty.iter().map(|content| content.path.first()).collect())?;
        let name = generation::write(self.directory.as_fd(), self.number, group, &empty)?;
        generation::erase(self.directory.as_fd(), &name)
    }

    fn unwritten(&self, cause: io::Error) -> FilesError {
        FilesError::Write { directory: self.directory.path().to_owned(), cause }
    }

    /// Shows the published secrets of `snapshot` as files. Secrets without a value have none. Links, files or the whole
    /// directory are made anew where they were removed.
    ///
    /// # Errors
    /// [`FilesError::Write`], or [`FilesError::Replaced`]; then readers see what they saw before.
    pub fn publish(&mut self, snapshot: &Snapshot, now: Instant) -> Result<Written, FilesError> {
        if !self.directory.is_in_place() {
            self.follow_path(now)?;
        }
        self.try_publish(snapshot, now).map_err(|cause| self.unwritten(cause))
    }

    /// Takes over what the path leads to now, and leaves no secret in the directory that it led to before.
    fn follow_path(&mut self, now: Instant) -> Result<(), FilesError> {
        let opened = Self::open(&self.settings, self.retire_after, now).map_err(|cause| FilesError::Replaced {
            directory: self.settings.directory.clone(),
            cause: Box::new(cause),
        })?;
        let next = Self { number: self.number, ..opened };
        let (trouble, changes, settling) = (self.trouble.take(), self.changes.take(), self.settling);
        let before = std::mem::replace(self, Self { trouble, changes, settling, ..next });
        tracing::warn!(directory = %self.directory.path().display(), "the directory was removed or replaced; it is opened anew");
        if let Err(error) = wipe(&before.directory) {
            tracing::warn!(error = with_causes(&error), "files may be left in the directory that was replaced");
        }
        Ok(())
    }

    fn try_publish(&mut self, snapshot: &Snapshot, now: Instant) -> io::Result<Written> {
        let contents: Vec<_> = self.planned.iter().filter_map(|file| file.content(snapshot)).collect();
        let wanted: BTreeSet<_> = contents.iter().map(|content| content.path.first()).collect();
        self.directory.check_names(&wanted)?;
        let shown = self.directory.current()?;
        if let Some(current) = &self.current
            && self.current_holds(&contents)
        {
            if shown.as_ref() != Some(current) {
                tracing::warn!(generation = %current, "the link to the files was removed or changed; it is made anew");
                self.directory.show(current)?;
            }
            self.directory.offer(&wanted)?;
            return Ok(Written::Unchanged);
        }
        self.number += 1;
        let name = generation::write(self.directory.as_fd(), self.number, self.group, &contents)?;
        if let Err(error) = self.directory.show(&name) {
            self.superseded.push_back((name, now));
            return Err(error);
        }
        tracing::info!(generation = %name, files = contents.len(), "the files are published");
        let before = self.current.replace(name);
        self.superseded.extend(before.map(|name| (name, now + self.retire_after)));
        self.directory.offer(&wanted)?;
        Ok(Written::Applied)
    }

    fn current_holds(&self, contents: &[Content<'_>]) -> bool {
        self.current.as_ref().is_some_and(|name| {
            generation::holds(self.directory.as_fd(), name, self.group, contents).unwrap_or_else(|error| {
                tracing::debug!(generation = %name, error = with_causes(&error), "the generation that is there cannot be compared");
                false
            })
        })
    }

    /// Wipes the superseded generations whose time has come.
    pub fn retire(&mut self, now: Instant) {
        while let Some((name, _)) = self.superseded.pop_front_if(|(_, due)| *due <= now) {
            match generation::erase(self.directory.as_fd(), &name) {
                Ok(()) => tracing::debug!(generation = %name, "a superseded generation is wiped"),
                Err(error) => {
                    tracing::warn!(generation = %name, error = with_causes(&error), "a superseded generation could not be removed");
                }
            }
        }
    }

    /// Publishes every generation of the store, keeps the files as they should be and retires old ones, until stopped;
    /// then does what the settings ask for. The first one waits until every required secret is there, because files that
    /// exist say just that. Readiness is held back until it is written, and again whenever the files cannot be made so.
    ///
    /// Its system calls block the thread that runs it. On a file system in memory each takes microseconds, less than
    /// handing it to another thread, and readers of the socket are served by a thread of their own.
    ///
    /// # Errors
    /// [`FilesError::Directory`] when the files cannot be removed at the end. A generation that cannot be written is
    /// logged and tried again.
    pub async fn run(mut self, mut reader: Reader, mut hold: Hold, stop: CancellationToken) -> Result<()> {
        // Where nothing is required, nothing is waited for.
        if reader.snapshot().is_complete() {
            hold.release();
        }
        let mut due = None;
        let mut is_due = false;
        let mut seen = 0;
        let mut complete = false;
        let mut publisher_lives = true;
        loop {
            let snapshot = reader.snapshot();
            let now = Instant::now();
            // A change of the hold wakes this task too, and must not make it look again.
            let is_new = std::mem::replace(&mut seen, snapshot.generation) != snapshot.generation;
            // Before the first look nothing is known, even where nothing is required.
            complete |= snapshot.generation > 0 && snapshot.is_complete();
            if !complete && self.shows_withdrawn(&snapshot) {
                self.remove_leftovers();
            }
            is_due |= is_new || due.is_none_or(|due| due <= now);
            self.settling = self.settling.filter(|until| *until > now && !self.is_settled(&snapshot));
            if complete && is_due && self.settling.is_none() {
                due = Some(self.publish_or_hold(&snapshot, &mut hold, now));
                is_due = false;
            }
            self.retire(now);
            let wake = self.settling.or(due).into_iter().chain(self.superseded.front().map(|(_, due)| *due)).min();
            drop(snapshot);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(proposal) = next_change(&mut self.changes) => if self.consider(proposal).await {
                    (is_due, self.settling) = (true, Some(Instant::now() + SETTLE_MAX));
                },
                lives = reader.changed(), if publisher_lives => publisher_lives = lives,
                () = sleep_until(wake) => {}
            }
        }
        Ok(self.finish()?)
    }

    /// Whether files of an earlier run are there, and the vault has meanwhile taken away a secret that may be among them.
    fn shows_withdrawn(&self, snapshot: &Snapshot) -> bool {
        self.current.is_some() && self.planned.iter().any(|file| file.shows_withdrawn(snapshot))
    }

    /// Removes what an earlier run left. What is there now is written when every required secret is.
    fn remove_leftovers(&mut self) {
        tracing::warn!(directory = %self.directory.path().display(), "files of an earlier run may hold a revoked secret, and are removed");
        match wipe(&self.directory) {
            Ok(()) => {
                self.current = None;
                self.superseded.clear();
            }
            Err(error) => tracing::error!(error = with_causes(&error), "files of an earlier run could not be removed"),
        }
    }

    /// Publishes and lets readiness go, or holds it back, and answers when to look again.
    fn publish_or_hold(&mut self, snapshot: &Snapshot, hold: &mut Hold, now: Instant) -> Instant {
        match self.publish(snapshot, now) {
            Ok(_) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the files are as they should be again");
                }
                hold.show(snapshot.generation);
                now + COMPARE_EVERY
            }
            Err(error) => {
                hold.resume();
                let error = with_causes(&error);
                if self.trouble.as_ref() != Some(&error) {
                    tracing::error!(error, retry_every = ?RETRY_AFTER, "the files are not as they should be; the agent is not ready");
                    self.trouble = Some(error);
                }
                now + RETRY_AFTER
            }
        }
    }

    /// Ends the writing as the settings ask for. Superseded generations go at once: nobody is left to retire them later.
    ///
    /// # Errors
    /// [`FilesError::Directory`] when something that should go cannot be removed.
    pub fn finish(mut self) -> Result<(), FilesError> {
        match self.settings.on_stop {
            OnStop::Keep => {
                self.retire(Instant::now() + self.retire_after);
                Ok(())
            }
            OnStop::Remove => wipe(&self.directory),
        }
    }
}

/// Removes every link and every generation of a directory, overwritten where nobody has them open. A directory that
/// does not exist holds nothing.
///
/// # Errors
/// [`FilesError::Directory`] when an agent still uses it, or something in it cannot be removed.
pub fn wipe_all(directory: &Path) -> Result<(), FilesError> {
    match Directory::open(directory) {
        Ok(opened) => wipe(&opened),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(FilesError::Directory { directory: directory.to_owned(), cause }),
    }
}

fn wipe(directory: &Directory) -> Result<(), FilesError> {
    let unusable = |cause| FilesError::Directory { directory: directory.path().to_owned(), cause };
    directory.withdraw().map_err(unusable)?;
    for name in directory.generations().map_err(unusable)? {
        generation::erase(directory.as_fd(), &name).map_err(unusable)?;
    }
    Ok(())
}

/// Makes what is missing of the path, for others to pass through whatever the umask is.
fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    for folder in missing.into_iter().rev() {
        DirBuilder::new().mode(generation::DIRECTORY_BITS).create(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(generation::DIRECTORY_BITS))?;
    }
    Ok(())
}

fn group_of_files(wanted: Option<u32>, directory: &Directory) -> io::Result<u32> {
    let found = fstat(directory.as_fd())?;
    let inherited = (found.st_mode & SETGID != 0).then_some(found.st_gid);
    Ok(wanted.or(inherited).unwrap_or_else(|| getegid().as_raw()))
}

async fn next_change(changes: &mut Option<ChangeQueue>) -> Option<change::Proposal> {
    changes.as_mut()?.recv().await
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
