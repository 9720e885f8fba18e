//! What the kernel is asked for, or hands over, that no safe binding covers.
#![expect(unsafe_code, reason = "some system calls have no safe binding")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{getpid, getppid, tcsetpgrp};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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

/// Source: `asm-generic/socket.h`; the number is the same on every architecture that Rust's Linux targets but MIPS, PA-RISC
/// and SPARC have, and there the kernel answers that it knows no such option.
const SO_PEERPIDFD: libc::c_int = 77;

/// A handle of the process that connected a Unix socket. None where the kernel gives none: before Linux 6.5, and for a
/// process that has ended where the kernel did not keep it.
#[must_use]
pub fn peer_process(socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut handle: libc::c_int = -1;
    let mut length = libc::socklen_t::try_from(size_of_val(&handle)).ok()?;
    // JUSTIFICATION: no binding knows this option.
    // SAFETY: the kernel writes at most `length` bytes into the number, whose size that is.
    let answer = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PEERPIDFD, (&raw mut handle).cast(), &raw mut length)
    };
    // JUSTIFICATION: the kernel passes a descriptor by number, and ownership begins where that is read.
    // SAFETY: the kernel has just made it for this call, so nothing else owns it.
    (answer == 0 && handle >= 0).then(|| unsafe { OwnedFd::from_raw_fd(handle) })
}

/// What the service manager passed to this process, by name (`sd_listen_fds_with_names(3)`). Only the first call gets it.
///
/// # Errors
/// When the service manager's variables make no sense or name descriptors that are not open.
pub fn passed_descriptors() -> io::Result<Vec<(String, OwnedFd)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names()?;
    // JUSTIFICATION: the service manager passes descriptors by number, and ownership begins where that is read.
    // SAFETY: they were open when they were marked, they belong to this process by the protocol, which also says that nothing
    // else uses them, and this function owns them once.
    Ok(passed.map(|(raw, name)| (name, unsafe { OwnedFd::from_raw_fd(raw) })).collect())
}

/// Whether the caller's descriptor is the only one that anybody has of this file, which must be open for writing and
/// belong to the caller. Memory mappings count as open. When the kernel does not say, the answer is no.
///
/// The kernel grants a write lease only on a file that nobody else has open (`fcntl(2)`, `F_SETLEASE`).
#[must_use]
pub fn nobody_else_has_open(file: BorrowedFd<'_>) -> bool {
    let lease = |kind: libc::c_int| {
        // JUSTIFICATION: no binding knows leases.
        // SAFETY: both calls take and give integers; no memory is involved.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) == 0 }
    };
    // Given back at once: only the answer matters, and a lease that somebody breaks would be answered by a signal.
    lease(libc::F_WRLCK) && lease(libc::F_UNLCK)
}

/// What a program inherits that the process which starts it has changed for itself.
#[derive(Debug)]
pub struct Inheritance {
    /// The signals that are blocked.
    pub blocked: SigSet,
    /// Whether the end of children is ignored.
    pub children_ignored: bool,
    /// The terminal whose foreground the program's process group becomes.
    pub terminal: Option<File>,
}

/// Has a command start with this inheritance, whatever the present process has by then, and end with the present thread: who
/// kills this process for good means the command. The command must have a process group of its own.
pub fn bequeath(command: &mut Command, inheritance: Inheritance) {
    let Inheritance { blocked, children_ignored, terminal } = inheritance;
    let parent = getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            // It died before, and nobody is left to tell.
            return Err(io::ErrorKind::NotConnected.into());
        }
        if let Some(terminal) = &terminal {
            // The kernel would stop a process that does this from the background.
            SigSet::from_iter([Signal::SIGTTOU]).thread_block()?;
            tcsetpgrp(terminal, getpid())?;
        }
        if children_ignored {
            dispose_children(SigHandler::SigIgn)?;
        }
        blocked.thread_set_mask()?;
        Ok(())
    };
    // JUSTIFICATION: between fork and exec is the only place for this: the standard library empties the mask there, and
    // a program that is started in the background could be stopped before anybody else gives it the terminal.
    // SAFETY: the closure makes system calls on what it owns, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}

