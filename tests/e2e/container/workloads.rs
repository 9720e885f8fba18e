//! The other examples: a training job, which ends, and a server that had its secrets before it started.

use keyside_tests::estate::{CLIENT, ISSUER, MANAGED_CLIENT, SUBJECT, TENANT};

use crate::engine::Engine;
use crate::kubelet::Pod;
use crate::scene::{self, FIRST, fingerprint};
use crate::{manifests, webhook};

/// Signs in by the token of the cluster, which the trainer never gets, and is over when the trainer is.
pub(crate) fn a_training_job_ends_with_its_main_container(engine: &Engine) -> String {
    let mut pod = Pod::create(engine, "training");
    let azure = scene::azure(&pod);
    let workload = manifests::folder().join("examples/training-job/job.yaml");
    let objects = scene::objects(&pod, &workload, &scene::agent_config(""));
    let mut template = objects.template();
    let account = objects.one("ServiceAccount", Some(&template.spec.service_account_name));
    let client = account["metadata"]["annotations"]["azure.workload.identity/client-id"].as_str().expect("a client");
    assert_eq!(client, CLIENT);
    webhook::admit(&mut template, client, TENANT);
    let mut folders = pod.configuration(&template, &objects);
    let token = azure.run(&["credential", "federated-token", ISSUER, SUBJECT]);
    folders.insert(webhook::VOLUME.to_owned(), pod.folder("token", [(webhook::FILE.to_owned(), token)]));
    pod.start(&template, &folders);
    assert_eq!(pod.wait("trainer"), 0, "{}", pod.log("trainer"));
    let said = format!("trained with {}\nidentity [] False\n", fingerprint(FIRST));
    assert_eq!(pod.log("trainer"), said, "and it has neither the variables nor the token");
    let status = engine.podman(&["exec", &pod.container("keyside"), "/keyside", "status"]);
    assert!(status.contains("workload identity"), "{status}");
    let codes = pod.end();
    assert_eq!(codes.last(), Some(&("keyside".to_owned(), 0)));
    drop(azure);
    pod.remove();
    "workload identity for the agent alone; 0 from both".to_owned()
}

/// The files are there before the server, and nothing of Keyside runs beside it.
pub(crate) fn an_init_container_leaves_files_and_ends(engine: &Engine) -> String {
    let mut pod = Pod::create(engine, "server");
    let azure = scene::azure(&pod);
    let workload = manifests::folder().join("examples/model-server/deployment.yaml");
    let agent = scene::agent_config(&format!("[identity]\nclient_id = '{MANAGED_CLIENT}'\n"));
    let objects = scene::objects(&pod, &workload, &agent);
    let template = objects.template();
    pod.start(&template, &pod.configuration(&template, &objects));
    pod.wait_for_line("server", "socket");
    assert_eq!(pod.log("server"), format!("serves with {}\nsocket False\n", fingerprint(FIRST)));
    let running = engine.podman(&["ps", "--filter", "pod=server", "--format", "{{.Names}}"]);
    assert!(running.contains("server-server") && !running.contains("server-keyside"), "{running}");
    assert_eq!(pod.end(), [("server".to_owned(), 0)]);
    assert_eq!(pod.left_in_memory().lines().count(), 2, "they live as long as the pod: {}", pod.left_in_memory());
    drop(azure);
    pod.remove();
    "the agent ended before the server started".to_owned()
}
