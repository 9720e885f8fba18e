//! The head of a request (RFC 9112): what it asks, whether a body follows it, and whether it is the connection's last.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Status};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, IF_NONE_MATCH, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use super::request::FORWARDING_HEADERS;

/// How a client begins that speaks HTTP/2 without having asked (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2";

/// One head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// Those fields that answers depend on.
    pub(super) headers: HeaderMap,
    /// Whether something follows that is no request.
    pub(super) has_body: bool,
    /// Whether the client wants no further answer.
    pub(super) is_last: bool,
    /// What the client speaks, at best.
    pub(super) version: Version,
    /// How many bytes it has.
    pub(super) length: usize,
}

/// Why something is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It breaks the rules.
    Malformed,
    /// It is too long, or has too many fields.
    TooLarge,
    /// It is of another protocol, which would not understand an answer.
    Foreign,
}

impl Fault {
    /// The status that answers it, if any.
    pub(super) fn status(self) -> Option<StatusCode> {
        match self {
            Self::Malformed => Some(StatusCode::BAD_REQUEST),
            Self::TooLarge => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Self::Foreign => None,
        }
    }
}

/// Whether a head that was incomplete without its last `new` bytes may be complete now; reading it anew for each byte that
/// trickles in would take a time that grows with the square of its length.
#[must_use]
pub(super) fn may_be_complete(bytes: &[u8], new: usize) -> bool {
    // The end of the line before, and the empty line: `\n\r\n` or `\n\n`.
    let recent = &bytes[bytes.len().saturating_sub(new + 2)..];
    bytes.len() >= HEAD_BYTES_MAX
        || recent.windows(2).any(|end| end == b"\n\n")
        || recent.windows(3).any(|end| end == b"\n\r\n")
}

/// Reads the head at the start of `bytes`; none where it is not complete.
///
/// # Errors
/// The [`Fault`] that keeps it from ever being one.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, &mut fields) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(Error::TooManyHeaders) => return Err(Fault::TooLarge),
        Err(_) if bytes.starts_with(HTTP_2) => return Err(Fault::Foreign),
        Err(_) => return Err(Fault::Malformed),
    };
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Fault::Malformed);
    };
    let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut head = Head {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Malformed)?,
        uri: Uri::try_from(path).map_err(|_| Fault::Malformed)?,
        headers: HeaderMap::new(),
        has_body: false,
        is_last: version == Version::HTTP_10,
        version,
        length,
    };
    let mut promised = None;
    for field in request.headers.iter() {
        head.take(field, &mut promised)?;
    }
    head.has_body |= promised.is_some_and(|length| length > 0);
    Ok(Some(head))
}

impl Head {
    fn take(&mut self, field: &Header<'_>, promised: &mut Option<u64>) -> Result<(), Fault> {
        let is = |name: &HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
        // No field is kept that nothing depends on.
        if let Some(name) = FORWARDING_HEADERS.into_iter().chain([IF_NONE_MATCH]).find(is) {
            let value = HeaderValue::from_bytes(field.value).map_err(|_| Fault::Malformed)?;
            self.headers.append(name, value);
        } else if is(&CONNECTION) {
            let mut options = field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            self.is_last |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        } else if is(&TRANSFER_ENCODING) {
            self.has_body = true;
        } else if is(&CONTENT_LENGTH) {
            let length = length(field.value)?;
            if promised.is_some_and(|other| other != length) {
                return Err(Fault::Malformed);
            }
            *promised = Some(length);
        }
        Ok(())
    }
}

/// Digits and nothing else (RFC 9110, section 8.6).
fn length(value: &[u8]) -> Result<u64, Fault> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use hyper::header::ORIGIN;

    use super::*;

    fn whole(text: &str) -> Head {
        read(text.as_bytes()).expect("no fault").expect("complete")
    }

    #[test]
    fn a_head_ends_where_the_next_one_begins() {
        let text = "\r\nGET /v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n";
        let head = whole(&format!("{text}GET /"));
        assert_eq!((head.method, head.uri.path(), head.length), (Method::GET, "/v1/secrets", text.len()));
        assert!(!head.has_body && !head.is_last && head.version == Version::HTTP_11);
    }

    #[test]
    fn every_beginning_of_a_head_is_incomplete_and_its_last_byte_is_noticed() {
        for text in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\n\r\n"] {
            for length in 0..text.len() {
                assert!(read(&text.as_bytes()[..length]).expect("no fault").is_none(), "{length} of {text:?}");
            }
            for new in 1..=text.len() {
                assert!(may_be_complete(text.as_bytes(), new), "the last {new} of {text:?}");
            }
        }
        assert!(!may_be_complete(b"GET / HTTP/1.1\r\nHost: x\r\n", 3));
    }

    #[test]
    fn fields_say_whether_a_body_follows_and_whether_the_connection_ends() {
        let rows = [
            ("", false, false),
            ("Content-Length: 0\r\n", false, false),
            ("content-length: 0\r\nContent-Length: 0\r\n", false, false),
            ("Content-Length: 1\r\n", true, false),
            ("Transfer-Encoding: chunked\r\n", true, false),
            ("Transfer-Encoding: identity\r\nContent-Length: 0\r\n", true, false),
            ("Connection: keep-alive\r\n", false, false),
            ("connection: CLOSE\r\n", false, true),
            ("Connection: upgrade , close\r\n", false, true),
            ("Connection: closed\r\n", false, false),
            ("X-Connection: close\r\n", false, false),
        ];
        for (fields, has_body, is_last) in rows {
            let head = whole(&format!("GET / HTTP/1.1\r\n{fields}\r\n"));
            assert_eq!((head.has_body, head.is_last), (has_body, is_last), "{fields:?}");
        }
        assert!(whole("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").is_last, "an old client is answered once");
    }

    #[test]
    fn what_answers_depend_on_is_kept_however_it_is_written() {
        let head =
            whole("GET / HTTP/1.1\r\nORIGIN: a\r\nif-none-match: \"b\"\r\nIf-None-Match: \"c\"\r\nCookie: d\r\n\r\n");
        assert_eq!(head.headers[ORIGIN], "a");
        assert_eq!(head.headers.get_all(IF_NONE_MATCH).iter().count(), 2);
        assert_eq!(head.headers.len(), 3);
    }

    #[test]
    fn what_can_be_no_head_is_told_at_once() {
        let long = format!("GET /{}", "a".repeat(HEAD_BYTES_MAX));
        let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1));
        let rows = [
            (long.as_str(), Fault::TooLarge),
            (&fields, Fault::TooLarge),
            ("\x16\x03\x01", Fault::Malformed),
            ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nX : y\r\n\r\n", Fault::Malformed),
            ("GET / HTTP/1.1\r\nX: y\r\n z\r\n\r\n", Fault::Malformed),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::Foreign),
        ];
        for (text, expected) in rows {
            assert_eq!(read(text.as_bytes()).expect_err(text), expected, "{text:?}");
        }
    }
}
