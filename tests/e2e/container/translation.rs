//! From the template of a pod to what Podman is to do, in the kubelet's order. A field that nothing here stands for is refused, so
//! that what is tested is the manifest and not a part of it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::template::{Container, EmptyDir, Mount, Probe, SecurityContext, Template, Volume};

/// Folders that stand for the volumes which a cluster fills: configuration maps and tokens, by the volume's name.
pub(crate) type Folders = BTreeMap<String, PathBuf>;

/// What Podman is to do for a pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Volumes in memory, with the options of their mounts.
    pub(crate) volumes: Vec<(String, String)>,
    /// Containers that are started one after the other, each once the one before has done what it is for.
    pub(crate) first: Vec<(Start, Wanted)>,
    /// Containers that are started then, together.
    pub(crate) then: Vec<Start>,
}

/// What the next container waits for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// That it ends well.
    End,
    /// That the probe succeeds in it. Until the pod ends it is started again whenever it ends.
    Startup(Probe),
}

/// A container as Podman is told of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// Its name in the pod.
    pub(crate) name: String,
    /// The arguments of `podman run`.
    pub(crate) arguments: Vec<String>,
    /// What tells that it lives.
    pub(crate) liveness: Option<Probe>,
}

/// Translates a template for the pod `pod`.
///
/// # Errors
/// When it has something that is not translated.
pub(crate) fn plan(pod: &str, template: &Template, folders: &Folders) -> Result<Plan> {
    let spec = &template.spec;
    ensure!(
        spec.security_context.seccomp_profile.kind == "RuntimeDefault",
        "only the default seccomp profile is known"
    );
    ensure!(!spec.automount_service_account_token, "there is no API server whose token could be mounted");
    let context = Pod { name: pod, template, folders };
    let memory = spec.volumes.iter().filter_map(|volume| Some((volume, volume.empty_dir.as_ref()?)));
    let volumes = memory.map(|(volume, directory)| Ok((context.volume_name(volume), context.options(directory)?)));
    Ok(Plan {
        volumes: volumes.collect::<Result<_>>()?,
        first: spec.init_containers.iter().map(|container| context.first(container)).collect::<Result<_>>()?,
        then: spec.containers.iter().map(|container| context.start(container)).collect::<Result<_>>()?,
    })
}

struct Pod<'a> {
    name: &'a str,
    template: &'a Template,
    folders: &'a Folders,
}

impl Pod<'_> {
    fn volume_name(&self, volume: &Volume) -> String {
        format!("{}-{}", self.name, volume.name)
    }

    /// As the kubelet makes it: open to all, with the pod's group, which is handed down. Podman 4.3 knows no `size` here, but the
    /// kernel's number of pages.
    fn options(&self, directory: &EmptyDir) -> Result<String> {
        ensure!(directory.medium.as_deref() == Some("Memory"), "an emptyDir on a disk is no place for secrets");
        let size = bytes(directory.size_limit.as_deref().context("an emptyDir in memory has a limit")?)?;
        let group = self.template.spec.security_context.fs_group;
        Ok(format!("nr_blocks={},mode=2777,uid=0,gid={group},noswap", size / 4096))
    }

    fn first(&self, container: &Container) -> Result<(Start, Wanted)> {
        match (container.restart_policy.as_deref(), &container.startup_probe) {
            (Some("Always"), Some(probe)) => Ok((self.start(container)?, Wanted::Startup(probe.clone()))),
            (None, None) => Ok((self.start(container)?, Wanted::End)),
            other => bail!("{}: an init container is not started so: {other:?}", container.name),
        }
    }

    fn start(&self, container: &Container) -> Result<Start> {
        let mut arguments = self.surroundings(&container.name);
        arguments.extend(self.user(container)?);
        arguments.extend(limits(container)?);
        for mount in &container.volume_mounts {
            arguments.extend(["--volume".to_owned(), self.mount(mount)?]);
        }
        for variable in &container.env {
            arguments.extend(["--env".to_owned(), format!("{}={}", variable.name, variable.value)]);
        }
        if let Some(command) = &container.command {
            arguments.extend(["--entrypoint".to_owned(), serde_json::to_string(command)?]);
        }
        arguments.push(container.image.clone());
        arguments.extend(container.args.iter().flatten().cloned());
        Ok(Start { name: container.name.clone(), arguments, liveness: container.liveness_probe.clone() })
    }

    /// Whoever plays the kubelet starts it again. Kubernetes knows no health check of an image's, fetches no image here, and puts nothing into memory that nobody mounts there.
    fn surroundings(&self, name: &str) -> Vec<String> {
        let words = ["--detach", "--pull=never", "--no-healthcheck", "--read-only-tmpfs=false"];
        let named = ["--pod", self.name, "--name"].map(str::to_owned);
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain(named).chain([format!("{}-{name}", self.name)]).collect()
    }

    fn user(&self, container: &Container) -> Result<Vec<String>> {
        let SecurityContext {
            run_as_user,
            run_as_group,
            allow_privilege_escalation,
            read_only_root_filesystem,
            capabilities,
        } = &container.security_context;
        let pod = &self.template.spec.security_context;
        ensure!(!(pod.run_as_non_root && *run_as_user == 0), "{} is root", container.name);
        let mut words = vec!["--user".to_owned(), format!("{run_as_user}:{run_as_group}")];
        words.extend(["--group-add".to_owned(), pod.fs_group.to_string()]);
        words.extend(read_only_root_filesystem.then(|| "--read-only".to_owned()));
        if !allow_privilege_escalation {
            words.extend(["--security-opt", "no-new-privileges"].map(str::to_owned));
        }
        words.extend(capabilities.drop.iter().map(|name| format!("--cap-drop={}", name.to_lowercase())));
        Ok(words)
    }

    fn mount(&self, mount: &Mount) -> Result<String> {
        let mode = if mount.read_only { "ro" } else { "rw" };
        let declared = self.template.spec.volumes.iter().find(|volume| volume.name == mount.name);
        let volume = declared.with_context(|| format!("{} is not declared", mount.name))?;
        let source = match &volume.empty_dir {
            Some(_) => self.volume_name(volume),
            None => self
                .folders
                .get(&volume.name)
                .with_context(|| format!("nothing fills {}", volume.name))?
                .display()
                .to_string(),
        };
        Ok(format!("{source}:{}:{mode}", mount.path))
    }
}

/// The kubelet gives a request's share of a processor in parts of 1024.
fn limits(container: &Container) -> Result<Vec<String>> {
    let resources = &container.resources;
    let memory = bytes(&resources.limits.memory)?.to_string();
    let shares = (millicores(&resources.requests.cpu)? * 1024 / 1000).max(2).to_string();
    let quota = (millicores(&resources.limits.cpu)? * 100).to_string();
    let words = ["--memory", &memory, "--memory-swap", &memory, "--cpu-shares", &shares, "--cpu-quota", &quota];
    Ok(words.map(str::to_owned).to_vec())
}

/// A quantity of memory.
fn bytes(quantity: &str) -> Result<u64> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let parsed = units.iter().find_map(|(unit, power)| {
        let number: u64 = quantity.strip_suffix(unit)?.parse().ok()?;
        Some(number << power)
    });
    parsed.with_context(|| format!("{quantity} is no quantity of memory"))
}

/// A quantity of processors, in thousandths.
fn millicores(quantity: &str) -> Result<u64> {
    let parsed = match quantity.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        None => quantity.parse().ok().map(|whole: u64| whole * 1000),
    };
    parsed.with_context(|| format!("{quantity} is no quantity of processors"))
}
