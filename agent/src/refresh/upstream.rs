//! The one budget of what is asked of vaults: how much at once, through which circuit, and which vault stands in for which.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Dice, Source};
use crate::clock::Clock;
use crate::schedule::{Admission, Circuit, CircuitState};
use crate::secret::Secret;
use crate::store::Origin;
use crate::vault::{FetchError, Listed, Vault};

/// How many requests to vaults may be under way at once, for the whole agent. With four, one that is slow holds up a
/// quarter of a look at most, and a thousand agents that start together stay within what a vault allows, 4,000 requests in
/// ten seconds.
const CONCURRENT_REQUESTS: usize = 4;

/// How many of them may be for secrets whose last request failed: what hangs again and again leaves room for the others.
const CONCURRENT_DOUBTFUL: usize = CONCURRENT_REQUESTS - 1;

/// Longest time that one request may take: four times the deadline that the vault's client sets itself, a token included.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_mins(2);

/// The vaults, the first one and those that stand in for it. Nothing else asks a vault for anything.
pub struct Upstream<V> {
    vaults: Vec<V>,
    gates: Gates,
    permits: Semaphore,
    doubtful: Semaphore,
    clock: Arc<dyn Clock>,
    dice: Dice,
}

/// The way to each vault, in the order in which they are tried. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Gates(Arc<[Gate]>);

/// The way to one vault.
#[derive(Debug)]
pub struct Gate {
    /// Which vault.
    pub origin: Origin,
    circuit: Mutex<Circuit<Subject>>,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    List,
    Secret(Source),
}

/// What the last requests for a secret came to, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// They failed as in an outage.
    pub(super) failed: bool,
    /// The first vault refused it, and has not given it since.
    pub(super) refused: bool,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Reply<T> {
    pub(super) answer: Answer<T>,
    /// The first vault answers again after it was left alone.
    pub(super) healed: bool,
}

/// What came of a request, as far as the vaults are concerned.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// It was made.
    Heard(Result<T, FetchError>),
    /// It was not, because every vault that could be asked is left alone; asking again makes sense in this time.
    HeldBack {
        /// How long to wait.
        wait: Duration,
    },
}

impl Gates {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Gate> {
        self.0.iter()
    }

    /// How long every vault is left alone yet; none where one may be asked.
    fn closed_for(&self, now: Duration) -> Option<Duration> {
        let waits = self.iter().map(|gate| match gate.circuit().permits(now) {
            Admission::Granted => None,
            Admission::Refused { wait } => Some(wait),
        });
        waits.collect::<Option<Vec<_>>>()?.into_iter().min()
    }
}

impl Gate {
    /// How its circuit is.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        self.circuit().state()
    }

    /// Held only to apply a rule to a few numbers; nothing waits or fails inside.
    fn circuit(&self) -> MutexGuard<'_, Circuit<Subject>> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> std::fmt::Debug for Upstream<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Upstream").field("gates", &self.gates).finish_non_exhaustive()
    }
}

/// How vaults are asked.
pub struct Budget {
    /// How many different secrets are asked for.
    pub sources: usize,
    /// The longest wait between two probes of a vault that fails, in the absence of its own wish.
    pub wait_max: Duration,
    /// Tells how much time has passed.
    pub clock: Arc<dyn Clock>,
    /// Draws lots.
    pub dice: Dice,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Budget").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl<V> Upstream<V> {
    /// The vaults by their addresses; the first is the one that counts.
    #[must_use]
    pub fn new(vaults: Vec<(String, V)>, budget: Budget) -> Self {
        let Budget { sources, wait_max, clock, dice } = budget;
        let gate = |(index, address): (usize, String)| Gate {
            origin: Origin { vault: address.into(), is_fallback: index > 0 },
            circuit: Mutex::new(Circuit::new(sources, wait_max, REQUEST_TIME_MAX)),
        };
        let (addresses, vaults): (Vec<_>, Vec<_>) = vaults.into_iter().unzip();
        let gates = Gates(addresses.into_iter().enumerate().map(gate).collect());
        Self {
            vaults,
            gates,
            permits: Semaphore::new(CONCURRENT_REQUESTS),
            doubtful: Semaphore::new(CONCURRENT_DOUBTFUL),
            clock,
            dice,
        }
    }

    /// The ways to the vaults, for those who show how they are.
    #[must_use]
    pub fn gates(&self) -> Gates {
        self.gates.clone()
    }

