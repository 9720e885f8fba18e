//! An agent and its readers as containers without a pod, by the commands of the guide.

use std::fs;

use keyside_tests::estate::MANAGED_CLIENT;
use keyside_tests::wait;

use crate::engine::{Engine, printed};
use crate::guide;
use crate::kubelet::Pod;
use crate::scene::{self, FIRST};

/// Makes the volume, starts the agent, and reads as the guide does, in a network that has Azure.
pub(crate) fn an_agent_needs_a_volume_and_no_more(engine: &Engine) -> String {
    let page = guide::text("containers.md");
    let pod = Pod::create(engine, "alone");
    let azure = scene::azure(&pod);
    let identity = format!("[identity]\nclient_id = '{MANAGED_CLIENT}'\n");
    let folder = pod.folder("agent", [("agent.toml".to_owned(), scene::agent_config(&identity))]);
    let authority = folder.join("ca.pem");
    fs::copy(pod.azure_folder().join("ca.pem"), &authority).expect("own folder");
    let to_azure = format!(
        "podman run --pod alone --env HTTPS_PROXY=http://127.0.0.1:3128 --env SSL_CERT_FILE=/ca.pem --volume {}:/ca.pem:ro",
        authority.display()
    );
    let run = |start: &str| {
        let command = guide::command(&page, start).replace("podman run", &to_azure);
        engine
            .command("sh")
            .args(["-ec", &format!("cd '{}' && {command}", folder.display())])
            .output()
            .expect("sh starts")
    };
    assert!(run("podman volume create").status.success());
    assert!(run("podman run --detach --name agent").status.success());
    let health = |flags: &[&str]| engine.try_podman(&[&["exec", "agent", "/keyside", "health"], flags].concat());
    wait::until("readiness", || health(&["--ready"]).status.success().then_some(()));
    let read = || String::from_utf8_lossy(&run("podman run --rm --user 10001").stdout).into_owned();
    assert_eq!(read(), FIRST);
    engine.podman(&["stop", "--time", "30", "agent"]);
    let code = engine.podman(&["inspect", "agent", "--format", "{{.State.ExitCode}}"]);
    assert_eq!(code.trim(), "0");
    drop(azure);
    pod.remove();
    printed(engine.command("podman").args(["volume", "rm", "secrets"]));
    "read by another user; 0 at the end".to_owned()
}
