//! Values in memory of an arena: one that is being written, and one that no longer changes.

use std::fmt;
use std::sync::atomic::Ordering;

use zeroize::Zeroize as _;

use super::{Arena, MemoryExhausted, Piece, Place};

/// A value that is still being written. Dropped unfinished, it is wiped.
pub struct LockedBuffer {
    pub(super) piece: Piece,
    length: usize,
    arena: Arena,
}

impl LockedBuffer {
    /// A buffer on a piece that nothing is written to yet, which moves within the arena when it is full.
    pub(super) fn new(piece: Piece, arena: Arena) -> Self {
        Self { piece, length: 0, arena }
    }

    /// Appends `bytes`, moving to a larger piece and wiping the old one when they do not fit.
    ///
    /// # Errors
    /// [`MemoryExhausted`] when a larger piece cannot be had; what was written stays.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), MemoryExhausted> {
        let end = self.length + bytes.len();
        self.reserve(bytes.len())?;
        self.piece.bytes_mut()[self.length..end].copy_from_slice(bytes);
        self.length = end;
        Ok(())
    }

    /// Lets `write` fill up to `room` bytes behind those already written; it answers how many it used.
    ///
    /// # Errors
    /// [`MemoryExhausted`] when there is no room; inside it, whatever `write` ends with. Then nothing counts as written.
    pub fn fill<E>(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<(), E>, MemoryExhausted> {
        self.reserve(room)?;
        let gap = &mut self.piece.bytes_mut()[self.length..self.length + room];
        let written = write(gap).map(|used| used.min(room));
        // What a failed or frugal writer left behind its own end must not reach the free part of the arena.
        gap[written.as_ref().map_or(0, |&used| used)..].zeroize();
        Ok(written.map(|used| self.length += used))
    }

    fn reserve(&mut self, more: usize) -> Result<(), MemoryExhausted> {
        let end = self.length + more;
        if end > self.piece.length {
            let mut larger = self.arena.piece(end.next_power_of_two())?;
            larger.bytes_mut()[..self.length].copy_from_slice(&self.piece.bytes()[..self.length]);
            self.piece = larger;
        }
        Ok(())
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Ends the writing and gives what is left of the piece back.
    #[must_use]
    pub fn freeze(mut self) -> Locked {
        self.piece.shrink(self.length);
        Locked { piece: self.piece, length: self.length }
    }
}

impl fmt::Debug for LockedBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LockedBuffer(redacted)")
    }
}

/// Bytes in locked memory that no longer change. Dropped, they are wiped.
pub struct Locked {
    pub(super) piece: Piece,
    length: usize,
}

impl Locked {
    /// Where it lies, if that can outlive the process.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        Some(Place { chunk: self.piece.chunk.number?, offset: self.piece.offset, length: self.length })
    }

    /// Has the bytes stay where they are when this is dropped, for who has the memory in keeping. The kernel zeroes them once
    /// nobody has. Does nothing where they cannot outlive the process.
    pub fn leave(&self) {
        self.piece.left.store(self.piece.chunk.number.is_some(), Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Locked {
    fn as_ref(&self) -> &[u8] {
        &self.piece.bytes()[..self.length]
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Locked(redacted)")
    }
}
