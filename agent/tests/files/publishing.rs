//! What is in the directory after each step, to the last entry.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use keyside::causes::with_causes;
use keyside::files::{FilesWriter, OnStop, RETIRE_AFTER, Written, wipe_all};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{folder, name, open, publish, settings, store, target};

const LEFTOVER: &str = "..17-0123456789abcdef";

/// Every entry below `directory`, a line each, with the current generation's unique name written `..N`.
fn tree(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(directory, Path::new(""), &mut lines);
    if let Ok(current) = fs::read_link(directory.join("..data")) {
        for line in &mut lines {
            *line = line.replace(&*current.to_string_lossy(), "..N");
        }
    }
    lines.sort();
    lines
}

fn list(directory: &Path, below: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory.join(below)).expect("a directory") {
        let path = below.join(entry.expect("an entry").file_name());
        let real = directory.join(&path);
        let found = real.symlink_metadata().expect("it is there");
        let mode = found.permissions().mode() & 0o7777;
        if found.is_symlink() {
            lines.push(format!("{} -> {}", path.display(), fs::read_link(&real).expect("a link").display()));
        } else if found.is_dir() {
            lines.push(format!("{}/ {mode:04o}", path.display()));
            list(directory, &path, lines);
        } else {
            let content = String::from_utf8_lossy(&fs::read(&real).expect("readable")).into_owned();
            lines.push(format!("{} {mode:04o} {content}", path.display()));
        }
    }
}

fn generation(directory: &Path) -> PathBuf {
    fs::read_link(directory.join("..data")).expect("there is a generation")
}

#[test]
fn a_generation_is_a_directory_that_links_lead_into() {
    let (_folder, directory) = folder();
    let targets = [
        ("db", target("db/password", "0400", &[])),
        ("db-user", target("db/user", "0440", &[])),
        ("token", target("token", "0600", &[])),
        ("awaited", target("awaited", "0400", &[])),
    ];
    let mut writer = open(&settings(&directory, targets));
    let (publisher, reader) = store(&["db", "db-user", "token", "awaited", "socket-only"]);
    let values: [(&str, &[u8]); 4] = [("db", b"hunter2"), ("db-user", b"app"), ("token", b""), ("socket-only", b"x")];
    publish(&publisher, &values);
    assert_eq!(writer.publish(&reader.snapshot(), Instant::now()).expect("written"), Written::Applied);
    let expected = [
        "..N/ 0711",
        "..N/db/ 0711",
        "..N/db/password 0400 hunter2",
        "..N/db/user 0440 app",
        "..N/token 0600 ",
        "..data -> ..N",
        "db -> ..data/db",
        "token -> ..data/token",
    ];
    assert_eq!(tree(&directory), expected);
    assert_eq!(directory.metadata().expect("it is there").permissions().mode() & 0o7777, 0o711);
}

#[test]
fn the_same_content_rewrites_nothing_not_even_after_a_restart() {
    let (_folder, directory) = folder();
    let settings = settings(&directory, [("db", target("db", "0400", &[]))]);
    let (publisher, reader) = store(&["db"]);
    publish(&publisher, &[("db", b"one")]);
    let mut writer = open(&settings);
    writer.publish(&reader.snapshot(), Instant::now()).expect("written");
    let (before, inode) = (tree(&directory), directory.join("db").metadata().expect("a file").ino());
    let first = generation(&directory);
    assert_eq!(writer.publish(&reader.snapshot(), Instant::now()).expect("compared"), Written::Unchanged);
    drop(writer);
    let mut next = open(&settings);
    assert_eq!(next.publish(&reader.snapshot(), Instant::now()).expect("compared"), Written::Unchanged);
    assert_eq!((tree(&directory), generation(&directory)), (before, first));
    assert_eq!(directory.join("db").metadata().expect("a file").ino(), inode);
}

#[test]
fn whatever_differs_from_the_settings_or_the_store_is_superseded() {
    type Change = fn(&Path);
    let rows: &[(&str, Change)] = &[
        ("content", |file| fs::write(file, "two").expect("written")),
        ("length", |file| fs::write(file, "ones").expect("written")),
        ("mode", |file| fs::set_permissions(file, fs::Permissions::from_mode(0o444)).expect("changed")),
        ("another file", |file| fs::write(file.with_file_name("extra"), "").expect("written")),
        ("a missing file", |file| fs::remove_file(file).expect("removed")),
        ("a link in its place", |file| {
            fs::rename(file, file.with_file_name("x")).expect("renamed");
            symlink("x", file).expect("linked");
        }),
    ];
    for (what, change) in rows {
        let (_folder, directory) = folder();
        let settings = settings(&directory, [("db", target("db", "0600", &[]))]);
        let (publisher, reader) = store(&["db"]);
        publish(&publisher, &[("db", b"one")]);
        let mut writer = open(&settings);
        writer.publish(&reader.snapshot(), Instant::now()).expect("written");
        change(&directory.join("..data/db"));
        assert_eq!(writer.publish(&reader.snapshot(), Instant::now()).expect("written"), Written::Applied, "{what}");
        assert_eq!(fs::read(directory.join("db")).expect("readable"), b"one", "{what}");
    }
}

