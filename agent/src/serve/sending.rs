//! An answer on its way out: its head as bytes, then its body from where it lies.

use std::io::{self, Write as _};

use bytes::{Buf as _, Bytes};
use hyper::{StatusCode, Version};
use jiff::Timestamp;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::answer::Answer;
use super::body::Body;

/// How many pieces of a body are sent by one system call: a document whose text has no escapes has four.
const PIECES_AT_ONCE: usize = 4;

/// The date of answers, as text that is made once a second.
#[derive(Debug, Default)]
pub(super) struct DateText {
    second: i64,
    text: String,
}

impl DateText {
    /// The date as RFC 9110, section 5.6.7, has it.
    pub(super) fn at(&mut self, now: Timestamp) -> &str {
        if self.text.is_empty() || self.second != now.as_second() {
            self.second = now.as_second();
            self.text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        }
        &self.text
    }
}

/// Writes the head of an answer to `bytes`.
pub(super) fn write_head(bytes: &mut Vec<u8>, answer: &Answer, version: Version, date: &str) {
    let status = answer.status;
    let version = if version == Version::HTTP_10 { "HTTP/1.0 " } else { "HTTP/1.1 " };
    append(bytes, [version, status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"]);
    if let Some(media_type) = answer.media_type {
        append(bytes, ["content-type: ", media_type, "\r\n"]);
    }
    // An answer without a body by its nature (RFC 9110, section 8.6) would describe one that it does not know.
    if status != StatusCode::NOT_MODIFIED {
        write_number(bytes, "content-length: ", answer.body.left_bytes());
    }
    if let Some(tag) = &answer.tag {
        append(bytes, ["etag: ", tag.as_str(), "\r\n"]);
    }
    if let Some(age) = answer.age {
        write_number(bytes, "age: ", age.as_secs());
    }
    if answer.is_stale {
        append(bytes, ["keyside-stale: true\r\n"]);
    }
    if let Some(seconds) = answer.retry_after {
        write_number(bytes, "retry-after: ", seconds);
    }
    if let Some(methods) = answer.allow {
        append(bytes, ["allow: ", methods, "\r\n"]);
    }
    if answer.is_last {
        append(bytes, ["connection: close\r\n"]);
    }
    append(bytes, ["cache-control: no-store\r\ndate: ", date, "\r\n\r\n"]);
}

fn append<const PARTS: usize>(bytes: &mut Vec<u8>, parts: [&str; PARTS]) {
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
    }
}

fn write_number(bytes: &mut Vec<u8>, field: &str, number: u64) {
    // A vector takes everything.
    drop(write!(bytes, "{field}{number}\r\n"));
}

/// A whole answer, after which the connection ends, for a peer whose request was not read or could not be.
pub(super) fn last_words(answer: Answer, now: Timestamp) -> Vec<u8> {
    let (mut bytes, mut answer) = (Vec::new(), Answer { is_last: true, ..answer });
    write_head(&mut bytes, &answer, Version::HTTP_11, DateText::default().at(now));
    while let Some(next) = answer.body.next_bytes() {
        bytes.extend_from_slice(&next.bytes);
    }
    bytes
}

/// Sends a head and the body after it. A value is sent from its locked memory; of one that is encoded, the next piece is made
/// when the last one is sent and wiped.
///
/// # Errors
/// When the other end has gone.
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), mut head: &[u8], mut body: Body) -> io::Result<()> {
    loop {
        let mut pieces = [const { Bytes::new() }; PIECES_AT_ONCE];
        for piece in &mut pieces {
            let Some(next) = body.next_bytes() else { break };
            *piece = next.bytes;
            if next.is_encoded {
                break;
            }
        }
        let [first, second, third, fourth] = pieces;
        let mut all = head.chain(first).chain(second).chain(third).chain(fourth);
        stream.write_all_buf(&mut all).await?;
        if body.left_bytes() == 0 {
            return Ok(());
        }
        head = &[];
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::testing::new_year;

    fn head(answer: &Answer, version: Version) -> String {
        let mut bytes = Vec::new();
        write_head(&mut bytes, answer, version, DateText::default().at(new_year()));
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_head_has_the_fields_of_its_answer_and_the_length_of_its_body() {
        let answer = Answer { body: Body::plain("value"), ..Answer::default() };
        let expected = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncache-control: no-store\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";
        assert_eq!(head(&answer, Version::HTTP_11), expected);
        let answer = Answer { is_last: true, ..answer };
        let old = head(&answer, Version::HTTP_10);
        assert!(old.starts_with("HTTP/1.0 200 OK\r\n") && old.contains("\r\nconnection: close\r\n"), "{old}");
        let full = Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            media_type: Some("text/plain"),
            age: Some(Duration::from_millis(61_999)),
            is_stale: true,
            retry_after: Some(2),
            allow: Some("GET, HEAD"),
            is_last: false,
            ..answer
        };
        let expected = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nage: 61\r\n\
                        keyside-stale: true\r\nretry-after: 2\r\nallow: GET, HEAD\r\ncache-control: no-store\r\n";
        assert!(head(&full, Version::HTTP_11).starts_with(expected), "{}", head(&full, Version::HTTP_11));
    }

    #[test]
    fn an_answer_that_nothing_changed_tells_no_length() {
        let head = head(&Answer { status: StatusCode::NOT_MODIFIED, ..Answer::default() }, Version::HTTP_11);
        assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n") && !head.contains("content-length"), "{head}");
    }

    #[test]
    fn the_date_follows_the_clock() {
        let mut date = DateText::default();
        assert_eq!(date.at(new_year()), "Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(date.at(new_year() + SignedDuration::from_secs(61)), "Thu, 01 Jan 2026 00:01:01 GMT");
    }

    #[tokio::test]
    async fn a_body_of_many_pieces_is_sent_whole_and_in_order() {
        use tokio::io::AsyncReadExt as _;
        let text = "a\"b\\c\nd".repeat(100);
        for value in [Bytes::from(text), Bytes::from(vec![0xff; 2000]), Bytes::new()] {
            let mut body = Body::document(value.clone(), r#"{"name":"db"}"#);
            let expected: Vec<u8> = std::iter::from_fn(|| body.next_bytes()).flat_map(|next| next.bytes).collect();
            // So narrow that every write is cut.
            let (mut near, mut far) = tokio::io::duplex(7);
            let body = Body::document(value, r#"{"name":"db"}"#);
            let mut received = Vec::new();
            let (sent, read) =
                tokio::join!(async move { send(&mut near, b"head", body).await }, far.read_to_end(&mut received));
            sent.and(read.map(drop)).expect("sent");
            assert_eq!(received, [b"head", &expected[..]].concat());
        }
    }

    /// Takes all that it is given, and notes how long each piece was of each write.
    #[derive(Default)]
    struct Noting(Vec<Vec<usize>>);

    impl AsyncWrite for Noting {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.push(vec![bytes.len()]);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.0.push(pieces.iter().map(|piece| piece.len()).collect());
            Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn one_encoded_piece_is_out_at_a_time_and_text_goes_with_what_is_around_it() {
        let sent = async |value: &'static [u8]| {
            let mut stream = Noting::default();
            send(&mut stream, b"head", Body::document(Bytes::from_static(value), r#"{"a":1}"#)).await.expect("sent");
            stream.0
        };
        let opening = "{\"value_base64\":\"".len();
        assert_eq!(sent(&[0xff; 2 * 384]).await, [vec![4, opening, 512], vec![512], vec![2, 6]]);
        assert_eq!(sent(b"text").await, [vec![4, "{\"value\":\"".len(), 4, 2, 6]]);
    }
}
