//! Memory for secrets: locked against swap, left out of core dumps, and wiped when it is given back.
//!
//! One [`Arena`] hands out exact pieces of a few large mappings, because locked memory is counted in pages and a job
//! container may allow as few as sixteen of them.
#![expect(unsafe_code, reason = "mapping memory and lending its bytes is what this module is for")]

mod free_list;
mod mapping;
mod protection;
mod region;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::mman::munmap;
use thiserror::Error;
use zeroize::Zeroize;

use self::free_list::FreeList;
use self::mapping::{map_anonymous, map_locked, map_secret_descriptor, secret_descriptor};
pub use self::protection::{Protection, UnknownBackend};
pub use self::region::{Region, Unmappable};

/// Pieces start and end at multiples of this many bytes: a cache line, so that neighbours do not share one.
const GRAIN_BYTES: usize = 64;

/// Least size of one mapping: sixteen pages, all that a container with a 64 KiB memlock limit can lock.
const CHUNK_BYTES: usize = 64 * 1024;

/// The operator's settings for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The best protection to try; the next ones follow when the kernel refuses it.
    pub best: Protection,
    /// Refuse a value rather than keep it in [`Protection::Unprotected`] memory.
    pub require_locked: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { best: Protection::SecretMemory, require_locked: false }
    }
}

/// The kernel gives no more memory of the demanded protection.
#[derive(Debug, Error)]
#[error("no locked memory left for {bytes} bytes: raise the memlock limit (LimitMEMLOCK=, ulimit -l)")]
pub struct MemoryExhausted {
    /// How many bytes were asked for.
    pub bytes: usize,
    #[source]
    cause: Errno,
}

/// Descriptors of mappings, each with the number of its mapping.
type Descriptors = Vec<(usize, OwnedFd)>;

/// Hands out wiped pieces of locked memory. Clones share the mappings.
#[derive(Clone)]
pub struct Arena {
    settings: Settings,
    chunks: Arc<Mutex<Vec<Arc<Chunk>>>>,
    /// The descriptors of secret memory that nobody has taken yet, each with the number of its mapping; none where they are
    /// closed at once.
    kept: Option<Arc<Mutex<Descriptors>>>,
}

/// Where a value lies in secret memory that can outlive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the mapping.
    pub chunk: usize,
    /// Where in it the value begins, in bytes.
    pub offset: usize,
    /// How many bytes it has.
    pub length: usize,
}

impl Arena {
    /// An arena without any mapping yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, chunks: Arc::default(), kept: None }
    }

    /// An arena whose secret memory can be given into somebody's keeping: [`Self::take_descriptors`].
    #[must_use]
    pub fn keeping(settings: Settings) -> Self {
        Self { kept: Some(Arc::default()), ..Self::new(settings) }
    }

    /// The descriptors of mappings that were made since the last call, each with the number of its mapping.
    #[must_use]
    pub fn take_descriptors(&self) -> Vec<(usize, OwnedFd)> {
        let take =
            |kept: &Arc<Mutex<Vec<_>>>| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
        self.kept.as_ref().map(take).unwrap_or_default()
    }

    /// An arena that does not ask for protection: for tests that count nothing.
    #[must_use]
    pub fn unlocked() -> Self {
        Self::new(Settings { best: Protection::Unprotected, require_locked: false })
    }

    /// A buffer that can take `capacity` bytes before it has to move.
    ///
    /// # Errors
    /// [`MemoryExhausted`] when no memory of the demanded protection is left.
    pub fn buffer(&self, capacity: usize) -> Result<LockedBuffer, MemoryExhausted> {
        Ok(LockedBuffer { piece: self.piece(capacity)?, length: 0, arena: self.clone() })
    }

    /// Copies `bytes` into memory of this arena.
    ///
    /// # Errors
    /// [`MemoryExhausted`] when no memory of the demanded protection is left.
    pub fn store(&self, bytes: &[u8]) -> Result<Locked, MemoryExhausted> {
        let mut buffer = self.buffer(bytes.len())?;
        buffer.extend(bytes)?;
        Ok(buffer.freeze())
    }

    /// The worst protection among the mappings; none before the first value, when it is not known what the kernel grants.
    #[must_use]
    pub fn protection(&self) -> Option<Protection> {
        self.chunks().iter().map(|chunk| chunk.protection).max()
    }

    /// How many bytes are handed out now, rounded up to whole grains.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.chunks().iter().map(|chunk| chunk.length - chunk.free().bytes()).sum()
    }

    /// Held only to look through a list of a few mappings; nothing waits or fails inside.
    fn chunks(&self) -> MutexGuard<'_, Vec<Arc<Chunk>>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn piece(&self, capacity: usize) -> Result<Piece, MemoryExhausted> {
        let length = capacity.max(1).next_multiple_of(GRAIN_BYTES);
        let mut chunks = self.chunks();
        if let Some(piece) = chunks.iter().find_map(|chunk| chunk.take(length)) {
            return Ok(piece);
        }
        let number = self.kept.is_some().then_some(chunks.len());
        let (chunk, descriptor) = Chunk::map(length.next_multiple_of(CHUNK_BYTES), self.settings, number)
            .map_err(|cause| MemoryExhausted { bytes: capacity, cause })?;
        if let (Some(kept), Some(descriptor)) = (&self.kept, descriptor) {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push((chunks.len(), descriptor));
        }
        let chunk = Arc::new(chunk);
        let piece = chunk.take(length).expect("a fresh chunk is at least as long as the piece");
        chunks.push(chunk);
        Ok(piece)
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Arena").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A value that is still being written. Dropped unfinished, it is wiped.
pub struct LockedBuffer {
    piece: Piece,
    length: usize,
    arena: Arena,
}

