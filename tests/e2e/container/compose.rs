//! The compose file, by the commands of the guide.

use std::process::Output;
use std::time::Duration;

use keyside_tests::{python, wait};

use crate::engine::Engine;
use crate::guide;
use crate::manifests::{root, tool};

/// The emulator's example has this value.
const FIRST: &str = "emulated-db-password";

/// Emulator, agent and reader, each in a container of its own on a network of theirs.
pub(crate) fn the_compose_file_needs_no_azure(engine: &Engine) -> String {
    let page = guide::text("containers.md");
    let run = |part: &str| -> Output {
        let command = guide::command(&page, &format!("podman-compose --file container/compose.yaml {part}"));
        let script = format!("cd '{}' && {command}", root().display());
        let search = format!(
            "{}:{}",
            tool("podman-compose").parent().expect("a folder").display(),
            keyside_tests::binaries::SEARCH_PATH
        );
        engine.command("sh").args(["-ec", &script]).env("PATH", search).output().expect("sh starts")
    };
    let succeed = |part: &str| {
        let output = run(part);
        assert!(output.status.success(), "{part}: {}", python::text(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let (deadline, pause) = (Duration::from_mins(1), Duration::from_millis(300));
    let wait_for = |part: &str| wait::until_within(deadline, pause, part, || run(part).status.success().then_some(()));
    succeed("up --detach azure");
    wait_for("exec azure /keyside-emulator requests");
    succeed("up --detach agent");
    wait_for("exec agent");
    let read = || succeed("run").lines().last().unwrap_or_default().to_owned();
    assert_eq!(read(), FIRST);
    succeed("exec azure /keyside-emulator secret");
    wait::until_within(deadline, pause, "the new value", || (read() == "another").then_some(()));
    succeed("down");
    assert_eq!(engine.podman(&["ps", "--all", "--quiet"]), "");
    assert_eq!(engine.podman(&["volume", "ls", "--quiet"]), "");
    "fetched, rotated, and taken down with its volumes".to_owned()
}
