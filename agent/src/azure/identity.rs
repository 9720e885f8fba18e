//! Who Keyside is to Azure: one token per audience, shared by all, renewed before it expires and after a rejection.

mod app_service;
mod attempt;
mod azure_ml;
mod certificate;
mod chain;
mod claims;
mod entra;
mod imds;
mod minter;
mod platform;
mod rejection;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use hyper::Uri;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::attempt::{Obstacle, listed};
use self::chain::Candidate;
use self::minter::{Mint, Minter};
use self::source::Plan;
use super::transport::{Reach, Transport};
use crate::clock::{Clock, between};
use crate::environment::Environment;

pub use self::attempt::{Attempt, TokenError};
pub use self::claims::Claims;
pub use self::entra::{Authority, InvalidAuthority};
pub use self::rejection::RejectionWatch;
pub use self::settings::{Kind, Settings, UnknownKind};
pub use self::source::Source;

/// A token is renewed no sooner than this after it was got; a failed renewal is tried again after it, and so is a source
/// that could not serve when a later one did.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// A token that was just given is taken to be good for so long, even where this machine's clock says that it has expired:
/// a service that knows better rejects it, and a wrong clock must not have every request sign in anew.
const LIFETIME_MIN: Duration = Duration::from_mins(2);

/// Longest sleep before a renewal, since the runtime's timer stands still while the machine is suspended.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The identity that Keyside has, from whichever source it comes.
pub struct Identity {
    candidates: Vec<Candidate>,
    minter: Box<dyn Mint>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held while a token is asked for, so that everybody who needs one waits for the same.
    minting: tokio::sync::Mutex<()>,
    changed: Notify,
}

/// The sign-in service, and the way there.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The way there, and to every other source of tokens.
    pub transport: Arc<Transport>,
    /// Where the service is.
    pub authority: Authority,
}

#[derive(Default)]
struct State {
    /// The candidate that gave the latest token; it is kept to unless one before it merely could not serve.
    chosen: Option<usize>,
    /// Those that were tried before it in vain.
    passed: Vec<Attempt>,
    tokens: BTreeMap<String, Held>,
    /// How often no source gave a token, and why the last time.
    refusals: u64,
    refused: Option<TokenError>,
}

impl State {
    /// The candidate that alone is asked from now on; none while one before it may yet serve.
    fn settled(&self) -> Option<usize> {
        self.chosen.filter(|_| !self.passed.iter().any(|attempt| attempt.passing))
    }
}

/// Who signed in, and how.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Where the token comes from.
    pub source: Source,
    /// The sources that come before it, and why each gave none.
    pub passed: Vec<Attempt>,
    /// What the token says.
    pub claims: Claims,
    /// Until when it is good.
    pub expires: Timestamp,
    /// The endpoint of the platform that gave it and the way there, where it was one.
    pub platform: Option<(Uri, Reach)>,
}

/// A token, when to think of the next one, and until when it is good, by the time that passes: a clock that is set by a
/// day makes no token old or young.
#[derive(Clone)]
struct Held {
    token: AccessToken,
    renew_at: Duration,
    good_until: Duration,
}

impl Identity {
    /// An identity of the demanded kind. Nothing is read or asked before the first token is needed.
    #[must_use]
    pub fn new(settings: &Settings, environment: &Environment, sign_in: SignIn, clock: Arc<dyn Clock>) -> Arc<Self> {
        let SignIn { transport, authority } = sign_in;
        let candidates = chain::candidates(settings, environment, transport.timeouts());
        let minter = Minter { transport, authority, clock: Arc::clone(&clock) };
        Arc::new(Self::with(candidates, Box::new(minter), clock))
    }

