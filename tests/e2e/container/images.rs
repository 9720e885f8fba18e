//! The images that scenarios run: the project's own, made by `make image`, and those of a pipeline, made of Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_tests::python;
use keyside_tests::report::wish;

use crate::engine::{Engine, printed};
use crate::manifests::root;

/// The agent's image.
pub(crate) const AGENT: &str = concat!("localhost/keyside:", env!("CARGO_PKG_VERSION"));
/// The bootstrap's image.
pub(crate) const BOOTSTRAP: &str = concat!("localhost/keyside-bootstrap:", env!("CARGO_PKG_VERSION"));
/// The emulator's image.
pub(crate) const EMULATOR: &str = concat!("localhost/keyside-emulator:", env!("CARGO_PKG_VERSION"));
/// Python as Debian has it, without anything else.
pub(crate) const PYTHON: &str = "localhost/python:3.11";

/// Python and what it needs, unpacked; no program of a package is run for it.
const PACKAGES: &str = "base-files,ca-certificates,libbz2-1.0,libc6,libexpat1,libffi8,liblzma5,libpython3.11-minimal,\
                        libpython3.11-stdlib,libsqlite3-0,libssl3,libuuid1,media-types,python3-minimal,python3.11,\
                        python3.11-minimal,zlib1g";

/// Makes all images in an engine that has none.
pub(crate) fn make(engine: &Engine) {
    make_own(engine);
    engine.podman(&["import".as_ref(), python().as_os_str(), PYTHON.as_ref()]);
    make_pipeline(engine);
}

/// Runs `make image` as a person does, but that its programs are built already: `make test` did, before there was no network.
fn make_own(engine: &Engine) {
    let program = root().join("target/oci/keyside");
    assert!(
        program.exists(),
        "{} is not there: run `make image-files` first, or `make test`, which does",
        program.display()
    );
    let target = format!("--directory={}", root().display());
    let mut make = engine.command("make");
    // The compiler, which the Makefile asks for the machine's name, may be in the home folder.
    make.envs(wish("HOME").map(|home| ("HOME", home)));
    printed(make.args([&target, "--old-file=image-files", "image", "IMAGE_ENGINE=podman"]));
}

fn make_pipeline(engine: &Engine) {
    let folder = engine.folder().join("pipeline");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("container");
    printed(Command::new("cp").arg("--recursive").arg(&own).arg(&folder));
    printed(Command::new("cp").arg("--recursive").arg(python::package().join("keyside")).arg(&folder));
    build(engine, "localhost/pipeline:latest", &folder);
}

/// Builds an image from the Containerfile of a folder.
pub(crate) fn build(engine: &Engine, tag: &str, folder: &Path) {
    let words = ["build", "--quiet", "--pull=never", "--network=none", "--tag", tag].map(Path::new);
    engine.podman(&[&words[..], &[folder]].concat());
}

/// The files of Python's image. They stay in the target folder, since they come from Debian's mirror.
fn python() -> PathBuf {
    let folder = python::target_folder().join("containers");
    let archive = folder.join("python.tar");
    if !archive.exists() {
        let unfinished = folder.join("python.unfinished.tar");
        let include = format!("--include={PACKAGES}");
        let words = ["--quiet", "--variant=extract", &include, "bookworm"];
        printed(Command::new("mmdebstrap").args(words).arg(&unfinished));
        fs::rename(unfinished, &archive).expect("own folder");
    }
    archive
}
