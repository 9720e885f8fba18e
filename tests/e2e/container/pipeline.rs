//! The example of a sidecar, through everything that happens in the life of a pod.

use std::fs;
use std::time::Instant;

use keyside_tests::emulator::Emulator;
use keyside_tests::estate::MANAGED_CLIENT;
use keyside_tests::wait;

use crate::engine::{Engine, printed};
use crate::kubelet::Pod;
use crate::manifests;
use crate::scene::{self, FIRST, SECOND, THIRD, VAULT, fingerprint};

/// What the agent may use, as the manifest says it: 64 MiB.
const MEMORY_LIMIT: u64 = 64 << 20;

/// The pod of the example and its Azure, which its node's identity reads.
struct Life<'a> {
    engine: &'a Engine,
    pod: Pod<'a>,
    azure: Emulator,
}

/// Plays the whole life.
pub(crate) fn a_sidecar_serves_a_pipeline_through_its_life(engine: &Engine) -> String {
    let mut pod = Pod::create(engine, "pipeline");
    let azure = scene::azure(&pod);
    let agent =
        scene::agent_config(&format!("[rotation]\npoll_interval = '1s'\n[identity]\nclient_id = '{MANAGED_CLIENT}'\n"));
    let workload = manifests::folder().join("examples/pipeline/deployment.yaml");
    let objects = scene::objects(&pod, &workload, &agent);
    let template = objects.template();
    let folders = pod.configuration(&template, &objects);
    azure.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
    let start = Instant::now();
    pod.start_first(&template, &folders, || drop(azure.run(&["fault", "clear"])));
    let ready = start.elapsed();
    // A fault that is still there would be in the list: no probe failed, so nothing was waited for.
    assert_eq!(azure.run(&["fault", "list"]).trim(), "", "the others wait while the vault does not answer");
    pod.start_others();
    let life = Life { engine, pod, azure };
    life.the_pipeline_reads_at_once();
    life.another_user_learns_nothing();
    let memory = life.the_agent_is_confined();
    life.a_rotation_reaches_both_ways(SECOND);
    life.a_killed_agent_comes_back_and_the_files_stay();
    life.a_rotation_reaches_both_ways(THIRD);
    life.the_end_is_in_order();
    format!("ready after {:.1} s with an outage; {memory}", ready.as_secs_f32())
}

