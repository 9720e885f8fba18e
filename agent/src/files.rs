//! Publishes the secrets as files on tmpfs, a generation at a time: every open sees one whole generation, old ones are wiped.

mod acl;
mod generation;
mod links;
mod mount;
mod settings;

use std::collections::{BTreeSet, VecDeque};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::fstat;
use rustix::process::{getegid, geteuid};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::acl::Access;
use self::generation::{Content, GenerationName};
use self::links::Directory;
pub use self::mount::{Finding, Findings, examine};
pub use self::settings::{
    InvalidMode, InvalidPath, Mode, OnStop, Problem, RelativePath, Settings, Target, UnknownOnStop,
};
use crate::causes::with_causes;
use crate::secret::SecretName;
use crate::store::{Hold, Reader, Snapshot};

/// How long a superseded generation stays for readers that opened `..data` before the swap. They open two files in a
/// row; ten seconds also let one through that was paused or swapped out meanwhile.
pub const RETIRE_AFTER: Duration = Duration::from_secs(10);

/// How soon a generation that could not be written is tried again. The usual cause, a full tmpfs, ends without notice.
const RETRY_AFTER: Duration = Duration::from_secs(5);

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
    directory: Directory,
    planned: Vec<Planned>,
    group: u32,
    on_stop: OnStop,
    current: Option<GenerationName>,
    superseded: VecDeque<(GenerationName, Instant)>,
    retire_after: Duration,
    number: u64,
}

/// The file of one secret, and the access that it will have.
#[derive(Debug)]
struct Planned {
    secret: SecretName,
    path: RelativePath,
    access: Access,
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
        let group = group_of_files(settings.group, &directory).map_err(unusable)?;
        let current = directory.current().map_err(unusable)?;
        let leftovers = directory.generations().map_err(unusable)?;
        let superseded = leftovers.into_iter().filter(|name| Some(name) != current.as_ref());
        let superseded = superseded.map(|name| (name, now + retire_after)).collect();
        let planned = settings.targets.iter().map(|(secret, target)| Planned {
            secret: secret.clone(),
            path: target.path.clone(),
            access: Access::plan(target, geteuid().as_raw(), group),
        });
        let writer = Self {
            planned: planned.collect(),
            group,
            on_stop: settings.on_stop,
            current,
            superseded,
            retire_after,
            number: 0,
            directory,
        };
        writer.rehearse().map_err(|cause| writer.unwritten(cause))?;
        Ok(writer)
    }

    /// Writes every file without its content and removes it again, which only a program's start should fail at: groups
    /// that cannot be given, readers that the file system cannot express, names that something else has.
    fn rehearse(&self) -> io::Result<()> {
        let empty: Vec<_> = self.planned.iter().map(|file| file.with(&[])).collect();
        self.directory.check_names(&empty.iter().map(|content| content.path.first()).collect())?;
        let name = generation::write(self.directory.as_fd(), self.number, self.group, &empty)?;
        generation::erase(self.directory.as_fd(), &name)
    }

    fn unwritten(&self, cause: io::Error) -> FilesError {
        FilesError::Write { directory: self.directory.path().to_owned(), cause }
    }

    /// Shows the published secrets of `snapshot` as files. Secrets without a value have none.
    ///
    /// # Errors
    /// [`FilesError::Write`]; then readers see what they saw before.
    pub fn publish(&mut self, snapshot: &Snapshot, now: Instant) -> Result<Written, FilesError> {
        self.try_publish(snapshot, now).map_err(|cause| self.unwritten(cause))
    }

    fn try_publish(&mut self, snapshot: &Snapshot, now: Instant) -> io::Result<Written> {
        let contents = contents(&self.planned, snapshot);
        let wanted: BTreeSet<_> = contents.iter().map(|content| content.path.first()).collect();
        if self.current_holds(&contents) {
            self.directory.offer(&wanted)?;
            return Ok(Written::Unchanged);
        }
        self.directory.check_names(&wanted)?;
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

    /// Publishes every generation of the store and retires old ones, until stopped; then does what the settings ask for.
    /// The first one waits until every required secret is there, because files that exist say just that; `hold` is let
    /// go once it is written.
    ///
    /// Its system calls block the thread that runs it. On a file system in memory each takes microseconds, less than
    /// handing it to another thread, and readers of the socket are served by a thread of their own.
    ///
    /// # Errors
    /// [`FilesError::Directory`] when the files cannot be removed at the end. A generation that cannot be written is
    /// logged and tried again.
    pub async fn run(mut self, mut reader: Reader, hold: Hold, stop: CancellationToken) -> Result<()> {
        // Where nothing is required, nothing is waited for.
        let mut hold = Some(hold).filter(|_| !reader.snapshot().is_complete());
        let mut due = Some(Instant::now());
        let mut complete = false;
        let mut publisher_lives = true;
        loop {
            let wake = due.into_iter().chain(self.superseded.front().map(|(_, due)| *due)).min();
            tokio::select! {
                () = stop.cancelled() => break,
                lives = reader.changed(), if publisher_lives => {
                    publisher_lives = lives;
                    due = Some(Instant::now());
                }
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                let snapshot = reader.snapshot();
                // Before the first look nothing is known, even where nothing is required.
                complete |= snapshot.generation > 0 && snapshot.is_complete();
                due = if complete { self.publish_or_retry(&snapshot, now) } else { None };
                if complete && due.is_none() {
                    drop(hold.take());
                }
            }
            self.retire(now);
        }
        Ok(self.finish()?)
    }

    fn publish_or_retry(&mut self, snapshot: &Snapshot, now: Instant) -> Option<Instant> {
        let error = self.publish(snapshot, now).err()?;
        let error = with_causes(&error);
        tracing::error!(error, retry_after = ?RETRY_AFTER, "readers keep the files of the generation before");
        Some(now + RETRY_AFTER)
    }

    /// Ends the writing as the settings ask for. Superseded generations go at once: nobody is left to retire them later.
    ///
    /// # Errors
    /// [`FilesError::Directory`] when something that should go cannot be removed.
    pub fn finish(mut self) -> Result<(), FilesError> {
        match self.on_stop {
            OnStop::Keep => {
                self.retire(Instant::now() + self.retire_after);
                Ok(())
            }
            OnStop::Remove => wipe(&self.directory),
        }
    }
}

impl Planned {
    fn with<'a>(&'a self, value: &'a [u8]) -> Content<'a> {
        Content { path: &self.path, value, access: &self.access }
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

fn contents<'a>(planned: &'a [Planned], snapshot: &'a Snapshot) -> Vec<Content<'a>> {
    let content = |file: &'a Planned| {
        let published = snapshot.slots.get(&file.secret)?.published.as_ref()?;
        Some(file.with(published.secret.value.as_bytes()))
    };
    planned.iter().filter_map(content).collect()
}

/// Makes what is missing of the path, for others to pass through whatever the umask is.
fn make_directory(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    for folder in missing.into_iter().rev() {
        std::fs::create_dir(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(generation::DIRECTORY_BITS))?;
    }
    Ok(())
}

fn group_of_files(wanted: Option<u32>, directory: &Directory) -> io::Result<u32> {
    let found = fstat(directory.as_fd())?;
    let inherited = (found.st_mode & SETGID != 0).then_some(found.st_gid);
    Ok(wanted.or(inherited).unwrap_or_else(|| getegid().as_raw()))
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
