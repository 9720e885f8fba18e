//! The audit of a running agent: on a full disk, into a pipe, rotated and removed, and refused where it should not lie.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyside_tests::agent::{Agent, keyside};
use keyside_tests::estate::Estate;
use keyside_tests::http::Connection;
use keyside_tests::report::root_or_skip;
use keyside_tests::wait;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use serde_json::Value;

const VALUE: &str = "audited-value-6rT9wQz2";

fn estate() -> Estate {
    Estate::start(&[("db", VALUE)])
}

fn config(audit: &Path) -> String {
    format!("[audit]\nfile = '{}'\n[[secret]]\nname = 'db'\nfile = false\n", audit.display())
}

fn read(agent: &Agent, reads: usize) {
    let mut connection = Connection::open(agent.socket());
    for _ in 0..reads {
        assert_eq!(connection.get("/v1/secrets/db/value").body, VALUE.as_bytes());
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What the status says of the audit.
fn standing(agent: &Agent) -> Value {
    agent.get("/v1/status").json()["operation"]["audit"].clone()
}

fn until_written(agent: &Agent, written: u64) {
    wait::until("the lines are written", || (standing(agent)["written"] == written).then_some(()));
}

/// A small disk; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Self {
        let place = folder.join("disk");
        fs::create_dir(&place).expect("made");
        mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=0700"))
            .expect("root may mount");
        Self(place)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("mounted above");
    }
}

#[test]
fn a_full_disk_holds_up_no_reader_and_what_is_lost_is_told() {
    if !root_or_skip("only root can mount a small disk") {
        return;
    }
    let estate = estate();
    let disk = SmallDisk::mount(estate.folder());
    let audit = disk.0.join("audit");
    let mut agent = estate.agent(&config(&audit));
    // More than a disk of 64 KiB and a queue of 4,096 lines hold.
    read(&agent, 6_000);
    let trouble = standing(&agent);
    assert!(
        trouble["trouble"].as_str().is_some_and(|why| why.contains("storage") || why.contains("space")),
        "{trouble}"
    );
    let lost = trouble["lost"].as_u64().expect("a number");
    assert!(lost > 0 && trouble["written"].as_u64().is_some_and(|written| written > 200), "{trouble}");
    let metrics = String::from_utf8(agent.get("/metrics").body).expect("text");
    assert!(metrics.contains(&format!("keyside_audit_lines_total{{outcome=\"lost\"}} {lost}\n")), "{metrics}");
    let full = fs::read_to_string(&audit).expect("the audit");
    assert!(full.ends_with('\n') && lines(&full).len() > 200, "no line is cut: {:?}", full.lines().last());

    // Room for all that waits, which is more than the disk: whoever rotates it makes the disk larger first.
    mount(None::<&str>, &disk.0, None::<&str>, MsFlags::MS_REMOUNT, Some("size=8m")).expect("root may");
    let waiting = 6_000 - lost;
    until_written(&agent, waiting);
    read(&agent, 1);
    until_written(&agent, waiting + 2);
    assert!(agent.stop().success());
    let all = lines(&fs::read_to_string(&audit).expect("the audit"));
    let told: Vec<_> = all.iter().filter(|line| !line["lost"].is_null()).collect();
    assert_eq!((told.len(), &told[0]["lost"]), (1, &lost.into()));
    assert!(told[0]["since"].is_string(), "{}", told[0]);
    assert_eq!(all.len() as u64, waiting + 2);
    assert!(agent.log().contains("the audit cannot be written") && agent.log().contains("the audit is written again"));
    assert!(!fs::read_to_string(&audit).expect("the audit").contains(VALUE));
}

#[test]
fn a_pipe_without_a_reader_and_one_whose_reader_went_hold_up_nobody() {
    let estate = estate();
    let audit = estate.folder().join("pipe");
    nix::unistd::mkfifo(&audit, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    let mut agent = estate.agent(&config(&audit));
    read(&agent, 10);
    let open = || fs::File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&audit).expect("the pipe");
    for written in [10, 20] {
        let mut reader = open();
        let mut text = String::new();
        wait::until("the lines that waited", || {
            drop(reader.read_to_string(&mut text));
            (text.lines().count() >= 10).then_some(())
        });
        assert_eq!(lines(&text).len(), 10);
        until_written(&agent, written);
        drop(reader);
        read(&agent, 10);
    }
    // Nobody reads any more, and the end waits for nobody.
    let start = std::time::Instant::now();
    assert!(agent.stop().success());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    assert!(agent.log().contains("the last lines of the audit are lost"), "{}", agent.log());
}