impl Life<'_> {
    fn the_pipeline_reads_at_once(&self) {
        self.pod.wait_for_line("pipeline", &format!("socket {}", fingerprint(FIRST)));
        self.pod.wait_for_line("pipeline", &format!("file {}", fingerprint(FIRST)));
    }

    fn another_user_learns_nothing(&self) {
        self.pod.wait_for_line("metrics", "asked");
        let expected = "the secret raises SecretAbsent\n\
                        a secret that is not there raises SecretAbsent\n\
                        the list gives {}\n\
                        the file raises PermissionError\n\
                        the directory raises PermissionError\n\
                        another socket raises OSError\n\
                        its own root raises OSError\n\
                        the identity gives []\n\
                        asked\n";
        assert_eq!(self.pod.log("metrics"), expected);
        let refused = "refused_uid";
        assert!(!self.pod.log("keyside").contains(refused));
        assert!(self.pod.log("keyside").contains("10002"), "the agent's log says who was refused");
    }

    /// What the kernel says of the agent and of the pipeline's mounts.
    fn the_agent_is_confined(&self) -> String {
        let agent = self.engine.pid(&self.pod.container("keyside"));
        let of = |pid: u32, file: &str| printed(self.engine.command("cat").arg(format!("/proc/{pid}/{file}")));
        let status = of(agent, "status");
        let line = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or_else(|| panic!("{name}: {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("Uid"), "47385 47385 47385 47385");
        assert_eq!(line("Groups"), "47385");
        let none = "0000000000000000";
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(line(set), none, "{set}");
        }
        assert_eq!((line("NoNewPrivs"), line("Seccomp")), ("1".to_owned(), "2".to_owned()));
        let mount = |pid: u32, point: &str| {
            let mounts = of(pid, "mountinfo");
            let found = mounts.lines().find(|line| line.split(' ').nth(4) == Some(point));
            found.unwrap_or_else(|| panic!("{point}: {mounts}")).to_owned()
        };
        let options = |line: &str| line.split(' ').nth(5).unwrap_or_default().to_owned();
        assert!(options(&mount(agent, "/")).starts_with("ro"), "{}", mount(agent, "/"));
        let secrets = mount(agent, "/run/keyside");
        assert!(secrets.contains(" - tmpfs ") && secrets.contains("noswap"), "{secrets}");
        let pipeline = self.engine.pid(&self.pod.container("pipeline"));
        assert!(options(&mount(pipeline, "/run/keyside")).starts_with("ro"));
        self.memory_of(agent)
    }

    fn memory_of(&self, agent: u32) -> String {
        let groups = printed(self.engine.command("cat").arg(format!("/proc/{agent}/cgroup")));
        let group = groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, group)| group.to_owned()));
        let folder = format!("/sys/fs/cgroup/memory{}", group.expect("a control group"));
        let number = |file: &str| -> u64 {
            fs::read_to_string(format!("{folder}/{file}")).expect("a file").trim().parse().expect("bytes")
        };
        assert_eq!(number("memory.limit_in_bytes"), MEMORY_LIMIT);
        let peak = number("memory.max_usage_in_bytes");
        assert!(peak < MEMORY_LIMIT / 2, "the agent needs {peak} bytes");
        format!("at most {} of 64 MiB used", peak >> 20)
    }

    fn a_rotation_reaches_both_ways(&self, value: &str) {
        self.azure.set_secret(VAULT, "db-password", value);
        self.pod.wait_for_line("pipeline", &format!("socket {}", fingerprint(value)));
        self.pod.wait_for_line("pipeline", &format!("file {}", fingerprint(value)));
    }

    /// Killed while the vault is down: what there is must do until it is back.
    fn a_killed_agent_comes_back_and_the_files_stay(&self) {
        assert!(self.pod.probe("keyside", self.pod.liveness("keyside")));
        self.azure.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
        self.engine.kill(&self.pod.container("keyside"));
        self.pod.restart("keyside", 137);
        wait::until("it to live", || self.pod.probe("keyside", self.pod.liveness("keyside")).then_some(()));
        assert_eq!(self.exec("keyside", &["/keyside", "health", "--ready"]).0, Some(75), "it has nothing yet");
        let read = "import pathlib; print(end=pathlib.Path('/run/keyside/secrets/db-password').read_text())";
        assert_eq!(self.exec("pipeline", &["python3", "-c", read]), (Some(0), SECOND.to_owned()));
        self.azure.run(&["fault", "clear"]);
        wait::until("readiness", || {
            (self.exec("keyside", &["/keyside", "health", "--ready"]).0 == Some(0)).then_some(())
        });
    }

    fn exec(&self, name: &str, command: &[&str]) -> (Option<i32>, String) {
        let container = self.pod.container(name);
        let output = self.engine.try_podman(&[&["exec", container.as_str()][..], command].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn the_end_is_in_order(self) {
        let codes = self.pod.end();
        let codes: Vec<_> = codes.iter().map(|(name, code)| (name.as_str(), *code)).collect();
        assert_eq!(codes, [("pipeline", 0), ("metrics", 0), ("keyside", 0)], "{}", self.pod.log("keyside"));
        assert!(self.pod.log("pipeline").contains("ended\n"));
        assert!(self.pod.log("keyside").contains(r#""held_bytes":0"#), "every value was wiped");
        let left = self.pod.left_in_memory();
        assert!(left.lines().all(|path| path.ends_with("/agent.sock.lock")), "{left}");
        drop(self.azure);
        let mounts = || printed(self.engine.command("cat").arg("/proc/self/mountinfo"));
        self.pod.remove();
        assert!(!mounts().contains("pipeline-keyside"), "the memory is gone: {}", mounts());
        assert_eq!(self.engine.podman(&["volume", "ls", "--quiet"]), "");
    }
}
