//! Hooks that send a signal: to the process that was meant, or to none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use keyside_tests::agent::keyside;
use keyside_tests::estate::Estate;
use keyside_tests::report::skipped;
use keyside_tests::wait;

use crate::{CONFIG, Hooked, SECOND, SECRETS};

/// A program that notes each SIGHUP, and its pid file.
struct Program {
    process: Child,
    folder: PathBuf,
}

impl Program {
    fn start(folder: &Path) -> Self {
        let folder = folder.join("program");
        fs::create_dir(&folder).expect("a folder");
        let noted = folder.join("noted").display().to_string();
        let script = "trap 'echo x >>\"$0\"' HUP; : >\"$0\"; while :; do sleep 0.01; done";
        let process = Command::new("sh").args(["-c", script, &noted]).spawn().expect("sh runs");
        let program = Self { process, folder };
        wait::until("the program's start", || Path::new(&noted).exists().then_some(()));
        fs::write(program.pid_file(), format!("{}\n", program.process.id())).expect("a pid file");
        fs::set_permissions(program.pid_file(), Permissions::from_mode(0o644)).expect("own file");
        program
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("app.pid")
    }

    fn hook(&self) -> String {
        format!("[[on_change]]\nname = 'reload'\nsignal = 'HUP'\npid_file = '{}'\n", self.pid_file().display())
    }

    fn signals(&self) -> usize {
        fs::read_to_string(self.folder.join("noted")).expect("notes").lines().count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

#[test]
fn a_signal_goes_to_the_process_of_the_pid_file() {
    let estate = Estate::start(SECRETS);
    let program = Program::start(estate.folder());
    let hooked = Hooked::on(estate, &program.hook());
    hooked.rotate("db", SECOND);
    wait::until("the signal", || (program.signals() == 1).then_some(()));
    hooked.until_ended("succeeded");
}

#[test]
fn no_signal_goes_where_somebody_else_points_or_to_a_number_that_was_used_again() {
    let estate = Estate::start(SECRETS);
    let program = Program::start(estate.folder());
    let hooked = Hooked::on(estate, &program.hook());
    let why = |value: &str, failures: u32| {
        hooked.rotate("db", value);
        wait::until("a failure", || (hooked.counted("failed") == failures).then_some(()));
        hooked.until_ended("failed")
    };
    fs::set_permissions(program.pid_file(), Permissions::from_mode(0o666)).expect("own file");
    assert!(why("2", 1).contains("others could have written the pid file"));
    fs::set_permissions(program.pid_file(), Permissions::from_mode(0o644)).expect("own file");
    let file = fs::File::options().write(true).open(program.pid_file()).expect("own file");
    let written = file.metadata().and_then(|found| found.modified()).expect("known");
    file.set_modified(written - Duration::from_mins(1)).expect("own file");
    assert!(why("3", 2).contains("is not the one that was meant"));
    fs::write(program.pid_file(), "1\n").expect("written");
    assert!(why("4", 3).contains("does not begin with a process id above 1"));
    fs::remove_file(program.pid_file()).expect("removed");
    assert!(why("5", 4).starts_with("could not open the pid file"));
    assert_eq!(program.signals(), 0);
}

#[test]
fn a_hook_that_others_could_use_is_refused_before_anything_starts() {
    let estate = Estate::start(SECRETS);
    let program = Program::start(estate.folder());
    fs::set_permissions(&program.folder, Permissions::from_mode(0o777)).expect("own folder");
    let check = || {
        let config = estate.config(&format!("{CONFIG}{}", program.hook())).display().to_string();
        let output = keyside(&["check", "--config", &config], &estate.variables());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = check();
    assert_eq!(code, Some(78), "{told}");
    assert!(
        told.contains("others could decide what the hook 'reload' does: others than its owner may write"),
        "{told}"
    );
    fs::set_permissions(&program.folder, Permissions::from_mode(0o755)).expect("own folder");
    assert_eq!(check().0, Some(0));
}

#[test]
fn a_unit_without_a_main_process_gets_no_signal() {
    if !Path::new("/usr/bin/systemctl").exists() {
        skipped("there is no systemctl");
        return;
    }
    let unit = "keyside-scenario-that-is-absent.service";
    let hooked = Hooked::on(
        Estate::start(SECRETS),
        &format!("[[on_change]]\nname = 'reload'\nsignal = 'HUP'\nunit = '{unit}'\n"),
    );
    hooked.rotate("db", SECOND);
    let why = hooked.until_ended("failed");
    assert!(why.contains(unit), "{why}");
}
