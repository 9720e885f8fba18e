//! The files as programs see them: whole generations, access for the named readers, nothing left behind.

mod access;
mod changes;
mod generations;
mod publishing;
mod recovery;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use keyside::clock::Moment;
use keyside::encoding::Encoding;
use keyside::files::{FilesWriter, OnStop, RETIRE_AFTER, Settings, Target};
use keyside::memory::Arena;
use keyside::principal::Principal;
use keyside::secret::{Metadata, Secret, SecretName, SecretValue};
use keyside::selection::Selection;
use keyside::store::{self, Fetched, Origin, Outcome, Publisher, Reader};
use tempfile::TempDir;
use tokio::time::Instant;

/// Tells the person who runs the tests something, past the harness, which hides what a passing test prints.
fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").expect("standard error is open");
}

/// When everything is fetched.
const NOW: Moment = Moment { wall: Timestamp::UNIX_EPOCH, uptime: Duration::ZERO };

fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

fn secret(bytes: &[u8]) -> Secret {
    let metadata = Metadata {
        version: "d673228733a64a7c98d997c0b8a1c769".parse().expect("a version"),
        content_type: None,
        created: None,
        updated: None,
        expires: None,
    };
    let value = SecretValue::new(Arena::unlocked().store(bytes).expect("memory"));
    Secret { metadata, value, selection: Selection::Whole, encoding: Encoding::Text }
}

fn target(path: &str, mode: &str, readers: &[Principal]) -> Target {
    Target { path: path.parse().expect("a path"), mode: mode.parse().expect("a mode"), readers: readers.to_vec() }
}

/// Settings for a directory, with one target for each `(secret, target)`.
fn settings(directory: &Path, targets: impl IntoIterator<Item = (&'static str, Target)>) -> Settings {
    Settings {
        directory: directory.to_owned(),
        targets: targets.into_iter().map(|(secret, target)| (name(secret), target)).collect::<BTreeMap<_, _>>(),
        env_files: Vec::new(),
        allow_disk: false,
        require_noswap: false,
        on_stop: OnStop::Remove,
        group: None,
    }
}

/// A store with an empty slot for each secret.
fn store(secrets: &[&str]) -> (Publisher, Reader) {
    store::channel(secrets.iter().map(|local| (name(local), false)))
}

/// Puts values into the store as one look would.
fn publish(publisher: &Publisher, values: &[(&str, &[u8])]) {
    let origin = Origin { vault: "https://v.vault.azure.net".into(), is_fallback: false };
    let given = |bytes| Outcome::Given(secret(bytes), origin.clone());
    let fetched = values.iter().map(|(local, bytes)| Fetched { name: name(local), outcome: given(bytes) }).collect();
    let _ = publisher.apply(fetched, NOW);
}

/// A folder in memory that other users can pass through, and the path of a directory in it that does not exist yet.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).expect("our own folder");
    let directory = folder.path().join("secrets");
    (folder, directory)
}

fn open(settings: &Settings) -> FilesWriter {
    FilesWriter::open(settings, RETIRE_AFTER, Instant::now()).expect("the directory is usable")
}
