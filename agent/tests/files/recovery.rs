//! What becomes of readiness and of the files while they cannot be written, and after somebody removed them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyside::causes::with_causes;
use keyside::files::{OnStop, Settings};
use keyside::store::{Fetched, Outcome, Publication, Publisher, Reader, Setback};
use keyside::vault::FetchError;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{NOW, folder, name, open, publish, say, settings, store, target};

/// Longer than the time between two comparisons, and than any retry.
const A_WHILE: Duration = Duration::from_secs(61);

/// Runs the task on a directory with one file, and `steps` beside it once the file is there.
async fn beside_the_task<F: Future<Output = ()>>(
    directory: &Path,
    steps: impl FnOnce(PathBuf, Publisher, Reader) -> F,
) {
    let writer = open(&settings(directory, [("db", target("db", "0400", &[]))]));
    let (publisher, reader) = store(&["db"]);
    let (hold, stop) = (publisher.hold_readiness(), CancellationToken::new());
    publish(&publisher, &[("db", b"one")]);
    let watched = reader.clone();
    let all = async {
        tokio::time::sleep(A_WHILE).await;
        assert!(watched.snapshot().is_ready());
        steps(directory.to_owned(), publisher, watched).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(writer.run(reader, hold, stop.clone()), all);
    ended.expect("a clean end");
}

fn content(directory: &Path) -> Option<Vec<u8>> {
    fs::read(directory.join("db")).ok()
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_comes_back_without_a_new_version() {
    type Removal = fn(&Path);
    let rows: &[(&str, Removal)] = &[
        ("the link to the generation", |directory| fs::remove_file(directory.join("..data")).expect("removed")),
        ("the link of the name", |directory| fs::remove_file(directory.join("db")).expect("removed")),
        ("the file", |directory| fs::remove_file(directory.join("..data/db")).expect("removed")),
        ("everything in the directory", |directory| {
            let generation = directory.join(fs::read_link(directory.join("..data")).expect("a generation"));
            fs::remove_dir_all(generation).expect("removed");
            fs::remove_file(directory.join("..data")).expect("removed");
            fs::remove_file(directory.join("db")).expect("removed");
        }),
        ("the directory", |directory| fs::remove_dir_all(directory).expect("removed")),
        ("the directory, which was made again", |directory| {
            fs::remove_dir_all(directory).expect("removed");
            fs::create_dir(directory).expect("made");
        }),
    ];
    for (what, remove) in rows {
        let (_folder, directory) = folder();
        beside_the_task(&directory, |directory, _publisher, watched| async move {
            remove(&directory);
            tokio::time::sleep(A_WHILE).await;
            assert_eq!(content(&directory).as_deref(), Some(&b"one"[..]), "{what}");
            assert!(watched.snapshot().is_ready(), "{what}");
        })
        .await;
        assert_eq!(content(&directory), None, "{what}: the end finds it, too");
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_was_moved_away_keeps_no_secret() {
    let (folder, directory) = folder();
    let elsewhere = folder.path().join("elsewhere");
    beside_the_task(&directory, |directory, _publisher, _watched| async move {
        fs::rename(&directory, &elsewhere).expect("moved");
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"one"[..]));
        assert_eq!(fs::read_dir(&elsewhere).expect("it is there").count(), 0);
    })
    .await;
}

#[test]
fn a_directory_that_cannot_be_taken_over_is_named_with_the_way_out() {
    let (_folder, directory) = folder();
    let mut writer = open(&settings(&directory, [("db", target("db", "0400", &[]))]));
    let (publisher, reader) = store(&["db"]);
    publish(&publisher, &[("db", b"one")]);
    fs::remove_dir(&directory).expect("removed");
    fs::write(&directory, "in the way").expect("written");
    let error = writer.publish(&reader.snapshot(), Instant::now()).expect_err("no directory");
    assert_eq!(
        with_causes(&error).replace(&directory.display().to_string(), "DIR"),
        "DIR was removed or replaced, and cannot be taken over: put it right, or restart the agent: could not use the \
         directory DIR: Not a directory (os error 20)"
    );
}

#[tokio::test(start_paused = true)]
async fn readiness_is_held_while_the_directory_cannot_be_opened_anew() {
    let (_folder, directory) = folder();
    beside_the_task(&directory, |directory, publisher, watched| async move {
        fs::remove_dir_all(&directory).expect("removed");
        fs::write(&directory, "in the way").expect("written");
        tokio::time::sleep(A_WHILE).await;
        assert!(!watched.snapshot().is_ready(), "there are no files");
        publish(&publisher, &[("db", b"two")]);
        fs::remove_file(&directory).expect("removed");
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"two"[..]));
        assert!(watched.snapshot().is_ready());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn holding_readiness_does_not_make_the_task_turn_in_circles() {
    let (_folder, directory) = folder();
    beside_the_task(&directory, |directory, _publisher, mut watched| async move {
        fs::remove_file(directory.join("db")).expect("removed");
        fs::write(directory.join("db"), "in the way").expect("written");
        tokio::time::sleep(A_WHILE).await;
        let mut wakes = 0;
        let count = async {
            while watched.changed().await {
                wakes += 1;
            }
        };
        // A task that never sleeps would keep the paused time from passing.
        tokio::time::timeout(A_WHILE, count).await.expect_err("the publisher lives");
        assert!(wakes <= 2, "woken {wakes} times");
        assert!(!watched.snapshot().is_ready());
    })
    .await;
}

/// Gives this thread a mount namespace of its own, which ends with it, and mounts a tmpfs with room for one page more than
/// its folders need.
fn mount_small(directory: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("none"), directory, Some("tmpfs"), MsFlags::empty(), Some("mode=0711,size=64k"))
}

#[test]
fn a_full_tmpfs_holds_readiness_until_the_new_value_is_a_file() {
    let (_folder, directory) = folder();
    let mounted = directory.with_file_name("small");
    fs::create_dir(&mounted).expect("made");
    let work = || match mount_small(&mounted) {
        Ok(()) => {
            fill_and_rotate(&mounted);
            umount(&mounted).expect("mounted here");
        }
        Err(error) => say(&format!("SKIPPED: a full tmpfs: none can be mounted here: {error}")),
    };
    std::thread::scope(|threads| threads.spawn(work).join().expect("no panic"));
}

fn fill_and_rotate(mounted: &Path) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let steps = |directory: PathBuf, publisher: Publisher, watched: Reader| async move {
        let filling = directory.with_file_name("filling");
        fs::write(&filling, vec![b'x'; 128 * 1024]).expect_err("it is full");
        publish(&publisher, &[("db", b"two")]);
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"one"[..]));
        assert!(!watched.snapshot().is_ready(), "the file is old");
        fs::remove_file(&filling).expect("removed");
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"two"[..]));
        assert!(watched.snapshot().is_ready());
    };
    runtime.block_on(beside_the_task(&mounted.join("secrets"), steps));
}

