//! What has come over a connection and is not answered yet.

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

use std::io;
use std::mem;

use bytes::BufMut as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::head::{self, Fault, Head, may_be_complete};
use super::limits::HEAD_BYTES_MAX;

/// How much memory there is for it at first: enough for nearly all.
const BYTES: usize = 1024;

/// The bytes, of which no more are taken in than one head may have.
#[derive(Debug)]
pub(super) struct Received {
    bytes: Vec<u8>,
    /// Whether a head may be complete that was not when it was looked for last.
    may_be_head: bool,
}

impl Received {
    /// Nothing yet.
    #[must_use]
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(BYTES), may_be_head: false }
    }

    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[must_use]
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() < HEAD_BYTES_MAX
    }

    /// Takes the next head out; none where it is not complete.
    ///
    /// # Errors
    /// What keeps it from ever being one. What cannot be a head by its first bytes is told at once.
    pub(super) fn next_head(&mut self) -> Result<Option<Head>, Fault> {
        let head = if mem::take(&mut self.may_be_head) { head::read(&self.bytes)? } else { None };
        match &head {
            Some(head) => {
                self.bytes.drain(..head.length);
                self.may_be_head = !self.bytes.is_empty();
            }
            None => self.drop_empty_lines(),
        }
        Ok(head)
    }

    /// Those before a head are nothing of it (RFC 9112, section 2.2).
    fn drop_empty_lines(&mut self) {
        let mut rest = &self.bytes[..];
        while let Some(after) = rest.strip_prefix(b"\n").or_else(|| rest.strip_prefix(b"\r\n")) {
            rest = after;
        }
        let empty = self.bytes.len() - rest.len();
        self.bytes.drain(..empty);
    }

    /// Takes in what is there, as far as there is room; nothing at the end of all.
    ///
    /// # Errors
    /// When the other end cannot be read from.
    pub(super) async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let before = self.bytes.len();
        if before == self.bytes.capacity() {
            self.bytes.reserve(before);
        }
        let new = stream.read_buf(&mut (&mut self.bytes).limit(HEAD_BYTES_MAX - before)).await?;
        self.may_be_head |= before == 0 || may_be_complete(&self.bytes, new);
        Ok(new)
    }
}
