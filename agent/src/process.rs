//! What the process forbids itself, and the two questions to the kernel about other processes that no binding asks.
#![expect(unsafe_code, reason = "some system calls have no safe binding")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Most supplementary groups that a Linux process can have.
/// Source: `NGROUPS_MAX` in the kernel's `limits.h`.
const GROUPS_MAX: usize = 65_536;

/// The supplementary groups of the process that connected a Unix socket, as they were then (`SO_PEERGROUPS`).
///
/// # Errors
/// Whatever the kernel answers; `ENODATA` when the peer is no process.
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // JUSTIFICATION: no binding knows this option.
        // SAFETY: the kernel writes at most `length` bytes into the buffer, whose size that is, and then the length.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if answer == 0 {
            groups.truncate(length as usize / size_of::<u32>());
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // ERANGE: `length` now says how much room there must be.
        if error.raw_os_error() != Some(libc::ERANGE) || groups.len() >= GROUPS_MAX {
            return Err(error);
        }
        groups.resize((length as usize / size_of::<u32>()).clamp(groups.len() + 1, GROUPS_MAX), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_groups_of_a_peer_are_those_of_its_process() {
        let (left, _right) = UnixStream::pair().expect("a pair");
        let own: Vec<u32> =
            nix::unistd::getgroups().expect("own groups").into_iter().map(nix::unistd::Gid::as_raw).collect();
        assert_eq!(peer_groups(left.as_fd()).expect("an answer"), own);
    }

    #[test]
    fn a_socket_without_a_peer_is_an_error() {
        let file = tempfile::tempfile().expect("a file");
        assert!(peer_groups(file.as_fd()).is_err());
    }
}
