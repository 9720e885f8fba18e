//! When a file may have changed: by whatever happens in the directories that lead to it, since editors and Kubernetes
//! replace what is in them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::causes::with_causes;

/// How long nothing must have happened: an editor writes, renames and removes within milliseconds, and a file that is read
/// between is half of one.
const QUIET: Duration = Duration::from_millis(250);

/// How long to wait for that at most, in a directory where something always happens.
const UNREST_MAX: Duration = Duration::from_secs(2);

/// How many links may lead to a file. Source: `path_resolution(7)`, which gives up after forty.
const LINKS_MAX: usize = 40;

/// Watches the way to one file as long as it lives.
#[derive(Debug)]
pub(super) struct FileWatch {
    path: PathBuf,
    watcher: INotifyWatcher,
    watched: BTreeSet<PathBuf>,
    happened: Arc<Notify>,
}

impl FileWatch {
    /// Begins to watch; none, with a warning, where the kernel does not let it.
    pub(super) fn start(path: &Path) -> Option<Self> {
        let started = Self::new(path);
        let warn = |error: &notify::Error| {
            tracing::warn!(
                error = with_causes(error),
                "changes of the configuration are not noticed: send SIGHUP after one"
            );
        };
        started.inspect_err(warn).ok()
    }

    fn new(path: &Path) -> notify::Result<Self> {
        let happened = Arc::new(Notify::new());
        let tell = Arc::clone(&happened);
        let watcher = INotifyWatcher::new(
            move |event: notify::Result<notify::Event>| {
                // After an error events may have been lost.
                if event.is_ok_and(|event| !is_change(event.kind)) {
                    return;
                }
                tell.notify_one();
            },
            notify::Config::default().with_follow_symlinks(false),
        )?;
        let mut watch = Self { path: std::path::absolute(path)?, watcher, watched: BTreeSet::new(), happened };
        watch.watch_the_way()?;
        Ok(watch)
    }

    /// Watches the directories that lead to the file at present, and no others.
    fn watch_the_way(&mut self) -> notify::Result<()> {
        let way = way_to(&self.path);
        for gone in self.watched.difference(&way) {
            // Its watch ended with the directory.
            drop(self.watcher.unwatch(gone));
        }
        self.watched.retain(|known| way.contains(known));
        let mut outcome = Ok(());
        for directory in way {
            // Also what is watched already: a directory that was removed and made again has lost its watch.
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(directory);
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Waits until something has happened since the last time, and then until it seems to be over.
    pub(super) async fn changed(&mut self) {
        self.happened.notified().await;
        let until = Instant::now() + UNREST_MAX;
        while Instant::now() < until && timeout(QUIET, self.happened.notified()).await.is_ok() {}
        if let Err(error) = self.watch_the_way() {
            tracing::debug!(error = with_causes(&error), "a part of the way to the configuration is not watched");
        }
    }
}

/// The directories in which something leads to `path`: its own, and those of each link on the way and of what is behind it.
fn way_to(path: &Path) -> BTreeSet<PathBuf> {
    let (mut way, mut links) = (BTreeSet::new(), 0);
    let mut left: Vec<_> = parts(path);
    let mut here = PathBuf::from("/");
    while let Some(part) = left.pop() {
        let next = here.join(&part);
        if part.as_os_str() == ".." {
            here.pop();
        } else if let Ok(target) = next.read_link()
            && links < LINKS_MAX
        {
            links += 1;
            way.insert(here.clone());
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            left.extend(parts(&target));
        } else if left.is_empty() {
            way.insert(here.clone());
        } else {
            here = next;
        }
    }
    way
}

/// The names of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_name).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

/// Whether an event is more than that somebody reads, as the agent does, or has begun to write: who writes slowly has written
/// half of a file until it is closed.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_)) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use notify::event::DataChange;

    use super::*;

    async fn expect_change(watch: &mut FileWatch, what: &str) {
        assert!(timeout(Duration::from_secs(30), watch.changed()).await.is_ok(), "{what} is not noticed");
    }

    #[tokio::test]
    async fn what_editors_do_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("agent.toml"), folder.path().join("agent.toml.new"));
        fs::write(&path, "one").expect("written");
        let mut watch = FileWatch::new(&path).expect("a watch");
        fs::write(&path, "two").expect("written");
        expect_change(&mut watch, "a file that is written over").await;
        fs::write(&other, "three").expect("written");
        fs::rename(&other, &path).expect("renamed");
        expect_change(&mut watch, "a file that takes its place").await;
        fs::remove_file(&path).expect("removed");
        expect_change(&mut watch, "its end").await;
    }

    #[tokio::test]
    async fn what_kubernetes_does_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let fill = |version: &str| {
            fs::create_dir(at(version)).expect("made");
            fs::write(at(version).join("agent.toml"), version).expect("written");
            symlink(version, at("..data_tmp")).expect("linked");
            fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
        };
        fill("..2026_11_24_1");
        symlink("..data/agent.toml", at("agent.toml")).expect("linked");
        let mut watch = FileWatch::new(&at("agent.toml")).expect("a watch");
        for version in ["..2026_11_24_2", "..2026_11_24_3"] {
            fill(version);
            expect_change(&mut watch, version).await;
            assert_eq!(fs::read_to_string(at("agent.toml")).expect("readable"), version, "the whole change is there");
        }
    }

    #[tokio::test]
    async fn what_happens_behind_links_into_other_folders_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for made in ["etc", "volume", "volume/..1", "volume/..2"] {
            fs::create_dir(at(made)).expect("made");
        }
        fs::write(at("volume/..1/agent.toml"), "one").expect("written");
        fs::write(at("volume/..2/agent.toml"), "two").expect("written");
        symlink("..1", at("volume/..data")).expect("linked");
        symlink("..data/agent.toml", at("volume/agent.toml")).expect("linked");
        symlink("../volume/agent.toml", at("etc/agent.toml")).expect("linked");
        let mut watch = FileWatch::new(&at("etc/agent.toml")).expect("a watch");
        symlink("..2", at("volume/..tmp")).expect("linked");
        fs::rename(at("volume/..tmp"), at("volume/..data")).expect("renamed");
        expect_change(&mut watch, "a link behind a link").await;
        fs::write(at("volume/..2/agent.toml"), "three").expect("written");
        expect_change(&mut watch, "the file that is meant since then").await;
        let way = ["etc", "volume", "volume/..2"].map(|name| at(name).canonicalize().expect("it is there"));
        assert_eq!(watch.watched, way.into());
    }

    #[test]
    fn neither_reading_nor_the_beginning_of_writing_is_a_change() {
        let read = [AccessKind::Open(AccessMode::Any), AccessKind::Read, AccessKind::Close(AccessMode::Read)];
        assert!(!read.map(EventKind::Access).into_iter().any(is_change));
        assert!(!is_change(EventKind::Modify(ModifyKind::Data(DataChange::Any))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))) && is_change(EventKind::Any));
    }
}
