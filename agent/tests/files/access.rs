//! Who can read: the kernel's answer to processes of other users, where the test may start such.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside::causes::with_causes;
use keyside::files::{FilesWriter, OnStop, RETIRE_AFTER, Settings, Written};
use keyside::principal::Principal::{Group, User};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Gid, Uid, XattrFlags, setxattr};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tokio::time::Instant;

use crate::{folder, open, publish, say, settings, store, target};

/// Numbers that no account of the machine has.
const TRAINER: u32 = 41_001;
const STRANGER: u32 = 41_002;
const ML: u32 = 42_001;

/// Whether this run may act as other users; says loudly what is not shown otherwise.
fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        say(&format!("SKIPPED: {what}: only root can start processes of other users"));
    }
    root
}

/// What `cat` of a process of this user and group says: the content, or none when the kernel refuses.
fn read_as(user: u32, group: u32, file: &Path) -> Option<String> {
    let output = Command::new("cat").arg(file).uid(user).gid(group).current_dir("/").output().expect("cat starts");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn write_one(settings: &Settings) -> PathBuf {
    let (publisher, reader) = store(&["db"]);
    publish(&publisher, &[("db", b"hunter2")]);
    let mut writer = open(settings);
    assert_eq!(writer.publish(&reader.snapshot(), Instant::now()).expect("written"), Written::Applied);
    assert_eq!(writer.publish(&reader.snapshot(), Instant::now()).expect("compared"), Written::Unchanged);
    settings.directory.join("db/password")
}

#[test]
fn the_named_readers_read_and_nobody_else() {
    if !is_root("access by list") {
        return;
    }
    let (_folder, directory) = folder();
    let settings = settings(&directory, [("db", target("db/password", "0400", &[User(TRAINER), Group(ML)]))]);
    let file = write_one(&settings);
    assert_eq!(read_as(TRAINER, STRANGER, &file).as_deref(), Some("hunter2"), "the user");
    assert_eq!(read_as(STRANGER, ML, &file).as_deref(), Some("hunter2"), "the group");
    assert_eq!(read_as(STRANGER, STRANGER, &file), None, "a stranger");
    let listing = Command::new("ls").arg(&directory).uid(TRAINER).gid(ML).output().expect("ls starts");
    assert!(!listing.status.success(), "readers open by name and see no others");
}

#[test]
fn the_group_of_the_files_needs_no_list() {
    if !is_root("access by group") {
        return;
    }
    let (_folder, directory) = folder();
    let mut settings = settings(&directory, [("db", target("db/password", "0400", &[Group(ML)]))]);
    settings.group = Some(ML);
    let file = write_one(&settings);
    let found = file.metadata().expect("it is there");
    assert_eq!((found.gid(), found.permissions().mode() & 0o7777), (ML, 0o440));
    assert_eq!(read_as(STRANGER, ML, &file).as_deref(), Some("hunter2"));
    assert_eq!(read_as(STRANGER, STRANGER, &file), None);
}

#[test]
fn a_setgid_directory_gives_its_group() {
    if !is_root("access by setgid group") {
        return;
    }
    let (_folder, directory) = folder();
    fs::create_dir(&directory).expect("made");
    chown(&directory, None, Some(ML)).expect("given");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o2775)).expect("set");
    let file = write_one(&settings(&directory, [("db", target("db/password", "0400", &[Group(ML)]))]));
    assert_eq!(file.metadata().expect("it is there").gid(), ML);
    assert_eq!(read_as(STRANGER, ML, &file).as_deref(), Some("hunter2"));
    assert_eq!(read_as(STRANGER, STRANGER, &file), None);
}

#[test]
fn lists_that_a_directory_hands_down_let_nobody_in() {
    if !is_root("inherited lists") {
        return;
    }
    let (_folder, directory) = folder();
    fs::create_dir(&directory).expect("made");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).expect("set");
    // Version 2; the owner, user STRANGER, the group, the mask and others: all may read, write and pass.
    let mut inherited = 2_u32.to_le_bytes().to_vec();
    for (tag, id) in [(0x01_u16, u32::MAX), (0x02, STRANGER), (0x04, u32::MAX), (0x10, u32::MAX), (0x20, u32::MAX)] {
        inherited.extend([tag.to_le_bytes(), 7_u16.to_le_bytes()].concat());
        inherited.extend(id.to_le_bytes());
    }
    setxattr(&directory, "system.posix_acl_default", &inherited, XattrFlags::empty()).expect("set");
    for readers in [&[][..], &[User(TRAINER)]] {
        let mut settings = settings(&directory, [("db", target("db/password", "0440", readers))]);
        settings.on_stop = OnStop::Keep;
        let file = write_one(&settings);
        assert_eq!(read_as(STRANGER, STRANGER, &file), None, "{readers:?}");
        assert_eq!(read_as(TRAINER, STRANGER, &file).is_some(), !readers.is_empty(), "{readers:?}");
    }
}

