//! Which protection memory gets, and who gets which piece of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use thiserror::Error;

use super::free_list::FreeList;
use super::{Chunk, GRAIN_BYTES, Locked, LockedBuffer, Mapping, Piece, Protection, secret_descriptor};

/// Least size of one mapping: sixteen pages, all that a container with a 64 KiB memlock limit can lock.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

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

    /// The same memory, of which only what is locked is handed out, whatever the settings say.
    #[must_use]
    pub fn locked_only(&self) -> Self {
        Self { settings: Settings { require_locked: true, ..self.settings }, ..self.clone() }
    }

    /// A buffer that can take `capacity` bytes before it has to move.
    ///
    /// # Errors
    /// [`MemoryExhausted`] when no memory of the demanded protection is left.
    pub fn buffer(&self, capacity: usize) -> Result<LockedBuffer, MemoryExhausted> {
        Ok(LockedBuffer::new(self.piece(capacity)?, self.clone()))
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
        self.chunks().iter().map(|chunk| chunk.mapping.size.get() - chunk.free().bytes()).sum()
    }

    /// Held only to look through a list of a few mappings; nothing waits or fails inside.
    pub(super) fn chunks(&self) -> MutexGuard<'_, Vec<Arc<Chunk>>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn piece(&self, capacity: usize) -> Result<Piece, MemoryExhausted> {
        let length = capacity.max(1).next_multiple_of(GRAIN_BYTES);
        let mut chunks = self.chunks();
        let fits = |chunk: &&Arc<Chunk>| !self.settings.require_locked || chunk.protection != Protection::Unprotected;
        if let Some(piece) = chunks.iter().filter(fits).find_map(|chunk| chunk.take(length)) {
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

impl Chunk {
    /// Maps `length` bytes with the best protection that the settings ask for and the kernel grants.
    fn map(length: usize, settings: Settings, number: Option<usize>) -> Result<(Self, Option<OwnedFd>), Errno> {
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        let secret = || {
            let descriptor = secret_descriptor(size)?;
            let mapping = Mapping::secret(&descriptor, size)?;
            Ok((mapping, Protection::SecretMemory, number.map(|_| descriptor)))
        };
        let locked = || Mapping::locked(size).map(|mapping| (mapping, Protection::Locked, None));
        let plain = |cause| {
            if settings.require_locked {
                return Err(cause);
            }
            Mapping::anonymous(size).map(|mapping| (mapping, Protection::Unprotected, None))
        };
        let (mapping, protection, descriptor) = match settings.best {
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
        Ok((Self { mapping, protection, number, free }, descriptor))
    }
}
