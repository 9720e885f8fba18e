//! A virtual machine of Azure: a machine with the metadata service and a vault within reach, and the package installed.

use std::path::{Path, PathBuf};

use keyside_tests::http::{self, Answer};
use keyside_tests::wait;

use serde_json::Value;

use super::machine::Machine;

/// What the machine's own identity may read.
pub(crate) const VAULT: &str = "kv-vm";

const SEED: &str = r#"
[directory]
tenant = "11111111-1111-4111-8111-111111111111"
[[directory.managed_identities]]
kind = "system-assigned"
client_id = "22222222-2222-4222-8222-222222222201"
object_id = "22222222-2222-4222-8222-222222222202"
[[vaults]]
name = "kv-vm"
[[vaults.role_assignments]]
principal = "22222222-2222-4222-8222-222222222202"
role = "Key Vault Secrets User"
[subscription]
id = "00000000-0000-4000-8000-000000000001"
registered_providers = ["Microsoft.Compute"]
[[subscription.role_assignments]]
principal = "22222222-2222-4222-8222-222222222202"
role = "Owner"
"#;

/// Azure, as a unit of the machine: what the machine itself would reach, at the metadata service's own address.
const AZURE: &str = "[Service]\nType=exec\nExecStart=/target/PROFILE/keyside-emulator serve --listen 169.254.169.254:80 \
                     --proxy 127.0.0.1:3128 --dir /etc/azure --seed /etc/azure-seed.toml --state /etc/azure-state\n";

/// The way to Azure that a machine behind a proxy has.
const ENVIRONMENT: &str = "HTTPS_PROXY=http://127.0.0.1:3128\nSSL_CERT_FILE=/etc/azure/ca.pem\n";

/// Two secrets for the trainer and for root, looked at so often that a scenario needs not wait.
pub(crate) const CONFIG: &str = r#"
readers = ["user:trainer", "user:root"]
[vault]
url = "https://kv-vm.vault.azure.net"
[files]
[credentials]
[rotation]
poll_interval = "1s"
[[secret]]
name = "db-password"
units = ["train.service"]
"#;

/// Where everything is that machines are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The image's folder.
    pub(crate) image: PathBuf,
    /// The build's folder.
    pub(crate) target: PathBuf,
    /// The folder of the programs of this build, within the build's.
    pub(crate) profile: String,
    /// The package's path within the build's folder.
    pub(crate) package: PathBuf,
}

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Vm {
    machine: Machine,
    profile: String,
}

impl std::ops::Deref for Vm {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Vm {
    /// A machine with the package, and with a vault that holds `secrets`. Nothing of Keyside is started.
    pub(crate) fn start(parts: &Parts, secrets: &[(&str, &str)]) -> Self {
        let machine = Machine::boot(&parts.image, &parts.target);
        let vm = Self { machine, profile: parts.profile.clone() };
        vm.add_address("169.254.169.254/32");
        vm.write("/etc/azure-seed.toml", SEED);
        vm.write("/etc/systemd/system/azure.service", &AZURE.replace("PROFILE", &parts.profile));
        vm.script("systemctl daemon-reload; systemctl start azure; useradd --system trainer");
        vm.install(&parts.package);
        vm.write("/etc/keyside/environment", ENVIRONMENT);
        wait::until("the emulator", || vm.path("/etc/azure/emulator.json").exists().then_some(()));
        for (name, value) in secrets {
            vm.set_secret(name, value);
        }
        vm
    }

    /// The same with a configuration and a running agent.
    pub(crate) fn with_agent(parts: &Parts, config: &str) -> Self {
        let vm = Self::start(parts, &[("db-password", "hunter2-k9")]);
        vm.write("/etc/keyside/agent.toml", config);
        vm.succeed(&["systemctl", "start", "keyside.service"]);
        vm
    }

    /// Installs the package.
    pub(crate) fn install(&self, package: &Path) {
        self.succeed(&["dpkg", "--install", &format!("/target/{}", package.display())]);
    }

    /// Runs a command of the emulator's.
    #[track_caller]
    pub(crate) fn azure(&self, arguments: &[&str]) -> String {
        let program = format!("/target/{}/keyside-emulator", self.profile);
        self.succeed(&[&[program.as_str()], arguments, &["--dir", "/etc/azure"]].concat())
    }

    /// Sets a secret of the vault.
    #[track_caller]
    pub(crate) fn set_secret(&self, name: &str, value: &str) {
        self.azure(&["secret", "set", VAULT, name, value]);
    }

    /// Takes Azure away, or gives it back.
    pub(crate) fn azure_is(&self, action: &str) {
        self.succeed(&["systemctl", action, "azure.service"]);
    }

    /// The agent's socket as the host sees it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("/run/keyside/agent.sock")
    }

    /// What the socket answers.
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(&self.socket(), path)
    }

    /// A secret's bytes as the socket gives them.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> String {
        let answer = self.get(&format!("/v1/secrets/{name}/value"));
        assert_eq!(answer.status, 200, "{}", self.journal());
        String::from_utf8(answer.body).expect("text")
    }

    /// A secret's bytes as the command gives them to a user.
    #[track_caller]
    pub(crate) fn value_as(&self, user: &str, name: &str) -> String {
        self.succeed(&["runuser", "-u", user, "--", "keyside", "get", name])
    }

    /// What `keyside status` says to root of how the agent fares.
    pub(crate) fn operation(&self) -> Value {
        let status = self.succeed(&["keyside", "status", "--output", "json"]);
        serde_json::from_str::<Value>(&status).expect("JSON")["operation"].take()
    }

    /// The names of the secrets' files.
    pub(crate) fn files(&self) -> Vec<String> {
        let found = std::fs::read_dir(self.path("/run/keyside/secrets")).expect("the files' folder");
        let names = found.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with("..")).collect();
        names.sort();
        names
    }

    /// What a file holds; none where there is no file.
    pub(crate) fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(&format!("/run/keyside/secrets/{name}"))).ok()
    }

    /// The number of the agent's process.
    pub(crate) fn agent_pid(&self) -> String {
        self.property("keyside.service", "MainPID")
    }

    /// Waits until another agent than the one with this number is ready.
    pub(crate) fn wait_for_another_than(&self, pid: &str) {
        wait::until("another agent", || {
            // Asked for at once, since a service that has just failed is still called active a moment before.
            let shown = self.succeed(&["systemctl", "show", "--property=ActiveState,MainPID", "keyside.service"]);
            let has = |line: String| shown.lines().any(|shown| shown == line);
            let is_another = !has(format!("MainPID={pid}")) && !has("MainPID=0".to_owned());
            (has("ActiveState=active".to_owned()) && is_another).then_some(())
        });
    }
}
