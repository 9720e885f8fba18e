//! The forms in which a program may have a value in its memory.

use std::fmt;
use std::fmt::Write as _;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

/// How the bytes of a value are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Raw,
    /// As a JSON string writes them.
    Json,
    /// In hexadecimal digits.
    Hex,
    /// In base64, of either alphabet, with this many bytes before them in their group of three.
    Base64(usize),
    /// In UTF-16, as some runtimes hold text.
    Utf16,
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => formatter.write_str("it is"),
            Self::Json => formatter.write_str("JSON"),
            Self::Hex => formatter.write_str("hexadecimal"),
            Self::Base64(before) => write!(formatter, "base64 after {before} bytes"),
            Self::Utf16 => formatter.write_str("UTF-16"),
        }
    }
}

/// A value in one form.
pub(super) struct Text {
    pub(super) form: Form,
    pub(super) bytes: Vec<u8>,
}

/// A form shorter than this is found by chance.
const TEXT_BYTES_MIN: usize = 6;

/// The value in every form that differs from the others.
pub(super) fn forms(value: &[u8]) -> Vec<Text> {
    let mut all = vec![Text { form: Form::Raw, bytes: value.to_vec() }];
    if let Ok(text) = std::str::from_utf8(value) {
        let utf16 = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        all.extend([json(text), ascii_json(text)].map(|bytes| Text { form: Form::Json, bytes }));
        all.push(Text { form: Form::Utf16, bytes: utf16 });
    }
    all.extend([hex(value), hex(value).to_ascii_uppercase()].map(|bytes| Text { form: Form::Hex, bytes }));
    for before in 0..3 {
        all.extend(base64(value, before).map(|bytes| Text { form: Form::Base64(before), bytes }));
    }
    let mut kept: Vec<Text> = Vec::new();
    for text in all {
        let is_long = text.bytes.len() >= TEXT_BYTES_MIN || text.form == Form::Raw;
        if is_long && kept.iter().all(|other| other.bytes != text.bytes) {
            kept.push(text);
        }
    }
    kept
}

fn json(text: &str) -> Vec<u8> {
    let quoted = serde_json::to_string(text).expect("a text");
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

/// JSON as those write it who escape all that is not ASCII, and slashes.
fn ascii_json(text: &str) -> Vec<u8> {
    let mut escaped = String::new();
    for unit in String::from_utf8(json(text)).expect("a text").encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some('/') => escaped.push_str("\\/"),
            Some(character) if character.is_ascii() => escaped.push(character),
            _ => write!(escaped, "\\u{unit:04x}").expect("room"),
        }
    }
    escaped.into_bytes()
}

fn hex(value: &[u8]) -> Vec<u8> {
    value.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// The characters that depend on the value alone, when `before` bytes come before it, and any behind it.
fn base64(value: &[u8], before: usize) -> [Vec<u8>; 2] {
    let padded = [&vec![0; before], value].concat();
    // Of each group that is shared with a neighbour the characters differ.
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    [Base64Unpadded::encode_string(&padded), Base64UrlUnpadded::encode_string(&padded)]
        .map(|text| text.as_bytes()[first..end].to_vec())
}