/// Gives this thread a mount namespace of its own, which ends with it, and mounts a file system without lists there.
fn mount_ramfs(directory: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("none"), directory, Some("ramfs"), MsFlags::empty(), Some("mode=0711"))
}

#[test]
fn without_lists_only_the_group_of_the_files_can_be_a_reader() {
    if !is_root("a file system without lists") {
        return;
    }
    let (_folder, directory) = folder();
    fs::create_dir(&directory).expect("made");
    let work = || match mount_ramfs(&directory) {
        Ok(()) => refuse_a_list_then_write_for_the_group(&directory),
        Err(error) => say(&format!("SKIPPED: a file system without lists: no ramfs can be mounted here: {error}")),
    };
    std::thread::scope(|threads| threads.spawn(work).join().expect("no panic"));
}

fn refuse_a_list_then_write_for_the_group(directory: &Path) {
    let mut settings = settings(directory, [("db", target("db/password", "0400", &[User(TRAINER), Group(ML)]))]);
    settings.group = Some(ML);
    let error = FilesWriter::open(&settings, RETIRE_AFTER, Instant::now()).expect_err("no lists");
    assert_eq!(
        with_causes(&error).replace(&directory.display().to_string(), "DIR"),
        "could not write the files in DIR: 'db/password' has readers who need an access control list, which this file \
         system lacks: use a tmpfs, or make the group of the files the only reader: Operation not supported (os error 95)"
    );
    assert_eq!(fs::read_dir(directory).expect("ours").count(), 0, "the rehearsal leaves nothing");
    settings.targets.insert("db".parse().expect("a name"), target("db/password", "0400", &[Group(ML)]));
    let file = write_one(&settings);
    assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o7777, 0o440);
}

/// Does `work` on a thread that is a user without any privilege or further group.
fn as_user<T: Send>(user: u32, work: impl FnOnce() -> T + Send) -> T {
    let become_user_and_work = || {
        let (group, user) = (Gid::from_raw(STRANGER), Uid::from_raw(user));
        set_thread_groups(&[]).expect("root may");
        set_thread_res_gid(group, group, group).expect("root may");
        set_thread_res_uid(user, user, user).expect("root may");
        work()
    };
    std::thread::scope(|threads| threads.spawn(become_user_and_work).join().expect("no panic"))
}

#[test]
fn an_agent_that_is_not_in_the_group_says_so_at_its_start() {
    if !is_root("a group that cannot be given") {
        return;
    }
    let (_folder, directory) = folder();
    fs::create_dir(&directory).expect("made");
    chown(&directory, Some(TRAINER), None).expect("given");
    let mut settings = settings(&directory, [("db", target("db", "0400", &[]))]);
    settings.group = Some(ML);
    let open = || FilesWriter::open(&settings, RETIRE_AFTER, Instant::now()).map(drop);
    let error = with_causes(&as_user(TRAINER, open).expect_err("not a member"));
    assert!(error.contains("'db' cannot have the group 42001: start the agent with that group"), "{error}");
}

#[test]
fn an_agent_without_privileges_lets_its_readers_in_and_wipes_what_is_superseded() {
    if !is_root("an agent of another user") {
        return;
    }
    let (folder, directory) = folder();
    fs::create_dir(&directory).expect("made");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).expect("set");
    chown(&directory, Some(TRAINER), None).expect("given");
    let mut settings = settings(&directory, [("db", target("db/password", "0400", &[Group(ML)]))]);
    settings.on_stop = OnStop::Keep;
    let file = as_user(TRAINER, || write_one(&settings));
    assert_eq!(file.metadata().expect("it is there").uid(), TRAINER);
    assert_eq!(read_as(STRANGER, ML, &file).as_deref(), Some("hunter2"));
    assert_eq!(read_as(STRANGER, STRANGER, &file), None);
    // A second name shows what becomes of the bytes; opening the file in place of it would spare them.
    let witness = folder.path().join("witness");
    fs::hard_link(&file, &witness).expect("root may");
    as_user(TRAINER, || {
        let (publisher, reader) = store(&["db"]);
        publish(&publisher, &[("db", b"correct horse")]);
        let (mut writer, now) = (open(&settings), Instant::now());
        writer.publish(&reader.snapshot(), now).expect("written");
        writer.retire(now + RETIRE_AFTER);
    });
    assert_eq!(read_as(STRANGER, ML, &file).as_deref(), Some("correct horse"));
    assert_eq!(fs::read(&witness).expect("root may"), [0; 7], "overwritten");
}
