//! The main process of a systemd service, as its manager names it.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::Command;
use tokio::time::timeout;

use super::process::Process;
use super::settings::Unit;

/// Where distributions install it. An absolute path, so that no variable decides what is run.
const SYSTEMCTL: [&str; 3] = ["/usr/bin/systemctl", "/bin/systemctl", "/run/current-system/sw/bin/systemctl"];

/// Longest time for an answer of the service manager, which takes milliseconds unless it hangs.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Says why there is no main process.
#[derive(Debug, Error)]
pub(super) enum UnitError {
    #[error("systemctl is not on this machine")]
    NoSystemctl,
    #[error("could not ask systemctl for the main process of {unit}")]
    Unasked { unit: String, source: io::Error },
    #[error("systemctl did not say within {ANSWER_TIME_MAX:?} what the main process of {unit} is")]
    Silent { unit: String },
    #[error("{unit} has no main process: it does not run, or it is no service of this machine")]
    NoProcess { unit: String },
    #[error("the main process of {unit} changed while it was looked up")]
    Changed { unit: String },
}

/// The first `systemctl` that there is.
pub(super) fn systemctl() -> Option<&'static Path> {
    SYSTEMCTL.iter().map(Path::new).find(|path| path.is_file())
}

/// Finds the main process. Only the service manager knows which one it is: the service's control group lists all of its
/// processes and marks none, while to read a property of a unit takes no rights.
pub(super) async fn main_process(unit: &Unit) -> Result<Process, UnitError> {
    main_process_by(systemctl().ok_or(UnitError::NoSystemctl)?, unit).await
}

async fn main_process_by(program: &Path, unit: &Unit) -> Result<Process, UnitError> {
    let before = main_pid(program, unit).await?;
    let process = Process::open(before).map_err(|_| UnitError::NoProcess { unit: unit.as_str().to_owned() })?;
    // The number is the main process's as long as its manager says so, since only its manager can let it be used again:
    // what was opened in between is that process.
    if main_pid(program, unit).await? != before {
        return Err(UnitError::Changed { unit: unit.as_str().to_owned() });
    }
    Ok(process)
}

async fn main_pid(program: &Path, unit: &Unit) -> Result<i32, UnitError> {
    let name = || unit.as_str().to_owned();
    let mut command = Command::new(program);
    command.args(["show", "--property=MainPID", "--value", "--no-pager", "--", unit.as_str()]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(ANSWER_TIME_MAX, output).await.map_err(|_| UnitError::Silent { unit: name() })?;
    let output = output.map_err(|source| UnitError::Unasked { unit: name(), source })?;
    if !output.status.success() {
        let source = io::Error::other(format!("it ended with {}", output.status));
        return Err(UnitError::Unasked { unit: name(), source });
    }
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    pid.filter(|pid| *pid > 1).ok_or_else(|| UnitError::NoProcess { unit: name() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::with_causes;

    /// What a service manager leads to that answers as the script does.
    async fn answered(script: &str) -> String {
        let base = tempfile::tempdir().expect("a directory");
        let program = base.path().join("systemctl");
        // Written by another process: no program can be run that any thread's child here has open for writing.
        let text = format!("#!/bin/sh\nanswered={}/answered\n{script}\n", base.path().display());
        let write = "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&program).arg(text).status();
        assert!(written.expect("sh runs").success());
        let unit = "app.service".parse().expect("a unit");
        let found = main_process_by(&program, &unit).await;
        found.map_or_else(|error| with_causes(&error), |process| process.pid().to_string())
    }

    #[tokio::test]
    async fn the_service_manager_is_asked_for_a_number_and_may_have_none() {
        let own = std::process::id();
        assert_eq!(answered(&format!("test \"$6\" = app.service && echo {own}")).await, own.to_string());
        let none = "app.service has no main process: it does not run, or it is no service of this machine";
        for script in ["echo 0", "echo 1", "echo", "echo -5", "echo what"] {
            assert_eq!(answered(script).await, none, "{script}");
        }
        let failed = answered("exit 3").await;
        assert!(failed.ends_with("of app.service: it ended with exit status: 3"), "{failed}");
    }

    #[tokio::test]
    async fn a_process_that_is_no_longer_the_main_one_is_not_it() {
        let own = std::process::id();
        let again = format!("test -e $answered && echo 4221 || echo {own}; touch $answered");
        assert_eq!(answered(&again).await, "the main process of app.service changed while it was looked up");
    }
}
