//! However an answer is cut into pieces, the value that comes out is the one that `serde_json` reads.

use serde::Deserialize;
use serde_json::Value;

use super::{VALUE_BYTES_MAX, ValueError, ValueStream};
use crate::fuzzing::split_line;
use crate::memory::Arena;

/// The first line is how the rest is cut: each byte is the length of a piece, and they come round again.
pub(crate) fn values(input: &[u8]) {
    let (lengths, body) = split_line(input);
    let whole = read_in_pieces([body]).ok();
    assert_eq!(read_in_pieces(pieces(lengths, body)).ok(), whole, "cut by {lengths:?}");
    assert_eq!(read_in_pieces(body.chunks(1)).ok(), whole, "byte by byte");
    if body.len() <= VALUE_BYTES_MAX {
        let ours = whole.and_then(|(value, rest)| Some((value, serde_json::from_slice(&rest).ok()?)));
        assert_eq!(ours, oracle(body));
    }
}

fn pieces<'a>(lengths: &'a [u8], mut body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    std::iter::from_fn(move || {
        let length = lengths.next().map_or(body.len(), |&length| usize::from(length).max(1));
        let (piece, rest) = body.split_at_checked(length).unwrap_or((body, &[]));
        body = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The value, and the rest of the answer.
pub(super) fn read_in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(String, Vec<u8>), ValueError> {
    let mut stream = ValueStream::new(Arena::unlocked().buffer(16).expect("memory"));
    for piece in pieces {
        stream.push(piece)?;
    }
    let (value, rest) = stream.finish()?;
    Ok((String::from_utf8(value.as_ref().to_vec()).expect("checked"), rest))
}

#[derive(Deserialize)]
struct Oracle {
    value: String,
}

/// What `serde_json` makes of `body`: the value, and the whole with an empty value.
pub(super) fn oracle(body: &[u8]) -> Option<(String, Value)> {
    let Oracle { value } = serde_json::from_slice(body).ok()?;
    let mut whole: Value = serde_json::from_slice(body).ok()?;
    *whole.get_mut("value")? = Value::String(String::new());
    Some((value, whole))
}
