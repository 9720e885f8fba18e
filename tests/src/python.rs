//! An interpreter with Microsoft's own clients, as their users install them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::binaries;

/// Where the programs of such users lie.
#[must_use]
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The interpreter of a virtual environment that has just what requirements.txt pins.
///
/// It lies in the target folder and is made again when requirements.txt has changed. Only here does pip see the
/// machine's own environment, which may name another package index.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn interpreter() -> PathBuf {
    let folder = target_folder().join("clients");
    fs::create_dir_all(&folder).expect("a folder for the virtual environment");
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("the lock is free at last");
    let (environment, installed) = (folder.join("environment"), folder.join("installed.txt"));
    let python = environment.join("bin/python");
    let requirements = clients().join("requirements.txt");
    let wanted = fs::read(&requirements).expect("requirements.txt can be read");
    if !python.exists() || fs::read(&installed).ok().as_ref() != Some(&wanted) {
        // A stamp without its environment, or of one half made, would be believed next time.
        drop(fs::remove_file(&installed));
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(&requirements));
        fs::write(&installed, wanted).expect("the stamp can be written");
    }
    python
}

fn target_folder() -> PathBuf {
    let profile = binaries::path("keyside-emulator");
    profile.parent().and_then(Path::parent).expect("programs lie in target/PROFILE").to_owned()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", text(&output));
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream)).concat()
}
