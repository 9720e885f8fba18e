//! The package on a virtual machine with a booted systemd: what the units promise, and what the guides tell people to type.

mod bootstrap;
mod credentials;
mod guide;
mod image;
mod life;
mod machine;
mod packaging;
mod restarts;
mod training;
mod units;
mod vm;

use std::collections::VecDeque;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyside_tests::report::{root_or_skip, say, skipped, wish};

use self::vm::Parts;

/// How many machines run at once. Each waits more than it works.
const AT_ONCE: usize = 3;

/// A scenario: a sentence, and what shows it.
type Scenario = (&'static str, fn(&Parts));

/// How a scenario ended, and how long it took.
struct Ended {
    name: &'static str,
    took: Duration,
    broken: Option<String>,
}

const SCENARIOS: [Scenario; 17] = [
    ("the package brings everything and takes it away again", packaging::comes_and_goes),
    ("make install puts the same below another prefix, and make uninstall removes it", packaging::another_prefix),
    ("the units have no fault that systemd knows, and little exposure", units::are_sound),
    ("without a configuration the agent says so and does not start", life::no_configuration),
    ("with the vault down the service starts, waits and becomes ready", life::vault_down_at_the_start),
    ("a reload applies a good file and refuses a wrong one", life::reload),
    ("a stopped process is found by the watchdog and replaced", life::watchdog),
    ("on an older kernel the files are in memory without noswap", life::older_kernel),
    ("stopping leaves no file, no socket and no stored memory", life::stop_leaves_nothing),
    ("a killed agent's files are gone until the next one has written them", restarts::killed),
    ("a restart with the vault down serves the same at once", restarts::vault_down),
    ("restarts refuse no connection and lose no request", restarts::under_load),
    ("a unit gets its credential, waits for it, and fails without the right", credentials::given_and_denied),
    ("a unit that trains starts after the secrets, without the identity, and hears of changes", training::trains),
    ("a unit that requires the agent starts after it, never without it, and ends before it", training::requires),
    ("the guide for a virtual machine does what it says", guide::virtual_machine),
    ("the guide for the bootstrap does what it says", bootstrap::guide),
];

#[test]
fn a_virtual_machine_keeps_the_promises() {
    let Some(target) = possible() else { return };
    let start = Instant::now();
    let mounts = mounts();
    let parts = Parts { image: image::folder(&target), package: package(&target), profile: profile(), target };
    let only = wish("KEYSIDE_SCENARIO").unwrap_or_default();
    let wanted: VecDeque<_> = SCENARIOS.into_iter().filter(|(name, _)| name.contains(&only)).collect();
    let ended = play(wanted, &parts);
    assert_eq!(self::mounts(), mounts, "no mount is left on the host");
    let groups = control_groups();
    assert!(groups.is_empty(), "control groups are left: {groups:?}");
    say(&summary(&ended, start.elapsed()));
    skipped(&guide::only_in_azure());
    skipped("MemorySwapMax= of the agent's unit: machines within others here have no memory controller");
    let broken = ended.iter().filter_map(|one| Some(format!("{}: {}", one.name, one.broken.as_ref()?)));
    let broken: Vec<_> = broken.collect();
    assert!(broken.is_empty(), "{} broken promises:\n{}", broken.len(), broken.join("\n"));
}

/// The build's folder, on a machine that can boot others; elsewhere says loudly what is missing.
fn possible() -> Option<PathBuf> {
    if !root_or_skip("a machine with a booted systemd: only root can make namespaces and mounts") {
        return None;
    }
    for (program, package) in [
        ("systemd-nspawn", "systemd-container"),
        ("mmdebstrap", "mmdebstrap"),
        ("ip", "iproute2"),
        ("dpkg-deb", "dpkg"),
    ] {
        if Command::new(program).arg("--version").output().is_err() {
            skipped(&format!("a machine with a booted systemd: there is no {program}: apt-get install {package}"));
            return None;
        }
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    Some(test.ancestors().nth(3).expect("tests lie in target/PROFILE/deps").to_owned())
}

fn profile() -> String {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).and_then(Path::file_name).expect("a profile").to_string_lossy().into_owned()
}

/// The package's path within the build's folder.
fn package(target: &Path) -> PathBuf {
    let found = fs::read_dir(target.join("deb")).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = found.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).max();
    let found = found.expect("the package is not made: run `make deb` first, or `make test`, which does");
    found.strip_prefix(target).expect("it lies there").to_owned()
}

/// Plays the scenarios, several at once, and gives how they ended.
fn play(scenarios: VecDeque<Scenario>, parts: &Parts) -> Vec<Ended> {
    let (waiting, ended) = (Mutex::new(scenarios), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, scenario)) = next() {
                    let start = Instant::now();
                    let outcome = catch_unwind(AssertUnwindSafe(|| scenario(parts)));
                    let broken = outcome.err().map(|panic| words_of(&*panic));
                    let one = Ended { name, took: start.elapsed(), broken };
                    ended.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            });
        }
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

/// One page: what ran, and for how long.
fn summary(ended: &[Ended], took: Duration) -> String {
    let line = |one: &Ended| {
        let word = if one.broken.is_none() { "held" } else { "BROKEN" };
        format!("  {word:<6} {:>5.1} s  {}", one.took.as_secs_f64(), one.name)
    };
    let mut lines =
        vec![format!("systemd on a virtual machine: {} scenarios in {:.0} s", ended.len(), took.as_secs_f64())];
    lines.extend(ended.iter().map(line));
    lines.join("\n")
}

/// Where something is mounted on the host.
fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    table.lines().filter_map(|line| Some(line.split(' ').nth(4)?.to_owned())).collect()
}

/// The control groups of machines of this process that are left, wherever version 2 is mounted.
fn control_groups() -> Vec<PathBuf> {
    let mine = format!("keyside-{}-", std::process::id());
    let entries = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().filter_map(|place| fs::read_dir(place).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&mine))).collect()
}
