//! Bodies of answers: a value straight from its locked memory, or JSON written around it piece by piece.

use std::collections::VecDeque;

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;

/// How many bytes of a value are encoded at a time: a multiple of three, so that only the last piece is padded, and
/// little, because an encoded piece is in ordinary memory until it is sent. There is one of them in each answer.
const BASE64_PIECE_BYTES: usize = 384;

/// The escapes of JSON (RFC 8259, section 7) that a string cannot do without, by byte.
const CONTROL_ESCAPES: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t", "\\n",
    "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015",
    "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

/// The body of an answer: pieces that are made as they are sent, of a length that is known before.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// The piece that is being sent. The one of a plain body is the only one, and the queue takes no memory then.
    current: Option<Piece>,
    pieces: VecDeque<Piece>,
    left: u64,
}

/// The next bytes of a body.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) bytes: Bytes,
    /// Whether they are part of a value in ordinary memory. The next ones should be made when these are sent and freed, which
    /// wipes them.
    pub(super) is_encoded: bool,
}

enum Piece {
    /// As it is.
    Plain(Bytes),
    /// Text, inside a JSON string.
    Text(Bytes),
    /// Bytes, in base64 inside a JSON string.
    Base64(Bytes),
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Piece(redacted)")
    }
}

impl Body {
    /// Bytes that are sent as they are; those of a value stay where they lie.
    #[must_use]
    pub(super) fn plain(bytes: impl Into<Bytes>) -> Self {
        Self::of([Piece::Plain(bytes.into())])
    }

    /// The JSON object `metadata` with the value as one more field: `value` where it is text, else `value_base64`.
    ///
    /// # Panics
    /// Never: `metadata` must be a JSON object with at least one field, and only this crate calls it.
    #[must_use]
    pub(super) fn document(value: Bytes, metadata: &str) -> Self {
        let fields = metadata.strip_prefix('{').expect("a JSON object").to_owned();
        let (field, value) = match std::str::from_utf8(&value) {
            Ok(_) => ("{\"value\":\"", Piece::Text(value)),
            Err(_) => ("{\"value_base64\":\"", Piece::Base64(value)),
        };
        let between = Bytes::from_static(b"\",");
        Self::of([Piece::Plain(field.into()), value, Piece::Plain(between), Piece::Plain(fields.into())])
    }

    fn of(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut pieces = pieces.into_iter();
        let current = pieces.next();
        let pieces: VecDeque<_> = pieces.collect();
        let left = current.iter().chain(&pieces).map(Piece::sent_bytes).sum::<usize>() as u64;
        Self { current, pieces, left }
    }

    /// How many bytes are still to be sent.
    #[must_use]
    pub(super) fn left_bytes(&self) -> u64 {
        self.left
    }