/// Has a command start without any descriptor but the first three, whatever the present process was started with: what lives
/// longer than its starter must not hold open a pipe that somebody reads to its end, or a file that somebody locked.
pub fn bequeath_no_descriptors(command: &mut Command) {
    // JUSTIFICATION: descriptors that this process inherited are marked as anything only by number, and for the started
    // program alone only between fork and exec.
    // SAFETY: the closure makes system calls on integers, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(keep_descriptors) };
}

/// Keeps every descriptor but the first three from the programs that this process starts: whoever started it may have left
/// some open. They are marked and not closed, so that the standard library's own goes on telling whether a program started.
///
/// # Errors
/// When the kernel says neither which are open nor how many can be.
pub fn keep_descriptors() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // JUSTIFICATION: no binding knows this call in the C library of the static program.
    // SAFETY: it takes integers; no memory is involved.
    if unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) } == 0 {
        return Ok(());
    }
    // Before Linux 5.11, and where a sandbox does not know it. All that can be open are below the limit.
    let (limit, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    for descriptor in 3..libc::c_int::try_from(limit).unwrap_or(libc::c_int::MAX) {
        // JUSTIFICATION: the safe binding wants an owner, and these have none here.
        // SAFETY: it takes integers; for a number that is not open it answers an error, which is what is wanted.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Has the runtime tell when there is a signal to read. The descriptor must not block.
///
/// # Errors
/// When the runtime has no I/O, or the kernel refuses.
pub fn follow_signals(descriptor: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    // JUSTIFICATION: the runtime has no safe way to follow a descriptor that is neither a socket nor a pipe.
    // SAFETY: a `SignalFd` owns its descriptor, closes it only when it is dropped, and always answers the same one.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(|error| error.into_parts().1)
}

/// Whether this process ignores a signal, which it inherits from who started it.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    let mut present = MaybeUninit::<libc::sigaction>::uninit();
    // JUSTIFICATION: the safe binding can only replace a disposition.
    // SAFETY: nothing is replaced, and the kernel writes the present one into the room that it needs; it is read only then.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), present.as_mut_ptr()) == 0
            && present.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Has the kernel keep the end of children for whoever waits for it, and answers whether it was ignored before.
///
/// # Errors
/// Whatever the kernel answers.
pub fn heed_children() -> io::Result<bool> {
    Ok(matches!(dispose_children(SigHandler::SigDfl)?, SigHandler::SigIgn))
}

fn dispose_children(handler: SigHandler) -> nix::Result<SigHandler> {
    // JUSTIFICATION: whether children leave a status is a property of this signal's disposition (waitpid(2)), which every
    // program inherits.
    // SAFETY: neither of the dispositions that the callers pass runs code.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, handler) }
}

/// Gives the kernel back what the heap has free in whole pages, which the C library keeps as long as anything behind it is in
/// use. Does nothing with another C library than glibc.
pub fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    // JUSTIFICATION: no binding knows this call.
    // SAFETY: it takes an integer, and gives back only memory that the allocator has lent to nobody.
    unsafe {
        libc::malloc_trim(0);
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
    fn a_file_is_ours_alone_until_somebody_else_opens_it() {
        let file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file");
        assert!(nobody_else_has_open(file.as_file().as_fd()));
        let reader = File::open(file.path()).expect("opens");
        assert!(!nobody_else_has_open(file.as_file().as_fd()), "a reader");
        drop(reader);
        assert!(nobody_else_has_open(file.as_file().as_fd()), "the reader has gone, and no lease was left");
    }

    #[test]
    fn a_descriptor_without_leases_is_never_ours_alone() {
        let (left, _right) = UnixStream::pair().expect("a pair");
        assert!(!nobody_else_has_open(left.as_fd()));
    }

    #[test]
    fn a_socket_without_a_peer_is_an_error() {
        let file = tempfile::tempfile().expect("a file");
        assert!(peer_groups(file.as_fd()).is_err());
        assert!(peer_process(file.as_fd()).is_none());
    }

    #[test]
    fn the_handle_of_a_peer_is_of_its_process() {
        let (left, _right) = UnixStream::pair().expect("a pair");
        let Some(handle) = peer_process(left.as_fd()) else {
            eprintln!("SKIPPED: this kernel has no SO_PEERPIDFD (Linux 6.5)");
            return;
        };
        let about =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd())).expect("a description");
        let pid = about.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a process id");
        assert_eq!(pid.trim(), std::process::id().to_string());
    }
}
