//! A pod in Podman, started, probed and ended in the kubelet's order.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use keyside_tests::emulator::{Emulator, Place};
use keyside_tests::wait;

use crate::engine::{Engine, printed};
use crate::manifests::Objects;
use crate::template::{Probe, Template};
use crate::translation::{Folders, Plan, Start, Wanted, plan};

/// The metadata service, and a proxy that everything else goes through, in the pod's own network.
const METADATA_SERVICE: &str = "169.254.169.254";
const PROXY: &str = "127.0.0.1:3128";

/// A pod. Its containers are removed by [`Pod::remove`], or with the engine.
pub(crate) struct Pod<'a> {
    engine: &'a Engine,
    name: &'static str,
    plan: Option<Plan>,
}

impl<'a> Pod<'a> {
    /// Makes a pod that has a network of its own, with nothing in it but its loopback.
    pub(crate) fn create(engine: &'a Engine, name: &'static str) -> Self {
        engine.podman(&["pod", "create", "--name", name, "--network", "none", "--share", "net,ipc,uts"]);
        engine.podman(&["pod", "start", name]);
        Self { engine, name, plan: None }
    }

    /// Starts Azure within the pod's network, at the address where a node has its metadata service.
    pub(crate) fn azure(&self, seed: &str) -> Emulator {
        let enter = self.engine.enter_network_of(self.name);
        let address = format!("{METADATA_SERVICE}/32");
        let mut command = std::process::Command::new(&enter[0]);
        printed(command.args(&enter[1..]).args(["ip", "address", "add", &address, "dev", "lo"]));
        let place = Place { enter, listen: format!("{METADATA_SERVICE}:80"), proxy: PROXY.to_owned() };
        Emulator::start_at(place, &self.azure_folder(), seed)
    }

    /// Where the emulator's files are.
    pub(crate) fn azure_folder(&self) -> PathBuf {
        self.engine.folder().join(self.name).join("azure")
    }

    /// A folder that stands for one of the cluster's volumes, with these files.
    pub(crate) fn folder(&self, name: &str, files: impl IntoIterator<Item = (String, String)>) -> PathBuf {
        let folder = self.engine.folder().join(self.name).join(name);
        fs::create_dir_all(&folder).expect("own folder");
        for (file, text) in files {
            fs::write(folder.join(file), text).expect("own folder");
        }
        folder
    }

    /// Fills the template's configuration maps with those of the objects.
    pub(crate) fn configuration(&self, template: &Template, objects: &Objects) -> Folders {
        let volumes = template.spec.volumes.iter();
        let maps = volumes.filter_map(|volume| Some((volume.name.clone(), volume.config_map.as_ref()?)));
        maps.map(|(volume, map)| (volume.clone(), self.folder(&volume, objects.files(&map.name)))).collect()
    }

    /// Starts everything: the volumes, the first containers one after the other, then the others.
    pub(crate) fn start(&mut self, template: &Template, folders: &Folders) {
        self.start_first(template, folders, || ());
        self.start_others();
    }

    /// Starts the volumes and the containers that come first, each when the one before has done what it is for. Does `meanwhile`
    /// once a probe has failed.
    pub(crate) fn start_first(&mut self, template: &Template, folders: &Folders, meanwhile: impl FnOnce()) {
        let mut meanwhile = Some(meanwhile);
        let plan = plan(self.name, template, folders).expect("every field is translated");
        for (name, options) in &plan.volumes {
            let options = format!("o={options}");
            let memory = ["volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs", "--opt"];
            self.engine.podman(&[&memory[..], &[&options, name]].concat());
            // It lives as long as the pod, also while no container has it.
            self.engine.podman(&["volume", "mount", name]);
        }
        for (start, wanted) in &plan.first {
            self.run(start);
            match wanted {
                Wanted::End => assert_eq!(self.wait(&start.name), 0, "{}", self.log(&start.name)),
                Wanted::Startup(probe) => self.wait_for(&start.name, probe, &mut meanwhile),
            }
        }
        self.plan = Some(plan);
    }

    /// Starts the containers that wait for the first ones.
    pub(crate) fn start_others(&mut self) {
        let plan = self.plan.take().expect("the first ones have been started");
        for start in &plan.then {
            self.run(start);
        }
        self.plan = Some(plan);
    }