#[test]
fn a_confined_agent_goes_on_in_a_new_file_after_a_rotation() {
    let estate = estate();
    let folder = estate.folder().join("log");
    fs::create_dir(&folder).expect("made");
    let audit = folder.join("audit");
    let mut agent = estate.agent(&config(&audit));
    let hardening = agent.get("/v1/status").json()["operation"]["hardening"]["confined"].clone();
    read(&agent, 3);
    until_written(&agent, 3);
    assert_eq!(fs::metadata(&audit).expect("there").mode() & 0o777, 0o600);
    // What logrotate does without and with `create`, `copytruncate`, and what a person does.
    fs::rename(&audit, folder.join("audit.1")).expect("renamed");
    read(&agent, 3);
    until_written(&agent, 6);
    assert_eq!(fs::metadata(&audit).expect("made anew").mode() & 0o777, 0o600);
    fs::rename(&audit, folder.join("audit.2")).expect("renamed");
    fs::File::options().create_new(true).write(true).mode(0o640).open(&audit).expect("made");
    read(&agent, 3);
    until_written(&agent, 9);
    fs::copy(&audit, folder.join("audit.3")).expect("copied");
    fs::File::options().write(true).open(&audit).expect("there").set_len(0).expect("cut");
    read(&agent, 3);
    until_written(&agent, 12);
    fs::remove_file(&audit).expect("removed");
    read(&agent, 3);
    until_written(&agent, 15);
    assert!(agent.stop().success());
    for file in ["audit", "audit.1", "audit.2", "audit.3"] {
        let text = fs::read_to_string(folder.join(file)).expect(file);
        assert_eq!(lines(&text).len(), 3, "{file}, confined: {hardening}");
    }
}

#[test]
fn a_reload_neither_moves_the_audit_nor_loses_a_line() {
    let estate = estate();
    let audit = estate.folder().join("audit");
    let agent = estate.agent(&config(&audit));
    read(&agent, 1);
    let _moved = estate.config(&config(&estate.folder().join("elsewhere")));
    wait::until("the refusal", || {
        agent.log().contains("[audit] file has changed, which takes a restart of the agent").then_some(())
    });
    read(&agent, 1);
    until_written(&agent, 2);
    assert!(!estate.folder().join("elsewhere").exists());
}

#[test]
fn an_audit_is_refused_at_check_and_at_the_start_where_it_should_not_lie() {
    let estate = estate();
    let job = estate.folder().join("job");
    fs::create_dir_all(job.join("outputs/deep")).expect("made");
    std::os::unix::fs::symlink(job.join("outputs"), job.join("elsewhere")).expect("a link");
    fs::create_dir(job.join("open")).expect("made");
    fs::set_permissions(job.join("open"), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).expect("changed");
    fs::write(job.join("taken"), "").expect("written");
    fs::set_permissions(job.join("taken"), std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("changed");
    let rows = [
        (job.join("outputs/audit"), "uploads what is under 'outputs'"),
        (job.join("outputs/deep/audit"), "uploads what is under 'outputs'"),
        (job.join("logs/audit"), "uploads what is under 'logs'"),
        (PathBuf::from("logs/audit"), "uploads what is under 'logs'"),
        (job.join("elsewhere/audit"), "lies under 'outputs'"),
        (job.join("open/audit"), "others than its owner can write"),
        (job.join("missing/audit"), "does not exist: make it"),
        (job.join("taken"), "has mode 0666"),
        (job.join("open"), "neither a file nor a named pipe"),
        (estate.secrets_folder().join("audit"), "of the secrets' files"),
    ];
    for (file, expected) in rows {
        let config = estate.config(&config(&file));
        let config = config.to_str().expect("text");
        for command in [&["check", "--config", config][..], &["agent", "--config", config]] {
            let output = keyside(command, &estate.variables());
            let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(78), "{command:?} {}: {told}", file.display());
            assert!(told.contains(expected), "{command:?} {}: {told}", file.display());
        }
    }
    let twice = config(&job.join("outputs/audit")).replace("[[secret]]", "allow_upload = true\n[[secret]]");
    let agent = estate.agent(&twice);
    read(&agent, 1);
    until_written(&agent, 1);
}