impl LockedBuffer {
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
    piece: Piece,
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

/// A range of a chunk that nothing else uses; wiped and given back on drop.
struct Piece {
    chunk: Arc<Chunk>,
    offset: usize,
    length: usize,
    /// Whether the bytes are left where they are.
    left: AtomicBool,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        // JUSTIFICATION: the mapping is no Rust object, so its bytes can only be reached through its address.
        // SAFETY: the range lies inside the mapping, which lives as long as `chunk`; it was zeroed by the kernel or by
        // the wipe of its last owner; `take` gives no byte to two pieces, so only `&mut self` can write to it.
        unsafe { std::slice::from_raw_parts(self.chunk.address.as_ptr().add(self.offset), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // JUSTIFICATION: as in `bytes`.
        // SAFETY: as in `bytes`, and `&mut self` makes this the only reference into the range.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.address.as_ptr().add(self.offset), self.length) }
    }

    /// Gives back whole grains behind the first `used` bytes. Nothing was ever written there, so nothing is wiped.
    fn shrink(&mut self, used: usize) {
        let length = used.max(1).next_multiple_of(GRAIN_BYTES);
        if length < self.length {
            self.chunk.free().give_back(self.offset + length, self.length - length);
            self.length = length;
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if *self.left.get_mut() {
            return;
        }
        self.bytes_mut().zeroize();
        self.chunk.free().give_back(self.offset, self.length);
    }
}

/// One mapping and what of it is free.
struct Chunk {
    address: NonNull<u8>,
    length: usize,
    protection: Protection,
    /// Its number among those whose memory can outlive the process.
    number: Option<usize>,
    free: Mutex<FreeList>,
}

// JUSTIFICATION: a raw address makes a type stay on its thread unless we say otherwise.
// SAFETY: the mapping belongs to the process, not to a thread, and every access goes through a `Piece`, which owns its
// range alone, or through the mutex.
unsafe impl Send for Chunk {}
// SAFETY: as for Send.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// Maps `length` bytes with the best protection that the settings ask for and the kernel grants.
    fn map(length: usize, settings: Settings, number: Option<usize>) -> Result<(Self, Option<OwnedFd>), Errno> {
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        let secret = || {
            let descriptor = secret_descriptor(size)?;
            let address = map_secret_descriptor(&descriptor, size)?;
            Ok((address, Protection::SecretMemory, number.map(|_| descriptor)))
        };
        let locked = || map_locked(size).map(|address| (address, Protection::Locked, None));
        let plain = |cause| {
            if settings.require_locked {
                return Err(cause);
            }
            map_anonymous(size).map(|address| (address, Protection::Unprotected, None))
        };
        let (address, protection, descriptor) = match settings.best {
            Protection::SecretMemory => secret().or_else(|_: Errno| locked()).or_else(plain)?,
            Protection::Locked => locked().or_else(plain)?,
            Protection::Unprotected => plain(Errno::ENOMEM)?,
        };
        if protection == Protection::Unprotected && settings.best != Protection::Unprotected {
            tracing::warn!(
                bytes = length,
                "no locked memory left: values go to memory that can be swapped; raise the memlock limit"
            );
        }
        let number = number.filter(|_| descriptor.is_some());
        let free = Mutex::new(FreeList::new(length));
        Ok((Self { address, length, protection, number, free }, descriptor))
    }

    /// Held only to change a short list; nothing waits or fails inside.
    fn free(&self) -> MutexGuard<'_, FreeList> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, length: usize) -> Option<Piece> {
        let offset = self.free().take(length)?;
        Some(Piece { chunk: Arc::clone(self), offset, length, left: AtomicBool::new(false) })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // JUSTIFICATION: a mapping that was made by hand must be undone by hand.
        // SAFETY: address and length are those of the mapping, and no piece is left that could lend its bytes. An error
        // would mean that the mapping does not exist, and there is nothing to do about it here.
        let _ = unsafe { munmap(self.address.cast(), self.length) };
    }
}