#[test]
fn a_superseded_generation_stays_ten_seconds_and_its_open_file_keeps_the_value() {
    let (_folder, directory) = folder();
    let mut writer = open(&settings(&directory, [("db", target("db", "0400", &[]))]));
    let (publisher, reader) = store(&["db"]);
    publish(&publisher, &[("db", b"one")]);
    let now = Instant::now();
    writer.publish(&reader.snapshot(), now).expect("written");
    let first = directory.join(generation(&directory));
    let mut held = File::open(directory.join("db")).expect("readable");
    publish(&publisher, &[("db", b"two")]);
    writer.publish(&reader.snapshot(), now).expect("written");
    writer.retire(now + RETIRE_AFTER.checked_sub(std::time::Duration::from_millis(1)).expect("long enough"));
    assert_eq!(fs::read(first.join("db")).expect("still there"), b"one");
    writer.retire(now + RETIRE_AFTER);
    assert!(!first.exists());
    let mut text = String::new();
    held.read_to_string(&mut text).expect("readable");
    assert_eq!((text.as_str(), fs::read(directory.join("db")).expect("readable").as_slice()), ("one", &b"two"[..]));
}

#[test]
fn the_files_of_secrets_that_are_no_longer_wanted_go_and_those_of_others_stay() {
    let (_folder, directory) = folder();
    let (publisher, reader) = store(&["db", "token"]);
    publish(&publisher, &[("db", b"one"), ("token", b"two")]);
    let both = [("db", target("db", "0400", &[])), ("token", target("tokens/api", "0400", &[]))];
    open(&settings(&directory, both)).publish(&reader.snapshot(), Instant::now()).expect("written");
    fs::create_dir(directory.join(LEFTOVER)).expect("made");
    fs::write(directory.join(LEFTOVER).join("db"), "old").expect("written");
    symlink(LEFTOVER, directory.join("..data.next")).expect("linked");
    fs::create_dir(directory.join("..2024_11_24")).expect("made");
    fs::write(directory.join("README"), "mine").expect("written");
    symlink("README", directory.join("notes")).expect("linked");
    let mut writer = open(&settings(&directory, [("db", target("db", "0400", &[]))]));
    let now = Instant::now();
    writer.publish(&reader.snapshot(), now).expect("written");
    writer.retire(now + RETIRE_AFTER);
    let expected = [
        "..2024_11_24/ 0755",
        "..N/ 0711",
        "..N/db 0400 one",
        "..data -> ..N",
        "README 0644 mine",
        "db -> ..data/db",
        "notes -> README",
    ];
    assert_eq!(tree(&directory), expected);
}

#[test]
fn what_somebody_else_keeps_there_is_refused_at_the_start_with_the_remedy() {
    type Obstacle = fn(&Path);
    let rows: &[(Obstacle, &str)] = &[
        (
            |directory| fs::write(directory.join("db"), "mine").expect("written"),
            "could not write the files in DIR: 'db': a file or folder that Keyside did not make is in its place: remove it",
        ),
        (
            |directory| symlink("/etc/passwd", directory.join("db")).expect("linked"),
            "could not write the files in DIR: 'db': a link that Keyside did not make is in its place: remove it",
        ),
        (
            |directory| symlink("..2024_11_24", directory.join("..data")).expect("linked"),
            "could not use the directory DIR: '..data': another program keeps its files there: give Keyside a directory of its own",
        ),
    ];
    for (obstacle, expected) in rows {
        let (_folder, directory) = folder();
        fs::create_dir(&directory).expect("made");
        obstacle(&directory);
        let before = tree(&directory);
        let settings = settings(&directory, [("db", target("db/password", "0400", &[]))]);
        let error = FilesWriter::open(&settings, RETIRE_AFTER, Instant::now()).expect_err("refused");
        assert_eq!(with_causes(&error).replace(&directory.display().to_string(), "DIR"), *expected);
        assert_eq!(tree(&directory), before, "nothing was touched");
    }
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let (_folder, directory) = folder();
    let settings = settings(&directory, []);
    let first = open(&settings);
    let error = FilesWriter::open(&settings, RETIRE_AFTER, Instant::now()).expect_err("locked");
    assert!(with_causes(&error).contains("another agent writes there"), "{}", with_causes(&error));
    wipe_all(&directory).expect_err("locked");
    drop(first);
    open(&settings);
}

