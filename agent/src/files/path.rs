//! The path of a secret's file below the directory of all of them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest path below the directory, in bytes. Together with any sensible directory it stays far below `PATH_MAX`.
const PATH_BYTES_MAX: usize = 512;

/// Longest file name that Linux file systems take, in bytes.
/// Source: `NAME_MAX` in the kernel's `limits.h`.
const COMPONENT_BYTES_MAX: usize = 255;

/// A path that cannot leave the directory it is joined to, nor collide with the names that Keyside keeps there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(String);

/// Says why a text is no [`RelativePath`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{path}' is no path for a secret's file: {rule}")]
pub struct InvalidPath {
    path: String,
    rule: &'static str,
}

impl RelativePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names along the path, the file's own last. There is at least one.
    #[must_use]
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The path of each folder on the way to the file, outermost first.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }

    /// Whether both cannot be files: they are the same, or one lies inside the other.
    #[must_use]
    pub fn clashes_with(&self, other: &Self) -> bool {
        self == other
            || self.folders().any(|folder| folder == other.0)
            || other.folders().any(|folder| folder == self.0)
    }

    /// The name that shows in the directory itself.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for RelativePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        match broken_rule(text) {
            None => Ok(Self(text.to_owned())),
            Some(rule) => Err(InvalidPath { path: text.escape_debug().take(PATH_BYTES_MAX).collect(), rule }),
        }
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    let any = |bad: fn(&str) -> bool| text.split('/').any(bad);
    if text.starts_with('/') {
        Some("write it relative to the directory of the files")
    } else if text.len() > PATH_BYTES_MAX || any(|name| name.len() > COMPONENT_BYTES_MAX) {
        Some("use at most 512 bytes in all and 255 between slashes")
    } else if text.contains(char::is_control) {
        Some("leave out control characters")
    } else if any(|name| name.is_empty() || name == ".") {
        Some("write a name between any two slashes, before the first and after the last")
    } else if any(|name| name.starts_with("..")) {
        Some("names that start with '..' lead out of the directory or are Keyside's own")
    } else {
        None
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_directory_and_clear_of_its_own_names() {
        let (long, too_long) = ("a".repeat(255), "a".repeat(256));
        let deep = ["a"; 300].join("/");
        let rows: &[(&str, bool)] = &[
            ("db-password", true),
            ("db/password", true),
            ("a/.hidden", true),
            ("tls/server.key", true),
            ("straße", true),
            (&long, true),
            (&too_long, false),
            (&deep, false),
            ("", false),
            ("/etc/passwd", false),
            ("../x", false),
            ("a/../b", false),
            ("a/..", false),
            ("..data", false),
            ("a/..data", false),
            (".env", true),
            (".", false),
            ("a/./b", false),
            ("a//b", false),
            ("a/", false),
            ("a\0b", false),
            ("a\nb", false),
        ];
        for (text, valid) in rows {
            assert_eq!(text.parse::<RelativePath>().is_ok(), *valid, "{text:?}");
        }
    }
}
