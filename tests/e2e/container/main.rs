//! Keyside in containers: the images, the Kubernetes manifests in Podman, the compose file, and the commands of the guides.
//!
//! All of it takes root, Podman and packages of Debian, which `make test-tools` installs, and the images' programs, which
//! `make image-files` builds; `make test` does both.

mod alone;
mod bootstrap;
mod compose;
mod control_groups;
mod engine;
mod folder;
mod guide;
mod image;
mod images;
mod job;
mod kubelet;
mod manifests;
mod pipeline;
mod scene;
mod template;
mod translation;
mod validation;
mod webhook;
mod workloads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use keyside_tests::python::target_folder;
use keyside_tests::report::{root_or_skip, say, skipped, wish};

use crate::engine::Engine;

/// A sentence, and what plays it and answers with the figures worth telling.
type Scenario = (&'static str, fn(&Engine) -> String);

const SCENARIOS: &[Scenario] = &[
    ("each image has one program", image::each_image_has_one_program),
    ("the health check needs no shell", image::the_health_check_needs_no_shell),
    ("the image brings the builder's certificates", image::the_image_brings_the_builders_certificates),
    ("a sidecar serves a pipeline through its life", pipeline::a_sidecar_serves_a_pipeline_through_its_life),
    ("a training job ends with its main container", workloads::a_training_job_ends_with_its_main_container),
    ("an agent needs a volume and no more", alone::an_agent_needs_a_volume_and_no_more),
    ("the wrapper is the first process of a job", job::the_wrapper_is_the_first_process_of_a_job),
    ("one run makes an estate", bootstrap::one_run_makes_an_estate),
    ("the compose file needs no Azure", compose::the_compose_file_needs_no_azure),
    ("an init container leaves files and ends", workloads::an_init_container_leaves_files_and_ends),
];

/// What only Azure, or a cluster, can show.
const NOT_HERE: &[&str] = &[
    "the admission webhook of workload identity and the projected token (a cluster): their outcome is played",
    "an admission by the Pod Security profile `restricted` (a cluster): its rules are held to the manifests by a test",
    "`az aks update`, `podman push`, `kubectl apply` and what else the guides mark with (Azure) or (cluster)",
];

/// The programs that the scenarios run.
const PROGRAMS: &[&str] =
    &["podman", "runc", "netavark", "catatonit", "mmdebstrap", "unshare", "nsenter", "ip", "make"];

#[test]
fn keyside_is_at_home_in_containers_and_leaves_nothing_behind() {
    if !can_run() {
        return;
    }
    let begin = Instant::now();
    let engine = Engine::start(&target_folder().join("containers"));
    images::make(&engine);
    let mut page = vec![format!("{:>6.1} s  the images are made", begin.elapsed().as_secs_f32())];
    let mut failed = Vec::new();
    let wished = wish("KEYSIDE_CONTAINERS").unwrap_or_default();
    for (name, play) in SCENARIOS.iter().filter(|(name, _)| name.contains(&wished)) {
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| play(&engine)));
        let told = outcome.unwrap_or_else(|_| {
            failed.push(*name);
            "FAILED".to_owned()
        });
        page.push(format!("{:>6.1} s  {name}: {told}", start.elapsed().as_secs_f32()));
    }
    let start = Instant::now();
    engine.end();
    page.push(format!(
        "{:>6.1} s  no process, mount, network, volume, control group or file is left",
        start.elapsed().as_secs_f32()
    ));
    page.extend(NOT_HERE.iter().map(|what| format!("not run: {what}")));
    say(&format!("\nContainers, {:.0} s\n{}\n", begin.elapsed().as_secs_f32(), page.join("\n")));
    assert!(failed.is_empty(), "{failed:?}");
}

/// Whether this machine can run containers; if not, says loudly what is missing.
fn can_run() -> bool {
    if !root_or_skip("containers with users and limits of their own take root") {
        return false;
    }
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/podman"];
    let is_there = |program: &&&str| folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let missing: Vec<_> = PROGRAMS.iter().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        skipped(&format!("containers: {missing:?} are missing; `make test-tools` installs them on Debian"));
    }
    missing.is_empty() && may_have_namespaces()
}

/// Root of a container may lack the right to have any.
fn may_have_namespaces() -> bool {
    let attempt =
        Command::new("unshare").args(["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "true"]).output();
    let may = attempt.is_ok_and(|output| output.status.success());
    if !may {
        skipped("containers: this root may make no namespaces (CAP_SYS_ADMIN)");
    }
    may
}
