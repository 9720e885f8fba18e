//! The names of units that start processes, and which of them may have a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::secret::SecretName;

/// Longest name of a unit, in bytes.
/// Source: `systemd.unit(5)`, "The total length of the unit name".
const NAME_LENGTH_MAX: usize = 255;

/// The kinds of units that start processes, and so can have credentials.
/// Source: `systemd.exec(5)`.
const KINDS: [&str; 4] = [".service", ".socket", ".mount", ".swap"];

/// Stands for any text in a name, and alone for every unit.
const ANY: char = '*';

/// The units that may have each secret.
pub type Units = BTreeMap<SecretName, Vec<UnitPattern>>;

/// The name of a unit, or a pattern of names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitPattern(Arc<str>);

/// Says why a text is no [`UnitPattern`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidUnit {
    /// No unit that starts processes has such a name.
    #[error("'{0}' is no unit that starts processes: write its whole name, as in train.service")]
    Name(String),
    /// Too many units have such names.
    #[error(
        "'{0}' matches more than a family of units: begin with the name and use one * in it, as in train@*.service, or \
         write \"*\" alone for every unit"
    )]
    Wide(String),
}

/// The name of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitName(String);

impl UnitName {
    /// The name as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UnitName {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        match stem(text) {
            Some(stem) if !stem.is_empty() && !stem.contains(ANY) => Ok(Self(text.to_owned())),
            _ => Err(InvalidUnit::Name(shown(text))),
        }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What stands before the kind in a name of characters that names and patterns can have.
/// Source: `systemd.unit(5)`: "must consist of one or more valid characters (ASCII letters, digits, ":", "-", "_", ".", and
/// "\")"; the "@" precedes an instance.
fn stem(text: &str) -> Option<&str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter) || letter == ANY;
    let is_name = text.len() <= NAME_LENGTH_MAX && text.chars().all(allowed);
    KINDS.iter().find_map(|kind| text.strip_suffix(kind)).filter(|_| is_name)
}

/// What is no name, as far as people are shown it.
fn shown(text: &str) -> String {
    text.escape_debug().take(NAME_LENGTH_MAX).collect()
}

impl UnitPattern {
    /// Whether a unit of this name is meant. A star in a name stands for one character at least, so that the template of an
    /// instance is not meant with it.
    #[must_use]
    pub(super) fn matches(&self, unit: &UnitName) -> bool {
        let unit = unit.as_str();
        match self.0.split_once(ANY) {
            None => *self.0 == *unit,
            Some((start, end)) => {
                unit.len() > start.len() + end.len() && unit.starts_with(start) && unit.ends_with(end)
            }
        }
    }
}

impl FromStr for UnitPattern {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        if text == "*" {
            return Ok(Self(text.into()));
        }
        match stem(text) {
            None | Some("") => Err(InvalidUnit::Name(shown(text))),
            Some(stem) if stem.starts_with(ANY) || stem.matches(ANY).count() > 1 => Err(InvalidUnit::Wide(shown(text))),
            Some(_) => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for UnitPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for UnitPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_one_unit_or_a_family_of_them() {
        let rows = [
            ("train.service", "train.service", true),
            ("train.service", "train2.service", false),
            ("train.service", "train.socket", false),
            ("train@*.service", "train@gpu0.service", true),
            ("train@*.service", "train@.service", false),
            ("train@*.service", "train.service", false),
            ("train@*.service", "train@a.service.mount", false),
            ("train@*.service", "xtrain@a.service", false),
            ("aa*aa.service", "aaa.service", false),
            ("*", "anything.service", true),
        ];
        for (pattern, unit, expected) in rows {
            let (unit, one): (UnitName, _) = (unit.parse().expect("a unit"), pattern.parse::<UnitPattern>());
            assert_eq!(one.expect("a pattern").matches(&unit), expected, "{pattern} {unit}");
        }
    }

    #[test]
    fn what_is_no_unit_or_means_too_many_is_refused() {
        let long = format!("{}.service", "a".repeat(NAME_LENGTH_MAX));
        let rows = [
            ("", false),
            ("train", false),
            (".service", false),
            ("train.slice", false),
            ("train service.service", false),
            ("a/b.service", false),
            ("träin.service", false),
            (long.as_str(), false),
            ("*.service", true),
            ("**", false),
            ("*train.service", true),
            ("a*b*.service", true),
        ];
        for (text, is_wide) in rows {
            let error = text.parse::<UnitPattern>().expect_err(text);
            assert_eq!(matches!(error, InvalidUnit::Wide(_)), is_wide, "{text}: {error}");
            assert!(text.parse::<UnitName>().is_err(), "{text}");
        }
    }
}
