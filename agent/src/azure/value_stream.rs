//! Takes a secret's value out of a Key Vault answer while it arrives: the value goes to locked memory, the rest onward.
//!
//! No part of the value is ever in an error, and none is in what is passed on.

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::json_text::{BadText, TextDecoder};
use crate::memory::{Locked, LockedBuffer, MemoryExhausted};

/// Longest value accepted, in bytes. Key Vault stores at most 25 KB
/// (<https://learn.microsoft.com/azure/key-vault/secrets/about-secrets>); the margin is for a limit that may be raised.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Longest answer accepted, in bytes: a value of the longest kind with every character escaped, and fifteen tags.
const BODY_BYTES_MAX: usize = 512 * 1024;

/// Longest member name that can still be `value`: five characters, each written as an escape of six.
const NAME_BYTES_KEPT: usize = 6;

/// Why no value could be taken out of an answer.
#[derive(Debug, Error)]
pub enum ValueError {
    /// The text is not one JSON object, from its first to its last byte.
    #[error("the answer is not one JSON object")]
    NotAnObject,
    /// The object has no member named `value`.
    #[error("the answer has no value")]
    Missing,
    /// The object has more than one member named `value`.
    #[error("the answer has more than one value")]
    Duplicate,
    /// The value is a number, a list or another thing that is no string.
    #[error("the value in the answer is not a string")]
    NotAString,
    /// A string holds a control character or an escape that JSON does not know.
    #[error("the answer holds a string that is not valid JSON")]
    BadString,
    /// A string holds half of a surrogate pair, which stands for no character (RFC 8259, section 8.2).
    #[error("the answer holds half of a UTF-16 surrogate pair, which is no text")]
    LoneSurrogate,
    /// The value is not UTF-8.
    #[error("the value in the answer is not UTF-8")]
    NotUtf8,
    /// The text ends before the object does.
    #[error("the answer ends early")]
    Truncated,
    /// The value is longer than 64 KiB, or the whole answer than 512 KiB.
    #[error("the answer is longer than a Key Vault secret can be")]
    TooLong,
    /// No memory of the demanded protection is left for the value.
    #[error("no memory for the value")]
    Memory(#[from] MemoryExhausted),
}

impl From<BadText> for ValueError {
    fn from(bad: BadText) -> Self {
        match bad {
            BadText::Invalid => Self::BadString,
            BadText::LoneSurrogate => Self::LoneSurrogate,
        }
    }
}

/// Reads one answer, piece by piece.
#[derive(Debug)]
pub(super) struct ValueStream {
    place: Place,
    depth: usize,
    /// Whether the next string of the outermost object names a member.
    name_next: bool,
    /// Whether the member that was named last is the value.
    value_next: bool,
    value_seen: bool,
    name: Vec<u8>,
    value: LockedBuffer,
    rest: Vec<u8>,
    received_bytes: usize,
}

#[derive(Debug)]
enum Place {
    BeforeObject,
    BetweenTexts,
    InText(Role, TextDecoder),
    AfterObject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Name,
    Value,
    Unwatched,
}

impl ValueStream {
    /// Starts with an empty `value` buffer, into which the value will be written.
    #[must_use]
    pub(super) fn new(value: LockedBuffer) -> Self {
        Self {
            place: Place::BeforeObject,
            depth: 0,
            name_next: true,
            value_next: false,
            value_seen: false,
            name: Vec::with_capacity(NAME_BYTES_KEPT),
            value,
            rest: Vec::new(),
            received_bytes: 0,
        }
    }

    /// Takes the next bytes of the answer.
    ///
    /// # Errors
    /// [`ValueError`] as soon as the answer cannot be used any more.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Result<(), ValueError> {
        self.received_bytes += chunk.len();
        if self.received_bytes > BODY_BYTES_MAX {
            return Err(ValueError::TooLong);
        }
        while !chunk.is_empty() {
            let used = match self.place {
                Place::InText(role, _) => self.text(role, chunk)?,
                _ => self.structure(chunk)?,
            };
            chunk = &chunk[used..];
        }
        Ok(())
    }

