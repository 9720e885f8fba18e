//! The bootstrap as a unit, by its guide.

use super::guide::{BOOTSTRAP, follow};
use super::vm::{Parts, Vm};

pub(crate) fn guide(parts: &Parts) {
    let vm = Vm::start(parts, &[]);
    follow(&vm, BOOTSTRAP);
    assert_eq!(vm.value_as("trainer", "db-password").len(), 32, "a generated value");
    let writes = vm.azure(&["requests", "--writes"]).lines().count();
    vm.succeed(&["systemctl", "restart", "keyside-bootstrap.service"]);
    assert_eq!(vm.azure(&["requests", "--writes"]).lines().count(), writes, "a second start writes nothing");
}