    /// The next bytes to send, never a copy of more than a few hundred bytes of a value.
    pub(super) fn next_bytes(&mut self) -> Option<Next> {
        loop {
            let piece = self.current.as_mut()?;
            let is_encoded = matches!(piece, Piece::Base64(_));
            let bytes = match piece {
                Piece::Plain(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
                Piece::Text(bytes) => next_text(bytes),
                Piece::Base64(bytes) => next_base64(bytes),
            };
            if let Some(bytes) = bytes {
                self.left -= bytes.len() as u64;
                return Some(Next { bytes, is_encoded });
            }
            self.current = self.pieces.pop_front();
        }
    }
}

impl Piece {
    fn sent_bytes(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Text(bytes) => bytes.iter().map(|&byte| escape(byte).map_or(1, str::len)).sum(),
            Self::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }
}

/// The longest run without an escape, still in locked memory, or one escape, which is a constant.
fn next_text(bytes: &mut Bytes) -> Option<Bytes> {
    let run = bytes.iter().position(|&byte| escape(byte).is_some()).unwrap_or(bytes.len());
    if run > 0 {
        return Some(bytes.split_to(run));
    }
    let escaped = escape(*bytes.first()?)?;
    drop(bytes.split_to(1));
    Some(Bytes::from_static(escaped.as_bytes()))
}

/// The next piece in base64.
fn next_base64(bytes: &mut Bytes) -> Option<Bytes> {
    let piece = bytes.split_to(bytes.len().min(BASE64_PIECE_BYTES));
    if piece.is_empty() {
        return None;
    }
    let mut text = vec![0; piece.len().div_ceil(3) * 4];
    Base64::encode(&piece, &mut text).expect("four characters for each three bytes");
    Some(text.into())
}

fn escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        _ => CONTROL_ESCAPES.get(usize::from(byte)).copied(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(mut body: Body) -> Vec<u8> {
        let promised = body.left_bytes();
        let mut all = Vec::new();
        while let Some(next) = body.next_bytes() {
            assert!(!next.bytes.is_empty());
            all.extend_from_slice(&next.bytes);
        }
        assert_eq!((promised, body.left_bytes()), (all.len() as u64, 0));
        all
    }

    fn document(value: &[u8]) -> serde_json::Value {
        let sent = sent(Body::document(Bytes::copy_from_slice(value), r#"{"name":"db"}"#));
        serde_json::from_slice(&sent).expect("valid JSON")
    }

    proptest! {
        #[test]
        fn every_text_comes_back_from_its_document(text in ".*") {
            prop_assert_eq!(&document(text.as_bytes())["value"], &serde_json::Value::from(text));
        }

        #[test]
        fn all_bytes_come_back_from_their_document(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let document = document(&bytes);
            let expected = match String::from_utf8(bytes.clone()) {
                Ok(text) => ("value", text),
                Err(_) => ("value_base64", Base64::encode_string(&bytes)),
            };
            prop_assert_eq!(&document[expected.0], &serde_json::Value::from(expected.1));
            prop_assert_eq!(&document["name"], "db");
        }
    }

    #[test]
    fn every_control_character_is_escaped() {
        let text: String = (0..=0x7f_u8).map(char::from).collect();
        assert_eq!(document(text.as_bytes())["value"], text);
    }

    #[test]
    fn runs_of_text_are_sent_from_where_they_lie() {
        let value = Bytes::from_owner(b"left\"right".to_vec());
        let (left, right) = (value[..4].as_ptr(), value[5..].as_ptr());
        let mut body = Body::document(value, r#"{"name":"db"}"#);
        let pieces: Vec<Bytes> = std::iter::from_fn(|| body.next_bytes()).map(|next| next.bytes).collect();
        assert_eq!(pieces[1].as_ptr(), left);
        assert_eq!(&pieces[2][..], b"\\\"");
        assert_eq!(pieces[3].as_ptr(), right);
    }

    #[test]
    fn pieces_in_ordinary_memory_are_short_and_told_from_those_in_locked_memory() {
        let mut body = Body::document(Bytes::from(vec![0xff; 2 * BASE64_PIECE_BYTES]), r#"{"name":"db"}"#);
        let pieces: Vec<_> =
            std::iter::from_fn(|| body.next_bytes()).map(|next| (next.is_encoded, next.bytes.len())).collect();
        let encoded = (true, BASE64_PIECE_BYTES / 3 * 4);
        assert_eq!(pieces[1..3], [encoded; 2]);
        assert!(pieces.iter().all(|piece| *piece == encoded || !piece.0), "{pieces:?}");
        let mut text = Body::document(Bytes::from_static(b"a\"b"), r#"{"name":"db"}"#);
        assert!(std::iter::from_fn(|| text.next_bytes()).all(|next| !next.is_encoded));
    }

    #[test]
    fn no_way_of_formatting_shows_the_value() {
        let body = Body::document(Bytes::from_static(b"hunter2"), r#"{"name":"db"}"#);
        assert!(!format!("{body:?}").contains("hunter2"), "{body:?}");
    }
}