    /// Ends the answer: the value, and the answer with an empty string in the value's place.
    ///
    /// # Errors
    /// [`ValueError`] where the answer was cut off, had no value, or one that is not UTF-8.
    pub(super) fn finish(self) -> Result<(Locked, Vec<u8>), ValueError> {
        match self.place {
            Place::AfterObject if self.value_seen => {}
            Place::AfterObject => return Err(ValueError::Missing),
            _ => return Err(ValueError::Truncated),
        }
        let value = self.value.freeze();
        // Escapes always make whole characters, so bytes that were valid piece by piece are valid as a whole.
        std::str::from_utf8(value.as_ref()).map_err(|_| ValueError::NotUtf8)?;
        Ok((value, self.rest))
    }

    /// Takes the bytes up to and with the next quotation mark, all of which are structure, numbers and words.
    fn structure(&mut self, chunk: &[u8]) -> Result<usize, ValueError> {
        for (index, &byte) in chunk.iter().enumerate() {
            self.rest.push(byte);
            match (&self.place, byte) {
                (_, b' ' | b'\t' | b'\n' | b'\r') => {}
                (Place::BeforeObject, b'{') => {
                    self.depth = 1;
                    self.place = Place::BetweenTexts;
                }
                (Place::BetweenTexts, b'"') => {
                    self.place = Place::InText(self.next_role(), TextDecoder::default());
                    return Ok(index + 1);
                }
                (Place::BetweenTexts, _) => self.punctuation(byte)?,
                _ => return Err(ValueError::NotAnObject),
            }
        }
        Ok(chunk.len())
    }

    fn next_role(&mut self) -> Role {
        if self.depth > 1 {
            Role::Unwatched
        } else if self.name_next {
            self.name.clear();
            Role::Name
        } else if self.value_next {
            Role::Value
        } else {
            Role::Unwatched
        }
    }

    fn punctuation(&mut self, byte: u8) -> Result<(), ValueError> {
        let outermost = self.depth == 1;
        match byte {
            b':' if outermost => self.name_next = false,
            b',' if outermost => self.name_next = true,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.place = Place::AfterObject;
                }
            }
            _ if outermost && self.value_next => return Err(ValueError::NotAString),
            b'{' | b'[' => self.depth += 1,
            _ => {}
        }
        Ok(())
    }

    /// Takes bytes of a string, at most to its closing quotation mark.
    fn text(&mut self, role: Role, chunk: &[u8]) -> Result<usize, ValueError> {
        let Place::InText(_, decoder) = &mut self.place else { return Ok(0) };
        let Self { name, value, .. } = self;
        let (used, ended) = decoder.push(chunk, |bytes| match role {
            Role::Name => {
                let room = NAME_BYTES_KEPT - name.len();
                name.extend_from_slice(&bytes[..bytes.len().min(room)]);
                Ok(())
            }
            Role::Value if value.len() + bytes.len() > VALUE_BYTES_MAX => Err(ValueError::TooLong),
            Role::Value => Ok(value.extend(bytes)?),
            Role::Unwatched => Ok(()),
        })?;
        if role != Role::Value {
            self.rest.extend_from_slice(&chunk[..used]);
        }
        if ended {
            self.text_ended(role)?;
        }
        Ok(used)
    }

    fn text_ended(&mut self, role: Role) -> Result<(), ValueError> {
        self.place = Place::BetweenTexts;
        match role {
            Role::Name => {
                self.value_next = self.name == b"value";
                if self.value_next && self.value_seen {
                    return Err(ValueError::Duplicate);
                }
            }
            Role::Value => {
                self.rest.push(b'"');
                self.value_next = false;
                self.value_seen = true;
            }
            Role::Unwatched => {}
        }
        Ok(())
    }
}
