//! Other settings while the files are written: tried first, and shown as one generation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use keyside::files::{FilesWriter, RETIRE_AFTER, Settings, Tried};
use keyside::store::{Carry, Configured, Publisher, Reader};
use tokio_util::sync::CancellationToken;

use crate::{folder, name, open, publish, settings, store, target};

const MOMENT: Duration = Duration::from_millis(1);

/// A writer that shows `db` already, and the way to change its settings.
struct Running {
    publisher: Publisher,
    reader: Reader,
    changes: keyside::files::Changes,
    writer: FilesWriter,
}

impl Running {
    fn start(directory: &Path) -> Self {
        let mut writer = open(&settings(directory, [("db", target("db", "0400", &[]))]));
        let (publisher, reader) = store(&["db"]);
        publish(&publisher, &[("db", b"one")]);
        Self { changes: writer.take_changes(), publisher, reader, writer }
    }

    /// Runs the writer until `steps` are done.
    async fn during<F: Future<Output = ()>>(self, steps: impl FnOnce(Publisher, keyside::files::Changes) -> F) {
        let (hold, stop) = (self.publisher.hold_readiness(), CancellationToken::new());
        let steps = async {
            tokio::time::sleep(MOMENT).await;
            steps(self.publisher, self.changes).await;
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(self.writer.run(self.reader, hold, stop.clone()), steps);
        ended.expect("a clean end");
    }
}

fn configure(publisher: &Publisher, secrets: &[&str]) {
    let configured = |local: &&str| Configured { name: name(local), optional: false, carry: Carry::Over };
    publisher.configure(secrets.iter().map(configured).collect());
}

fn shown(directory: &Path) -> BTreeSet<String> {
    let listed = fs::read_dir(directory.join("..data")).expect("a generation");
    listed.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
}

fn names(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn other(directory: &Path) -> Settings {
    settings(directory, [("token", target("token", "0400", &[])), ("extra", target("extra", "0400", &[]))])
}

async fn tried(changes: &keyside::files::Changes, settings: Settings) -> Tried {
    changes.try_out(settings).await.expect("it can be written")
}

#[tokio::test(start_paused = true)]
async fn files_that_come_and_files_that_go_do_so_in_one_step() {
    let (_folder, directory) = folder();
    let steps = async |publisher: Publisher, changes: keyside::files::Changes| {
        let tried = tried(&changes, other(&directory)).await;
        configure(&publisher, &["token", "extra"]);
        tokio::time::sleep(MOMENT).await;
        assert_eq!(shown(&directory), names(&["db"]), "nothing before the word");
        tried.follow();
        publish(&publisher, &[("token", b"two")]);
        tokio::time::sleep(RETIRE_AFTER / 2).await;
        assert_eq!(shown(&directory), names(&["db"]), "extra has not been looked at");
        publish(&publisher, &[("extra", b"three")]);
        tokio::time::sleep(MOMENT).await;
        assert_eq!(shown(&directory), names(&["extra", "token"]));
        assert!(!directory.join("db").exists(), "nor its link");
    };
    Running::start(&directory).during(steps).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_come_holds_up_the_others_for_seconds_only() {
    let (_folder, directory) = folder();
    let steps = async |publisher: Publisher, changes: keyside::files::Changes| {
        let tried = tried(&changes, other(&directory)).await;
        configure(&publisher, &["token", "extra"]);
        publish(&publisher, &[("token", b"two")]);
        tried.follow();
        tokio::time::sleep(RETIRE_AFTER.saturating_sub(MOMENT)).await;
        assert_eq!(shown(&directory), names(&["db"]));
        tokio::time::sleep(2 * MOMENT).await;
        assert_eq!(shown(&directory), names(&["token"]));
        publish(&publisher, &[("extra", b"three")]);
        tokio::time::sleep(MOMENT).await;
        assert_eq!(shown(&directory), names(&["extra", "token"]));
    };
    Running::start(&directory).during(steps).await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_refused_or_given_up_change_nothing() {
    let (_folder, directory) = folder();
    let steps = async |publisher: Publisher, changes: keyside::files::Changes| {
        fs::write(directory.join("extra"), "mine").expect("written");
        let error = changes.try_out(other(&directory)).await.expect_err("a name that is taken");
        assert!(keyside::causes::with_causes(&error).contains("extra"), "{error}");
        fs::remove_file(directory.join("extra")).expect("removed");
        drop(tried(&changes, other(&directory)).await);
        publish(&publisher, &[("db", b"two")]);
        tokio::time::sleep(MOMENT).await;
        assert_eq!(fs::read(directory.join("db")).expect("readable"), b"two", "the writer goes on as it was");
    };
    Running::start(&directory).during(steps).await;
}
