//! The units as systemd's own tools judge them.

use serde_json::json;

use super::vm::{CONFIG, Parts, Vm};

/// The exposure that must not be exceeded, times ten. Of 175 units of Debian the best has 1.1, and the best of those that
/// serve a network 1.2.
const EXPOSURE: &str = "11";

pub(crate) fn are_sound(parts: &Parts) {
    let vm = Vm::with_agent(parts, CONFIG);
    nothing_is_in_the_agents_way(&vm);
    vm.script(
        "mkdir -p /etc/systemd/system/train.service.d
         examples=/usr/share/doc/keyside/examples
         cp $examples/training.conf /etc/systemd/system/train.service.d/keyside.conf
         cp $examples/keyside-bootstrap.service /etc/systemd/system/
         printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/train.service",
    );
    let units = vm.script("ls /usr/lib/systemd/system | grep keyside");
    let paths: Vec<_> = units.lines().map(|unit| format!("/usr/lib/systemd/system/{unit}")).collect();
    assert_eq!(paths.len(), 5, "{units}");
    let own = ["/etc/systemd/system/train.service", "/etc/systemd/system/keyside-bootstrap.service"];
    let paths = paths.iter().map(String::as_str).chain(own);
    // The smallest system has no manual pages, not even its own.
    let command: Vec<_> = ["systemd-analyze", "verify", "--man=no"].into_iter().chain(paths).collect();
    let verified = vm.run(&command);
    let words = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && words.is_empty(), "{words}");

    let judged = vm.run(&["systemd-analyze", "security", "--threshold", EXPOSURE, "--no-pager", "keyside.service"]);
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    let offline = ["systemd-analyze", "security", "--offline=true", "--threshold", EXPOSURE, "--no-pager"];
    let unit = ["/usr/lib/systemd/system/keyside.service"];
    vm.succeed(&[&offline[..], &unit].concat());
    let strict = vm.run(&["systemd-analyze", "security", "--threshold", "1", "--no-pager", "keyside.service"]);
    assert!(!strict.status.success(), "the threshold is one");
}

/// What the agent does for itself, it can do inside the unit's confinement as well.
fn nothing_is_in_the_agents_way(vm: &Vm) {
    let operation = vm.operation();
    let hardening = operation["hardening"].as_object().expect("measures");
    assert!(!hardening.is_empty() && hardening.values().all(|outcome| outcome == "applied"), "{hardening:?}");
    assert_eq!((&operation["memory_protection"], &operation["warm_restart"]), (&json!("memfd_secret"), &json!("on")));
    let warnings = vm.script("journalctl --unit keyside.service --output=cat | grep -v INFO | grep '^{' || true");
    assert_eq!(warnings, "", "nothing to warn of");
}
