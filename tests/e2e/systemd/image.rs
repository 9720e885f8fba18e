//! A Debian system with systemd in a folder of the build, made once for each definition of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyside_tests::report::say;

/// What is in it: the smallest Debian that boots, with the bus that `systemctl` needs for users who are not root.
const DEFINITION: [&str; 7] = [
    "--variant=minbase",
    "--include=systemd,systemd-sysv,dbus",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--aptopt=Acquire::Languages \"none\"",
    // A machine without a console has no use for a login there.
    "--customize-hook=chroot \"$1\" systemctl mask console-getty.service",
    "bookworm",
];

/// How long the mirror and the unpacking may take; a minute is usual.
const PATIENCE: Duration = Duration::from_mins(10);

/// The folder of the system, made now if there is none of this definition.
///
/// # Panics
/// When it cannot be made.
pub(crate) fn folder(target: &Path) -> PathBuf {
    let base = target.join("systemd");
    let (root, mark) = (base.join("rootfs"), base.join("definition"));
    let definition = DEFINITION.join("\n");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == definition) {
        return root;
    }
    let start = Instant::now();
    if base.exists() {
        std::fs::remove_dir_all(&base).expect("the image of before can be removed");
    }
    std::fs::create_dir_all(&base).expect("a folder for the image");
    make(&root);
    std::fs::write(&mark, definition).expect("a mark of what was made");
    say(&format!("made the image of a machine in {:.0} s", start.elapsed().as_secs_f64()));
    root
}

/// Unpacks in memory, where packages are installed several times faster than on a disk.
fn make(root: &Path) {
    let work = tempfile::TempDir::new_in("/dev/shm").expect("a folder in memory");
    let (definition, suite) = DEFINITION.split_at(DEFINITION.len() - 1);
    let limit = PATIENCE.as_secs().to_string();
    let mut debian = Command::new("timeout")
        .args([&limit, "mmdebstrap", "--quiet"])
        .args(definition)
        .args([suite[0], "-"])
        .env("TMPDIR", work.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mmdebstrap starts");
    std::fs::create_dir(root).expect("a folder for the image");
    let archive = debian.stdout.take().expect("a piped output");
    let unpacked = Command::new("tar").args(["-x", "-C"]).arg(root).stdin(archive).status().expect("tar runs");
    let made = debian.wait().expect("mmdebstrap ends");
    assert!(made.success() && unpacked.success(), "the image of a machine could not be made: {made}, {unpacked}");
}
