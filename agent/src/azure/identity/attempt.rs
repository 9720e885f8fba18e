//! What was tried to get a token, in words for the log, for status and for an error.

use std::error::Error;
use std::fmt;

use super::source::Source;

/// One source of tokens that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source.
    pub source: Source,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of considering a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not set up here; the text says what is missing.
    Skipped(String),
    /// It was asked and gave no token; the text says why.
    Failed(String),
    /// It gave a token.
    Token,
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Skipped(reason) | Outcome::Failed(reason) => write!(formatter, "{}: {reason}", self.source),
            Outcome::Token => write!(formatter, "{}: signed in", self.source),
        }
    }
}

/// No source gave a token.
#[derive(Debug)]
pub struct TokenError {
    /// Every source that was considered, in order.
    pub attempts: Vec<Attempt>,
}

impl fmt::Display for TokenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no sign-in: ")?;
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

impl Error for TokenError {}
