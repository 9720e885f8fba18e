//! The links of the directory: `..data`, which names the current generation, and one for each name that readers open.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, readlinkat, renameat, stat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::generation::{GenerationName, entries};
use crate::place::is_trusted;

/// The link that decides which generation readers see.
const CURRENT: &str = "..data";

/// The same before it replaces the old one.
const NEXT: &str = "..data.next";

/// The directory that readers know, held open and locked against a second writer.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    descriptor: OwnedFd,
}

impl Directory {
    /// Opens a directory that exists, and locks it as long as the answer lives.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        flock(&descriptor, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another agent writes there: stop it, or give each a directory of its own",
            ),
            other => other.into(),
        })?;
        let directory = Self { path: path.to_owned(), descriptor };
        // An agent that died between making and renaming it leaves it.
        directory.remove(NEXT)?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Refuses a directory whose owner could put something else in the place of the files.
    pub(super) fn check_owner(&self) -> io::Result<()> {
        let owner = fstat(&self.descriptor)?.st_uid;
        if is_trusted(owner, geteuid().as_raw()) {
            return Ok(());
        }
        let message = format!("it belongs to uid {owner}: give it to root or to the agent's own user");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    }

    /// Whether the path still leads to it: not once it was removed, replaced, or mounted over.
    pub(super) fn is_in_place(&self) -> bool {
        let here = fstat(&self.descriptor).map(|found| (found.st_dev, found.st_ino));
        let there = stat(&self.path).map(|found| (found.st_dev, found.st_ino));
        here.is_ok() && here == there
    }

    /// The generation that readers see.
    pub(super) fn current(&self) -> io::Result<Option<GenerationName>> {
        let Some(target) = self.link(CURRENT)? else { return Ok(None) };
        GenerationName::parse(&target).map(Some).ok_or_else(|| {
            foreign(CURRENT, "another program keeps its files there: give Keyside a directory of its own")
        })
    }

    /// Shows `generation` to readers in place of the one before, in one step that no reader can see half of.
    pub(super) fn show(&self, generation: &GenerationName) -> io::Result<()> {
        symlinkat(generation.as_str(), &self.descriptor, NEXT)?;
        renameat(&self.descriptor, NEXT, &self.descriptor, CURRENT).or_else(|error| {
            self.remove(NEXT)?;
            Err(error.into())
        })
    }

    /// Refuses names that somebody else's file, folder or link takes.
    ///
    /// # Errors
    /// The first such name, with the remedy.
    pub(super) fn check_names(&self, wanted: &BTreeSet<&str>) -> io::Result<()> {
        for name in wanted {
            if self.link(name)?.is_some_and(|found| found != target(name)) {
                return Err(foreign(name, "a link that Keyside did not make is in its place: remove it"));
            }
        }
        Ok(())
    }

    /// Makes the link of every wanted name that has none, and removes those of names that are no longer wanted.
    pub(super) fn offer(&self, wanted: &BTreeSet<&str>) -> io::Result<()> {
        for name in wanted {
            if self.link(name)?.is_none() {
                symlinkat(target(name), &self.descriptor, *name)?;
            }
        }
        for name in self.offered()? {
            if !wanted.contains(name.as_str()) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes every link, so that readers find nothing.
    pub(super) fn withdraw(&self) -> io::Result<()> {
        self.offer(&BTreeSet::new())?;
        self.current()?.map_or(Ok(()), |_| self.remove(CURRENT))
    }

    /// All generations, the current one and what earlier runs left.
    pub(super) fn generations(&self) -> io::Result<Vec<GenerationName>> {
        let listed = entries(self.as_fd())?.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
        Ok(listed.filter_map(|(name, _)| GenerationName::parse(name.to_str().ok()?)).collect())
    }

    /// The names of our links: those that lead through `..data` to their own name.
    fn offered(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for (name, kind) in entries(self.as_fd())? {
            let Ok(name) = name.into_string() else { continue };
            if kind == FileType::Symlink && self.link(&name)?.is_some_and(|found| found == target(&name)) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn link(&self, name: &str) -> io::Result<Option<String>> {
        match readlinkat(&self.descriptor, name, Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::NOENT) => Ok(None),
            // What readlinkat(2) says of something that is no link.
            Err(Errno::INVAL) => {
                Err(foreign(name, "a file or folder that Keyside did not make is in its place: remove it"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A child that was forked and has not yet executed its program holds the descriptor too, and so would the lock.
        if let Err(error) = flock(&self.descriptor, FlockOperation::Unlock) {
            tracing::debug!(%error, "the lock of the directory of files is left to the kernel");
        }
    }
}

fn target(name: &str) -> String {
    format!("{CURRENT}/{name}")
}

fn foreign(name: &str, remedy: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("'{name}': {remedy}"))
}
