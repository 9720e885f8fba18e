//! Python as its users have it: environments with just what is pinned, Microsoft's own clients, and the project's wheel.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::binaries;

/// Where the programs of users of Microsoft's clients lie.
#[must_use]
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Where the project's own Python package lies.
#[must_use]
pub fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/python")
}

/// The interpreter of a virtual environment that has Microsoft's clients.
#[must_use]
pub fn interpreter() -> PathBuf {
    environment("clients", &clients().join("requirements.txt"))
}

/// The interpreter of a virtual environment that has just what `requirements` pins.
///
/// It lies in the target folder under `name` and is made again when the requirements have changed. Only here does pip see
/// the machine's own environment, which may name another package index.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn environment(name: &str, requirements: &Path) -> PathBuf {
    let folder = target_folder().join(name);
    fs::create_dir_all(&folder).expect("a folder for the virtual environment");
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("the lock is free at last");
    let (environment, installed) = (folder.join("environment"), folder.join("installed.txt"));
    let python = environment.join("bin/python");
    let wanted = fs::read(requirements).expect("the requirements can be read");
    if !python.exists() || fs::read(&installed).ok().as_ref() != Some(&wanted) {
        // A stamp without its environment, or of one half made, would be believed next time.
        drop(fs::remove_file(&installed));
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(requirements));
        fs::write(&installed, wanted).expect("the stamp can be written");
    }
    python
}

/// Installs the wheel into a new virtual environment in `folder`, with nothing else, and answers that environment.
///
/// # Panics
/// When the wheel has not been made, or cannot be installed.
#[must_use]
pub fn installed_wheel(folder: &Path) -> PathBuf {
    let environment = folder.join("environment");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"];
    succeed(Command::new(environment.join("bin/python")).args(install).arg(wheel()));
    environment
}

fn wheel() -> PathBuf {
    let start = concat!("keyside-", env!("CARGO_PKG_VERSION"), "-py3-none-");
    let is_wheel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && path.extension().is_some_and(|ending| ending == "whl")
    };
    let folder = target_folder().join("wheels");
    let mut found = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let wheel = found.find(is_wheel);
    wheel.unwrap_or_else(|| {
        panic!("no wheel in {}: run `make wheel` first, or `make test`, which does", folder.display())
    })
}

/// Where builds, environments and images lie.
///
/// # Panics
/// When the programs are not where cargo puts them.
#[must_use]
pub fn target_folder() -> PathBuf {
    let profile = binaries::path("keyside-emulator");
    profile.parent().and_then(Path::parent).expect("programs lie in target/PROFILE").to_owned()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", text(&output));
}

/// What a program printed, on either stream.
#[must_use]
pub fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream)).concat()
}
