//! Whatever bytes come over a connection and however they are cut: they are the same heads.

use std::ops::Range;

use hyper::Version;

use super::{Fault, Head, may_be_complete, read};
use crate::serve::limits::HEAD_BYTES_MAX;

/// A byte that says how what follows it is cut, then all that one connection brings.
pub(crate) fn heads(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let (at_once, fault) = arrive(bytes, HEAD_BYTES_MAX);
    for piece in [1, usize::from(first).max(1)] {
        let (in_pieces, later) = arrive(bytes, piece);
        assert_eq!(in_pieces, at_once, "in pieces of {piece}");
        // What can be no head is told at its first bytes or at its end, and always as the same.
        assert!(later.is_none() || later == fault, "{later:?} in pieces of {piece}, and {fault:?} at once");
    }
    let mut next = 0;
    for (place, seen) in at_once {
        assert_eq!(place.start, next, "nothing is between two heads");
        next = place.end;
        is_what_it_says(&bytes[place], &seen);
    }
}

/// What a head says, to be compared.
type Seen = (String, String, usize, [bool; 3]);

/// The heads up to the one with a body, and what stands where the next one should.
fn arrive(bytes: &[u8], piece: usize) -> (Vec<(Range<usize>, Seen)>, Option<Fault>) {
    let (mut heads, mut received, mut start) = (Vec::new(), Vec::new(), 0);
    let (mut left, mut may_be_one) = (bytes, true);
    loop {
        match if may_be_one { read(&received) } else { Ok(None) } {
            Err(fault) => return (heads, Some(fault)),
            Ok(Some(Head { method, uri, headers, has_body, is_last, version, length })) => {
                received.drain(..length);
                let seen = (
                    method.to_string(),
                    uri.to_string(),
                    headers.len(),
                    [has_body, is_last, version == Version::HTTP_10],
                );
                heads.push((start..start + length, seen));
                if has_body {
                    return (heads, None);
                }
                (start, may_be_one) = (start + length, true);
            }
            Ok(None) if left.is_empty() => return (heads, None),
            Ok(None) => {
                let before = received.len();
                let new = piece.min(left.len()).min(HEAD_BYTES_MAX - before);
                received.extend_from_slice(&left[..new]);
                left = &left[new..];
                may_be_one = before == 0 || may_be_complete(&received, new);
            }
        }
    }
}

/// By a naive reading of the lines.
fn is_what_it_says(head: &[u8], (method, _, _, [has_body, is_last, is_old]): &Seen) {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().skip_while(|line| line.is_empty());
    let first = lines.next().expect("a line");
    assert!(first.starts_with(method.as_str()), "{first:?}");
    assert_eq!(*is_old, first.ends_with("HTTP/1.0"), "{first:?}");
    let names: Vec<_> = lines.filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase())).collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    assert!(!has_body || has("content-length") || has("transfer-encoding"), "{text:?}");
    assert!(*has_body || !has("transfer-encoding"), "{text:?}");
    assert!(!is_last || *is_old || has("connection"), "{text:?}");
}
