//! Memory for secrets: locked against swap, left out of core dumps, and wiped when it is given back.
//!
//! One [`Arena`] hands out exact pieces of a few large mappings, because locked memory is counted in pages and a job
//! container may allow as few as sixteen of them. What touches an address is in this file; its parts build on that.
#![expect(unsafe_code, reason = "mapping memory and lending its bytes is what this module is for")]

#[forbid(unsafe_code)]
mod arena;
#[forbid(unsafe_code)]
mod free_list;
#[forbid(unsafe_code)]
mod locked;
#[forbid(unsafe_code)]
mod protection;
#[forbid(unsafe_code)]
mod region;
#[cfg(test)]
#[forbid(unsafe_code)]
mod tests;

use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use zeroize::Zeroize;

pub use self::arena::{Arena, MemoryExhausted, Place, Settings};
use self::free_list::FreeList;
pub use self::locked::{Locked, LockedBuffer};
pub use self::protection::{Protection, UnknownBackend};
pub use self::region::{Region, Unmappable};

/// Pieces start and end at multiples of this many bytes: a cache line, so that neighbours do not share one.
const GRAIN_BYTES: usize = 64;

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
        unsafe { std::slice::from_raw_parts(self.chunk.mapping.address.as_ptr().add(self.offset), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // JUSTIFICATION: as in `bytes`.
        // SAFETY: as in `bytes`, and `&mut self` makes this the only reference into the range.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.mapping.address.as_ptr().add(self.offset), self.length) }
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
    mapping: Mapping,
    protection: Protection,
    /// Its number among those whose memory can outlive the process.
    number: Option<usize>,
    free: Mutex<FreeList>,
}

impl Chunk {
    /// Held only to change a short list; nothing waits or fails inside.
    fn free(&self) -> MutexGuard<'_, FreeList> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, length: usize) -> Option<Piece> {
        let offset = self.free().take(length)?;
        Some(Piece { chunk: Arc::clone(self), offset, length, left: AtomicBool::new(false) })
    }
}

/// Memory that the kernel mapped for reading and writing, all zero unless others have written to it. Undone when dropped.
#[derive(Debug)]
struct Mapping {
    address: NonNull<u8>,
    size: NonZeroUsize,
}

// JUSTIFICATION: a raw address makes a type stay on its thread unless we say otherwise.
// SAFETY: the mapping belongs to the process, not to a thread. Of a chunk's, a `Piece` owns its range alone; a region's is
// copied, and who writes to it has it alone among the threads of this process.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Of what a descriptor of secret memory stands for.
    fn secret(descriptor: &OwnedFd, size: NonZeroUsize) -> Result<Self, Errno> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // JUSTIFICATION: mapping is unsafe in every binding, because it can replace what lies at an address.
        // SAFETY: the kernel chooses the address, so nothing is replaced. Secret memory that has a size keeps it, so that nobody
        // can shorten it below the mapping.
        let address = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, descriptor, 0)? };
        Ok(Self { address: address.cast(), size }.advised(&[MmapAdvise::MADV_DONTFORK]))
    }

    /// Of memory that nothing but the process has, and that the kernel may swap.
    fn anonymous(size: NonZeroUsize) -> Result<Self, Errno> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // JUSTIFICATION: as for the mapping of secret memory.
        // SAFETY: the kernel chooses the address, so nothing is replaced.
        let address = unsafe { mmap_anonymous(None, size, access, MapFlags::MAP_PRIVATE)? };
        Ok(Self { address: address.cast(), size }.advised(&[MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_WIPEONFORK]))
    }

    /// Of memory that nothing but the process has, and that the kernel never swaps.
    fn locked(size: NonZeroUsize) -> Result<Self, Errno> {
        let mapping = Self::anonymous(size)?;
        // JUSTIFICATION: locking is unsafe in the binding because it takes an address.
        // SAFETY: the range is the mapping just made.
        unsafe { mlock(mapping.address.cast(), size.get())? };
        Ok(mapping)
    }

    /// Gives each advice, best effort: a kernel that knows one of them not still maps the memory.
    fn advised(self, advices: &[MmapAdvise]) -> Self {
        for &advice in advices {
            // JUSTIFICATION: advice is unsafe in the binding because some kinds discard contents.
            // SAFETY: those that are given here only say who else gets the contents.
            let _ = unsafe { madvise(self.address.cast(), self.size.get(), advice) };
        }
        self
    }

    /// Copies out as many bytes as fill the room. Answers `false`, and copies nothing, where they are not all inside.
    fn copy_out(&self, offset: usize, room: &mut [u8]) -> bool {
        let inside = self.has(offset, room.len());
        if inside {
            // JUSTIFICATION: the mapping is no Rust object, and others may change it meanwhile.
            // SAFETY: the range lies inside the mapping; the room is ours alone and does not overlap it.
            unsafe {
                std::ptr::copy_nonoverlapping(self.address.as_ptr().add(offset), room.as_mut_ptr(), room.len());
            };
        }
        inside
    }

    /// Copies bytes in. Answers `false`, and copies nothing, where they do not all fit.
    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let inside = self.has(offset, bytes.len());
        if inside {
            // JUSTIFICATION: as for copying out.
            // SAFETY: as for copying out, the other way round.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address.as_ptr().add(offset), bytes.len()) };
        }
        inside
    }

    /// Overwrites everything with zeros, for all who have it mapped.
    fn wipe(&mut self) {
        // JUSTIFICATION: as for copying out.
        // SAFETY: the range is the mapping, and the one reference into it ends here.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.size.get()) }.zeroize();
    }

    fn has(&self, offset: usize, length: usize) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size.get())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // JUSTIFICATION: a mapping that was made by hand must be undone by hand.
        // SAFETY: address and size are those of the mapping, and nothing points into it: a piece keeps its chunk, and a region
        // lends nothing. An error would mean that the mapping does not exist, and there is nothing to do about it here.
        let _ = unsafe { munmap(self.address.cast(), self.size.get()) };
    }
}

/// A descriptor of memory that only the page tables of those who map it reach (`memfd_secret(2)`, Linux 5.14 and later).
fn secret_descriptor(size: NonZeroUsize) -> Result<OwnedFd, Errno> {
    // JUSTIFICATION: neither libc nor nix wraps this system call.
    // SAFETY: it takes one integer and returns a descriptor or -1; no memory is involved.
    let answer = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let raw = i32::try_from(Errno::result(answer)?).map_err(|_| Errno::EBADF)?;
    // JUSTIFICATION: ownership begins where the kernel hands the number over.
    // SAFETY: the kernel has just opened this descriptor for us, and nothing else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
    nix::unistd::ftruncate(&descriptor, i64::try_from(size.get()).map_err(|_| Errno::EINVAL)?)?;
    Ok(descriptor)
}
