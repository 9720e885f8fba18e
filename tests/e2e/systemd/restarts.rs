//! What a restart keeps: connections, values, and no file of a killed agent.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use keyside_tests::wait;

use super::vm::{CONFIG, Parts, Vm};

pub(crate) fn killed(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "hunter2-k9")]);
    vm.write("/etc/keyside/agent.toml", CONFIG);
    // Nothing is kept for the next agent, who cannot ask the vault either: so that what is between the two can be seen.
    vm.write(
        "/etc/systemd/system/keyside.service.d/cold.conf",
        "[Service]\nFileDescriptorStoreMax=0\nEnvironment=FDSTORE=0\n",
    );
    vm.script("systemctl daemon-reload; systemctl start keyside.service");
    assert_eq!(vm.files(), ["db-password"]);
    vm.azure_is("stop");
    vm.succeed(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", "keyside.service"]);
    vm.wait_for("keyside.service", "NRestarts", "1");
    vm.wait_for("keyside.service", "StatusText", "waiting for db-password");
    assert_eq!(vm.files(), [""; 0], "wiped after the kill");
    let left = vm.script("find /run/keyside/secrets -type f");
    assert_eq!(left, "", "also of older generations");
    vm.azure_is("start");
    vm.wait_for("keyside.service", "ActiveState", "active");
    assert_eq!(vm.file("db-password").as_deref(), Some("hunter2-k9"));
}

pub(crate) fn vault_down(parts: &Parts) {
    let vm = Vm::with_agent(parts, CONFIG);
    vm.azure_is("stop");
    for how in ["restart", "kill"] {
        let pid = vm.agent_pid();
        if how == "kill" {
            vm.succeed(&["systemctl", "kill", "--kill-who=main", "--signal=KILL", "keyside.service"]);
        } else {
            vm.succeed(&["systemctl", "restart", "keyside.service"]);
        }
        vm.wait_for_another_than(&pid);
        let answer = vm.get("/v1/secrets/db-password/value");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hunter2-k9"[..]), "{how}: {}", vm.journal());
        assert!(answer.headers.contains_key("age"), "{how}: marked with its age: {:?}", answer.headers);
        assert_eq!(vm.file("db-password").as_deref(), Some("hunter2-k9"), "{how}");
    }
    vm.succeed(&["systemctl", "stop", "keyside.service"]);
    assert_eq!(vm.property("keyside.service", "NFileDescriptorStore"), "0");
    vm.succeed(&["systemctl", "start", "--no-block", "keyside.service"]);
    vm.wait_for("keyside.service", "StatusText", "waiting for db-password");
    assert_eq!(vm.files(), [""; 0], "a stop forgets");
}

/// How many callers ask at once, and how often the agent is restarted meanwhile.
const CALLERS: usize = 8;
const RESTARTS: usize = 5;

pub(crate) fn under_load(parts: &Parts) {
    let vm = Vm::with_agent(parts, CONFIG);
    let (over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let ask = || {
            while !over.load(Ordering::Relaxed) {
                // Panics when the connection is refused or cut.
                let answer = vm.get("/v1/secrets/db-password/value");
                assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                answers.fetch_add(1, Ordering::Relaxed);
            }
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(ask)).collect();
        for _ in 0..RESTARTS {
            let before = answers.load(Ordering::Relaxed);
            vm.succeed(&["systemctl", "restart", "keyside.service"]);
            wait::until("answers of the new agent", || (answers.load(Ordering::Relaxed) > before + 100).then_some(()));
        }
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().expect("no caller was refused");
        }
    });
}
