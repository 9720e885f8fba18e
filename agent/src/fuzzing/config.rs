//! Every text is a configuration that fits together, or has problems with their places; none makes the reader panic.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::config::difference::Changes;
use crate::config::{Config, Defaults, Problem};
use crate::files;
use crate::principal::Accounts;

/// The socket where the text names none.
const SOCKET: &str = "/run/keyside/agent.sock";

/// A day: no configured time between two looks is longer.
const DAY: Duration = Duration::from_hours(24);

/// A machine with one user and one group.
pub(crate) struct OneOfEach;

impl Accounts for OneOfEach {
    fn user(&self, name: &str) -> Option<u32> {
        (name == "trainer").then_some(1001)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "ml").then_some(2001)
    }
}

pub(super) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match (parse(text), parse(&format!("{text}\n# a comment\n"))) {
        (Ok(config), Ok(with_comment)) => {
            assert_eq!(Changes::between(&config, &with_comment), Ok(Changes::default()), "a comment changes nothing");
            fits(&config);
        }
        (Err(problems), Err(with_comment)) => {
            // What is missing from the whole is told at the end, which the comment moved; so does a text without its end.
            assert_eq!(problems.is_empty(), with_comment.is_empty());
            are_told(text, &problems);
        }
        // A comment can end what the text left open, or be taken into it.
        (Ok(_), Err(problems)) | (Err(problems), Ok(_)) => assert!(!problems.is_empty(), "no problem is told"),
    }
}

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, &OneOfEach, Defaults::of_service(990, Path::new(SOCKET)))
}

fn are_told(text: &str, problems: &[Problem]) {
    assert!(!problems.is_empty(), "a text that is refused has a problem");
    assert!(problems.is_sorted_by_key(|problem| problem.line), "{problems:?}");
    let lines = 1 + text.matches('\n').count();
    for problem in problems {
        assert!((1..=lines).contains(&problem.line), "{problem:?} of {lines} lines");
        assert!(!problem.message.is_empty());
        assert!(!problem.message.contains(char::is_control), "a terminal obeys {problem:?}");
    }
}

/// What the agent relies on without looking again.
fn fits(config: &Config) {
    let names: BTreeSet<_> = config.wanted.iter().map(|wanted| &wanted.name).collect();
    assert_eq!(names.len(), config.wanted.len(), "a name is used twice");
    assert!(!names.is_empty());
    let readers = &config.serve.access.readers;
    assert!(readers.keys().eq(names.iter().copied()), "each secret has its readers, and nothing else has");
    assert!(readers.values().all(|readers| !readers.is_empty()), "a secret that nobody may read");
    assert!(config.variables.values().all(|name| names.contains(name)));
    let pace = config.rotation.pace;
    assert!(pace.interval <= pace.full_refresh && pace.full_refresh <= DAY, "{pace:?}");
    assert!(config.rotation.max_stale.is_none_or(|limit| limit >= 2 * pace.interval), "{:?}", config.rotation);
    // Waits are multiples of what is configured, and time goes on: the sums must be times.
    assert!(pace.wait(1.0) + pace.wait_full(false, 1.0) + pace.wait_failed(u32::MAX, None, 1.0) < 3 * DAY);
    assert!(config.fallback.iter().all(|vault| *vault != config.vault && vault.cloud() == config.vault.cloud()));
    if let Some(files) = &config.files {
        stay_apart(files, &config.serve.socket);
    }
}

fn stay_apart(files: &files::Settings, socket: &Path) {
    assert!(files.directory.is_absolute() && files.directory != Path::new("/"), "{}", files.directory.display());
    let targets = files.targets.values().chain(files.env_files.iter().map(|file| &file.target));
    let places: Vec<_> = targets.map(|target| files.directory.join(target.path.as_str())).collect();
    for (index, place) in places.iter().enumerate() {
        assert!(place.starts_with(&files.directory) && *place != files.directory, "{}", place.display());
        assert!(!socket.starts_with(place), "{} takes the socket's place", place.display());
        let others = places[index + 1..].iter();
        let clash = others.into_iter().find(|other| other.starts_with(place) || place.starts_with(other));
        assert_eq!(clash, None, "{} is in the way", place.display());
    }
}
