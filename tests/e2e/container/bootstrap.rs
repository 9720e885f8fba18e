//! The bootstrap's image, by the commands of the guide.

use std::fs;

use crate::engine::{Engine, printed};
use crate::guide;
use crate::kubelet::Pod;
use crate::manifests::root;

/// The emulator's example: an application that owns the subscription.
const SEED: &str = include_str!("../../emulator/seed.example.toml");
const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const CLIENT: &str = "0a7bdc5c-7b57-40be-9939-d4c5fc7cd417";
const CLIENT_SECRET: &str = "emulated-client-secret";

/// Plans and applies the bootstrap guide's estate.
pub(crate) fn one_run_makes_an_estate(engine: &Engine) -> String {
    let pod = Pod::create(engine, "bootstrap");
    let azure = pod.azure(SEED);
    let page = fs::read_to_string(root().join("docs/bootstrap.md")).expect("the page");
    let estate = guide::blocks(&page, "toml").swap_remove(0).replace("11111111-1111-4111-8111-111111111111", TENANT);
    let folder = pod.folder("estate", [("estate.toml".to_owned(), estate)]);
    let guide = guide::text("containers.md");
    let run = |what: &str| {
        let command = guide::commands(&guide)
            .into_iter()
            .find(|command| command.contains("keyside-bootstrap:") && command.contains(&format!(" {what} ")));
        let authority = pod.azure_folder().join("ca.pem");
        let to_azure = format!(
            "podman run --pod bootstrap --env HTTPS_PROXY=http://127.0.0.1:3128 --env SSL_CERT_FILE=/ca.pem --volume {}:/ca.pem:ro",
            authority.display()
        );
        let command = command.expect("it is in the guide").replace("podman run", &to_azure);
        let script = format!("cd '{}' && {command}", folder.display());
        let variables =
            [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];
        printed(engine.command("sh").args(["-ec", &script]).envs(variables).env("API_TOKEN", "token-x91Lw0"))
    };
    let planned = run("plan");
    assert!(planned.contains("+ create  key vault"), "{planned}");
    assert!(!folder.join("agent.toml").exists(), "a plan writes nothing");
    let applied = run("apply");
    assert!(applied.contains("Wrote agent.toml."), "{applied}");
    let config = fs::read_to_string(folder.join("agent.toml")).expect("the agent's configuration");
    assert!(config.contains("https://vision-kv-"), "{config}");
    drop(azure);
    pod.remove();
    planned.lines().last().unwrap_or_default().to_owned()
}
