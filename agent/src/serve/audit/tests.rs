//! What reaches the file, and what is told of what does not.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::serve::peer::{Caller, Peer, Process};
use crate::testing::{metadata, name, new_year};

struct Scene {
    folder: TempDir,
    metrics: Arc<Metrics>,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a directory"), metrics: Arc::new(Metrics::new()) }
    }

    /// One whose audit is a named pipe.
    fn with_pipe() -> Self {
        let scene = Self::new();
        nix::unistd::mkfifo(&scene.path(), Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
        scene
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn start(&self) -> (Audit, Writer) {
        let file = AuditFile::open(Settings { file: self.path(), allow_upload: false }).expect("it can be opened");
        Audit::start(file, &self.metrics).expect("a thread")
    }

    fn lines(&self) -> Vec<Value> {
        lines(&fs::read_to_string(self.path()).expect("the audit"))
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn trainer() -> Caller {
    let process = Some(Process { pid: 4711, handle: None });
    Caller::Process(Peer { uid: 1001, gid: 100, groups: vec![2001], process })
}

fn at(second: i64) -> Timestamp {
    new_year() + SignedDuration::from_secs(second)
}

fn entry(second: i64) -> Entry {
    let (secret, version) = (Some(name("db")), Some(metadata('a').version));
    Entry::new(at(second), &trainer(), Event { route: "/v1/secrets/{name}", secret, version, verdict: "given" }, 7)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

/// Reads on until there are so many lines.
fn read_until(count: usize, mut pipe: &File, text: &mut String) -> Vec<Value> {
    until("the lines come", || {
        // Nothing to read yet is an error here.
        drop(pipe.read_to_string(text));
        text.lines().count() >= count
    });
    lines(text)
}

fn listen(pipe: &Path) -> File {
    // Without waiting for somebody who writes.
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(pipe).expect("the pipe")
}

#[test]
fn each_answer_is_a_line_with_all_that_is_known_but_the_value() {
    let scene = Scene::new();
    let (audit, writer) = scene.start();
    audit.note(entry(0));
    let event = Event { route: "/v1/secrets/{name}/value", secret: None, version: None, verdict: "absent" };
    audit.note(Entry::new(at(1), &Caller::Network, event, 8));
    drop(audit);
    writer.finish();
    let version = "a".repeat(32);
    assert_eq!(
        scene.lines(),
        [
            json!({
                "time": "2026-01-01T00:00:00Z", "uid": 1001, "gid": 100, "pid": 4711, "route": "/v1/secrets/{name}",
                "secret": "db", "version": version, "verdict": "given", "generation": 7,
            }),
            json!({
                "time": "2026-01-01T00:00:01Z", "uid": null, "gid": null, "pid": null,
                "route": "/v1/secrets/{name}/value", "secret": null, "version": null, "verdict": "absent",
                "generation": 8,
            }),
        ]
    );
    assert_eq!(fs::metadata(scene.path()).expect("there").mode() & 0o777, 0o600);
    assert_eq!(scene.metrics.audit_lines(), (2, 0));
}

#[test]
fn the_longest_lines_of_an_answer_fit_into_what_is_kept_free_for_them() {
    let secret = Some("a".repeat(127).parse().expect("a name"));
    let event = Event {
        route: "/v1/secrets/{name}/value",
        secret,
        version: Some(metadata('a').version),
        verdict: "too_many_connections",
    };
    let process = Some(Process { pid: i32::MIN, handle: None });
    let caller = Caller::Process(Peer { uid: u32::MAX, gid: u32::MAX, groups: vec![], process });
    let mut longest = Entry::new(at(0) + SignedDuration::from_nanos(1), &caller, event, u64::MAX);
    longest.lost = Some(Lost::and_one(None, at(0)));
    let mut text = Vec::new();
    assert_eq!(longest.write_to(&mut text), 2);
    assert!(text.len() < writer::ENTRY_BYTES_MAX, "{}", text.len());
}

#[test]
fn what_was_rotated_or_removed_is_made_anew_and_no_line_is_lost() {
    let scene = Scene::new();
    let (audit, writer) = scene.start();
    let written = |count| until("the line is written", || scene.metrics.audit_lines() == (count, 0));
    audit.note(entry(1));
    written(1);
    let rotated = scene.folder.path().join("audit.1");
    fs::rename(scene.path(), &rotated).expect("renamed");
    audit.note(entry(2));
    written(2);
    assert_eq!(lines(&fs::read_to_string(&rotated).expect("there")).len(), 1);
    assert_eq!(scene.lines()[0]["time"], "2026-01-01T00:00:02Z");
    fs::remove_file(scene.path()).expect("removed");
    audit.note(entry(3));
    written(3);
    assert_eq!(scene.lines()[0]["time"], "2026-01-01T00:00:03Z");
    // As logrotate does with copytruncate.
    File::options().write(true).open(scene.path()).expect("there").set_len(0).expect("cut");
    audit.note(entry(4));
    written(4);
    assert_eq!(scene.lines()[0]["time"], "2026-01-01T00:00:04Z");
    drop(audit);
    writer.finish();
}

#[test]
fn what_found_no_room_is_counted_and_told_of_in_its_place() {
    let scene = Scene::with_pipe();
    let (audit, writer) = scene.start();
    audit.note(entry(0));
    until("the first line waits", || audit.standing().trouble.is_some());
    let start = Instant::now();
    let all = i64::try_from(LINES_WAITING_MAX).expect("a few thousand") + 10;
    (1..=all).for_each(|second| audit.note(entry(second)));
    assert!(start.elapsed() < Duration::from_secs(5), "nobody waited for the pipe: {:?}", start.elapsed());
    assert_eq!(scene.metrics.audit_lines(), (0, 10));

    let pipe = listen(&scene.path());
    let mut text = String::new();
    let waited = read_until(LINES_WAITING_MAX + 1, &pipe, &mut text);
    assert_eq!(waited.last().expect("the last")["verdict"], "given");
    audit.note(entry(all + 1));
    let told = read_until(LINES_WAITING_MAX + 3, &pipe, &mut text);
    let lost = &told[LINES_WAITING_MAX + 1];
    assert_eq!((&lost["lost"], &lost["since"]), (&10.into(), &json!(at(all - 9))));
    assert_eq!(told.last().expect("the last")["time"], json!(at(all + 1)));
    assert_eq!(audit.standing().trouble, None);
    drop(audit);
    writer.finish();
}

#[test]
fn what_was_lost_last_is_told_of_at_the_end() {
    let scene = Scene::with_pipe();
    let (audit, writer) = scene.start();
    audit.note(entry(0));
    until("the first line waits", || audit.standing().trouble.is_some());
    let all = i64::try_from(LINES_WAITING_MAX).expect("a few thousand") + 10;
    (1..=all).for_each(|second| audit.note(entry(second)));
    let (pipe, mut text) = (listen(&scene.path()), String::new());
    read_until(LINES_WAITING_MAX + 1, &pipe, &mut text);
    drop(audit);
    writer.finish();
    let told = read_until(LINES_WAITING_MAX + 2, &pipe, &mut text);
    let lost = json!({"time": at(all), "lost": 10, "since": at(all - 9)});
    assert_eq!(told.last(), Some(&lost), "nobody asks any more, and it is told all the same");
}

#[test]
fn a_line_that_an_agent_before_could_not_finish_spoils_no_other() {
    let scene = Scene::new();
    fs::write(scene.path(), "{\"time\":").expect("written");
    let (audit, writer) = scene.start();
    audit.note(entry(0));
    audit.note(entry(1));
    drop(audit);
    writer.finish();
    let text = fs::read_to_string(scene.path()).expect("the audit");
    let (torn, rest) = text.split_once('\n').expect("a line of its own");
    assert_eq!((torn, lines(rest).len()), ("{\"time\":", 2));
}

#[test]
fn a_reader_of_a_pipe_that_stops_reading_holds_up_nobody_and_cuts_no_line() {
    let scene = Scene::with_pipe();
    let mut pipe = listen(&scene.path());
    let (audit, writer) = scene.start();
    // A pipe holds 64 KiB, which is less than these are.
    (0..2_000).for_each(|second| audit.note(entry(second)));
    until("the pipe is full", || scene.metrics.audit_lines().0 > 100);
    drop(audit);
    let start = Instant::now();
    writer.finish();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("text");
    let (written, lost) = scene.metrics.audit_lines();
    assert_eq!((lines(&text).len() as u64, written + lost), (written, 2_000));
    assert!(lost > 0);
}

#[test]
fn a_file_that_somebody_else_put_there_is_not_written() {
    let scene = Scene::new();
    let (audit, writer) = scene.start();
    let elsewhere = scene.folder.path().join("elsewhere");
    fs::write(&elsewhere, "").expect("written");
    fs::remove_file(scene.path()).expect("removed");
    std::os::unix::fs::symlink(&elsewhere, scene.path()).expect("a link");
    audit.note(entry(0));
    until("it is noticed", || audit.standing().trouble.is_some());
    fs::remove_file(scene.path()).expect("removed");
    until("it is written where it belongs", || scene.metrics.audit_lines() == (1, 0));
    assert_eq!((scene.lines().len(), fs::read(&elsewhere).expect("there").len()), (1, 0));
    drop(audit);
    writer.finish();
}
