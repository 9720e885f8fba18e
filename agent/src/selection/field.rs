//! Finds what a JSON pointer points at in a JSON text (RFC 8259), without copying any of it.
//!
//! No part of the text is in an error.

#[cfg(test)]
mod tests;

use thiserror::Error;

use super::pointer::Pointer;
use crate::json_text::{BadText, TextDecoder};

/// Deepest nesting that is followed, as many JSON parsers have it: each level takes a part of the stack.
const DEPTH_MAX: usize = 128;

/// What was found, as it is written in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A string, without its quotation marks and with its escapes.
    Text(&'a [u8]),
    /// A number, `true`, `false`, an object or a list.
    Literal(&'a [u8]),
}

/// Why there is no field.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum NoField {
    /// The text is not one JSON value from its first to its last byte.
    #[error("the value is no JSON text, so that no field can be taken out of it")]
    NotJson,
    /// Lists and objects are nested too deeply.
    #[error("the value nests lists and objects deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A name on the way is in its object more than once, and parsers disagree which one counts.
    #[error("field '{0}' is there more than once")]
    Ambiguous(Pointer),
    /// There is nothing at the end of the pointer.
    #[error("field '{0}' is not there")]
    Absent(Pointer),
    /// There is `null`, which is no value.
    #[error("field '{0}' is null")]
    Null(Pointer),
}

impl From<BadText> for NoField {
    fn from(_: BadText) -> Self {
        Self::NotJson
    }
}

/// Finds the field that `pointer` names. All of `text` must be JSON, so that a value that was cut off gives none.
///
/// # Errors
/// [`NoField`].
pub(super) fn find<'a>(text: &'a [u8], pointer: &Pointer) -> Result<Found<'a>, NoField> {
    std::str::from_utf8(text).map_err(|_| NoField::NotJson)?;
    let mut walk = Walk { text, at: 0, depth: 0, pointer, found: None };
    walk.value(Some(pointer.tokens()))?;
    walk.space();
    match walk.found {
        _ if walk.at < text.len() => Err(NoField::NotJson),
        None => Err(NoField::Absent(pointer.clone())),
        Some(Found::Literal(b"null")) => Err(NoField::Null(pointer.clone())),
        Some(found) => Ok(found),
    }
}

/// Writes the characters of a JSON string, given without its quotation marks, to the start of `room`, which has to be as long
/// as the string, and answers how many bytes they are.
///
/// # Errors
/// [`NoField::NotJson`] for what [`find`] did not give.
pub(super) fn unescape(escaped: &[u8], room: &mut [u8]) -> Result<usize, NoField> {
    let mut used = 0;
    TextDecoder::default().push(escaped, |piece| {
        room.get_mut(used..used + piece.len()).ok_or(NoField::NotJson)?.copy_from_slice(piece);
        used += piece.len();
        Ok::<_, NoField>(())
    })?;
    Ok(used)
}

/// Goes through the text once. `wanted`, where there is one, is what is left of the way.
struct Walk<'a, 'p> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    pointer: &'p Pointer,
    found: Option<Found<'a>>,
}

impl<'a, 'p> Walk<'a, 'p> {
    fn value(&mut self, wanted: Option<&'p [String]>) -> Result<(), NoField> {
        self.space();
        let start = self.at;
        let mut found = None;
        match self.peek() {
            Some(b'"') => found = Some(Found::Text(self.string()?)),
            Some(b'{') => self.nested(wanted, Self::object)?,
            Some(b'[') => self.nested(wanted, Self::list)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        }
        if wanted.is_some_and(<[_]>::is_empty) {
            self.found = found.or(Some(Found::Literal(&self.text[start..self.at])));
        }
        Ok(())
    }

    fn nested(
        &mut self,
        wanted: Option<&'p [String]>,
        inner: fn(&mut Self, Option<&'p [String]>) -> Result<(), NoField>,
    ) -> Result<(), NoField> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(NoField::TooDeep);
        }
        self.at += 1;
        inner(self, wanted)?;
        self.depth -= 1;
        Ok(())
    }

    /// From behind the opening brace to behind the closing one.
    fn object(&mut self, wanted: Option<&'p [String]>) -> Result<(), NoField> {
        let mut seen = false;
        if self.ends(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.expect(b':')?;
            let rest = wanted.and_then(|wanted| wanted.split_first()).filter(|(token, _)| is(name, token));
            if rest.is_some() && std::mem::replace(&mut seen, true) {
                return Err(NoField::Ambiguous(self.pointer.clone()));
            }
            self.value(rest.map(|(_, rest)| rest))?;
            if self.ends(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// From behind the opening bracket to behind the closing one.
    fn list(&mut self, wanted: Option<&'p [String]>) -> Result<(), NoField> {
        let wanted = wanted.and_then(|wanted| wanted.split_first());
        let wanted = wanted.and_then(|(token, rest)| Some((index(token)?, rest)));
        if self.ends(b']') {
            return Ok(());
        }
        for position in 0.. {
            self.value(wanted.filter(|(index, _)| *index == position).map(|(_, rest)| rest))?;
            if self.ends(b']') {
                break;
            }
            self.expect(b',')?;
        }
        Ok(())
    }

    /// Takes a string and answers what is between its quotation marks.
    fn string(&mut self) -> Result<&'a [u8], NoField> {
        if self.peek() != Some(b'"') {
            return Err(NoField::NotJson);
        }
        let start = self.at + 1;
        let (used, ended) = TextDecoder::default().push(&self.text[start..], |_| Ok::<_, NoField>(()))?;
        if !ended {
            return Err(NoField::NotJson);
        }
        self.at = start + used;
        Ok(&self.text[start..self.at - 1])
    }

    fn number(&mut self) -> Result<(), NoField> {
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.digits() {
            0 => return Err(NoField::NotJson),
            1 => {}
            many if self.text[self.at - many] == b'0' => return Err(NoField::NotJson),
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), NoField> {
        if self.digits() == 0 { Err(NoField::NotJson) } else { Ok(()) }
    }

    fn digits(&mut self) -> usize {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn word(&mut self) -> Result<(), NoField> {
        let rest = &self.text[self.at..];
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
        self.at += word.ok_or(NoField::NotJson)?.len();
        Ok(())
    }

    /// Takes `byte` if it comes next, space aside.
    fn ends(&mut self, byte: u8) -> bool {
        self.space();
        let ends = self.peek() == Some(byte);
        self.at += usize::from(ends);
        ends
    }

    fn expect(&mut self, byte: u8) -> Result<(), NoField> {
        if self.ends(byte) { Ok(()) } else { Err(NoField::NotJson) }
    }

    fn space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.text[self.at..].iter().take_while(space).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

/// Whether a name, as it is written between quotation marks, is `token`.
fn is(name: &[u8], token: &str) -> bool {
    let mut rest = Some(token.as_bytes());
    let compared = TextDecoder::default().push(name, |piece| {
        rest = rest.and_then(|rest| rest.strip_prefix(piece));
        Ok::<_, BadText>(())
    });
    compared.is_ok() && rest.is_some_and(<[u8]>::is_empty)
}

/// The place in a list: a number without a sign or leading zeros (RFC 6901, section 4).
fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| plain)
}
