//! The state file: what an emulator keeps over a restart, so that its clients notice nothing.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::arm::Kept;
use crate::role::RoleAssignment;
use crate::vault::Vault;

/// Everything that a restart must not change. It holds keys and values, and only its owner may read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) clock_offset_milliseconds: i64,
    pub(crate) authority_key_pem: String,
    pub(crate) directory_keys_pem: String,
    pub(crate) vaults: Vec<Vault>,
    pub(crate) assignments: Vec<RoleAssignment>,
    pub(crate) resource_manager: Kept,
}

/// Why the state cannot be kept or taken up.
#[derive(Debug, Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("could not read state {0}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file holds no state of this emulator. The parser's words could quote a value, and are not passed on.
    #[error("{0} holds no state of this emulator")]
    Foreign(PathBuf),
    /// The file cannot be written.
    #[error("could not write state {0}")]
    Unwritable(PathBuf, #[source] io::Error),
}

impl State {
    /// Reads the state; none where there is no file yet.
    pub(crate) fn load(path: &Path) -> Result<Option<State>, StateError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| StateError::Foreign(path.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::Unreadable(path.into(), error)),
        }
    }

    /// Writes the state whole: a crash leaves the former one.
    pub(crate) fn save(&self, path: &Path) -> Result<(), StateError> {
        let json = serde_json::to_vec(self).expect("a state always serialises");
        write_privately(path, &json).map_err(|error| StateError::Unwritable(path.into(), error))
    }
}

/// Writes a file that only its owner can read, in one step for whoever reads it.
pub(crate) fn write_privately(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    io::Write::write_all(&mut file, content)?;
    std::fs::rename(&temporary, path)
}
