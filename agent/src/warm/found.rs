//! What the service manager gives back: memory of agents before this one, which is believed nothing that does not fit.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use thiserror::Error;

use super::directory::{Lost, checksum, newest};
use super::index::Index;
use crate::causes::with_causes;
use crate::memory::{Region, Unmappable};

/// Most bytes of an index: thousands of secrets.
const INDEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which part of what one agent kept a descriptor is. Its name says it: `keyside-`, sixteen hexadecimal digits for the agent,
/// and `root` or the number of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Root,
    Chunk(usize),
}

impl Part {
    pub(super) fn name(self, agent: u64) -> String {
        match self {
            Self::Root => format!("keyside-{agent:016x}-root"),
            Self::Chunk(number) => format!("keyside-{agent:016x}-{number}"),
        }
    }

    fn read(name: &str) -> Option<(u64, Self)> {
        let (agent, part) = name.strip_prefix("keyside-")?.split_once('-')?;
        let part = match part {
            "root" => Self::Root,
            number => Self::Chunk(number.parse().ok()?),
        };
        let agent = u64::from_str_radix(agent, 16).ok()?;
        (part.name(agent) == name).then_some((agent, part))
    }
}

/// Says why nothing is read of what one agent kept.
#[derive(Debug, Error)]
pub(super) enum Damaged {
    #[error("its first page is not there")]
    NoRoot,
    #[error("its first page leads nowhere")]
    Lost(#[from] Lost),
    #[error("its index is not where its first page says")]
    NoIndex,
    #[error("its index does not have the checksum that its first page says")]
    Checksum,
    #[error("its index is none of this agent's")]
    Shape,
}

/// What one agent kept.
#[derive(Debug, Default)]
pub(super) struct Estate {
    parts: BTreeMap<Part, Region>,
}

impl Estate {
    /// The index that its first page leads to.
    pub(super) fn index(&self) -> Result<Index, Damaged> {
        let entry = newest(self.parts.get(&Part::Root).ok_or(Damaged::NoRoot)?)?;
        let chunk = self.parts.get(&Part::Chunk(entry.index.chunk)).ok_or(Damaged::NoIndex)?;
        let length = entry.index.length;
        if length > INDEX_BYTES_MAX.min(chunk.len()) {
            return Err(Damaged::NoIndex);
        }
        let mut bytes = vec![0; length];
        if !chunk.read(entry.index.offset, &mut bytes) {
            return Err(Damaged::NoIndex);
        }
        if checksum(&bytes) != entry.checksum {
            return Err(Damaged::Checksum);
        }
        // The parser's own words could repeat what it read.
        serde_json::from_slice(&bytes).map_err(|_| Damaged::Shape)
    }

    /// A mapping by its number.
    pub(super) fn chunk(&self, number: usize) -> Option<&Region> {
        self.parts.get(&Part::Chunk(number))
    }

    fn wipe(&mut self) {
        self.parts.values_mut().for_each(Region::wipe);
    }
}

/// All that was given back, by the agents that kept it; and the names that it has in the service manager's keeping.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) estates: BTreeMap<u64, Estate>,
    names: Vec<String>,
}

impl Found {
    /// Maps what can be mapped, and tells the log of the rest.
    pub(super) fn of(passed: Vec<(String, OwnedFd)>) -> Self {
        let mut found = Self::default();
        for (name, descriptor) in passed {
            match Part::read(&name) {
                None => {
                    tracing::warn!(name, "the service manager kept something that is not this agent's: it is closed");
                }
                Some((agent, part)) => match Region::map(&descriptor) {
                    Ok(region) => drop(found.estates.entry(agent).or_default().parts.insert(part, region)),
                    Err(error) => refused(&name, &error),
                },
            }
            found.names.push(name);
        }
        found
    }

    /// Wipes all of it, and answers the names under which it is to be forgotten.
    pub(super) fn wipe(mut self) -> Vec<String> {
        self.estates.values_mut().for_each(Estate::wipe);
        self.names
    }
}

fn refused(name: &str, error: &Unmappable) {
    tracing::warn!(name, error = with_causes(error), "what the service manager kept is not believed: it is closed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_part_and_no_other_name_does() {
        for part in [Part::Root, Part::Chunk(0), Part::Chunk(12)] {
            assert_eq!(Part::read(&part.name(0xab)), Some((0xab, part)));
        }
        let names =
            ["", "stored", "keyside-", "keyside-ab-root", "keyside-00000000000000ab-", "keyside-00000000000000ab-+1"];
        for name in names.into_iter().chain(["keyside-00000000000000ab-01", "keyside-00000000000000AB-root"]) {
            assert_eq!(Part::read(name), None, "{name}");
        }
    }
}