    fn run(&self, start: &Start) {
        let arguments: Vec<_> = ["run"].into_iter().chain(start.arguments.iter().map(String::as_str)).collect();
        self.engine.podman(&arguments);
    }

    /// Starts a sidecar again that has ended with this code, as the kubelet does.
    pub(crate) fn restart(&self, name: &str, code: i32) {
        assert_eq!(self.wait(name), code, "{}", self.log(name));
        self.engine.podman(&["start", &self.container(name)]);
    }

    /// Podman's name of a container.
    pub(crate) fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// What a container has printed.
    pub(crate) fn log(&self, name: &str) -> String {
        self.engine.log(&self.container(name))
    }

    /// Waits until a container has printed these words.
    pub(crate) fn wait_for_line(&self, name: &str, words: &str) {
        self.engine.wait_for_line(&self.container(name), words);
    }

    /// Waits for the end of a container, and gives its exit code.
    pub(crate) fn wait(&self, name: &str) -> i32 {
        self.engine.podman(&["wait", &self.container(name)]).trim().parse().expect("a code")
    }

    /// Whether a probe succeeds within its time. It runs in the container, as the kubelet runs it.
    pub(crate) fn probe(&self, name: &str, probe: &Probe) -> bool {
        let container = self.container(name);
        let mut words = vec!["exec", container.as_str()];
        words.extend(probe.exec.command.iter().map(String::as_str));
        let (start, output) = (Instant::now(), self.engine.try_podman(&words));
        output.status.success() && start.elapsed() < Duration::from_secs(probe.timeout_seconds)
    }

    /// Asks a probe again and again, more often than the kubelet does, until it succeeds.
    fn wait_for(&self, name: &str, probe: &Probe, meanwhile: &mut Option<impl FnOnce()>) {
        let (deadline, pause) = (Duration::from_mins(1), Duration::from_millis(200));
        let what = format!("the start of {name}");
        wait::until_within(deadline, pause, &what, || {
            let succeeds = self.probe(name, probe);
            if !succeeds && let Some(meanwhile) = meanwhile.take() {
                meanwhile();
            }
            succeeds.then_some(())
        });
    }

    /// The probe that tells whether a container lives.
    pub(crate) fn liveness(&self, name: &str) -> &Probe {
        let plan = self.plan.as_ref().expect("the pod is started");
        let starts = plan.first.iter().map(|(start, _)| start).chain(&plan.then);
        let start = starts.into_iter().find(|start| start.name == name).expect("a container");
        start.liveness.as_ref().expect("a probe")
    }

    /// Ends the pod as the kubelet does: the sidecars after all others. Gives the exit codes, in that order.
    pub(crate) fn end(&self) -> Vec<(String, i32)> {
        let plan = self.plan.as_ref().expect("the pod is started");
        let sidecars = plan.first.iter().rev().filter(|(_, wanted)| matches!(wanted, Wanted::Startup(_)));
        let names = plan.then.iter().chain(sidecars.map(|(start, _)| start)).map(|start| &start.name);
        let stop = |name: &String| {
            self.engine.podman(&["stop", "--time", "30", &self.container(name)]);
            let code = self.engine.podman(&["inspect", &self.container(name), "--format", "{{.State.ExitCode}}"]);
            (name.clone(), code.trim().parse().expect("a code"))
        };
        names.map(stop).collect()
    }

    /// The regular files and sockets in the volumes of a pod that has been started.
    pub(crate) fn left_in_memory(&self) -> String {
        let plan = self.plan.as_ref().expect("the pod is started");
        let place = |(volume, _): &(String, String)| {
            self.engine.podman(&["volume", "inspect", volume, "--format", "{{.Mountpoint}}"]).trim().to_owned()
        };
        let places: Vec<_> = plan.volumes.iter().map(place).collect();
        printed(self.engine.command("find").args(&places).args(["(", "-type", "f", "-o", "-type", "s", ")"]))
    }

    /// Removes the pod and its volumes.
    pub(crate) fn remove(self) {
        self.engine.podman(&["pod", "rm", "--force", "--time", "0", self.name]);
        for (volume, _) in self.plan.iter().flat_map(|plan| &plan.volumes) {
            self.engine.podman(&["volume", "unmount", volume]);
            self.engine.podman(&["volume", "rm", volume]);
        }
    }
}
