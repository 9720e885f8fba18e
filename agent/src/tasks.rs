//! Named tasks that start and stop together: when one ends, or when asked to, all are told to stop and are waited for.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt as _;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The tasks of one run, each with a name for the log and for the error that it ends with.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<Result<()>>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

impl Tasks {
    /// No task yet; `stop` is cancelled when the first one ends.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { running: JoinSet::new(), names: HashMap::new(), stop }
    }

    /// Starts a task under `name`. It must end soon after the token that it is given is cancelled.
    pub fn start<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        // Of one type for the runtime, which is otherwise compiled anew for each task.
        let started = self.running.spawn(task(self.stop.clone()).boxed());
        self.names.insert(started.id(), name);
    }

    /// Starts a task that cannot fail, like [`Self::start`].
    pub fn start_unfailing<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, |stop| task(stop).map(Ok));
    }

    /// Waits until a task ends or the token is cancelled, then for all others, at most `grace` long.
    ///
    /// # Errors
    /// The first error that a task ended with, under its name; or the names of those that outlived the grace period.
    pub async fn join(mut self, grace: Duration) -> Result<()> {
        let mut first = Ok(());
        tokio::select! {
            () = self.stop.cancelled() => {}
            Some(ended) = self.running.join_next_with_id() => self.keep_first(&mut first, ended),
        }
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.running.join_next_with_id().await {
                self.keep_first(&mut first, ended);
            }
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            let late = self.names.values().copied().collect::<Vec<_>>().join(", ");
            return first.and(Err(anyhow!("not stopped within {grace:?}: {late}")));
        }
        first
    }

    fn keep_first(&mut self, first: &mut Result<()>, ended: Result<(Id, Result<()>), JoinError>) {
        let (id, outcome) = match ended {
            Ok(ended) => ended,
            Err(panic) => (panic.id(), Err(panic.into())),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        match outcome.with_context(|| format!("task {name}")) {
            Err(error) if first.is_ok() => *first = Err(error),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "a further task ended with an error"),
            Ok(()) => {}
        }
    }
}

/// Waits for `duration`, or answers `true` at once when `stop` is cancelled.
pub async fn stopped_within(stop: &CancellationToken, duration: Duration) -> bool {
    tokio::time::timeout(duration, stop.cancelled()).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    async fn until_stopped(stop: CancellationToken) {
        stop.cancelled().await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_that_ends_stops_the_others() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        tasks.start_unfailing("waits", until_stopped);
        tasks.start("fails", |_| async { Err(anyhow!("disk full")) });
        let error = tasks.join(GRACE).await.expect_err("the failure is reported");
        assert_eq!(format!("{error:#}"), "task fails: disk full");
        assert!(stop.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_named_too() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.start("breaks", |_| async { panic!("on purpose") });
        let error = tasks.join(GRACE).await.expect_err("reported");
        assert!(format!("{error:#}").starts_with("task breaks: "), "{error:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_all_without_an_error() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        tasks.start_unfailing("waits", until_stopped);
        stop.cancel();
        tasks.join(GRACE).await.expect("a clean stop");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_given_up_after_the_grace_period() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone());
        tasks.start_unfailing("hangs", |_| std::future::pending());
        stop.cancel();
        let error = tasks.join(GRACE).await.expect_err("reported");
        assert_eq!(error.to_string(), "not stopped within 5s: hangs");
    }
}
