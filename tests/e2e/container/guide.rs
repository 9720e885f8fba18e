//! What the guides show, taken out of them, so that what is tested is what people copy.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use keyside_tests::estate;

use crate::manifests::root;

/// A guide of the documentation.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(root().join("docs/guides").join(name)).expect("the guide")
}

/// The blocks of a guide in a language.
pub(crate) fn blocks(guide: &str, language: &str) -> Vec<String> {
    let parts = guide.split("\n```").skip(1).step_by(2);
    parts.filter_map(|part| Some(part.strip_prefix(language)?.strip_prefix('\n')?.to_owned() + "\n")).collect()
}

/// The block whose first line is a comment that names this file.
pub(crate) fn file(guide: &str, name: &str) -> String {
    let first_line = format!("# {name}\n");
    let languages = ["yaml", "toml", "dockerfile"];
    let mut found = languages.iter().flat_map(|language| blocks(guide, language));
    found.find(|block| block.starts_with(&first_line)).unwrap_or_else(|| panic!("{name} is in the guide"))
}

/// The commands of a guide's console blocks.
pub(crate) fn commands(guide: &str) -> Vec<String> {
    let blocks = blocks(guide, "console").concat();
    blocks.replace("\\\n", " ").lines().filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect()
}

/// The one command of a guide that starts with these words.
pub(crate) fn command(guide: &str, start: &str) -> String {
    let found: Vec<_> = commands(guide).into_iter().filter(|command| command.starts_with(start)).collect();
    let [command] = &found[..] else { panic!("{start}: {found:?}") };
    command.clone()
}

/// The directories of the Kubernetes guide for one of the examples' workloads, with this configuration, as they stand in `folder`
/// beside the clone. Gives the one that goes through a proxy.
pub(crate) fn directories(folder: &Path, workload: &Path, agent: &str, authority: &str) -> PathBuf {
    let guide = text("kubernetes.md");
    let (own, behind_a_proxy) = (folder.join("my-pipeline"), folder.join("my-pipeline-behind-a-proxy"));
    symlink(root(), folder.join("keyside")).expect("own folder");
    for directory in [&own, &behind_a_proxy] {
        fs::create_dir_all(directory).expect("own folder");
    }
    let write = |path: PathBuf, text: &str| fs::write(path, text).expect("own folder");
    let component = if workload.ends_with("examples/model-server/deployment.yaml") { "init" } else { "sidecar" };
    let kustomization = file(&guide, "my-pipeline/kustomization.yaml");
    let chosen = kustomization.replace("kubernetes/sidecar", &format!("kubernetes/{component}"));
    write(own.join("kustomization.yaml"), &chosen);
    fs::copy(workload, own.join("deployment.yaml")).expect("the example's workload");
    write(own.join("agent.toml"), agent);
    let proxied = file(&guide, "my-pipeline-behind-a-proxy/kustomization.yaml");
    let proxied = proxied.replace("proxy.example.com:3128", "127.0.0.1:3128");
    write(behind_a_proxy.join("kustomization.yaml"), &proxied);
    write(behind_a_proxy.join("ca.pem"), authority);
    assert!(kustomization.contains(estate::CLIENT), "the identity that the emulator knows");
    behind_a_proxy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the commands of the guides begin that scenarios run as they stand, or on what the scenario made.
    const RUN: &[&str] = &[
        "make image",
        "kubectl kustomize",
        "podman build --tag localhost/job",
        "podman run ",
        "podman volume create ",
        "podman-compose --file container/compose.yaml ",
    ];

    /// How those begin that take Azure, a registry or a cluster.
    const MARKED: &[(&str, &str)] =
        &[("az ", "*(Azure)*"), ("podman push ", "*(Azure)*"), ("kubectl apply ", "*(cluster)*")];

    #[test]
    fn every_command_is_run_or_marked() {
        for name in ["kubernetes.md", "containers.md"] {
            let guide = text(name);
            for command in commands(&guide) {
                let mark = MARKED.iter().find(|(start, _)| command.starts_with(start)).map(|(_, mark)| *mark);
                let Some(mark) = mark else {
                    assert!(RUN.iter().any(|start| command.starts_with(start)), "{name}: {command}");
                    continue;
                };
                let before = guide.split(&command).next().expect("it is there");
                let paragraph = before.rsplit("\n\n").nth(1).expect("a sentence before it");
                assert!(paragraph.contains(mark), "{name}: {command} is not marked: {paragraph}");
            }
        }
    }
}
