//! What is in the images, and what is not.

use std::fs;

use serde_json::Value;

use crate::engine::{Engine, printed};
use crate::images::{AGENT, BOOTSTRAP, EMULATOR};
use crate::manifests::root;

/// The most that the agent's image may have, in bytes, as a registry keeps it and as it lies on a node.
const PULLED_LIMIT: u64 = 5_000_000;
const UNPACKED_LIMIT: u64 = 8_500_000;

/// The user of every image.
const USER: &str = "47385:47385";

/// Each has one program and the certificates, is not root, and says what it is.
pub(crate) fn each_image_has_one_program(engine: &Engine) -> String {
    let mut sizes = Vec::new();
    for (image, program) in [(AGENT, "keyside"), (BOOTSTRAP, "keyside-bootstrap"), (EMULATOR, "keyside-emulator")] {
        let text = engine.podman(&["image", "inspect", image]);
        let inspected: Value = serde_json::from_str(&text).expect("JSON");
        let config = &inspected[0]["Config"];
        assert_eq!(config["User"], USER);
        assert_eq!(config["Entrypoint"], serde_json::json!([format!("/{program}")]));
        labels(&config["Labels"], program);
        assert_eq!(files_of(engine, image), ["etc/ssl/certs/ca-certificates.crt".to_owned(), program.to_owned()]);
        let size = inspected[0]["Size"].as_u64().expect("a size");
        let pulled = pulled_size(engine, image);
        let fits = size <= UNPACKED_LIMIT && pulled <= PULLED_LIMIT;
        assert!(program != "keyside" || fits, "the agent's image has {size} bytes, {pulled} compressed");
        sizes.push(format!("{program} {} kB ({} kB to pull)", size / 1000, pulled / 1000));
    }
    sizes.join(", ")
}

/// How much a registry keeps of an image: its layers, compressed as podman does it when it pushes.
fn pulled_size(engine: &Engine, image: &str) -> u64 {
    let script = "podman save --quiet --format oci-archive \"$0\" | wc --bytes";
    printed(engine.command("sh").args(["-ec", script, image])).trim().parse().expect("bytes")
}

fn labels(labels: &Value, program: &str) {
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default().to_owned();
    assert_eq!(label("title"), program);
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), "MIT OR Apache-2.0");
    let revision = label("revision");
    assert!(revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit()), "{revision}");
    assert!(labels.get("org.opencontainers.image.source").is_some());
    assert!(!label("description").is_empty());
}

/// The regular files of an image.
fn files_of(engine: &Engine, image: &str) -> Vec<String> {
    let archive = engine.folder().join("image.tar");
    let container = engine.podman(&["create", "--pull=never", image]);
    engine.podman(&["export", "--output", &archive.display().to_string(), container.trim()]);
    engine.podman(&["rm", container.trim()]);
    let list = printed(std::process::Command::new("tar").arg("--list").arg("--file").arg(&archive));
    fs::remove_file(&archive).expect("own folder");
    // Podman itself makes the directories and empty files that it mounts something on.
    let mounted = ["dev/", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "proc/", "run/", "sys/"];
    let is_own = |file: &&str| !file.ends_with('/') && !mounted.iter().any(|start| file.starts_with(start));
    let mut files: Vec<_> = list.lines().filter(is_own).map(str::to_owned).collect();
    files.sort();
    files
}

/// The check is in exec form, since there is no shell, and fails where there is no agent.
pub(crate) fn the_health_check_needs_no_shell(engine: &Engine) -> String {
    let check = engine.podman(&["image", "inspect", AGENT, "--format", "{{json .HealthCheck}}"]);
    let check: Value = serde_json::from_str(&check).expect("JSON");
    let [kind, command @ ..] = &check["Test"].as_array().expect("a command")[..] else { panic!("{check}") };
    assert_eq!(kind, "CMD");
    let words: Vec<_> = command.iter().map(|word| word.as_str().expect("a word")).collect();
    assert_eq!(words, ["/keyside", "health"]);
    let output = engine.try_podman(&[&["run", "--rm", "--network=none", AGENT][..], &words[1..]].concat());
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
    let shell = engine.try_podman(&["run", "--rm", "--network=none", "--entrypoint", "/bin/sh", AGENT]);
    assert_eq!(shell.status.code(), Some(127));
    "exec form; 69 without an agent; no /bin/sh".to_owned()
}

/// The image trusts what the machine trusts that it was built on, and nothing else once a variable names other roots.
pub(crate) fn the_image_brings_the_builders_certificates(engine: &Engine) -> String {
    let bundle = fs::read_to_string(root().join("target/oci/ca-certificates.crt")).expect("make image-files ran");
    let within = bundle.matches("BEGIN CERTIFICATE").count();
    let trusted = |options: &[&str]| {
        let check = [
            "check",
            "--online",
            "--vault-url",
            "https://my-vault.vault.azure.net",
            "--secret",
            "db-password",
            "--identity",
            "workload-identity",
        ];
        // Nobody answers there, which is known at once.
        let nowhere = "--add-host=my-vault.vault.azure.net:127.0.0.1";
        let mut words = vec!["run", "--rm", "--network=none", nowhere];
        words.extend(options);
        words.push(AGENT);
        let output = engine.try_podman(&[&words[..], &check].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line =
            text.lines().find(|line| line.trim_start().starts_with("trusted")).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().nth(1).and_then(|count| count.parse::<usize>().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    let found = trusted(&[]);
    assert!(found > 50 && found <= within, "{found} of {within}");
    let one = bundle.split_inclusive("-----END CERTIFICATE-----\n").next().expect("a certificate");
    let file = engine.folder().join("one.pem");
    fs::write(&file, one).expect("own folder");
    let volume = format!("{}:/etc/own.pem:ro", file.display());
    assert_eq!(trusted(&["--volume", &volume, "--env", "SSL_CERT_FILE=/etc/own.pem"]), 1);
    format!("{found} authorities; 1 with SSL_CERT_FILE")
}
