//! The process that a pid file names, if nobody else could have named it and it is the one that was meant.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use super::process::Process;
use super::trust::{self, Distrust};
use crate::clock::Clock;

/// Longest part of a pid file that is read: a number, a line's end and some of what other programs put after it.
const BYTES_MAX: u64 = 64;

/// How much later than its file a process may seem to have started: the file's time is cut to seconds, and the kernel
/// counts starts in hundredths.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);

/// Says why a pid file leads to no process.
#[derive(Debug, Error)]
pub(super) enum PidFileError {
    #[error("could not open the pid file {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the pid file {path} is a link, or no file")]
    NoFile { path: PathBuf },
    #[error("others could have written the pid file {path}")]
    Distrusted { path: PathBuf, source: Distrust },
    #[error("the pid file {path} does not begin with a process id above 1")]
    NoNumber { path: PathBuf },
    #[error("the process {pid}, which the pid file {path} names, has ended")]
    Ended { path: PathBuf, pid: i32 },
    #[error(
        "the process {pid} started after the pid file {path} was written, so it is not the one that was meant: start that \
         one again"
    )]
    Reused { path: PathBuf, pid: i32 },
}

/// Finds the process.
pub(super) fn process(path: &Path, clock: &dyn Clock) -> Result<Process, PidFileError> {
    let (pid, written) = read(path)?;
    let ended = |_| PidFileError::Ended { path: path.to_owned(), pid };
    let process = Process::open(pid).map_err(ended)?;
    if process.started(clock.now()).map_err(ended)? > written + TOLERANCE {
        return Err(PidFileError::Reused { path: path.to_owned(), pid });
    }
    Ok(process)
}

/// The number in the file, and when it was written.
fn read(path: &Path) -> Result<(i32, Timestamp), PidFileError> {
    let unreadable = |source| PidFileError::Unreadable { path: path.to_owned(), source };
    let distrusted = |source| PidFileError::Distrusted { path: path.to_owned(), source };
    trust::check_way(path).map_err(distrusted)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(|error| match error {
        rustix::io::Errno::LOOP => PidFileError::NoFile { path: path.to_owned() },
        other => unreadable(other.into()),
    })?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(PidFileError::NoFile { path: path.to_owned() });
    }
    trust::check_file(path, &found).map_err(distrusted)?;
    let written = found.modified().and_then(|time| Timestamp::try_from(time).map_err(io::Error::other));
    let written = written.map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    number(&bytes).map(|pid| (pid, written)).ok_or_else(|| PidFileError::NoNumber { path: path.to_owned() })
}

/// The number in the first line. 1 is whoever started everything, and never meant.
fn number(bytes: &[u8]) -> Option<i32> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|pid| is_number && *pid > 1)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::{Child, Command};
    use std::time::Duration;

    use super::*;
    use crate::causes::with_causes;
    use crate::clock::SystemClock;

    #[test]
    fn a_pid_file_begins_with_a_number_above_one() {
        let rows: [(&[u8], Option<i32>); 10] = [
            (b"4221", Some(4221)),
            (b"4221\n", Some(4221)),
            (b" 4221 \n/var/lib/postgresql\n", Some(4221)),
            (b"1\n", None),
            (b"0", None),
            (b"-4221", None),
            (b"+4221", None),
            (b"", None),
            (b"99999999999", None),
            (b"\xff", None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(number(bytes), expected, "{bytes:?}");
        }
    }

    struct Running {
        child: Child,
        folder: tempfile::TempDir,
    }

    impl Running {
        /// A program with a pid file.
        fn start() -> Self {
            let child = Command::new("sleep").arg("60").spawn().expect("started");
            let folder = tempfile::tempdir().expect("a directory");
            fs::write(folder.path().join("app.pid"), format!("{}\n", child.id())).expect("written");
            Self { child, folder }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("app.pid")
        }

        fn told(&self) -> String {
            process(&self.path(), &SystemClock)
                .map_or_else(|error| with_causes(&error), |found| found.pid().to_string())
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            // It may have ended by the test's doing.
            drop(self.child.kill().and_then(|()| self.child.wait()));
        }
    }

    #[test]
    fn the_process_is_found_as_long_as_only_its_owner_could_name_it() {
        let running = Running::start();
        let pid = running.child.id().to_string();
        for (mode, of_folder, expected) in [
            (0o644, 0o755, pid.as_str()),
            (0o664, 0o755, "others could have written"),
            (0o646, 0o755, "others could have written"),
            (0o644, 0o775, "others could have written"),
            (0o644, 0o1777, "others could have written"),
            (0o600, 0o700, pid.as_str()),
        ] {
            fs::set_permissions(running.path(), Permissions::from_mode(mode)).expect("changed");
            fs::set_permissions(running.folder.path(), Permissions::from_mode(of_folder)).expect("changed");
            let told = running.told();
            assert!(told.contains(expected), "{mode:o} {of_folder:o}: {told}");
        }
    }

    #[test]
    fn a_number_that_went_to_a_later_process_is_refused() {
        let running = Running::start();
        let file = File::options().write(true).open(running.path()).expect("opened");
        let written = file.metadata().and_then(|found| found.modified()).expect("known");
        file.set_modified(written - Duration::from_mins(1)).expect("set");
        let told = running.told();
        assert!(told.contains("is not the one that was meant"), "{told}");
    }

    #[test]
    fn an_ended_process_a_link_and_a_missing_file_lead_nowhere() {
        let mut running = Running::start();
        running.child.kill().and_then(|()| running.child.wait()).expect("ended");
        assert!(running.told().ends_with("has ended"), "{}", running.told());
        fs::rename(running.path(), running.folder.path().join("other")).expect("moved");
        assert!(running.told().starts_with("could not open the pid file"), "{}", running.told());
        symlink("other", running.path()).expect("linked");
        assert!(running.told().ends_with("is a link, or no file"), "{}", running.told());
    }
}
