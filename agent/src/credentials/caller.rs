//! Who is calling: a process that the service manager started as root, in the unit that it says.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use thiserror::Error;
use tokio::net::UnixStream;

use super::cgroup::is_in;
use super::claim::Claim;
use super::unit::UnitName;

/// By what callers are told from others.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// Where the kernel shows control groups.
    pub(super) groups: PathBuf,
    /// The service manager's user.
    pub(super) uid: u32,
}

impl Default for Trust {
    /// The service manager of the system is root's.
    fn default() -> Self {
        Self { groups: "/sys/fs/cgroup".into(), uid: 0 }
    }
}

/// Says why a caller is not believed.
#[derive(Debug, Error)]
pub(super) enum Stranger {
    #[error("the kernel does not say who is calling")]
    Unknown(#[source] io::Error),
    #[error("uid {0} is calling, and the service manager is root")]
    NotRoot(u32),
    #[error("the caller's address names no unit and credential, so that it is no service manager")]
    NoClaim,
    #[error("the caller says that it is {0}, and is not in that unit")]
    NotInUnit(UnitName),
    #[error("the caller says that it is {claim}, and has ended")]
    Gone { claim: UnitName, source: io::Error },
}

/// What a caller wants, once the kernel has vouched for it.
pub(super) fn believed(stream: &UnixStream, trust: &Trust) -> Result<Claim, Stranger> {
    let peer = stream.peer_cred().map_err(Stranger::Unknown)?;
    if peer.uid() != trust.uid {
        return Err(Stranger::NotRoot(peer.uid()));
    }
    let address = stream.peer_addr().map_err(Stranger::Unknown)?;
    let claim = address.as_abstract_name().and_then(Claim::read).ok_or(Stranger::NoClaim)?;
    let process = process(stream, peer.pid()).map_err(Stranger::Unknown)?;
    match is_in(&trust.groups, &claim.unit, &process) {
        Ok(true) => Ok(claim),
        Ok(false) => Err(Stranger::NotInUnit(claim.unit)),
        Err(source) => Err(Stranger::Gone { claim: claim.unit, source }),
    }
}

/// A descriptor of the process that connected; before Linux 6.5, of the one that has its number now, which only root could
/// have arranged.
fn process(stream: &UnixStream, pid: Option<i32>) -> io::Result<OwnedFd> {
    if let Ok(process) = getsockopt(&stream.as_fd(), sockopt::PeerPidfd) {
        return Ok(process);
    }
    let pid = pid.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}
