//! When a file may have changed: by whatever happens in its directory, since editors and Kubernetes replace what leads to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::causes::with_causes;

/// How long nothing must have happened: an editor writes, renames and removes within milliseconds, and a file that is read
/// between is half of one.
const QUIET: Duration = Duration::from_millis(250);

/// How long to wait for that at most, in a directory where something always happens.
const UNREST_MAX: Duration = Duration::from_secs(2);

/// Watches the directory of one file as long as it lives.
#[derive(Debug)]
pub(super) struct FileWatch {
    _watcher: INotifyWatcher,
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
        let mut watcher = INotifyWatcher::new(
            move |event: notify::Result<notify::Event>| {
                // After an error events may have been lost.
                if event.is_ok_and(|event| !is_change(event.kind)) {
                    return;
                }
                tell.notify_one();
            },
            notify::Config::default().with_follow_symlinks(false),
        )?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: watcher, happened })
    }

    /// Waits until something has happened since the last time, and then until it seems to be over.
    pub(super) async fn changed(&self) {
        self.happened.notified().await;
        let until = Instant::now() + UNREST_MAX;
        while Instant::now() < until && timeout(QUIET, self.happened.notified()).await.is_ok() {}
    }
}

/// Whether an event is more than that somebody reads, as the agent does.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    async fn expect_change(watch: &FileWatch, what: &str) {
        assert!(timeout(Duration::from_secs(30), watch.changed()).await.is_ok(), "{what} is not noticed");
    }

    #[tokio::test]
    async fn what_editors_do_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("agent.toml"), folder.path().join("agent.toml.new"));
        fs::write(&path, "one").expect("written");
        let watch = FileWatch::new(&path).expect("a watch");
        fs::write(&path, "two").expect("written");
        expect_change(&watch, "a file that is written over").await;
        fs::write(&other, "three").expect("written");
        fs::rename(&other, &path).expect("renamed");
        expect_change(&watch, "a file that takes its place").await;
        fs::remove_file(&path).expect("removed");
        expect_change(&watch, "its end").await;
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
        let watch = FileWatch::new(&at("agent.toml")).expect("a watch");
        for version in ["..2026_11_24_2", "..2026_11_24_3"] {
            fill(version);
            expect_change(&watch, version).await;
            assert_eq!(fs::read_to_string(at("agent.toml")).expect("readable"), version, "the whole change is there");
        }
    }

    #[test]
    fn reading_is_no_change() {
        let read = [AccessKind::Open(AccessMode::Any), AccessKind::Read, AccessKind::Close(AccessMode::Read)];
        assert!(!read.map(EventKind::Access).into_iter().any(is_change));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))) && is_change(EventKind::Any));
    }
}
