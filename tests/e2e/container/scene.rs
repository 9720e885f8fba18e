//! What the pods' scenarios begin with: Azure in the pod's network, and the directories of the guide.

use std::fs;
use std::path::Path;
use std::process::Command;

use keyside_tests::binaries::feed;
use keyside_tests::emulator::Emulator;
use keyside_tests::estate;

use crate::guide;
use crate::kubelet::Pod;
use crate::manifests::Objects;

/// The vault of the guides.
pub(crate) const VAULT: &str = "my-vault";

/// The versions of the pipeline's secret.
pub(crate) const FIRST: &str = "first-7fKq2m";
/// The second one.
pub(crate) const SECOND: &str = "second-Zp04vt";
/// The third one.
pub(crate) const THIRD: &str = "third-w8Rb3x";

/// Starts Azure in the network of a pod, with the vault of the guides and what they read.
pub(crate) fn azure(pod: &Pod<'_>) -> Emulator {
    let emulator = pod.azure(&estate::seed().replace(estate::VAULT, VAULT));
    for (name, value) in [("db-password", FIRST), ("api-token", "token-x91Lw0"), ("wandb-api-key", "key-Jw77s0")] {
        emulator.set_secret(VAULT, name, value);
    }
    emulator
}

/// The agent's configuration of the guide, with `more` tables.
pub(crate) fn agent_config(more: &str) -> String {
    let text = guide::file(&guide::text("kubernetes.md"), "my-pipeline/agent.toml");
    text.replacen("[files]", &format!("{more}[files]"), 1)
}

/// What the directories of the guide describe, for this workload.
pub(crate) fn objects(pod: &Pod<'_>, workload: &Path, agent: &str) -> Objects {
    let folder = pod.folder("guide", []);
    let authority = fs::read_to_string(pod.azure_folder().join("ca.pem")).expect("the emulator's authority");
    Objects::of(&guide::directories(&folder, workload, agent, &authority))
}

/// How the containers show a value: the start of its hash.
pub(crate) fn fingerprint(value: &str) -> String {
    let hash = feed(&mut Command::new("sha256sum"), value).stdout;
    String::from_utf8_lossy(&hash[..8]).into_owned()
}
