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

/// Tied to the agent by `Requires=`: it never starts without one, and ends with it. A restart of the agent is one of the
/// training, too, whoever asks for it, an agent that was killed included; the training then has the newest credential, and has
/// lost what it did since its last checkpoint. So the example's drop-in wants the agent, and does not require it.
const TIED: &str = "[Unit]\nRequires=keyside.service\nAfter=keyside.service\n[Service]\nUser=trainer\n\
                    LoadCredential=db-password:/run/keyside/credentials.sock\nExecStart=/bin/sh -c '\
                    cat /run/keyside/secrets/db-password $CREDENTIALS_DIRECTORY/db-password > /run/train/seen; \
                    exec sleep infinity'\nExecStop=/bin/cp --force /run/keyside/secrets/db-password /run/train/at-the-end\n\
                    RuntimeDirectory=train\nRuntimeDirectoryPreserve=yes\n";

pub(crate) fn requires(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "one,")]);
    vm.write("/etc/systemd/system/train.service", TIED);
    vm.succeed(&["systemctl", "daemon-reload"]);
    let note = |name: &str| std::fs::read_to_string(vm.path(&format!("/run/train/{name}"))).unwrap_or_default();
    let wrong = CONFIG.replace("readers", "raeders");
    for config in [None, Some(wrong.as_str())] {
        if let Some(config) = config {
            vm.write("/etc/keyside/agent.toml", config);
        }
        let refused = vm.run(&["systemctl", "start", "train.service"]);
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && why.contains("dependency"), "{config:?}: {why}");
        assert_eq!((vm.property("train.service", "ActiveState").as_str(), note("seen").as_str()), ("inactive", ""));
    }

    vm.write("/etc/keyside/agent.toml", CONFIG);
    vm.azure_is("stop");
    vm.succeed(&["systemctl", "start", "--no-block", "train.service"]);
    vm.wait_for("keyside.service", "StatusText", "waiting for db-password");
    assert_eq!(vm.property("train.service", "ActiveState"), "inactive", "not before the agent is ready");
    vm.azure_is("start");
    wait::until("the training", || (note("seen") == "one,one,").then_some(()));

    for (value, end) in [("two,", "restart"), ("three,", "kill")] {
        vm.set_secret("db-password", value);
        wait::until("the rotation", || (vm.file("db-password")? == value).then_some(()));
        let before = vm.property("train.service", "MainPID");
        vm.succeed(
            &[&["systemctl", end][..], &["--signal=KILL"][usize::from(end == "restart")..], &["keyside.service"]]
                .concat(),
        );
        wait::until("another training", || (note("seen") == value.repeat(2)).then_some(()));
        assert_ne!(vm.property("train.service", "MainPID"), before, "{end}");
    }
    vm.succeed(&["systemctl", "stop", "keyside.service"]);
    assert_eq!(vm.property("train.service", "ActiveState"), "inactive", "it ends with the agent");
    assert_eq!(note("at-the-end"), "three,", "and before it");
}

/// How the last run of the hook ended; none before the first.
fn hook(vm: &Vm) -> Option<String> {
    vm.operation()["hooks"][0]["last"]["outcome"].as_str().map(str::to_owned)
}
