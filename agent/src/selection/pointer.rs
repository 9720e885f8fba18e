//! A JSON pointer (RFC 6901): the names on the way from the whole of a JSON text to one field.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Longest pointer, in bytes. A secret holds 25 KB; a longer way into it is a mistake.
const POINTER_BYTES_MAX: usize = 1024;

/// The way to a field, such as `/database/password`. Clones share it, and take little room where there is none.
#[derive(Clone, PartialEq, Eq)]
pub struct Pointer(Arc<Way>);

#[derive(PartialEq, Eq)]
struct Way {
    text: String,
    tokens: Vec<String>,
}

/// Says why a text is no [`Pointer`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{text}' is no JSON pointer: {rule}")]
pub struct InvalidPointer {
    text: String,
    rule: &'static str,
}

impl Pointer {
    /// The names on the way, outermost first; none where the whole text is meant.
    #[must_use]
    pub fn tokens(&self) -> &[String] {
        &self.0.tokens
    }
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        if let Some(rule) = broken_rule(text) {
            return Err(InvalidPointer { text: text.escape_debug().take(POINTER_BYTES_MAX).collect(), rule });
        }
        let tokens = text.split('/').skip(1).map(unescape).collect();
        Ok(Self(Arc::new(Way { text: text.to_owned(), tokens })))
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    let mut escapes = text.split('~').skip(1);
    if !text.is_empty() && !text.starts_with('/') {
        Some("start it with a slash, as in /password")
    } else if escapes.any(|rest| !rest.starts_with(['0', '1'])) {
        Some("write ~ in a name as ~0, and / as ~1")
    } else if text.len() > POINTER_BYTES_MAX {
        Some("use at most 1024 bytes")
    } else {
        None
    }
}

/// First `~1`, then `~0`, so that `~01` is `~1` (RFC 6901, section 4).
fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.text.escape_debug(), formatter)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.text, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_follow_the_rule_of_their_rfc() {
        let rows: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("/", Some(&[""])),
            ("/password", Some(&["password"])),
            ("/a/0/b", Some(&["a", "0", "b"])),
            ("/a~1b/~0", Some(&["a/b", "~"])),
            ("/~01", Some(&["~1"])),
            ("/ ", Some(&[" "])),
            ("/grüße", Some(&["grüße"])),
            ("password", None),
            ("#/password", None),
            ("/~", None),
            ("/~2", None),
        ];
        for (text, expected) in rows {
            let found = text.parse::<Pointer>().ok().map(|pointer| pointer.tokens().to_vec());
            assert_eq!(
                found.as_deref(),
                expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref(),
                "{text:?}"
            );
        }
        assert!(format!("/{}", "a".repeat(POINTER_BYTES_MAX)).parse::<Pointer>().is_err());
    }
}
