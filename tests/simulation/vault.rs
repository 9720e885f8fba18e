//! A model of Key Vault: it grants so many requests in ten seconds, answers 429 to the rest, and 503 in an outage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use keyside::clock::Clock as _;
use keyside::encoding::Encoding;
use keyside::memory::Arena;
use keyside::schedule::Facts;
use keyside::secret::{Metadata, Secret, SecretName, SecretValue, Version};
use keyside::selection::Selection;
use keyside::vault::{FetchError, Listed, Source, Vault};

use crate::clock::TimerClock;
use crate::course::{Course, Role, WINDOW};

/// How long every answer takes.
const LATENCY: Duration = Duration::from_millis(50);

/// The vault that all agents ask. Clones are the same one.
///
/// Requests are counted in windows that follow each other. Those that are answered 429 do not count, and none says how
/// long to wait: both as Key Vault does it (<https://learn.microsoft.com/azure/key-vault/general/overview-throttling>).
#[derive(Clone)]
pub(crate) struct ModelVault {
    course: Arc<Course>,
    clock: TimerClock,
    contents: Arc<Mutex<Contents>>,
}

struct Contents {
    secrets: BTreeMap<SecretName, Secret>,
    facts: BTreeMap<SecretName, Facts>,
    rotations: u64,
    windows: Vec<Window>,
}

/// What came of the requests of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Answered.
    pub(crate) granted: u32,
    /// Answered 429.
    pub(crate) throttled: u32,
    /// Answered 503.
    pub(crate) refused: u32,
}

impl ModelVault {
    /// A vault that holds what `names` say, all of it since a day.
    pub(crate) fn new(course: &Arc<Course>, clock: TimerClock, names: impl Iterator<Item = SecretName>) -> Self {
        let secrets: BTreeMap<_, _> = names.map(|name| (name, secret(0, Duration::ZERO))).collect();
        let facts = secrets.iter().map(|(name, secret)| (name.folded(), facts(secret))).collect();
        let contents = Contents { secrets, facts, rotations: 0, windows: Vec::new() };
        Self { course: Arc::clone(course), clock, contents: Arc::new(Mutex::new(contents)) }
    }

    /// Gives the first secret a new version.
    pub(crate) fn rotate(&self) {
        let mut contents = self.contents();
        contents.rotations += 1;
        let new = secret(contents.rotations, self.clock.uptime());
        let (name, _) = contents.secrets.first_key_value().expect("it holds secrets");
        let name = name.clone();
        contents.facts.insert(name.folded(), facts(&new));
        contents.secrets.insert(name, new);
    }

    /// The newest version of each secret.
    pub(crate) fn versions(&self) -> BTreeMap<SecretName, Version> {
        let version = |(name, secret): (&SecretName, &Secret)| (name.clone(), secret.metadata.version.clone());
        self.contents().secrets.iter().map(version).collect()
    }

    /// What came of the requests so far, window by window.
    pub(crate) fn windows(&self) -> Vec<Window> {
        self.contents().windows.clone()
    }

    /// Takes one request.
    async fn take(&self) -> Result<(), FetchError> {
        let answer = self.answer();
        tokio::time::sleep(LATENCY).await;
        answer
    }

    fn answer(&self) -> Result<(), FetchError> {
        let now = self.clock.uptime();
        let mut contents = self.contents();
        let index = usize::try_from(now.as_secs() / WINDOW.as_secs()).expect("a simulation is short");
        let length = contents.windows.len().max(index + 1);
        contents.windows.resize(length, Window::default());
        let window = &mut contents.windows[index];
        if self.course.outage.contains(&now) {
            window.refused += 1;
            return Err(FetchError::Unavailable("503".into()));
        }
        if window.granted == self.course.granted {
            window.throttled += 1;
            return Err(FetchError::Throttled { retry_after: None });
        }
        window.granted += 1;
        Ok(())
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("nothing panics inside")
    }
}

impl Vault for ModelVault {
    async fn fetch(&self, source: &Source) -> Result<Secret, FetchError> {
        self.take().await?;
        self.contents().secrets.get(&source.name).cloned().ok_or(FetchError::NotFound)
    }

    async fn list(&self, _calls_max: usize) -> Result<Listed, FetchError> {
        self.take().await?;
        match self.course.role {
            Role::Vault => Ok(Listed::Whole { facts: self.contents().facts.clone(), calls: 1 }),
            Role::Secrets => Err(FetchError::Denied { code: "ForbiddenByRbac", remedy: "give it a role" }),
        }
    }
}

fn secret(version: u64, made: Duration) -> Secret {
    let version = format!("{version:032x}").parse().expect("a version");
    let value = SecretValue::new(Arena::unlocked().store(b"value").expect("memory"));
    let time = if made.is_zero() { TimerClock::date(made) - Duration::from_hours(24) } else { TimerClock::date(made) };
    let metadata = Metadata { version, content_type: None, created: Some(time), updated: Some(time), expires: None };
    Secret { metadata, selection: Selection::Whole, encoding: Encoding::Text, value }
}

fn facts(secret: &Secret) -> Facts {
    Facts { enabled: true, updated: secret.metadata.updated, expires: secret.metadata.expires }
}
