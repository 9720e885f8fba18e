//! Secrets as credentials of units.

use super::vm::{CONFIG, Parts, Vm};

/// A unit that copies its credential to where the scenario sees it.
fn unit(secret: &str) -> String {
    format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nUser=trainer\nRuntimeDirectory=train other\n\
         LoadCredential={secret}:/run/keyside/credentials.sock\n\
         ExecStart=/bin/sh -c 'cp $CREDENTIALS_DIRECTORY/{secret} /run/train/seen'\n"
    )
}

/// Claims to be the manager on behalf of a unit, by the address that it would have.
/// Source: `systemd.exec(5)`, `LoadCredential=`.
const CLAIM: &str = r#"
import socket, sys
caller = socket.socket(socket.AF_UNIX)
caller.bind("\0" + "0123456789abcdef/unit/train.service/db-password")
caller.connect(sys.argv[1])
answer = b"".join(iter(lambda: caller.recv(65536), b""))
print(len(answer), "bytes", "with a value" if answer.strip(b"\0") else "without a value")
"#;

/// What a process of root's gets that is in no unit, with Python of the host.
fn claimed(vm: &Vm) -> String {
    let socket = vm.path("/run/keyside/credentials.sock");
    let mut claim = vm.outsider(&["python3", "-c", CLAIM]);
    let output = claim.arg(socket).output().expect("nsenter runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(crate) fn given_and_denied(parts: &Parts) {
    let vm = Vm::with_agent(parts, CONFIG);
    vm.write("/etc/systemd/system/train.service", &unit("db-password"));
    vm.write("/etc/systemd/system/other.service", &unit("db-password").replace("/train/", "/other/"));
    vm.write("/etc/systemd/system/unknown.service", &unit("no-such-secret"));
    vm.succeed(&["systemctl", "daemon-reload"]);
    vm.succeed(&["systemctl", "start", "train.service"]);
    assert_eq!(std::fs::read_to_string(vm.path("/run/train/seen")).expect("seen"), "hunter2-k9");
    for denied in ["other.service", "unknown.service"] {
        assert!(!vm.run(&["systemctl", "start", denied]).status.success(), "{denied}");
        assert_eq!(vm.property(denied, "ExecMainStatus"), "243", "{denied}: CREDENTIALS");
    }
    assert!(!vm.path("/run/other/seen").exists(), "not started with an empty credential");
    assert_eq!(claimed(&vm), "1048577 bytes without a value", "root, and the unit's name, are not enough");
    vm.succeed(&["systemctl", "stop", "train.service"]);

    // A start waits for a secret that the vault does not have yet.
    let config = CONFIG.replace("\"db-password\"", "\"later\"");
    vm.write("/etc/keyside/agent.toml", &config);
    vm.write("/etc/systemd/system/train.service", &unit("later"));
    vm.succeed(&["systemctl", "daemon-reload"]);
    vm.succeed(&["systemctl", "restart", "--no-block", "keyside.service"]);
    vm.wait_for("keyside.service", "StatusText", "waiting for later");
    vm.succeed(&["systemctl", "start", "--no-block", "train.service"]);
    vm.wait_for("train.service", "ActiveState", "activating");
    vm.set_secret("later", "worth-waiting");
    vm.wait_for("train.service", "ActiveState", "active");
    assert_eq!(std::fs::read_to_string(vm.path("/run/train/seen")).expect("seen"), "worth-waiting");
}
