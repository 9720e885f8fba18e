//! A process that hardens itself, seen from inside and by the kernel's own account of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use keyside::process::{Outcome, harden};

/// Each line that the hardened process prints must be one of these, in this order.
const EXPECTED: [&str; 13] = [
    "not_dumpable: applied",
    "no_core_dumps: applied",
    "no_new_privileges: applied",
    "confined: applied",
    "dumpable: false",
    "NoNewPrivs: 1",
    "core limit: 0 0",
    "umask: 0077",
    "made, swapped and removed inside",
    "outside: PermissionDenied",
    "outside, from a child: false",
    "reading: true",
    "a child with /dev/null: true",
];

/// The hardening binds a thread and what comes after it, so the test's own harness, which starts threads, stays out of
/// the way: the parent runs this program again with a folder, and the child shows what holds in it.
fn main() {
    match std::env::args_os().skip(1).find(|argument| Path::new(argument).is_absolute()) {
        Some(folder) => hardened(Path::new(&folder)),
        None => parent(),
    }
}

fn parent() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    fs::create_dir(folder.path().join("inside")).expect("made");
    let own = std::env::current_exe().expect("this program");
    let output = Command::new(own).arg(folder.path()).stderr(Stdio::inherit()).output().expect("it starts");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> = shown.lines().collect();
    if lines.contains(&"confined: refused: this kernel has no Landlock") {
        eprintln!("SKIPPED: confinement: this kernel has no Landlock");
        assert_eq!(lines[..3], EXPECTED[..3]);
        return;
    }
    assert_eq!(lines, EXPECTED);
    assert!(output.status.success());
    eprintln!("a hardened process: {} facts hold: {}", lines.len(), lines.join("; "));
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn hardened(folder: &Path) {
    let (inside, outside) = (folder.join("inside"), folder.join("outside"));
    let report = harden(std::slice::from_ref(&inside));
    for (measure, outcome) in report.measures() {
        println!("{measure}: {outcome}");
    }
    if !matches!(report.confined, Outcome::Applied) {
        return;
    }
    println!("dumpable: {:?}", nix::sys::prctl::get_dumpable().expect("an answer"));
    println!("NoNewPrivs: {}", field("/proc/thread-self/status", "NoNewPrivs:"));
    println!("core limit: {}", core_limit());
    println!("umask: {}", field("/proc/thread-self/status", "Umask:"));
    replace(&inside);
    println!("made, swapped and removed inside");
    println!("outside: {:?}", File::create(&outside).map(drop).map_err(|error| error.kind()).expect_err("refused"));
    let touch = Command::new("touch").arg(&outside).stderr(Stdio::null()).status().expect("it starts");
    println!("outside, from a child: {}", touch.success());
    println!("reading: {}", fs::read("/etc/passwd").is_ok_and(|text| !text.is_empty()));
    let quiet = Command::new("sh").args(["-c", "echo >/dev/null"]).stdout(Stdio::null()).status().expect("it starts");
    println!("a child with /dev/null: {}", quiet.success());
    assert_eq!(File::open(&outside).map(drop).map_err(|error| error.kind()), Err(ErrorKind::NotFound));
}

/// What the files need: a directory, a file that is truncated, a link that is swapped, all of it removed.
fn replace(inside: &Path) {
    let generation = inside.join("..1");
    fs::create_dir(&generation).expect("made");
    fs::write(generation.join("db"), "one").expect("written");
    fs::write(generation.join("db"), "two").expect("truncated and written");
    for _ in 0..2 {
        std::os::unix::fs::symlink("..1", inside.join("..next")).expect("linked");
        fs::rename(inside.join("..next"), inside.join("..data")).expect("swapped");
    }
    drop(std::os::unix::net::UnixListener::bind(inside.join("socket")).expect("bound"));
    fs::remove_dir_all(generation).expect("removed");
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).expect("readable");
    let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field is there");
    value.trim().to_owned()
}

fn core_limit() -> String {
    let limits = PathBuf::from("/proc/thread-self/limits");
    let line = field(&limits.display().to_string(), "Max core file size");
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