    /// Asks from now on for so many different secrets, and waits no longer than this between two probes.
    pub(super) fn serve(&self, sources: usize, wait_max: Duration) {
        self.gates.iter().for_each(|gate| gate.circuit().adapt(sources, wait_max));
    }

    /// Whether any vault can stand in for the first.
    pub(super) fn has_fallback(&self) -> bool {
        self.vaults.len() > 1
    }

    /// How long every vault is left alone yet; none where one may be asked.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        self.gates.closed_for(self.clock.uptime())
    }

    /// Notes for a gate's circuit what came of a request, and answers whether that closed it.
    fn note<T>(&self, gate: &Gate, subject: &Subject, result: &Result<T, FetchError>) -> bool {
        let vault = &gate.origin.vault;
        match result {
            Err(error) if error.is_transient() => {
                let (now, dice) = (self.clock.uptime(), (self.dice)());
                if gate.circuit().failed(subject, error.retry_after(), now, dice) {
                    tracing::warn!(%vault, code = error.code(), "the vault fails, and is left alone for a while");
                }
                false
            }
            _ => {
                let closed = gate.circuit().answered(subject);
                if closed {
                    tracing::info!(%vault, "the vault answers again");
                }
                closed
            }
        }
    }
}

impl<V: Vault> Upstream<V> {
    /// Fetches a secret from the first vault, or from another one while the first is out of reach. What others say counts
    /// only where they give the secret: whether it was taken away is for the first to say, and what that said last holds
    /// while it is silent.
    pub(super) async fn fetch(&self, source: &Source, past: Past) -> Reply<(Secret, Origin)> {
        let _doubt = if past.failed { self.doubtful.acquire().await.ok() } else { None };
        let _permit = self.permits.acquire().await;
        // Of a thousand fetches most wait for a permit, and do without the memory of one that is under way.
        let count = if past.refused { 1 } else { self.vaults.len() };
        Box::pin(self.fetch_from(count, source)).await
    }

    /// Fetches a secret from the first of so many vaults that can be reached.
    async fn fetch_from(&self, count: usize, source: &Source) -> Reply<(Secret, Origin)> {
        let subject = Subject::Secret(source.clone());
        let (mut failure, mut wait, mut healed) = (None, Duration::MAX, false);
        for (vault, gate) in self.vaults.iter().zip(self.gates.iter()).take(count) {
            if let Admission::Refused { wait: longer } = gate.circuit().admit(&subject, self.clock.uptime()) {
                wait = wait.min(longer);
                continue;
            }
            let asking = timeout(REQUEST_TIME_MAX, vault.fetch(source));
            let result = asking.await.unwrap_or_else(|_| Err(late()));
            healed |= self.note(gate, &subject, &result) && !gate.origin.is_fallback;
            match result {
                Ok(secret) => return Reply { answer: Answer::Heard(Ok((secret, gate.origin.clone()))), healed },
                Err(error) if !error.is_transient() && !gate.origin.is_fallback => {
                    return Reply { answer: Answer::Heard(Err(error)), healed };
                }
                Err(error) if error.is_transient() => failure = failure.or(Some(error)),
                Err(error) => {
                    tracing::debug!(secret = %source.name, vault = %gate.origin.vault, code = error.code(), "no stand-in");
                }
            }
        }
        let answer = failure.map_or(Answer::HeldBack { wait }, |error| Answer::Heard(Err(error)));
        Reply { answer, healed }
    }

    /// Lists the first vault.
    pub(super) async fn list(&self, calls_max: usize) -> Reply<Listed> {
        let _permit = self.permits.acquire().await;
        let (Some(vault), Some(gate)) = (self.vaults.first(), self.gates.iter().next()) else {
            return Reply { answer: Answer::HeldBack { wait: Duration::MAX }, healed: false };
        };
        if let Admission::Refused { wait } = gate.circuit().admit(&Subject::List, self.clock.uptime()) {
            return Reply { answer: Answer::HeldBack { wait }, healed: false };
        }
        let listed = timeout(REQUEST_TIME_MAX, vault.list(calls_max)).await.unwrap_or_else(|_| Err(late()));
        let healed = self.note(gate, &Subject::List, &listed);
        Reply { answer: Answer::Heard(listed), healed }
    }
}

fn late() -> FetchError {
    FetchError::Unavailable(format!("no answer within {REQUEST_TIME_MAX:?}").into())
}
