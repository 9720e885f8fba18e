//! What the machine has against a hook, with the remedy.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use thiserror::Error;

use super::settings::{Action, Hook, Recipient};
use super::trust::{self, Distrust};
use super::unit::systemctl;

/// What the machine has against a hook.
#[derive(Debug, Error)]
pub enum Finding {
    /// The program cannot be run.
    #[error("the hook '{hook}' cannot run {program}: name a program that exists and that this user may execute")]
    NotExecutable {
        /// The hook's name.
        hook: String,
        /// Its program.
        program: PathBuf,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// Others could have the agent run something else, or signal whom they like.
    #[error("others could decide what the hook '{hook}' does")]
    Distrusted {
        /// The hook's name.
        hook: String,
        /// What lets them.
        #[source]
        cause: Distrust,
    },
    /// There is nobody to ask for the main process of a unit.
    #[error("the hook '{hook}' needs systemctl, which is not on this machine: use pid_file or command")]
    NoSystemctl {
        /// The hook's name.
        hook: String,
    },
}

/// Everything that this machine has against the hooks. Each of it keeps the agent from starting: a hook that cannot work
/// would be noticed at the first rotation, when it is needed.
#[must_use]
pub fn examine(hooks: &[Hook]) -> Vec<Finding> {
    hooks.iter().filter_map(|hook| examine_one(hook).err()).collect()
}

fn examine_one(hook: &Hook) -> Result<(), Finding> {
    let name = || hook.name.clone();
    match &hook.action {
        Action::Command { command, .. } => {
            let program = Path::new(command.first().map(String::as_str).unwrap_or_default());
            executable(program).map_err(|cause| Finding::NotExecutable {
                hook: name(),
                program: program.to_owned(),
                cause,
            })?;
            trust::check_program(program).map_err(|cause| Finding::Distrusted { hook: name(), cause })
        }
        Action::Signal { recipient: Recipient::PidFile(path), .. } => {
            // The file itself comes and goes with its program, and is judged each time that it is read.
            trust::check_way(path).map_err(|cause| Finding::Distrusted { hook: name(), cause })
        }
        Action::Signal { recipient: Recipient::Unit(_), .. } => {
            systemctl().map(drop).ok_or_else(|| Finding::NoSystemctl { hook: name() })
        }
    }
}

fn executable(program: &Path) -> io::Result<()> {
    let found = program.metadata()?;
    access(program, AccessFlags::X_OK)?;
    // Root may search any directory and is told so for it, too.
    if found.is_file() && found.mode() & 0o111 != 0 { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    fn hook(action: Action) -> Hook {
        Hook { name: "reload".to_owned(), secrets: None, action }
    }

    fn command(program: &Path) -> Hook {
        let command = vec![program.display().to_string()];
        hook(Action::Command { command, timeout: Duration::from_secs(30) })
    }

    fn told(hook: Hook) -> String {
        examine(&[hook]).iter().map(|finding| crate::causes::with_causes(finding)).collect()
    }

    #[test]
    fn a_program_must_be_there_be_executable_and_be_safe_from_others() {
        let base = tempfile::tempdir().expect("a directory");
        let program = base.path().join("reload.sh");
        assert!(told(command(&program)).contains("name a program that exists"), "absent");
        fs::write(&program, "#!/bin/sh\n").expect("written");
        for (mode, part) in [(0o644, "may execute"), (0o777, "others than its owner may write"), (0o755, "")] {
            fs::set_permissions(&program, Permissions::from_mode(mode)).expect("changed");
            let told = told(command(&program));
            assert!(told.contains(part) && told.is_empty() == part.is_empty(), "{mode:o}: {told}");
        }
        fs::set_permissions(base.path(), Permissions::from_mode(0o777)).expect("changed");
        assert!(told(command(&program)).contains("others could decide"), "it can be replaced");
        assert!(told(command(base.path())).contains("may execute"), "a directory");
    }

    #[test]
    fn a_pid_file_where_others_write_is_refused_before_it_exists() {
        let base = tempfile::tempdir().expect("a directory");
        let signal = |path: &Path| {
            let recipient = Recipient::PidFile(path.to_owned());
            hook(Action::Signal { signal: "HUP".parse().expect("a signal"), recipient })
        };
        assert_eq!(told(signal(&base.path().join("app.pid"))), "");
        fs::set_permissions(base.path(), Permissions::from_mode(0o1777)).expect("changed");
        assert!(told(signal(&base.path().join("app.pid"))).contains("others than its owner may write"));
    }
}
