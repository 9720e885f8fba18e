//! Names, secrets, a vault and a clock for tests.

pub(crate) mod vault;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::clock::{Clock, Moment};
use crate::encoding::Encoding;
use crate::memory::Arena;
use crate::refresh::{Budget, Gates, Upstream};
use crate::secret::{Metadata, Secret, SecretName, SecretValue};
use crate::selection::Selection;
use crate::store::{Fetched, Origin, Outcome, Publication, Publisher, Setback};
use crate::vault::{Delivery, FetchError, Source};

pub(crate) fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The moment at which everything in tests is made and fetched: 2026-01-01T00:00:00Z.
pub(crate) fn new_year() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("in range")
}

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

/// What is known of a secret whose version is 32 times the `digit`.
pub(crate) fn metadata(digit: char) -> Metadata {
    Metadata {
        version: digit.to_string().repeat(32).parse().expect("a version"),
        content_type: Some("text/plain".to_owned()),
        created: Some(new_year()),
        updated: Some(new_year()),
        expires: None,
    }
}

/// A secret whose version is 32 times the `digit`.
pub(crate) fn secret(digit: char, value: &[u8]) -> Secret {
    let value = SecretValue::new(Arena::unlocked().store(value).expect("memory"));
    Secret { metadata: metadata(digit), selection: Selection::Whole, encoding: Encoding::Text, value }
}

/// Where secrets in tests come from.
pub(crate) fn origin() -> Origin {
    Origin { vault: "https://v.vault.azure.net".into(), is_fallback: false }
}

/// The way to one vault, which may be asked.
pub(crate) fn gates() -> Gates {
    let clock = Arc::new(TimerClock::start());
    let budget = Budget { sources: 1, wait_max: Duration::from_mins(2), clock, dice: || 1.0 };
    Upstream::new(vec![(origin().vault.to_string(), ())], budget).gates()
}

/// What is fetched for the newest version of a secret.
pub(crate) fn source(text: &str) -> Source {
    Source { name: name(text), version: None, delivery: Delivery::AsStored }
}

/// So many seconds after [`new_year`], when the machine was started.
pub(crate) fn moment(seconds: u64) -> Moment {
    let uptime = Duration::from_secs(seconds);
    Moment { wall: new_year() + SignedDuration::try_from(uptime).expect("a test is short"), uptime }
}

/// What a fetch means for a store that is not to take anything away.
pub(crate) fn outcome(result: Result<Secret, FetchError>) -> Outcome {
    match result {
        Ok(secret) => Outcome::Given(secret, origin()),
        Err(error) => Outcome::Failed(Setback::from(&error)),
    }
}

pub(crate) fn publish(publisher: &Publisher, local: &str, result: Result<Secret, FetchError>) -> Publication {
    publisher.apply(vec![Fetched { name: name(local), outcome: outcome(result) }], moment(0))
}

/// A clock that follows the runtime's timer, so that under paused time one sleep moves both. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct TimerClock {
    start: Instant,
    /// How far the time of day was set forward or back, in seconds.
    set_by: Arc<AtomicI64>,
    /// How long the machine slept, in seconds.
    slept: Arc<AtomicU64>,
}

impl TimerClock {
    /// A clock that shows [`new_year`] now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), set_by: Arc::default(), slept: Arc::default() }
    }

    /// Sets the time of day forward or back.
    pub(crate) fn set(&self, seconds: i64) {
        self.set_by.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Lets the machine sleep, which the runtime's timer does not notice.
    pub(crate) fn suspend(&self, seconds: u64) {
        self.slept.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        let set_by = SignedDuration::from_secs(self.set_by.load(Ordering::Relaxed));
        new_year() + SignedDuration::try_from(self.uptime()).expect("a test is short") + set_by
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed() + Duration::from_secs(self.slept.load(Ordering::Relaxed))
    }
}
