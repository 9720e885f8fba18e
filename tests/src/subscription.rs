//! An emulated subscription, and `keyside-bootstrap` run against it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::keyside;
use crate::emulator::Emulator;
use crate::{binaries, wait};

/// The subscription's id.
pub const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";

/// Whoever runs the bootstrap, an owner of the subscription.
pub const OPERATOR: &str = "33333333-3333-4333-8333-333333333333";

/// Somebody else who can sign in.
pub const COLLEAGUE: &str = "77777777-7777-4777-8777-777777777777";

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT: &str = "22222222-2222-4222-8222-222222222222";
/// The application that they sign in as.
pub const COLLEAGUE_CLIENT: &str = "88888888-8888-4888-8888-888888888888";
const CLIENT_SECRET: &str = "client-secret-7Q~x";

/// An emulator with a subscription, and a folder for the files of one scenario.
#[derive(Debug)]
pub struct Subscription {
    /// The emulated Azure.
    pub emulator: Emulator,
    folder: TempDir,
}

/// What a run of `keyside-bootstrap` printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub errors: String,
}

impl Subscription {
    /// Starts one with nothing in it but what `more` adds to its seed.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(more: &str) -> Self {
        Self::start_with_providers("'Microsoft.Compute'", more)
    }

    /// Starts one in which just `providers`, a list of quoted namespaces, are registered.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with_providers(providers: &str, more: &str) -> Self {
        let folder = TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
        let application = |app: &str, object: &str| {
            format!(
                "[[directory.applications]]\napp_id = '{app}'\nobject_id = '{object}'\nsecrets = ['{CLIENT_SECRET}']\n"
            )
        };
        let seed = format!(
            "[directory]\ntenant = '{TENANT}'\n{operator}{colleague}[subscription]\nid = '{SUBSCRIPTION}'\n\
             registered_providers = [{providers}]\n[[subscription.role_assignments]]\nprincipal = '{OPERATOR}'\nrole = 'Owner'\n{more}\n",
            operator = application(CLIENT, OPERATOR),
            colleague = application(COLLEAGUE_CLIENT, COLLEAGUE),
        );
        let emulator = Emulator::start(&folder.path().join("azure"), &seed);
        Self { emulator, folder }
    }

    /// The folder of the scenario's files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the agent's configuration is written.
    #[must_use]
    pub fn agent_config(&self) -> PathBuf {
        self.folder().join("agent.toml")
    }

    /// Writes the description of an estate with the prefix `ml`: what all have in common, then `more`, which begins
    /// with the keys of `[vault]`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn describe(&self, more: &str) {
        let text = format!(
            "subscription = '{SUBSCRIPTION}'\ntenant = '{TENANT}'\nlocation = 'westeurope'\nprefix = 'ml'\n[vault]\n{more}\n"
        );
        std::fs::write(self.folder().join("estate.toml"), text).expect("a description");
    }

    /// What points any Azure client at the emulator, as the operator.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.variables_of(CLIENT)
    }

    fn variables_of(&self, client: &str) -> BTreeMap<String, String> {
        let own = [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", client), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.emulator.variables().into_iter().chain(own).collect()
    }

    fn command(&self, words: &[&str], more: &[(&str, &str)]) -> std::process::Command {
        let mut command = binaries::command("keyside-bootstrap");
        command.current_dir(self.folder()).envs(self.variables()).envs(more.iter().copied());
        command.args(words).args(["--config", "estate.toml"]);
        command
    }

    /// Runs a command on the description.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Run {
        self.run_with(words, &[], "")
    }

    /// Runs a command on the description with more variables and with `input` on standard input.
    #[must_use]
    pub fn run_with(&self, words: &[&str], more: &[(&str, &str)], input: &str) -> Run {
        let output = binaries::feed(&mut self.command(words, more), input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code(), out: text(&output.stdout), errors: text(&output.stderr) }
    }

    /// Runs a command that must succeed.
    ///
    /// # Panics
    /// When it does not; the message holds what it printed.
    #[expect(clippy::must_use_candidate, reason = "most callers want it done")]
    pub fn succeed(&self, words: &[&str]) -> Run {
        let run = self.run(words);
        assert_eq!(run.code, Some(0), "{words:?}: {}{}", run.out, run.errors);
        run
    }

    /// Runs a command on a terminal of the kind `term`, and collects all that is written there.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn run_on_terminal(&self, words: &str, term: &str) -> String {
        let (succeeded, text) = self.on_terminal(words, term);
        assert!(succeeded, "{text}");
        text
    }

    /// The same for a command that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    #[must_use]
    pub fn refused_on_terminal(&self, words: &str, term: &str) -> String {
        let (succeeded, text) = self.on_terminal(words, term);
        assert!(!succeeded, "{text}");
        text
    }

    fn on_terminal(&self, words: &str, term: &str) -> (bool, String) {
        let program = binaries::path("keyside-bootstrap");
        let line = format!("{} {words} --config estate.toml", program.display());
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(self.folder());
        let output = binaries::feed(command.env_clear().envs(self.variables()).env("TERM", term), "");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a command without waiting for it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn begin(&self, words: &[&str]) -> Child {
        let mut command = self.command(words, &[]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the command starts")
    }

    /// Every write that succeeded so far, as a line `METHOD PATH`: those of Resource Manager and of vaults.
    ///
    /// # Panics
    /// When the emulator's list cannot be read.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.emulator.run(&["requests", "--output", "json"])).expect("JSON");
        let text = |entry: &Value, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
        let is_write = |entry: &&Value| {
            let azure = text(entry, "host") == "management.azure.com" || text(entry, "host").contains(".vault.");
            let changes = !matches!(text(entry, "method").as_str(), "GET" | "HEAD" | "CONNECT");
            azure && changes && entry["status"].as_u64().is_some_and(|status| status < 300)
        };
        let entries = list.as_array().expect("a list").iter().filter(is_write);
        entries.map(|entry| format!("{} {}\n", text(entry, "method"), text(entry, "path"))).collect()
    }

    /// Waits until a write whose line contains `part` has been answered.
    pub fn wait_for_write(&self, part: &str) {
        wait::until(part, || self.writes().iter().any(|line| line.contains(part)).then_some(()));
    }

    /// Reads a secret of a vault as the colleague by the agent's one pass; none where it may not, or it is not there.
    ///
    /// # Panics
    /// When the scenario's files cannot be written.
    #[must_use]
    pub fn read_as_colleague(&self, vault: &str, secret: &str) -> Option<String> {
        self.read(vault, secret, &self.variables_of(COLLEAGUE_CLIENT))
    }

    /// The same as the operator.
    #[must_use]
    pub fn read_as_operator(&self, vault: &str, secret: &str) -> Option<String> {
        self.read(vault, secret, &self.variables())
    }

    fn read(&self, vault: &str, secret: &str, variables: &BTreeMap<String, String>) -> Option<String> {
        let files = self.folder().join("read");
        let text = format!(
            "readers = ['uid:0']\n[vault]\nurl = 'https://{vault}.vault.azure.net'\n[files]\ndirectory = '{}'\n\
             [[secret]]\nname = '{secret}'\n",
            files.display()
        );
        let config = self.folder().join("reader.toml");
        std::fs::write(&config, text).expect("a configuration file");
        let output = keyside(&["agent", "--once", "--config", &config.display().to_string()], variables);
        let value = std::fs::read_to_string(files.join(secret)).ok().filter(|_| output.status.success());
        std::fs::remove_dir_all(&files).ok();
        value
    }
}
