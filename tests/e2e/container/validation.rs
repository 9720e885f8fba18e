//! The manifests held to the schemas of Kubernetes and to its restricted profile, without a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside::config::{Config, Defaults};
use keyside::principal::SystemAccounts;
use keyside_tests::report::say;
use serde_json::Value;
use tempfile::TempDir;

use crate::engine::printed;
use crate::guide;
use crate::manifests::{self, Objects, text_of, tool, tools_or_skip};

/// How many of the newest versions of Kubernetes the manifests are held to: those that get patches.
/// Source: <https://kubernetes.io/releases/version-skew-policy/>.
const VERSIONS: usize = 3;

/// The examples, with their kind of workload.
const EXAMPLES: &[&str] = &["pipeline", "training-job", "model-server"];

/// Every directory that can be applied: the examples, and those of the guide.
fn directories(guide_folder: &TempDir) -> Vec<PathBuf> {
    let examples = manifests::folder().join("examples");
    let workload = examples.join("pipeline/deployment.yaml");
    let agent = guide::file(&guide::text("kubernetes.md"), "my-pipeline/agent.toml");
    let proxied = guide::directories(guide_folder.path(), &workload, &agent, "an authority\n");
    let own = proxied.with_file_name("my-pipeline");
    EXAMPLES.iter().map(|name| examples.join(name)).chain([own, proxied]).collect()
}

fn newest_versions() -> Vec<String> {
    let code =
        "from kubernetes_validate.utils import all_versions, major_minor\nprint(*map(major_minor, all_versions()))";
    let printed = printed(Command::new(tool("python")).args(["-c", code]));
    let mut versions: Vec<String> = printed.split_whitespace().map(str::to_owned).collect();
    versions.dedup();
    versions.split_off(versions.len() - VERSIONS)
}

/// What the validator says of a file; nothing where it is right.
fn mistakes(file: &Path, version: &str) -> Option<String> {
    let output = Command::new(tool("kubernetes-validate")).args(["--strict", "-k", version]).arg(file).output();
    let output = output.expect("it starts");
    (!output.status.success()).then(|| keyside_tests::python::text(&output))
}

#[test]
fn every_manifest_is_valid_for_the_three_newest_versions() {
    if !tools_or_skip() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let versions = newest_versions();
    let file = folder.path().join("objects.yaml");
    for directory in directories(&folder) {
        fs::write(&file, text_of(&directory)).expect("own folder");
        for version in &versions {
            assert_eq!(mistakes(&file, version), None, "{} for {version}", directory.display());
        }
    }
    say(&format!("the manifests are valid for Kubernetes {}", versions.join(", ")));
    let wrong = text_of(&manifests::folder().join("examples/pipeline")).replace("failureThreshold", "failureTreshold");
    fs::write(&file, wrong).expect("own folder");
    assert!(
        mistakes(&file, &versions[0]).is_some_and(|text| text.contains("failureTreshold")),
        "a misspelt field is seen"
    );
}

#[test]
fn every_pod_fits_the_restricted_profile() {
    if !tools_or_skip() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    for directory in directories(&folder) {
        let workload = Objects::of(&directory).workload().clone();
        assert_eq!(objections(&workload["spec"]["template"]["spec"]), Vec::<String>::new(), "{}", directory.display());
    }
}

/// What the profile `restricted` has against a pod, and what goes beyond it here: a read-only root and resources for each container.
/// Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
fn objections(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut object = |holds: bool, what: String| found.extend((!holds).then_some(what));
    let pod = &spec["securityContext"];
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        object(spec[name].is_null() || spec[name] == false, name.to_owned());
    }
    object(pod["sysctls"].is_null(), "sysctls".to_owned());
    let allowed =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in list(&spec["volumes"]) {
        let kinds = volume.as_object().expect("an object").keys().filter(|key| *key != "name");
        object(kinds.clone().all(|kind| allowed.contains(&kind.as_str())), format!("volume {volume}"));
    }
    let lists = [&spec["initContainers"], &spec["containers"], &spec["ephemeralContainers"]];
    for container in lists.into_iter().flat_map(list) {
        let (name, own) = (container["name"].as_str().expect("a name"), &container["securityContext"]);
        let either = |key: &str| if own[key].is_null() { &pod[key] } else { &own[key] };
        let capabilities = &own["capabilities"];
        let rows = [
            ("privileged", own["privileged"].is_null() || own["privileged"] == false),
            ("allowPrivilegeEscalation", own["allowPrivilegeEscalation"] == false),
            ("capabilities.drop", list(&capabilities["drop"]).iter().any(|capability| capability == "ALL")),
            ("capabilities.add", list(&capabilities["add"]).is_empty()),
            ("runAsNonRoot", *either("runAsNonRoot") == true),
            ("runAsUser", either("runAsUser").as_u64().is_some_and(|uid| uid != 0)),
            ("seccompProfile", either("seccompProfile")["type"] == "RuntimeDefault"),
            ("procMount", own["procMount"].is_null() || own["procMount"] == "Default"),
            ("hostPort", list(&container["ports"]).iter().all(|port| port["hostPort"].is_null())),
            ("readOnlyRootFilesystem", own["readOnlyRootFilesystem"] == true),
            (
                "resources",
                ["requests", "limits"]
                    .iter()
                    .all(|kind| ["cpu", "memory"].iter().all(|what| container["resources"][kind][what].is_string())),
            ),
        ];
        for (what, holds) in rows {
            object(holds, format!("{name}: {what}"));
        }
    }
    found
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

