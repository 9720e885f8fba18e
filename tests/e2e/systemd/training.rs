//! A unit that trains, with the example's drop-in.

use keyside_tests::wait;

use super::vm::{CONFIG, Parts, Vm};

/// Notes what it has, tries the metadata service, and notes each SIGHUP.
const TRAIN: &str = r#"#!/bin/bash
trap 'cat /run/keyside/secrets/db-password > /run/train/reread' HUP
cat /run/keyside/secrets/db-password > /run/train/file
cat "$CREDENTIALS_DIRECTORY/db-password" > /run/train/credential
keyside get db-password > /run/train/socket
(timeout 2 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo reached || echo denied) > /run/train/identity
echo done > /run/train/ready
while :; do sleep 0.1; done
"#;

const UNIT: &str = "[Service]\nExecStart=/usr/local/bin/train\nRuntimeDirectory=train\n";

/// A hook for which the agent's user may send a signal to another's process.
const HOOK: &str = "[[on_change]]\nname = 'train'\nsignal = 'HUP'\nunit = 'train.service'\n";
const MAY_SIGNAL: &str = "[Service]\nCapabilityBoundingSet=CAP_KILL\nAmbientCapabilities=CAP_KILL\n";

pub(crate) fn trains(parts: &Parts) {
    let vm = Vm::start(parts, &[]);
    vm.write("/etc/keyside/agent.toml", &format!("{CONFIG}{HOOK}"));
    vm.write("/usr/local/bin/train", TRAIN);
    vm.write("/etc/systemd/system/train.service", UNIT);
    vm.script(
        "chmod 755 /usr/local/bin/train
         mkdir -p /etc/systemd/system/train.service.d
         cp /usr/share/doc/keyside/examples/training.conf /etc/systemd/system/train.service.d/keyside.conf
         systemctl daemon-reload; systemctl start --no-block train.service",
    );
    vm.wait_for("keyside.service", "StatusText", "waiting for db-password");
    assert_eq!(vm.property("train.service", "ActiveState"), "inactive", "it waits for the agent, which it wants");
    vm.set_secret("db-password", "hunter2-k9");
    let note = |name: &str| std::fs::read_to_string(vm.path(&format!("/run/train/{name}"))).unwrap_or_default();
    wait::until("the training", || (note("ready") == "done\n").then_some(()));
    assert_eq!([note("file"), note("credential"), note("socket")], ["hunter2-k9"; 3]);
    assert_eq!(note("identity"), "denied\n", "the agent has got a token there");

    let train = vm.property("train.service", "MainPID");
    vm.set_secret("db-password", "changed-k9");
    let outcome = wait::until("the hook", || hook(&vm));
    assert_eq!(outcome, "failed", "another user's process takes a right that the agent does not have by default");
    assert_eq!(note("reread"), "");

    vm.write("/etc/systemd/system/keyside.service.d/hooks.conf", MAY_SIGNAL);
    vm.script("systemctl daemon-reload; systemctl restart keyside.service");
    assert_eq!(vm.property("train.service", "MainPID"), train, "a restart of the agent is none of the training");
    vm.set_secret("db-password", "again-k9");
    wait::until("the signal", || (note("reread") == "again-k9").then_some(()));
    assert_eq!(note("credential"), "hunter2-k9", "fixed at the start");
}

/// How the last run of the hook ended; none before the first.
fn hook(vm: &Vm) -> Option<String> {
    vm.operation()["hooks"][0]["last"]["outcome"].as_str().map(str::to_owned)
}