    fn with(candidates: Vec<Candidate>, minter: Box<dyn Mint>, clock: Arc<dyn Clock>) -> Self {
        Self {
            candidates,
            minter,
            clock,
            state: Mutex::default(),
            minting: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Where the tokens come from, once there has been one.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.state().chosen.map(|index| self.candidates[index].source)
    }

    /// Gets a token for `scope`, and tells about it all but the token itself.
    ///
    /// # Errors
    /// [`TokenError`] when no source gives one.
    pub async fn sign_in(&self, scope: &str) -> Result<SignedIn, TokenError> {
        let token = self.token(scope).await?;
        let state = self.state();
        let candidate = &self.candidates[state.chosen.unwrap_or_default()];
        Ok(SignedIn {
            source: candidate.source,
            passed: state.passed.clone(),
            claims: Claims::of(&token),
            expires: expiry(&token),
            platform: candidate.plan.as_ref().ok().and_then(Plan::platform),
        })
    }

    /// Renews every token ahead of its expiry, until `stop` is cancelled, so that nobody waits for any but the first.
    pub async fn refresh_ahead(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let next = self.state().tokens.iter().map(|(scope, held)| (held.renew_at, scope.clone())).min();
            let wait = async {
                match &next {
                    Some((at, _)) => tokio::time::sleep(self.wait_for(*at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => continue,
                () = wait => {}
            }
            if let Some((_, scope)) = next {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.renew(&scope) => {}
                }
            }
        }
    }

    fn wait_for(&self, at: Duration) -> Duration {
        at.saturating_sub(self.clock.uptime()).min(SLEEP_MAX)
    }

    async fn renew(&self, scope: &str) {
        let _single = self.minting.lock().await;
        let due = |held: &Held| held.renew_at <= self.clock.uptime();
        if !self.state().tokens.get(scope).is_some_and(due) {
            return;
        }
        if let Err(error) = self.mint(scope).await {
            let now = self.clock.uptime();
            let mut state = self.state();
            if let Some(held) = state.tokens.get_mut(scope) {
                held.renew_at = now + RENEWAL_PAUSE;
                let left = held.good_until.saturating_sub(now);
                tracing::warn!(scope, ?left, error = %error, "the token could not be renewed ahead of its expiry");
            }
        }
    }

    /// Forgets `token`, which a service has rejected, so that the next request gets a fresh one.
    pub(super) fn reject(&self, token: &str) {
        let mut state = self.state();
        let before = state.tokens.len();
        state.tokens.retain(|_, held| held.token.token.secret() != token);
        if state.tokens.len() < before {
            tracing::info!("a service rejected the token; the next request gets a fresh one");
        }
    }

    async fn token(&self, scope: &str) -> Result<AccessToken, TokenError> {
        if let Some(token) = self.valid(scope) {
            return Ok(token);
        }
        let before = self.state().refusals;
        let _single = self.minting.lock().await;
        if let Some(token) = self.valid(scope) {
            return Ok(token);
        }
        // Whoever waited while others were refused gets their answer: twenty secrets must not wait for twenty time-outs.
        let refused =
            Some(self.state()).filter(|state| state.refusals > before).and_then(|state| state.refused.clone());
        match refused {
            Some(error) => Err(error),
            None => self.mint(scope).await,
        }
    }

    fn valid(&self, scope: &str) -> Option<AccessToken> {
        let now = self.clock.uptime();
        self.state().tokens.get(scope).filter(|held| held.good_until > now).map(|held| held.token.clone())
    }

    /// Asks the candidate that is settled on, or each until one gives a token. Every try makes a credential anew, because those of
    /// the SDK keep the token that they once had until it is about to expire.
    async fn mint(&self, scope: &str) -> Result<AccessToken, TokenError> {
        let settled = self.state().settled();
        let mut attempts = Vec::new();
        for (index, candidate) in self.candidates.iter().enumerate() {
            if settled.is_some_and(|settled| settled != index) {
                continue;
            }
            let source = candidate.source;
            let Obstacle { reason, passing } = match &candidate.plan {
                Err(missing) => missing.clone().into(),
                Ok(plan) => match self.minter.mint(plan, scope).await {
                    Ok(token) => {
                        self.keep(scope, &token, index, attempts);
                        return Ok(token);
                    }
                    Err(obstacle) => {
                        tracing::debug!(%source, reason = obstacle.reason, "no token from this source");
                        obstacle
                    }
                },
            };
            attempts.push(Attempt { source, reason, passing });
        }
        let error = TokenError { attempts };
        let mut state = self.state();
        state.refusals += 1;
        state.refused = Some(error.clone());
        drop(state);
        Err(error)
    }

    /// Keeps a token, and to the candidate that gave it after others were tried in vain. Where one of those merely could not
    /// serve, the token is good for the meantime only: it may be of an identity that nobody meant, without any rights.
    fn keep(&self, scope: &str, token: &AccessToken, index: usize, in_vain: Vec<Attempt>) {
        let now = self.clock.moment();
        let lifetime = between(now.wall, expiry(token)).max(LIFETIME_MIN);
        let mut state = self.state();
        if state.settled().is_none() {
            if state.chosen.replace(index) != Some(index) {
                let passed = listed(&in_vain);
                tracing::info!(source = %self.candidates[index].source, passed, "signed in to Azure");
            }
            state.passed = in_vain;
        }
        let pause = if state.settled().is_some() { renew_after(lifetime) } else { RENEWAL_PAUSE };
        let (renew_at, good_until) = (now.uptime + pause, now.uptime + lifetime);
        state.tokens.insert(scope.to_owned(), Held { token: token.clone(), renew_at, good_until });
        drop(state);
        self.changed.notify_one();
    }

    /// Held only to look at or change a few fields; nothing waits or fails inside.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenCredential for Identity {
    /// The options are for a caller's context, which may hold the place for a secret's value; a token is none.
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let token = self.token(&scopes.join(" ")).await;
        token.map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("source", &self.source()).finish_non_exhaustive()
    }
}

/// How long after it was got a token is renewed: after half of what was left of its life. That leaves at least five
/// minutes before expiry for every token that lives ten, and many tries for one of a day. A platform that gives the
/// same token again is asked less and less late, as half of the rest, but never without a pause.
fn renew_after(lifetime: Duration) -> Duration {
    (lifetime / 2).max(RENEWAL_PAUSE)
}

fn expiry(token: &AccessToken) -> Timestamp {
    Timestamp::from_second(token.expires_on.unix_timestamp()).unwrap_or(Timestamp::MAX)
}
