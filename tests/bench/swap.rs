//! How long a new generation of files takes: written beside the old one, then put in its place at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use keyside::clock::Moment;
use keyside::encoding::Encoding;
use keyside::files::{FilesWriter, OnStop, RETIRE_AFTER, Settings, Target};
use keyside::memory::Arena;
use keyside::principal::Principal;
use keyside::secret::{Metadata, Secret, SecretName, SecretValue};
use keyside::selection::Selection;
use keyside::store::{self, Fetched, Origin, Outcome};

use crate::azure::VALUE;

/// A reader who is not the agent, so that each file has an access list.
const READER: Principal = Principal::User(1001);

/// Swaps so many files several times, with a new value in each, and gives the seconds that each swap took.
pub(crate) fn measure(files: usize, swaps: usize) -> Vec<f64> {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let names: Vec<SecretName> = (0..files).map(|number| format!("secret-{number}").parse().expect("a name")).collect();
    let settings = Settings {
        directory: folder.path().join("secrets"),
        targets: names.iter().map(|name| (name.clone(), target(name))).collect::<BTreeMap<_, _>>(),
        env_files: Vec::new(),
        allow_disk: false,
        require_noswap: false,
        on_stop: OnStop::Remove,
        group: None,
    };
    let now = tokio::time::Instant::now();
    let mut writer = FilesWriter::open(&settings, RETIRE_AFTER, now).expect("the directory is usable");
    let (publisher, reader) = store::channel(names.iter().map(|name| (name.clone(), false)));
    let mut times = Vec::new();
    for swap in 0..=swaps {
        let fetched = names.iter().map(|name| Fetched { name: name.clone(), outcome: given(swap) });
        let moment = Moment { wall: Timestamp::UNIX_EPOCH, uptime: Duration::ZERO };
        let _ = publisher.apply(fetched.collect(), moment);
        let start = Instant::now();
        writer.publish(&reader.snapshot(), now).expect("the files can be written");
        // The first one takes no other's place.
        if swap > 0 {
            times.push(start.elapsed().as_secs_f64());
        }
        writer.retire(now + RETIRE_AFTER);
    }
    times
}

fn target(name: &SecretName) -> Target {
    let path = name.as_str().parse().expect("a path");
    Target { path, mode: "0400".parse().expect("a mode"), readers: vec![READER] }
}

fn given(swap: usize) -> Outcome {
    let metadata = Metadata {
        version: format!("{swap:032x}").parse().expect("a version"),
        content_type: None,
        created: None,
        updated: None,
        expires: None,
    };
    let value = SecretValue::new(Arena::unlocked().store(format!("{swap}-{VALUE}").as_bytes()).expect("memory"));
    let secret = Secret { metadata, value, selection: Selection::Whole, encoding: Encoding::Text };
    Outcome::Given(secret, Origin { vault: "https://v.vault.azure.net".into(), is_fallback: false })
}
