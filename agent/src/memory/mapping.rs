//! Mappings of memory, of each kind that the kernel has for secrets.

use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};

/// A descriptor of memory that only the page tables of those who map it reach (`memfd_secret(2)`, Linux 5.14 and later).
pub(super) fn secret_descriptor(size: NonZeroUsize) -> Result<OwnedFd, Errno> {
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

pub(super) fn map_secret_descriptor(descriptor: &OwnedFd, size: NonZeroUsize) -> Result<NonNull<u8>, Errno> {
    // JUSTIFICATION: mapping is unsafe in every binding, because it can replace what lies at an address.
    // SAFETY: the kernel chooses the address, so nothing is replaced. Secret memory that has a size keeps it, so that nobody
    // can shorten it below the mapping.
    let address =
        unsafe { mmap(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, descriptor, 0)? };
    advise(address, size, &[MmapAdvise::MADV_DONTFORK]);
    Ok(address.cast())
}

pub(super) fn map_locked(size: NonZeroUsize) -> Result<NonNull<u8>, Errno> {
    let address = map_anonymous(size)?;
    // JUSTIFICATION: locking is unsafe in the binding because it takes an address.
    // SAFETY: the range is the mapping just made.
    if let Err(cause) = unsafe { mlock(address.cast(), size.get()) } {
        // SAFETY: the range is the mapping just made, and nothing points into it yet.
        let _ = unsafe { munmap(address.cast(), size.get()) };
        return Err(cause);
    }
    Ok(address)
}

pub(super) fn map_anonymous(size: NonZeroUsize) -> Result<NonNull<u8>, Errno> {
    // JUSTIFICATION: as for the mapping of secret memory.
    // SAFETY: the kernel chooses the address, so nothing is replaced.
    let address =
        unsafe { mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE)? };
    advise(address, size, &[MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_WIPEONFORK]);
    Ok(address.cast())
}

/// Asks for each advice, best effort: an old kernel that knows one of them not still locks the memory.
fn advise(address: NonNull<std::ffi::c_void>, size: NonZeroUsize, advices: &[MmapAdvise]) {
    for &advice in advices {
        // JUSTIFICATION: advice is unsafe in the binding because some kinds discard contents.
        // SAFETY: the range is a mapping that is still empty, so no advice can lose anything.
        let _ = unsafe { madvise(address, size.get(), advice) };
    }
}
