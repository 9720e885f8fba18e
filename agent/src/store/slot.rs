//! What is known of one secret, and what becomes of it by each answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::causes::with_causes;
use crate::clock::Moment;
use crate::secret::{Secret, SecretName};
use crate::vault::FetchError;

/// What is known of one secret.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Whether readiness does without it.
    pub optional: bool,
    /// The last good version, once there was one and unless it was withdrawn.
    pub published: Option<Published>,
    /// Why the latest look brought nothing; none after a good one, which most are.
    pub failure: Option<Box<Failure>>,
    /// Why there is no value any more, where one was withdrawn or would have been.
    pub withdrawn: Option<Withdrawn>,
    /// Whether nothing has come of any look yet, since the start or since it is configured as it is.
    pub is_new: bool,
}

/// How a secret fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The latest look confirmed it.
    Fresh,
    /// There is a value, and the latest look failed.
    Stale,
    /// There has not been a value yet.
    Awaited,
    /// The vault has taken it away: the value is wiped.
    Revoked,
    /// The vault could not confirm it for too long: the value is wiped.
    TooStale,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Fresh, Self::Stale, Self::Awaited, Self::Revoked, Self::TooStale];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Awaited => "awaited",
            Self::Revoked => "revoked",
            Self::TooStale => "too_stale",
        }
    }
}

/// A version that readers get.
#[derive(Clone, Debug)]
pub struct Published {
    /// The value and what the vault says about it.
    pub secret: Secret,
    /// When the vault last confirmed it.
    pub fetched: Moment,
    /// Which vault that was.
    pub origin: Origin,
    /// Whether it has been said that it grows old.
    warned: bool,
}

/// Which of the vaults gave a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The vault's address.
    pub vault: Arc<str>,
    /// Whether it stands in for the first one.
    pub is_fallback: bool,
}

/// Why looks fail, since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// [`FetchError::code`] of the latest one.
    pub code: &'static str,
    /// The latest error with its causes, for operators.
    pub message: String,
    /// The first of the unbroken row of failures.
    pub since: Timestamp,
    /// Whether it says nothing about the secret, only that the vault could not be asked.
    is_outage: bool,
}

/// Why there is no value any more, since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Why.
    pub why: Why,
    /// Since when.
    pub since: Timestamp,
}

/// Why a value is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The vault does not give it any more, by this [`FetchError::code`].
    Revoked(&'static str),
    /// The vault could not confirm it for longer than is allowed.
    TooStale,
}

/// Why a look brought nothing: an error as far as readers and operators are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) is_outage: bool,
}

impl From<&FetchError> for Setback {
    fn from(error: &FetchError) -> Self {
        Self { code: error.code(), message: with_causes(error), is_outage: error.is_transient() }
    }
}

impl Setback {
    /// A vault that was not asked, because it failed several times in a row and is left alone for a while.
    fn held_back() -> Self {
        let message = "the vault failed several times in a row, and is left alone for a while".to_owned();
        Self { code: "unavailable", message, is_outage: true }
    }

    /// A fallback that would take readers back to an older version.
    fn outdated(origin: &Origin) -> Self {
        let message = format!("the first vault cannot be reached, and {} has an older version", origin.vault);
        Self { code: "unavailable", message, is_outage: true }
    }
}

/// What a look brought of one secret.
#[derive(Debug)]
pub enum Outcome {
    /// The secret.
    Given(Secret, Origin),
    /// A list says that it is as it was.
    Confirmed,
    /// Nothing; the last good value stays.
    Failed(Setback),
    /// Nothing, as the vault was not asked; the last good value stays.
    HeldBack,
    /// The verdict that the vault has taken it away.
    Revoked(Setback),
}

impl Published {
    /// What was given just now.
    #[must_use]
    pub fn new(secret: Secret, fetched: Moment, origin: Origin) -> Self {
        Self { secret, fetched, origin, warned: false }
    }

    /// How long ago the vault last confirmed it.
    #[must_use]
    pub fn age(&self, now: Moment) -> Duration {
        now.since(self.fetched)
    }

    fn confirm(&mut self, now: Moment) {
        self.fetched = now;
        self.warned = false;
    }

    /// Whether taking `secret` from a fallback would be a step back.
    fn is_newer_than(&self, secret: &Secret) -> bool {
        self.secret.metadata.updated > secret.metadata.updated
    }
}

impl Slot {
    /// Nothing known yet.
    pub(super) fn empty(optional: bool) -> Self {
        Self { optional, published: None, failure: None, withdrawn: None, is_new: true }
    }

