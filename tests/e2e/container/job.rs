//! The image of a job as the guide makes it, with `keyside run` as its first process.

use std::fs;
use std::path::Path;

use keyside_tests::estate::MANAGED_CLIENT;

use crate::engine::{Engine, printed};
use crate::guide;
use crate::images::{self, AGENT, PYTHON};
use crate::kubelet::Pod;
use crate::scene::{self, fingerprint};

/// What Debian's Python stands for here.
const BASE: &str = "docker.io/library/python:3.12-slim";

/// Builds the guide's image, and runs it as the guide does, within a network that has Azure.
pub(crate) fn the_wrapper_is_the_first_process_of_a_job(engine: &Engine) -> String {
    let guide = guide::text("containers.md");
    let folder = engine.folder().join("job-image");
    fs::create_dir_all(&folder).expect("own folder");
    fs::write(folder.join("Dockerfile"), guide::file(&guide, "Dockerfile")).expect("own folder");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("container/job.py");
    fs::copy(program, folder.join("train.py")).expect("own folder");
    engine.podman(&["tag", PYTHON, BASE]);
    images::build(engine, "localhost/job:latest", &folder);
    let pod = Pod::create(engine, "job");
    let azure = scene::azure(&pod);
    let authority = pod.azure_folder().join("ca.pem");
    let volume = format!("{}:/etc/ca.pem:ro", authority.display());
    let client = format!("AZURE_CLIENT_ID={MANAGED_CLIENT}");
    let to_azure =
        ["--volume", &volume, "--env", "SSL_CERT_FILE=/etc/ca.pem", "--env", "HTTPS_PROXY=http://127.0.0.1:3128"];
    let within = ["--pod", "job", "--env", &client, "--detach", "--name", "job-wrapped"];
    let command = guide::command(&guide, "podman run --rm --read-only --cap-drop all --env KEY_VAULT_URL");
    let words = command.replace(
        "podman run --rm",
        &["podman", "run"].iter().chain(&to_azure).chain(&within).copied().collect::<Vec<_>>().join(" "),
    );
    printed(engine.command("sh").args(["-ec", &words]));
    engine.wait_for_line("job-wrapped", "waits");
    let expected = format!(
        "variable {}\nfirst process keyside and parent 1\norphan reaped True\nwaits\n",
        fingerprint("key-Jw77s0")
    );
    assert_eq!(engine.log("job-wrapped"), expected);
    engine.podman(&["stop", "--time", "30", "job-wrapped"]);
    let code = engine.podman(&["inspect", "job-wrapped", "--format", "{{.State.ExitCode}}"]);
    assert_eq!(code.trim(), "7", "the signal reaches the command, and its code comes back");
    drop(azure);
    pod.remove();
    format!("copied from {AGENT}; orphan reaped, SIGTERM handed on, code 7 handed back")
}
