//! The folder of an engine, which goes with the suite that made it, and with the next one where that was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use keyside_tests::report::say;
use tempfile::TempDir;

/// How the names of folders begin.
const START: &str = ".tmp";

/// A folder that is removed when it is dropped. As long as a process has it, it is locked.
#[derive(Debug)]
pub(crate) struct Folder {
    directory: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes one below `parent`, and removes those that processes left which have ended.
    pub(crate) fn make(parent: &Path) -> Self {
        fs::create_dir_all(parent).expect("a folder");
        // Held meanwhile, so that nobody finds a folder between its making and its lock.
        let door = File::create(parent.join("lock")).expect("a lock file");
        door.lock().expect("the lock is free at last");
        for folder in abandoned(parent) {
            remove(&folder);
        }
        let directory = tempfile::Builder::new().prefix(START).tempdir_in(parent).expect("a folder");
        let lock = File::open(directory.path()).expect("own folder");
        lock.lock().expect("nobody else knows it");
        Self { directory, _lock: lock }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The folders that nobody has locked.
fn abandoned(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).expect("a folder").map_while(Result::ok);
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(START));
    let is_free = |path: &PathBuf| File::open(path).is_ok_and(|folder| folder.try_lock().is_ok());
    ours.map(|entry| entry.path()).filter(is_free).collect()
}

fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Ok(()) => say(&format!("removed {}, which a suite left that was killed", folder.display())),
        Err(error) => say(&format!("a suite that was killed left {}: {error}", folder.display())),
    }
}

#[test]
fn what_a_killed_suite_left_goes_and_what_a_running_one_has_stays() {
    let parent = TempDir::new().expect("a folder");
    let running = Folder::make(parent.path());
    let left = parent.path().join(".tmpLeft");
    fs::create_dir_all(left.join("images/overlay")).expect("own folder");
    fs::write(parent.path().join("python.tar"), "").expect("own folder");
    let next = Folder::make(parent.path());
    assert!(!left.exists() && running.path().exists() && next.path().exists());
    assert!(parent.path().join("python.tar").exists(), "what the next one uses again");
}