#[test]
fn stopping_removes_or_keeps_as_configured() {
    for (on_stop, left) in [(OnStop::Remove, 0), (OnStop::Keep, 3)] {
        let (_folder, directory) = folder();
        let mut settings = settings(&directory, [("db", target("db", "0400", &[]))]);
        settings.on_stop = on_stop;
        let mut writer = open(&settings);
        let (publisher, reader) = store(&["db"]);
        for value in [b"one", b"two"] {
            publish(&publisher, &[("db", value)]);
            writer.publish(&reader.snapshot(), Instant::now()).expect("written");
        }
        writer.finish().expect("a clean end");
        assert_eq!(fs::read_dir(&directory).expect("it stays").count(), left, "{:?}", tree(&directory));
    }
}

#[test]
fn wiping_clears_what_a_dead_agent_left_and_takes_a_missing_directory_for_clear() {
    let (_folder, directory) = folder();
    let mut writer = open(&settings(&directory, [("db", target("a/b/c", "0400", &[]))]));
    let (publisher, reader) = store(&["db"]);
    publish(&publisher, &[("db", b"one")]);
    writer.publish(&reader.snapshot(), Instant::now()).expect("written");
    drop(writer);
    fs::write(directory.join("README"), "mine").expect("written");
    wipe_all(&directory).expect("wiped");
    assert_eq!(tree(&directory), ["README 0644 mine"]);
    wipe_all(&directory.join("missing")).expect("nothing to do");
}

#[tokio::test(start_paused = true)]
async fn the_task_waits_for_every_required_secret_then_follows_and_cleans_up() {
    let (_folder, directory) = folder();
    let targets = [("db", target("db", "0400", &[])), ("token", target("token", "0400", &[]))];
    let settings = settings(&directory, targets);
    let (publisher, reader) = store(&["db", "token"]);
    open(&settings).publish(&reader.snapshot(), Instant::now()).expect("an earlier run's");
    let before = tree(&directory);
    let writer = open(&settings);
    let (hold, stop) = (publisher.hold_readiness(), CancellationToken::new());
    let steps = async {
        publish(&publisher, &[("db", b"one")]);
        tokio::time::sleep(RETIRE_AFTER).await;
        assert_eq!(tree(&directory), before, "half of the secrets are not ready");
        publish(&publisher, &[("token", b"two")]);
        tokio::task::yield_now().await;
        tokio::time::sleep(RETIRE_AFTER).await;
        let first = generation(&directory);
        publish(&publisher, &[("token", b"three")]);
        tokio::time::sleep(RETIRE_AFTER / 2).await;
        assert_eq!(fs::read(directory.join("token")).expect("readable"), b"three");
        assert!(directory.join(&first).exists(), "readers may still be in it");
        tokio::time::sleep(RETIRE_AFTER).await;
        assert!(!directory.join(&first).exists(), "retired");
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(writer.run(reader, hold, stop.clone()), steps);
    ended.expect("a clean end");
    assert_eq!(tree(&directory), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_cannot_be_written_is_tried_again() {
    let (_folder, directory) = folder();
    let writer = open(&settings(&directory, [("db", target("db", "0400", &[]))]));
    let (publisher, reader) = store(&["db"]);
    let watched = reader.clone();
    let (hold, stop) = (publisher.hold_readiness(), CancellationToken::new());
    let steps = async {
        fs::write(directory.join("db"), "in the way").expect("written");
        publish(&publisher, &[("db", b"one")]);
        tokio::time::sleep(RETIRE_AFTER).await;
        assert_eq!(fs::read(directory.join("db")).expect("readable"), b"in the way");
        assert!(!watched.snapshot().is_ready(), "not without its file");
        fs::remove_file(directory.join("db")).expect("removed");
        tokio::time::sleep(RETIRE_AFTER).await;
        assert_eq!(fs::read(directory.join("db")).expect("readable"), b"one");
        assert!(watched.snapshot().is_ready());
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(writer.run(reader, hold, stop.clone()), steps);
    ended.expect("a clean end");
}

#[test]
fn no_way_of_formatting_shows_a_value_and_errors_name_the_file() {
    let (_folder, directory) = folder();
    let mut writer = open(&settings(&directory, [("db", target("db", "0400", &[]))]));
    let (publisher, reader) = store(&["db"]);
    publish(&publisher, &[("db", b"hunter2")]);
    fs::write(directory.join("db"), "in the way").expect("written");
    let error = writer.publish(&reader.snapshot(), Instant::now()).expect_err("refused");
    let shown = format!("{writer:?} {error:?} {} {:?}", with_causes(&error), name("db"));
    assert!(shown.contains("'db'") && !shown.contains("hunter2"), "{shown}");
}
