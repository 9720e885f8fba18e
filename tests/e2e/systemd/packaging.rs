//! What the Debian package and `make install` bring, and what they leave.

use std::path::Path;
use std::process::Command;

use super::vm::{CONFIG, Parts, Vm};

/// What people expect of a package of this program.
const BROUGHT: [&str; 12] = [
    "/usr/bin/keyside",
    "/usr/bin/keyside-bootstrap",
    "/usr/lib/systemd/system/keyside.service",
    "/usr/lib/sysusers.d/keyside.conf",
    "/usr/lib/tmpfiles.d/keyside.conf",
    "/usr/share/man/man1/keyside-agent.1.gz",
    "/usr/share/man/man1/keyside-bootstrap-apply.1.gz",
    "/usr/share/bash-completion/completions/keyside",
    "/usr/share/bash-completion/completions/keyside-bootstrap",
    "/usr/share/fish/vendor_completions.d/keyside.fish",
    "/usr/share/zsh/vendor-completions/_keyside",
    "/usr/share/doc/keyside/copyright",
];

pub(crate) fn comes_and_goes(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "hunter2-k9")]);
    for path in BROUGHT {
        assert!(vm.path(path).exists(), "{path}");
    }
    let owner = vm.succeed(&["stat", "--format=%U:%G %a", "/run/keyside"]);
    assert_eq!(owner.trim(), "keyside:keyside 755");
    let asleep = vm.run(&["systemctl", "is-active", "keyside.service", "keyside.socket"]);
    assert!(!asleep.status.success(), "nothing is started before there is a configuration");

    vm.write("/etc/keyside/agent.toml", CONFIG);
    vm.succeed(&["systemctl", "enable", "--now", "keyside.service"]);
    let before = vm.agent_pid();
    vm.install(&parts.package);
    assert_ne!(vm.agent_pid(), before, "an upgrade restarts the agent");
    assert_eq!(vm.value("db-password"), "hunter2-k9");

    let environment = std::fs::read_to_string(vm.path("/etc/keyside/environment")).expect("kept by the upgrade");
    assert!(environment.contains("HTTPS_PROXY=http://127.0.0.1:3128"), "{environment}");
    vm.succeed(&["dpkg", "--remove", "keyside"]);
    assert_eq!(vm.property("keyside.service", "LoadState"), "not-found");
    assert!(!vm.path("/run/keyside/agent.sock").exists() && vm.file("db-password").is_none());
    vm.succeed(&["dpkg", "--purge", "keyside"]);
    let left = vm.script("find / -xdev -path /proc -prune -o -path '*keyside*' -print | sort");
    assert_eq!(left, "/etc/keyside\n/etc/keyside/agent.toml\n", "the administrator's own agent.toml in it");
}

pub(crate) fn another_prefix(parts: &Parts) {
    let folder = tempfile::TempDir::new_in(&parts.target).expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let make = |what: &str| {
        let mut command = Command::new("make");
        command.current_dir(source).args([what, "PREFIX=/opt/keyside"]);
        command.arg(format!("DESTDIR={}", folder.path().display()));
        command.arg(format!("STATIC={}", parts.target.join("deb/root/usr/bin").display()));
        let output = command.output().expect("make runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make("install");
    let read = |path: &str| std::fs::read_to_string(folder.path().join(path)).expect(path);
    let unit = read("opt/keyside/lib/systemd/system/keyside.service");
    assert!(
        unit.contains("ExecStart=/opt/keyside/bin/keyside agent\n") && !unit.contains("/usr/bin/keyside"),
        "{unit}"
    );
    assert!(unit.contains("RootDirectory=/opt/keyside/lib/keyside/root\n"), "{unit}");
    std::fs::write(folder.path().join("etc/keyside/environment"), "RUST_LOG=debug\n").expect("written");
    make("install");
    assert_eq!(read("etc/keyside/environment"), "RUST_LOG=debug\n", "not overwritten");
    make("uninstall");
    let left = Command::new("find").arg(folder.path()).args(["-not", "-type", "d"]).output().expect("find runs");
    let left = String::from_utf8_lossy(&left.stdout).replace(&folder.path().display().to_string(), "");
    assert_eq!(left, "/etc/keyside/environment\n");
}
