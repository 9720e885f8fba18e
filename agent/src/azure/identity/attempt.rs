//! What was tried in vain to get a token, in words for the log and for an error.

use std::error::Error;
use std::fmt;

use super::source::Source;

/// One source of tokens that was considered and gave none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source.
    pub source: Source,
    /// What is missing here for it, or why it gave none when it was asked.
    pub reason: String,
    /// Whether it is there and merely cannot serve now.
    pub passing: bool,
}

/// Why a source gave no token.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// In words without any secret.
    pub(super) reason: String,
    /// Whether the source is there and merely cannot serve now.
    pub(super) passing: bool,
}

impl From<String> for Obstacle {
    /// For what does not pass by itself.
    fn from(reason: String) -> Self {
        Self { reason, passing: false }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.source, self.reason)
    }
}

/// No source gave a token.
#[derive(Clone, Debug)]
pub struct TokenError {
    /// Every source that was considered, in order.
    pub attempts: Vec<Attempt>,
}

impl fmt::Display for TokenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no sign-in: {}", listed(&self.attempts))
    }
}

impl Error for TokenError {}

/// Attempts in one line, in order.
pub(super) fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