#[tokio::test(start_paused = true)]
async fn files_of_an_earlier_run_go_when_a_secret_was_revoked_meanwhile() {
    let (_folder, directory) = folder();
    let keeping = Settings {
        on_stop: OnStop::Keep,
        ..settings(&directory, [("db", target("db", "0400", &[])), ("token", target("token", "0400", &[]))])
    };
    let (publisher, reader) = store(&["db", "token"]);
    publish(&publisher, &[("db", b"one"), ("token", b"two")]);
    let mut earlier = open(&keeping);
    earlier.publish(&reader.snapshot(), Instant::now()).expect("written");
    earlier.finish().expect("kept");

    let (publisher, reader) = store(&["db", "token"]);
    let (hold, stop) = (publisher.hold_readiness(), CancellationToken::new());
    let steps = async {
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"one"[..]), "nothing is known against it");
        let outcome = Outcome::Revoked(Setback::from(&FetchError::Disabled));
        assert_eq!(publisher.apply(vec![Fetched { name: name("db"), outcome }], NOW), Publication::Applied(1));
        tokio::time::sleep(A_WHILE).await;
        assert!(!directory.join("db").exists() && !directory.join("..data").exists());
        publish(&publisher, &[("db", b"three"), ("token", b"two")]);
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"three"[..]));
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(open(&keeping).run(reader, hold, stop.clone()), steps);
    ended.expect("a clean end");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_secret_has_no_file_and_the_others_keep_theirs() {
    let (_folder, directory) = folder();
    let steps = |directory: PathBuf, publisher: Publisher, watched: Reader| async move {
        let outcome = Outcome::Revoked(Setback::from(&FetchError::NotFound));
        assert_eq!(publisher.apply(vec![Fetched { name: name("db"), outcome }], NOW), Publication::Applied(2));
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory), None);
        assert!(!watched.snapshot().is_ready());
        let old = fs::read_dir(&directory)
            .expect("listed")
            .filter(|entry| entry.as_ref().expect("an entry").file_type().expect("a type").is_dir());
        assert_eq!(old.count(), 1, "the generation with the value is wiped");
        publish(&publisher, &[("db", b"two")]);
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(content(&directory).as_deref(), Some(&b"two"[..]));
    };
    beside_the_task(&directory, steps).await;
}
