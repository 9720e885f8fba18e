//! The helper: a process that was started before the agent gave up any rights, and does what hooks do in its place.
//!
//! It holds no secret: it is a program of its own, started before the first one was fetched, and is only told names. What
//! it may do was said before the agent had read anything from the network, so that an agent that was taken over can have
//! the configured hooks run, each once at a time, and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::channel::{Channel, Order, Outcome, Report, Setup};
use super::command::{self, Ending};
use super::settings::{Action, Recipient};
use super::{pid_file, unit};
use crate::causes::with_causes;
use crate::clock::SystemClock;
use crate::kernel;
use crate::secret::SecretName;

const NO_AGENT: &str = "this command is started by an agent, for its hooks";

/// Does what the agent at standard input orders, until it closes its end.
///
/// # Errors
/// When standard input is no agent.
pub fn run() -> Result<()> {
    let channel = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).context(NO_AGENT)?;
    // Somebody's terminal is left as it is.
    channel.peer_addr().context(NO_AGENT)?;
    kernel::keep_descriptors().context("descriptors cannot be kept from commands")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        // Service managers and terminals signal every process of a service or a job. The helper ends with the agent, which
        // decides what a signal means. A handler, unlike an ignored signal, is not inherited by commands.
        let _unheard = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()]
            .map(signal)
            .into_iter()
            .collect::<io::Result<Vec<Signal>>>()
            .context("could not listen for signals")?;
        // The agent held some back while it started, and commands inherit that.
        SigSet::empty().thread_set_mask().context("could not let signals through")?;
        serve(Channel::new(channel).context(NO_AGENT)?).await
    })
}

async fn serve(mut channel: Channel) -> Result<()> {
    let setup = channel.hear::<Setup>().await.ok().flatten();
    let Some(Setup { actions }) = setup else { bail!(NO_AGENT) };
    let stop = CancellationToken::new();
    let mut running = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    loop {
        tokio::select! {
            order = channel.hear::<Order>() => match order {
                // An agent in its right mind waits for the end of a run.
                Ok(Some(Order { hook, .. })) if !busy.insert(hook) => break,
                Ok(Some(order)) => running.push(carry_out(&actions, order, &stop)),
                // The agent ended, or makes no sense.
                Ok(None) | Err(_) => break,
            },
            Some(report) = running.next() => {
                busy.remove(&report.hook);
                if channel.say(&report).await.is_err() {
                    break;
                }
            }
        }
    }
    stop.cancel();
    while running.next().await.is_some() {}
    Ok(())
}

async fn carry_out(actions: &[Action], order: Order, stop: &CancellationToken) -> Report {
    let hook = order.hook;
    let (outcome, detail) = match actions.get(hook) {
        Some(action) => perform(action, &order.changed, stop).await,
        None => (Outcome::Failed, Some("there is no such hook".to_owned())),
    };
    Report { hook, outcome, detail }
}

async fn perform(action: &Action, changed: &[String], stop: &CancellationToken) -> Ending {
    let names: Result<Vec<SecretName>, _> = changed.iter().map(|name| name.parse()).collect();
    if let Err(error) = names {
        return (Outcome::Failed, Some(error.to_string()));
    }
    match action {
        Action::Command { command, timeout } => command::run(command, &changed.join(" "), *timeout, stop).await,
        Action::Signal { signal, recipient } => {
            let process = match recipient {
                Recipient::PidFile(path) => pid_file::process(path, &SystemClock).map_err(|error| with_causes(&error)),
                Recipient::Unit(unit) => unit::main_process(unit).await.map_err(|error| with_causes(&error)),
            };
            let sent = process.and_then(|process| {
                let failed = |error| format!("could not send {signal} to the process {}: {error}", process.pid());
                process.signal(signal.number()).map_err(failed)
            });
            sent.map_or_else(|why| (Outcome::Failed, Some(why)), |()| (Outcome::Succeeded, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn script(text: &str) -> Action {
        let command = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
        Action::Command { command, timeout: Duration::from_mins(1) }
    }

    fn order(hook: usize, changed: &str) -> Order {
        Order { hook, changed: vec![changed.to_owned()] }
    }

    #[tokio::test]
    async fn hooks_run_at_the_same_time_and_each_end_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = folder.path().join("gate").display().to_string();
        let actions = vec![
            script(&format!("until test -e {gate}; do sleep 0.01; done")),
            script(&format!("touch {gate}")),
            script("true"),
        ];
        let (here, there) = tokio::net::UnixStream::pair().expect("a pair");
        let agent = async {
            let mut channel = Channel::over(here);
            channel.say(&Setup { actions }).await.expect("said");
            for order in [order(0, "db"), order(1, "db"), order(7, "db"), order(2, "../db")] {
                channel.say(&order).await.expect("said");
            }
            let mut reports: Vec<(usize, Outcome)> = Vec::new();
            for _ in 0..4 {
                let report: Report = channel.hear().await.expect("heard").expect("a report");
                reports.push((report.hook, report.outcome));
            }
            reports.sort_by_key(|(hook, outcome)| (*hook, outcome.as_str()));
            let expected =
                [(0, Outcome::Succeeded), (1, Outcome::Succeeded), (2, Outcome::Failed), (7, Outcome::Failed)];
            assert_eq!(reports, expected);
        };
        let (ended, ()) = tokio::join!(serve(Channel::over(there)), agent);
        ended.expect("a clean end");
    }

    #[tokio::test]
    async fn an_agent_that_goes_away_ends_what_runs() {
        let (here, there) = tokio::net::UnixStream::pair().expect("a pair");
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("own");
        let agent = async {
            let mut channel = Channel::over(here);
            let text = format!("echo $$ >{}; exec sleep 60", own.display());
            channel.say(&Setup { actions: vec![script(&text)] }).await.expect("said");
            channel.say(&order(0, "db")).await.expect("said");
            loop {
                match std::fs::read_to_string(&own) {
                    Ok(pid) if pid.ends_with('\n') => break pid,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        let (ended, pid) = tokio::join!(serve(Channel::over(there)), agent);
        ended.expect("a clean end");
        assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "it was ended and reaped");
    }

    #[tokio::test]
    async fn an_agent_that_orders_what_runs_already_is_no_longer_obeyed() {
        let (here, there) = tokio::net::UnixStream::pair().expect("a pair");
        let agent = async {
            let mut channel = Channel::over(here);
            channel.say(&Setup { actions: vec![script("exec sleep 60")] }).await.expect("said");
            for _ in 0..2 {
                channel.say(&order(0, "db")).await.expect("said");
            }
            channel.hear::<Report>().await.expect("heard").is_none()
        };
        let (ended, is_closed) = tokio::join!(serve(Channel::over(there)), agent);
        ended.expect("a clean end");
        assert!(is_closed, "nothing is done for somebody who took the agent over");
    }

    #[tokio::test]
    async fn whoever_is_no_agent_is_told_so() {
        let (here, there) = tokio::net::UnixStream::pair().expect("a pair");
        drop(here);
        let error = serve(Channel::over(there)).await.expect_err("refused");
        assert!(error.to_string().contains("started by an agent"), "{error}");
    }
}
