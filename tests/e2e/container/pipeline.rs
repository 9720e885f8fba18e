//! The example of a sidecar, with everything that happens in the life of a pod.

use std::fs;
use std::path::Path;

use keyside_tests::emulator::Emulator;
use keyside_tests::estate::{self, MANAGED_CLIENT};
use keyside_tests::wait;

use crate::engine::Engine;
use crate::guide;
use crate::kubelet::Pod;
use crate::manifests::Objects;

/// The vault of the guides.
pub(crate) const VAULT: &str = "my-vault";

/// The start of the hash in which the containers show a secret.
const FIRST: &str = "a7b1e4e5";

/// What every container of the pod shows of a value.
pub(crate) fn fingerprint(value: &str) -> String {
    use keyside_tests::binaries::feed;
    let mut command = std::process::Command::new("sha256sum");
    String::from_utf8_lossy(&feed(&mut command, value).stdout)[..8].to_owned()
}

/// What Azure has: the vault of the guides with two secrets.
pub(crate) fn azure(pod: &Pod<'_>) -> Emulator {
    let emulator = pod.azure(&estate::seed().replace(estate::VAULT, VAULT));
    emulator.set_secret(VAULT, "db-password", "first-7fKq2m");
    emulator.set_secret(VAULT, "api-token", "token-x91Lw0");
    emulator
}
