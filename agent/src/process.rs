//! What the process forbids itself.

use std::fmt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus,
};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

use crate::causes::with_causes;

/// What of the hardening holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// No other process of this user reads the memory through `/proc` or ptrace.
    pub not_dumpable: Outcome,
    /// A crash writes no memory to a disk.
    pub no_core_dumps: Outcome,
    /// No program that is started gains rights, by setuid or file capabilities.
    pub no_new_privileges: Outcome,
    /// Writing is confined to the directories that were named.
    pub confined: Outcome,
}

/// How one measure went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Applied,
    /// Part of it holds, as this kernel knows no more.
    Partial,
    /// The kernel refused it, for this reason.
    Refused(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => formatter.write_str("applied"),
            Self::Partial => formatter.write_str("partial"),
            Self::Refused(reason) => write!(formatter, "refused: {reason}"),
        }
    }
}

impl Report {
    /// The measures by name, in the order in which they were taken.
    #[must_use]
    pub fn measures(&self) -> [(&'static str, &Outcome); 4] {
        [
            ("not_dumpable", &self.not_dumpable),
            ("no_core_dumps", &self.no_core_dumps),
            ("no_new_privileges", &self.no_new_privileges),
            ("confined", &self.confined),
        ]
    }
}

/// Raises the number of descriptors that the process may have to what its hard limit allows, and answers it. The soft limit
/// is kept low for programs that use `select(2)`, which this is not.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Takes every measure that the kernel allows, for the rest of the process's life, and logs those that it refuses.
///
/// `writable` is where files may still be made, changed and removed, with everything below: the directories of the
/// socket and of the files, and of what a child needs, `~/.azure` for the Azure CLI. They must exist.
///
/// It must be called before the first thread is started: Landlock and the privileges bind the calling thread and those
/// that it starts later. The umask becomes 0077, so that whatever is made without a thought about its mode is private;
/// what others should reach (the socket, the files) states its mode itself.
///
/// The confinement keeps a subverted agent from changing files elsewhere. It does not restrict reading, running
/// programs, changing modes and owners, the network, signals or descriptors that are open already; and it knows a
/// directory itself, not its path: one that is replaced by another is no longer writable.
#[must_use]
pub fn harden(writable: &[PathBuf]) -> Report {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let report = Report {
        not_dumpable: outcome(prctl::set_dumpable(false)),
        no_core_dumps: outcome(setrlimit(Resource::RLIMIT_CORE, 0, 0)),
        no_new_privileges: outcome(prctl::set_no_new_privs()),
        confined: confine(writable).unwrap_or_else(|error| Outcome::Refused(with_causes(&*error))),
    };
    for (measure, outcome) in report.measures() {
        if *outcome != Outcome::Applied {
            tracing::warn!(measure, %outcome, "the process is less hardened than it could be");
        }
    }
    report
}

fn outcome(answer: nix::Result<()>) -> Outcome {
    answer.map_or_else(|error| Outcome::Refused(error.to_string()), |()| Outcome::Applied)
}

/// The ABI that first covers every way of changing a file; later ones add devices and sockets, which is not the aim.
/// Source: the kernel's `Documentation/userspace-api/landlock.rst`.
const LANDLOCK: ABI = ABI::V3;

/// Programs that are started get it as a standard stream, and open it for writing.
const NULL_DEVICE: &str = "/dev/null";

/// All directories or none: half of them would let the agent start and stop it later, when nobody watches.
fn confine(writable: &[PathBuf]) -> Result<Outcome, Box<dyn std::error::Error>> {
    let changes = AccessFs::from_write(LANDLOCK);
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(changes)?.create()?;
    for directory in writable {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(directory)?, changes))?;
    }
    if Path::new(NULL_DEVICE).exists() {
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(NULL_DEVICE)?, AccessFs::WriteFile))?;
    }
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Outcome::Applied,
        RulesetStatus::PartiallyEnforced => Outcome::Partial,
        RulesetStatus::NotEnforced => Outcome::Refused("this kernel has no Landlock".to_owned()),
    })
}
