//! The emulator as a child process, and its command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::binaries;

/// A running `keyside-emulator`; ended when dropped.
#[derive(Debug)]
pub struct Emulator {
    process: Child,
    place: Place,
    folder: PathBuf,
}

/// Where an emulator answers.
#[derive(Clone, Debug)]
pub struct Place {
    /// A command that runs another one where that network is; empty for the machine's own.
    pub enter: Vec<OsString>,
    /// Its address.
    pub listen: String,
    /// Its proxy's address.
    pub proxy: String,
}

impl Place {
    /// Free ports of this machine's loopback.
    fn here() -> Self {
        Self { enter: Vec::new(), listen: "127.0.0.1:0".to_owned(), proxy: "127.0.0.1:0".to_owned() }
    }

    fn command(&self) -> Command {
        let program = binaries::command("keyside-emulator");
        let [first, rest @ ..] = &self.enter[..] else { return program };
        let mut command = Command::new(first);
        command.args(rest).arg(program.get_program()).args(program.get_args());
        command.env_clear().env("PATH", binaries::SEARCH_PATH);
        command
    }
}

impl Emulator {
    /// Starts one on free ports with its files in `folder` and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(folder: &Path, seed: &str) -> Self {
        Self::start_at(Place::here(), folder, seed)
    }

    /// Starts one there, with its files in `folder`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_at(place: Place, folder: &Path, seed: &str) -> Self {
        std::fs::create_dir_all(folder).expect("a folder for the emulator");
        let seed_file = folder.join("seed.toml");
        std::fs::write(&seed_file, seed).expect("a seed file");
        let mut process = place
            .command()
            .args(["serve", "--listen", &place.listen, "--proxy", &place.proxy, "--dir"])
            .arg(folder)
            .arg("--seed")
            .arg(seed_file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a piped output");
        BufReader::new(stdout).read_line(&mut line).expect("the emulator's output can be read");
        assert_eq!(line.trim(), "ready", "the emulator says that it is ready");
        Self { process, place, folder: folder.to_owned() }
    }

    /// The variables that point an Azure client at it.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let text = self.run(&["env"]);
        let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        exports.map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect()
    }

    /// Sets a secret, which makes a new version of it.
    pub fn set_secret(&self, vault: &str, name: &str, value: &str) {
        self.run_with_input(&["secret", "set", vault, name, "-"], value);
    }

    /// Runs another command of the emulator's, and gives what it printed.
    ///
    /// # Panics
    /// When it ends with an error.
    #[expect(clippy::must_use_candidate, reason = "most commands print nothing")]
    pub fn run(&self, arguments: &[&str]) -> String {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.place.command();
        command.args(arguments).arg("--dir").arg(&self.folder);
        let output = binaries::feed(&mut command, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the emulator prints text")
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended already, by a test's own doing.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}