#[test]
fn what_the_restricted_profile_forbids_is_seen() {
    if !tools_or_skip() {
        return;
    }
    let objects = Objects::of(&manifests::folder().join("examples/pipeline"));
    let spec = &objects.workload()["spec"]["template"]["spec"];
    let rows = [
        ("/hostNetwork", Value::Bool(true), "hostNetwork"),
        ("/securityContext/seccompProfile/type", "Unconfined".into(), "keyside: seccompProfile"),
        ("/securityContext/runAsNonRoot", Value::Bool(false), "pipeline: runAsNonRoot"),
        ("/containers/0/securityContext/runAsUser", 0.into(), "pipeline: runAsUser"),
        (
            "/containers/0/securityContext/capabilities/add",
            serde_json::json!(["IPC_LOCK"]),
            "pipeline: capabilities.add",
        ),
        (
            "/initContainers/0/securityContext/allowPrivilegeEscalation",
            Value::Bool(true),
            "keyside: allowPrivilegeEscalation",
        ),
        ("/initContainers/0/securityContext/capabilities/drop", serde_json::json!([]), "keyside: capabilities.drop"),
        ("/volumes/0/hostPath", serde_json::json!({"path": "/"}), "volume"),
    ];
    for (pointer, value, expected) in rows {
        let mut changed = spec.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        changed.pointer_mut(parent).expect("it is there")[key] = value;
        let found = objections(&changed);
        assert!(found.iter().any(|objection| objection.starts_with(expected)), "{pointer}: {found:?}");
    }
}

#[test]
fn the_volume_of_the_secrets_is_memory_and_closed_to_its_readers() {
    if !tools_or_skip() {
        return;
    }
    for name in EXAMPLES {
        let template = Objects::of(&manifests::folder().join("examples").join(name)).template();
        let volume = template.spec.volumes.iter().find(|volume| volume.name == "keyside").expect("a volume");
        let directory = volume.empty_dir.as_ref().expect("an emptyDir");
        assert_eq!(directory.medium.as_deref(), Some("Memory"), "{name}");
        assert!(directory.size_limit.is_some(), "{name}");
        let left_out = &template.metadata.annotations["azure.workload.identity/skip-containers"];
        let names: Vec<_> = template.spec.containers.iter().map(|container| container.name.clone()).collect();
        assert_eq!(left_out.split(';').collect::<Vec<_>>(), names, "{name}: no container but the agent has the token");
        for container in &template.spec.containers {
            let mount = container.volume_mounts.iter().find(|mount| mount.name == "keyside").expect("it reads");
            assert!(mount.read_only, "{name}: {}", container.name);
        }
        let [agent] = &template.spec.init_containers[..] else { panic!("{name}: one") };
        assert_eq!(agent.restart_policy.is_some(), *name != "model-server");
    }
}

#[test]
fn the_configuration_of_the_manifests_fits() {
    if !tools_or_skip() {
        return;
    }
    for name in EXAMPLES {
        let files = Objects::of(&manifests::folder().join("examples").join(name)).files("keyside");
        let defaults = Defaults::of_service(47385, Path::new("/run/keyside/agent.sock"));
        Config::parse(&files["agent.toml"], &SystemAccounts, defaults)
            .unwrap_or_else(|error| panic!("{name}: {error:#?}"));
    }
}
