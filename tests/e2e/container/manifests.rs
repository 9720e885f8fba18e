//! The objects that a directory of manifests describes, as `kubectl` prints them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_tests::python;
use keyside_tests::report::skipped;
use serde_json::Value;

use crate::engine::printed;
use crate::template::Template;

/// Where the project's manifests are.
pub(crate) fn folder() -> PathBuf {
    root().join("container/kubernetes")
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests are below it").to_owned()
}

/// Whether the tools of manifests can be had; if not, says loudly that a test is skipped: the build's folder may be another user's.
pub(crate) fn tools_or_skip() -> bool {
    let folder = python::target_folder().join("manifests");
    let attempt = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join("lock")));
    if let Err(error) = &attempt {
        skipped(&format!("manifests: no tools can be put into {}: {error}", folder.display()));
    }
    attempt.is_ok()
}

/// A program of the Python environment that has `kubectl` and what validates manifests.
pub(crate) fn tool(name: &str) -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("container/requirements.txt");
    python::environment("manifests", &requirements).with_file_name(name)
}

/// The text of all objects of a directory.
pub(crate) fn text_of(directory: &Path) -> String {
    printed(Command::new(tool("kubectl")).arg("kustomize").arg(directory))
}

/// The objects of a directory.
pub(crate) struct Objects(Vec<Value>);

impl Objects {
    pub(crate) fn of(directory: &Path) -> Self {
        let text = text_of(directory);
        let objects = text.split("\n---\n").map(|object| serde_saphyr::from_str(object).expect("YAML"));
        Self(objects.collect())
    }

    /// The one object of this kind and, where one is given, of this name.
    pub(crate) fn one(&self, kind: &str, name: Option<&str>) -> &Value {
        let fits =
            |object: &&Value| object["kind"] == kind && name.is_none_or(|name| object["metadata"]["name"] == name);
        let found: Vec<_> = self.0.iter().filter(fits).collect();
        let [object] = found[..] else { panic!("{kind} {name:?}: {found:?}") };
        object
    }

    /// The workload.
    pub(crate) fn workload(&self) -> &Value {
        let kinds = ["Deployment", "StatefulSet", "Job"];
        let mut found = self.0.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind));
        found.next().expect("a workload")
    }

    /// The template of its pods.
    pub(crate) fn template(&self) -> Template {
        let template = self.workload()["spec"]["template"].clone();
        serde_json::from_value(template).expect("only fields that are translated")
    }

    /// The files of a configuration map.
    pub(crate) fn files(&self, name: &str) -> BTreeMap<String, String> {
        let data = self.one("ConfigMap", Some(name))["data"].clone();
        serde_json::from_value(data).expect("files of text")
    }
}