    /// How the secret fares.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.published, &self.withdrawn, &self.failure) {
            (Some(_), _, Some(_)) => State::Stale,
            (Some(_), _, None) => State::Fresh,
            (None, Some(Withdrawn { why: Why::Revoked(_), .. }), _) => State::Revoked,
            (None, Some(Withdrawn { why: Why::TooStale, .. }), _) => State::TooStale,
            (None, None, _) => State::Awaited,
        }
    }

    /// Answers whether readers see anything new.
    pub(super) fn take(&mut self, name: &SecretName, outcome: Outcome, now: Moment) -> bool {
        self.is_new = false;
        match outcome {
            Outcome::Given(secret, origin) => self.given(name, secret, origin, now),
            Outcome::Confirmed => {
                self.confirmed(name, now);
                false
            }
            Outcome::Failed(setback) => self.failed(name, setback, now),
            Outcome::HeldBack if self.failure.is_some() => false,
            Outcome::HeldBack => self.failed(name, Setback::held_back(), now),
            Outcome::Revoked(setback) => self.revoked(name, setback, now),
        }
    }

    fn given(&mut self, name: &SecretName, secret: Secret, origin: Origin, now: Moment) -> bool {
        if let Some(held) = &self.published
            && origin.is_fallback
            && held.is_newer_than(&secret)
        {
            return self.failed(name, Setback::outdated(&origin), now);
        }
        self.succeeded(name);
        let before = self.published.as_ref().map_or(origin.is_fallback, |held| held.origin.is_fallback);
        match (before, origin.is_fallback) {
            (false, true) => tracing::warn!(secret = %name, vault = %origin.vault, "a fallback vault gives the secret"),
            (true, false) => tracing::info!(secret = %name, vault = %origin.vault, "the first vault gives the secret"),
            _ => {}
        }
        match &mut self.published {
            Some(published) if published.secret.same_as(&secret) => {
                published.origin = origin;
                published.confirm(now);
                false
            }
            _ => {
                tracing::info!(secret = %name, version = %secret.metadata.version, "published");
                self.published = Some(Published::new(secret, now, origin));
                true
            }
        }
    }

    /// A list has no value to give where there is none.
    fn confirmed(&mut self, name: &SecretName, now: Moment) {
        if self.published.is_some() {
            self.succeeded(name);
        }
        if let Some(published) = &mut self.published {
            published.confirm(now);
        }
    }

    fn succeeded(&mut self, name: &SecretName) {
        self.withdrawn = None;
        if let Some(failure) = self.failure.take() {
            tracing::info!(secret = %name, since = %failure.since, "the vault gives the secret again");
        }
    }

    /// Takes what an agent before this one left.
    pub(super) fn adopt(&mut self, published: Published, now: Moment) {
        self.is_new = false;
        self.published = Some(published);
        self.note(Setback::unconfirmed(), now);
    }

    /// Keeps the last good value. One line for each change of state, not for each failed look.
    fn failed(&mut self, name: &SecretName, setback: Setback, now: Moment) -> bool {
        let known = self.note(setback, now);
        let Some(failure) = &self.failure else { return false };
        let is_news = known.is_none_or(|known| known.code != failure.code && !(known.is_outage && failure.is_outage));
        if is_news {
            let serving = if self.published.is_some() { "the last good version" } else { "nothing" };
            tracing::warn!(secret = %name, code = failure.code, error = failure.message, serving, "no fresh value");
        }
        false
    }

    fn revoked(&mut self, name: &SecretName, setback: Setback, now: Moment) -> bool {
        let code = setback.code;
        self.note(setback, now);
        if matches!(self.withdrawn, Some(Withdrawn { why: Why::Revoked(_), .. })) {
            return false;
        }
        let error = self.failure.as_ref().map(|failure| failure.message.as_str());
        tracing::warn!(secret = %name, code, error, "revoked by the vault: its value is wiped");
        self.withdraw(Why::Revoked(code), now);
        true
    }

    fn note(&mut self, setback: Setback, now: Moment) -> Option<Box<Failure>> {
        let Setback { code, message, is_outage } = setback;
        let known = self.failure.take();
        let since = known.as_ref().map_or(now.wall, |failure| failure.since);
        self.failure = Some(Box::new(Failure { code, message, since, is_outage }));
        known
    }

    fn withdraw(&mut self, why: Why, now: Moment) {
        self.published = None;
        self.withdrawn = Some(Withdrawn { why, since: now.wall });
    }

    /// Withdraws a value that is `max_stale` old, and warns of one that is half as old. Answers whether readers see
    /// anything new.
    pub(super) fn grow_old(&mut self, name: &SecretName, max_stale: Duration, now: Moment) -> bool {
        let Some(published) = &mut self.published else { return false };
        let age = published.age(now);
        if age >= max_stale {
            tracing::error!(secret = %name, ?age, "the vault has not confirmed it for too long: its value is wiped");
            self.withdraw(Why::TooStale, now);
            return true;
        }
        if age >= max_stale / 2 && !std::mem::replace(&mut published.warned, true) {
            let wiped_in = max_stale.saturating_sub(age);
            tracing::warn!(secret = %name, ?age, ?wiped_in, "the value grows old: the vault does not confirm it");
        }
        false
    }

    /// The uptime at which [`Self::grow_old`] has something to do next.
    pub(super) fn ages_at(&self, max_stale: Duration) -> Option<Duration> {
        let published = self.published.as_ref()?;
        let wait = if published.warned { max_stale } else { max_stale / 2 };
        Some(published.fetched.uptime.saturating_add(wait))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Revoked("denied") => "this agent may not read it any more",
            Self::Revoked("disabled") => "it is disabled in the vault",
            Self::Revoked(_) => "the vault has no such secret or version",
            Self::TooStale => "the vault has not confirmed it for too long",
        })
    }
}
