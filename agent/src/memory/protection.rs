//! How well memory can be protected, from best to worst, and the words for it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How well the memory of a value is protected. The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// `memfd_secret`: locked, and out of reach of `/proc/PID/mem`, ptrace and the kernel's own mappings.
    SecretMemory,
    /// `mlock`: never swapped, left out of core dumps, empty in a forked child.
    Locked,
    /// Neither: the kernel refused to lock more memory.
    Unprotected,
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SecretMemory => "memfd_secret",
            Self::Locked => "mlock",
            Self::Unprotected => "unprotected",
        })
    }
}

/// Says that a word is no [`Protection`] that one can ask for.
#[derive(Debug, Error)]
#[error("'{0}' is unknown: use memfd_secret or mlock")]
pub struct UnknownBackend(String);

impl FromStr for Protection {
    type Err = UnknownBackend;

    fn from_str(word: &str) -> Result<Self, UnknownBackend> {
        match word {
            "memfd_secret" => Ok(Self::SecretMemory),
            "mlock" => Ok(Self::Locked),
            other => Err(UnknownBackend(other.to_owned())),
        }
    }
}
