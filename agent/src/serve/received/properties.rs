//! Whatever bytes come over a connection and however they are cut: they are the same heads.

use futures::FutureExt as _;
use hyper::Version;

use super::Received;
use crate::serve::head::{Fault, Head};
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
    for seen in at_once {
        let head = &bytes[next..seen.end];
        let empty = head.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        assert_eq!(seen.length, head.len() - empty, "nothing but empty lines is between two heads");
        is_what_it_says(head, &seen);
        next = seen.end;
    }
}

/// What a head says, to be compared.
#[derive(Debug, PartialEq)]
struct Seen {
    method: String,
    uri: String,
    kept: usize,
    has_body: bool,
    is_last: bool,
    version: Version,
    /// Without the empty lines before it.
    length: usize,
    /// Where it ends.
    end: usize,
}

/// The heads up to the one with a body, and what stands where the next one should.
fn arrive(bytes: &[u8], piece: usize) -> (Vec<Seen>, Option<Fault>) {
    let (mut heads, mut received, mut left) = (Vec::new(), Received::new(), bytes);
    loop {
        match received.next_head() {
            Err(fault) => return (heads, Some(fault)),
            Ok(Some(Head { method, uri, headers, has_body, is_last, version, length })) => {
                let end = bytes.len() - left.len() - received.bytes.len();
                let lines = &bytes[end - length..end];
                let empty = lines.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                let (method, uri, kept, length) = (method.to_string(), uri.to_string(), headers.len(), length - empty);
                heads.push(Seen { method, uri, kept, has_body, is_last, version, length, end });
                if has_body {
                    return (heads, None);
                }
            }
            Ok(None) if left.is_empty() => return (heads, None),
            Ok(None) => {
                let mut next = &left[..piece.min(left.len())];
                let offered = next.len();
                received.fill(&mut next).now_or_never().expect("it is there").expect("memory can be read");
                left = &left[offered - next.len()..];
            }
        }
    }
}

/// By a naive reading of the lines.
fn is_what_it_says(head: &[u8], seen: &Seen) {
    let Seen { method, has_body, is_last, version, .. } = seen;
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().skip_while(|line| line.is_empty());
    let first = lines.next().expect("a line");
    assert!(first.starts_with(method.as_str()), "{first:?}");
    let is_old = *version == Version::HTTP_10;
    assert_eq!(is_old, first.ends_with("HTTP/1.0"), "{first:?}");
    let names: Vec<_> = lines.filter_map(|line| Some(line.split_once(':')?.0.to_ascii_lowercase())).collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    assert!(!has_body || has("content-length") || has("transfer-encoding"), "{text:?}");
    assert!(*has_body || !has("transfer-encoding"), "{text:?}");
    assert!(!is_last || is_old || has("connection"), "{text:?}");
}
