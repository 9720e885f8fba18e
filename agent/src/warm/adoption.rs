//! What of the memory of agents before this one is taken over: what today's configuration would have fetched, and not more.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use super::found::{Estate, Found};
use super::index::{Kept, recipe};
use crate::causes::with_causes;
use crate::clock::Moment;
use crate::encoding::Encoding;
use crate::memory::{Arena, Locked, MemoryExhausted};
use crate::refresh::Wanted;
use crate::secret::{Metadata, Secret, SecretName, SecretValue, Version};
use crate::store::{Origin, Published};

/// Most bytes of a value: forty times what Key Vault stores.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// By what it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Today<'a> {
    /// The secrets that are configured.
    pub wanted: &'a [Wanted],
    /// The vaults that are configured.
    pub vaults: &'a [Origin],
    /// How long a value is served that no vault confirms; without end where there is none.
    pub max_stale: Option<Duration>,
    /// When.
    pub now: Moment,
}

/// Says why a value is not taken over.
#[derive(Debug, Error)]
pub(super) enum Unfit {
    #[error("it is not configured any more")]
    Unwanted,
    #[error("it is configured otherwise now")]
    MadeOtherwise,
    #[error("it comes from a vault that is not configured any more")]
    OtherVault,
    #[error("the vault has not confirmed it for {0:?}, which is too long")]
    TooOld(Duration),
    #[error("it says that it comes from the future")]
    Future,
    #[error("what is said of it cannot be true")]
    Untrue,
    #[error("its value is not where the index says")]
    NoValue,
    #[error("its value was wiped")]
    Wiped,
    #[error("its value does not fit what it is configured for")]
    Value,
    #[error("there is no memory for it")]
    Memory(#[from] MemoryExhausted),
}

/// Takes over what fits, into memory of this agent; of a secret that several agents kept, what was confirmed last.
pub(super) fn adopt(found: &Found, today: Today<'_>, arena: &Arena) -> Vec<(SecretName, Published)> {
    let mut adopted: BTreeMap<SecretName, Published> = BTreeMap::new();
    for estate in found.estates.values() {
        let index = match estate.index() {
            Ok(index) => index,
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "what an agent before this one kept is not believed");
                continue;
            }
        };
        for kept in index.secrets {
            match judge(&kept, estate, today, arena) {
                Ok((name, published)) => {
                    let is_older = |known: &Published| known.fetched.uptime >= published.fetched.uptime;
                    if !adopted.get(&name).is_some_and(is_older) {
                        adopted.insert(name, published);
                    }
                }
                Err(error) => {
                    tracing::info!(secret = kept.name, error = with_causes(&error), "a kept value is wiped");
                }
            }
        }
    }
    for (name, published) in &adopted {
        let (version, age) = (&published.secret.metadata.version, published.age(today.now));
        tracing::info!(secret = %name, %version, ?age, "taken over from the agent before");
    }
    adopted.into_iter().collect()
}

fn judge(kept: &Kept, estate: &Estate, today: Today<'_>, arena: &Arena) -> Result<(SecretName, Published), Unfit> {
    let wanted = today.wanted.iter().find(|wanted| wanted.name.as_str() == kept.name).ok_or(Unfit::Unwanted)?;
    let version: Version = kept.version.parse().map_err(|_| Unfit::Untrue)?;
    if recipe(wanted) != kept.recipe || wanted.version.as_ref().is_some_and(|pinned| *pinned != version) {
        return Err(Unfit::MadeOtherwise);
    }
    let origin = today.vaults.iter().find(|origin| *origin.vault == *kept.vault).ok_or(Unfit::OtherVault)?;
    let fetched = Moment { wall: kept.fetched, uptime: Duration::from_nanos(kept.fetched_uptime) };
    if fetched.uptime > today.now.uptime {
        return Err(Unfit::Future);
    }
    let age = today.now.since(fetched);
    if today.max_stale.is_some_and(|max_stale| age >= max_stale) {
        return Err(Unfit::TooOld(age));
    }
    let locked = value(kept, estate, arena)?;
    check(wanted, locked.as_ref())?;
    let Kept { content_type, created, updated, expires, .. } = kept.clone();
    let secret = Secret {
        metadata: Metadata { version, content_type, created, updated, expires },
        selection: wanted.selection.clone(),
        encoding: wanted.encoding,
        value: SecretValue::new(locked),
    };
    Ok((wanted.name.clone(), Published::new(secret, fetched, origin.clone())))
}

/// Copies a value into memory that no other process knows.
fn value(kept: &Kept, estate: &Estate, arena: &Arena) -> Result<Locked, Unfit> {
    let chunk = estate.chunk(kept.chunk).ok_or(Unfit::NoValue)?;
    if kept.length > VALUE_BYTES_MAX.min(chunk.len()) {
        return Err(Unfit::NoValue);
    }
    let mut buffer = arena.buffer(kept.length)?;
    let copied = buffer
        .fill(kept.length, |room| if chunk.read(kept.offset, room) { Ok(room.len()) } else { Err(Unfit::NoValue) })?;
    copied.map(|()| buffer.freeze())
}

fn check(wanted: &Wanted, value: &[u8]) -> Result<(), Unfit> {
    if !value.is_empty() && value.iter().all(|byte| *byte == 0) {
        return Err(Unfit::Wiped);
    }
    let is_text = wanted.encoding != Encoding::Text || std::str::from_utf8(value).is_ok();
    if is_text && wanted.check_lines(value).is_ok() { Ok(()) } else { Err(Unfit::Value) }
}
