//! Secret memory by its descriptor: made to outlive the process, or found again with nothing known of it.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use thiserror::Error;

use super::{Mapping, secret_descriptor};

/// What the kernel calls the file system of secret memory.
/// Source: `SECRETMEM_MAGIC` in the kernel's `magic.h`.
const SECRET_MEMORY: FsType = FsType(0x5345_434d);

/// Most bytes that a region may claim to have. All values of the largest vault that lists allow are less.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A mapping of secret memory. Others may map it too, so its bytes are copied and never lent.
#[derive(Debug)]
pub struct Region(Mapping);

/// Says why a descriptor is not mapped.
#[derive(Debug, Error)]
pub enum Unmappable {
    /// It is something else.
    #[error("it is no secret memory")]
    Foreign,
    /// It has no size that anything of ours has.
    #[error("it has {0} bytes, which nothing of this agent's has")]
    Size(i64),
    /// The kernel refuses.
    #[error("the kernel does not map it")]
    Refused(#[from] Errno),
}

impl Region {
    /// Makes a region of so many bytes, all zero, and the descriptor that it can be found by.
    ///
    /// # Errors
    /// Whatever the kernel answers where it has no secret memory, or no more of it for this process.
    pub fn create(length: usize) -> Result<(Self, OwnedFd), Errno> {
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        let descriptor = secret_descriptor(size)?;
        Ok((Self(Mapping::secret(&descriptor, size)?), descriptor))
    }

    /// Maps what a descriptor stands for. The size of secret memory cannot change once it has one, so that nobody can take it
    /// from under the mapping.
    ///
    /// # Errors
    /// [`Unmappable`], where it is anything but secret memory of a sensible size.
    pub fn map(descriptor: &OwnedFd) -> Result<Self, Unmappable> {
        if fstatfs(descriptor)?.filesystem_type() != SECRET_MEMORY {
            return Err(Unmappable::Foreign);
        }
        let claimed = fstat(descriptor)?.st_size;
        let fitting = usize::try_from(claimed).ok().filter(|bytes| *bytes <= BYTES_MAX).and_then(NonZeroUsize::new);
        let size = fitting.ok_or(Unmappable::Size(claimed))?;
        Ok(Self(Mapping::secret(descriptor, size)?))
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.size.get()
    }

    /// Whether it has no bytes, which none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out from `offset` on, as many as fill the room. Answers `false`, and copies nothing, where they are not all
    /// inside.
    #[must_use]
    pub fn read(&self, offset: usize, room: &mut [u8]) -> bool {
        self.0.copy_out(offset, room)
    }

    /// Copies bytes in from `offset` on. Answers `false`, and copies nothing, where they do not all fit.
    #[must_use]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        self.0.copy_in(offset, bytes)
    }

    /// Overwrites everything with zeros, for all who have it mapped.
    pub fn wipe(&mut self) {
        self.0.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_writes_another_of_the_same_descriptor_reads() {
        // A machine whose kernel has no secret memory has nothing to show here.
        let Ok((mut first, descriptor)) = Region::create(8192) else { return };
        assert!(first.write(8190, b"ab") && !first.write(8191, b"ab") && !first.write(usize::MAX, b"ab"));
        let second = Region::map(&descriptor).expect("secret memory");
        let mut room = [0; 2];
        assert!(second.read(8190, &mut room));
        assert_eq!((&room, second.len()), (b"ab", 8192));
        assert!(!second.read(8191, &mut room) && !second.read(usize::MAX, &mut room));
        first.wipe();
        assert!(second.read(8190, &mut room));
        assert_eq!(room, [0, 0]);
    }

    #[test]
    fn what_is_no_secret_memory_is_not_mapped() {
        let file = OwnedFd::from(tempfile::tempfile().expect("a file"));
        assert!(matches!(Region::map(&file), Err(Unmappable::Foreign)));
        let memory = rustix::fs::memfd_create("keyside-test", rustix::fs::MemfdFlags::CLOEXEC).expect("a descriptor");
        rustix::fs::ftruncate(&memory, 4096).expect("grown");
        assert!(matches!(Region::map(&memory), Err(Unmappable::Foreign)));
        let (read, _write) = std::io::pipe().expect("a pipe");
        assert!(matches!(Region::map(&read.into()), Err(Unmappable::Foreign)));
    }

    #[test]
    fn secret_memory_without_a_size_is_not_mapped() {
        let Ok(descriptor) = secret_descriptor(NonZeroUsize::new(BYTES_MAX + 4096).expect("some")) else {
            return;
        };
        assert!(matches!(Region::map(&descriptor), Err(Unmappable::Size(_))));
    }
}
