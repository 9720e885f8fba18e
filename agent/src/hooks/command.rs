//! Runs a hook's command in a process group of its own, and ends the whole group when it takes too long.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::channel::Outcome;
use super::trust;
use crate::causes::with_causes;

/// How long a command that was asked to end may take, before what is left of its group is killed. Together with what the
/// agent grants its own tasks at the end, it stays below the ten seconds after which container runtimes kill.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// How a run ended, and why where it did not succeed.
pub(super) type Ending = (Outcome, Option<String>);

/// Runs a program to its end, to the `limit` or until `stop` is cancelled. `changed` are the secrets that did.
///
/// What it prints goes nowhere: a program that reads secrets may print one.
pub(super) async fn run(words: &[String], changed: &str, limit: Duration, stop: &CancellationToken) -> Ending {
    let Some((program, arguments)) = words.split_first() else {
        return (Outcome::Failed, Some("there is no command".to_owned()));
    };
    // It was judged at the agent's start, and rights change.
    if let Err(distrust) = trust::check_program(Path::new(program)) {
        return (Outcome::Failed, Some(format!("others could decide what it does: {}", with_causes(&distrust))));
    }
    let mut command = Command::new(program);
    command.args(arguments).env("KEYSIDE_CHANGED", changed).current_dir("/").process_group(0);
    // Before the start, so that no end is missed.
    let news = match signal(SignalKind::child()) {
        Ok(news) => news,
        Err(error) => return (Outcome::Failed, Some(format!("could not watch for the end of {program}: {error}"))),
    };
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Running { child, news }.watch(limit, stop).await,
        Err(error) => (Outcome::Failed, Some(format!("could not start {program}: {error}"))),
    }
}

/// A command that has not been reaped, so that neither its number nor its group's can be another's.
struct Running {
    child: Child,
    /// Tells that some child of this process ended or was stopped.
    news: Signal,
}

impl Running {
    async fn watch(mut self, limit: Duration, stop: &CancellationToken) -> Ending {
        let ended = tokio::select! {
            () = self.exit() => None,
            () = tokio::time::sleep(limit) => Some((Outcome::TimedOut, format!("ended after {limit:?}"))),
            () = stop.cancelled() => Some((Outcome::Failed, "ended with the agent".to_owned())),
        };
        if ended.is_some() {
            self.signal(Number::TERM);
            // Whether in time or not: what is left of the group is killed.
            drop(timeout(LAST_CHANCE, self.exit()).await);
            self.signal(Number::KILL);
            self.exit().await;
        }
        match (ended, self.child.wait()) {
            (Some((outcome, why)), _) => (outcome, Some(why)),
            (None, Ok(status)) if status.success() => (Outcome::Succeeded, None),
            (None, Ok(status)) => (Outcome::Failed, Some(format!("ended with {status}"))),
            (None, Err(error)) => (Outcome::Failed, Some(format!("could not learn how it ended: {error}"))),
        }
    }

    /// Waits for the end, without reaping. When the kernel does not say, there is nobody to wait for.
    async fn exit(&mut self) {
        let ask = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(self.leader()), ask) {
            self.news.recv().await;
        }
    }

    /// Signals the whole group. It fails only where nobody is left, or where all of it took another user's rights.
    fn signal(&self, number: Number) {
        let _nobody_left = kill_process_group(self.leader(), number);
    }

    fn leader(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    async fn run_script(script: &str, limit: Duration, stop: &CancellationToken) -> Ending {
        let words = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&words, "db token", limit, stop).await
    }

    #[tokio::test]
    async fn a_command_ends_as_it_says() {
        let stop = CancellationToken::new();
        let rows = [
            ("exit 0", Outcome::Succeeded, None),
            ("test \"$KEYSIDE_CHANGED\" = 'db token'", Outcome::Succeeded, None),
            ("test \"$PWD\" = /", Outcome::Succeeded, None),
            ("echo out; echo error >&2; exit 3", Outcome::Failed, Some("ended with exit status: 3")),
            ("kill -9 $$", Outcome::Failed, Some("ended with signal: 9 (SIGKILL)")),
        ];
        for (script, outcome, detail) in rows {
            let ending = run_script(script, LONG, &stop).await;
            assert_eq!(ending, (outcome, detail.map(str::to_owned)), "{script}");
        }
        let absent = run(&["/no/such/program".to_owned()], "", LONG, &stop).await;
        assert_eq!(absent.0, Outcome::Failed);
        assert!(absent.1.is_some_and(|detail| detail.starts_with("could not start /no/such/program: ")));
    }

    #[tokio::test]
    async fn a_program_that_others_may_write_by_now_is_not_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, ran) = (folder.path().join("hook.sh"), folder.path().join("ran"));
        fs::write(&program, format!("#!/bin/sh\ntouch {}\n", ran.display())).expect("written");
        fs::set_permissions(&program, Permissions::from_mode(0o777)).expect("changed");
        let ending = run(&[program.display().to_string()], "db", LONG, &CancellationToken::new()).await;
        assert_eq!(ending.0, Outcome::Failed);
        assert!(ending.1.is_some_and(|detail| detail.contains("others than its owner may write")) && !ran.exists());
    }

    /// Whether a process runs; one that ended and was not reaped does not.
    fn runs(pid: &str) -> bool {
        let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended_with_all_of_its_group() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = |name: &str| folder.path().join(name).display().to_string();
        let script = format!(
            "sh -c 'trap \"\" TERM; echo $$ >{0}; while :; do sleep 60; done' & \
             until test -s {0}; do sleep 0.01; done; sleep 60 & echo $! >{1}; wait",
            note("stubborn"),
            note("docile"),
        );
        let ending = run_script(&script, Duration::from_secs(1), &CancellationToken::new()).await;
        assert_eq!(ending, (Outcome::TimedOut, Some("ended after 1s".to_owned())));
        for name in ["stubborn", "docile"] {
            let pid = fs::read_to_string(folder.path().join(name)).expect("it started in time");
            let mut left = 1000;
            while runs(pid.trim()) && left > 0 {
                left -= 1;
                tokio::task::yield_now().await;
                std::thread::yield_now();
            }
            assert!(!runs(pid.trim()), "{name} {pid}");
        }
    }

    #[tokio::test]
    async fn a_command_ends_with_the_agent() {
        let stop = CancellationToken::new();
        stop.cancel();
        let ending = run_script("sleep 60", LONG, &stop).await;
        assert_eq!(ending, (Outcome::Failed, Some("ended with the agent".to_owned())));
    }
}
