//! The service's start, reload and end, and what its watchdog and its mounts are for.

use keyside_tests::wait;

use super::vm::{CONFIG, Parts, Vm};

pub(crate) fn no_configuration(parts: &Parts) {
    let vm = Vm::start(parts, &[]);
    let refused = vm.run(&["systemctl", "start", "keyside.service"]);
    assert!(!refused.status.success());
    assert_eq!(vm.property("keyside.service", "AssertResult"), "no");
    let wrong = CONFIG.replace("readers", "raeders");
    vm.write("/etc/keyside/agent.toml", &wrong);
    let refused = vm.run(&["systemctl", "start", "keyside.service"]);
    assert!(!refused.status.success());
    assert_eq!(vm.property("keyside.service", "ExecMainStatus"), "78");
    assert_eq!(vm.property("keyside.service", "NRestarts"), "0", "another start does not mend a file");
    assert!(vm.journal().contains("raeders"), "{}", vm.journal());
}

pub(crate) fn vault_down_at_the_start(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "hunter2-k9")]);
    vm.write("/etc/keyside/agent.toml", CONFIG);
    vm.azure_is("stop");
    vm.succeed(&["systemctl", "start", "--no-block", "keyside.service"]);
    vm.wait_for("keyside.service", "StatusText", "waiting for db-password");
    assert_eq!(vm.property("keyside.service", "ActiveState"), "activating");
    assert_eq!(vm.property("keyside.service", "TimeoutStartUSec"), "infinity");
    vm.succeed(&["keyside", "health"]);
    assert_eq!(vm.run(&["keyside", "health", "--ready"]).status.code(), Some(75));
    vm.azure_is("start");
    vm.wait_for("keyside.service", "ActiveState", "active");
    assert_eq!(
        (vm.value("db-password"), vm.file("db-password")),
        ("hunter2-k9".to_owned(), Some("hunter2-k9".to_owned()))
    );
    assert_eq!(vm.property("keyside.service", "NRestarts"), "0");
}

pub(crate) fn reload(parts: &Parts) {
    let vm = Vm::with_agent(parts, CONFIG);
    let pid = vm.agent_pid();
    vm.set_secret("api-token", "t0k3n");
    vm.write("/etc/keyside/agent.toml", &format!("{CONFIG}[[secret]]\nname = 'api-token'\n"));
    vm.succeed(&["systemctl", "reload", "keyside.service"]);
    wait::until("the new secret's file", || vm.file("api-token").filter(|value| value == "t0k3n"));
    vm.write("/etc/keyside/agent.toml", &format!("{CONFIG}[[secret]]\nname = 'api_token'\n"));
    assert!(!vm.run(&["systemctl", "reload", "keyside.service"]).status.success(), "a wrong file fails the reload");
    assert_eq!(vm.property("keyside.service", "ActiveState"), "active");
    assert_eq!((vm.value("api-token"), vm.agent_pid()), ("t0k3n".to_owned(), pid), "the old one goes on");
}

pub(crate) fn watchdog(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "hunter2-k9")]);
    vm.write("/etc/keyside/agent.toml", CONFIG);
    vm.write("/etc/systemd/system/keyside.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n");
    vm.script("systemctl daemon-reload; systemctl start keyside.service");
    let pid = vm.agent_pid();
    vm.succeed(&["systemctl", "kill", "--kill-who=main", "--signal=STOP", "keyside.service"]);
    vm.wait_for_another_than(&pid);
    assert_eq!(vm.property("keyside.service", "NRestarts"), "1");
    let why = vm.script("journalctl --unit keyside.service --output=cat | grep 'Failed with result'");
    assert!(why.contains("'watchdog'"), "{why}");
    assert_eq!(vm.value("db-password"), "hunter2-k9");
}

pub(crate) fn older_kernel(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "hunter2-k9")]);
    vm.write("/etc/keyside/agent.toml", CONFIG);
    let as_if = |unit: &str, kernel: &str| {
        let text = format!("[Unit]\nConditionKernelVersion=\nConditionKernelVersion={kernel}\n");
        vm.write(&format!("/etc/systemd/system/{unit}.d/kernel.conf"), &text);
    };
    as_if("run-keyside-secrets.mount", "<6.4");
    as_if("keyside-swappable.service", ">=6.4");
    vm.script("systemctl daemon-reload; systemctl start keyside.service");
    assert_eq!(vm.file("db-password").as_deref(), Some("hunter2-k9"));
    let mount = |options: &str| {
        let mount = vm.script("findmnt --noheadings --output FSTYPE,OPTIONS /run/keyside/secrets");
        assert!(mount.starts_with("tmpfs") && mount.contains(options), "{mount}");
        mount.contains("noswap")
    };
    assert!(!mount("nosuid,nodev,noexec"), "the kernel of before does not know it");
    vm.script(
        "systemctl stop keyside.socket keyside-credentials.socket keyside-swappable.service
         rm -r /etc/systemd/system/run-keyside-secrets.mount.d /etc/systemd/system/keyside-swappable.service.d
         umount /run/keyside/secrets
         systemctl daemon-reload; systemctl start keyside.service",
    );
    assert!(mount("nosuid,nodev,noexec"), "this kernel knows it");
    assert_eq!(vm.succeed(&["stat", "--format=%U %a", "/run/keyside/secrets"]).trim(), "keyside 711");
}

pub(crate) fn stop_leaves_nothing(parts: &Parts) {
    let vm = Vm::with_agent(parts, CONFIG);
    assert_eq!(vm.files(), ["db-password"]);
    vm.succeed(&["systemctl", "stop", "keyside.socket", "keyside-credentials.socket"]);
    assert_eq!(vm.property("keyside.service", "ActiveState"), "inactive", "it needs its sockets");
    assert_eq!(vm.property("keyside.service", "Result"), "success");
    assert_eq!(vm.property("keyside.service", "NFileDescriptorStore"), "0");
    let left = vm.script("find /run/keyside -mindepth 1 | sort");
    assert_eq!(left, "/run/keyside/secrets\n", "nothing but the empty mount");
}
