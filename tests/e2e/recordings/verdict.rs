//! What a comparison found: how much was compared, what differs, and what is known to differ.

use std::collections::BTreeSet;
use std::fmt;

use crate::known::Known;

/// The outcome of comparing one answer with its recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) headers: usize,
    pub(crate) members: usize,
    pub(crate) differences: Vec<String>,
    pub(crate) known: BTreeSet<Known>,
}

impl Verdict {
    /// Notes that `what` is `live`, but was `recorded`, unless they are the same.
    pub(crate) fn expect<T: PartialEq + fmt::Display + ?Sized>(&mut self, what: &str, recorded: &T, live: &T) {
        if recorded != live {
            self.differ(format!("{what}: recorded {recorded}, got {live}"));
        }
    }

    /// Notes `difference` unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, difference: impl Into<String>) {
        if !holds {
            self.differ(difference);
        }
    }

    pub(crate) fn differ(&mut self, difference: impl Into<String>) {
        self.differences.push(difference.into());
    }

    /// What was compared, for a table.
    pub(crate) fn compared(&self) -> String {
        let members = if self.members == 0 { "no body".to_owned() } else { format!("{} members", self.members) };
        format!("status, {} headers, {members}", self.headers)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.differences.is_empty() {
            return write!(formatter, "DIFFERS: {}", self.differences.join("; "));
        }
        formatter.write_str("same")?;
        if !self.known.is_empty() {
            let letters: Vec<String> = self.known.iter().map(|known| known.letter().to_string()).collect();
            write!(formatter, " but for {}", letters.join(", "))?;
        }
        Ok(())
    }
}
