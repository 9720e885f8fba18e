//! What is done when secrets change: a signal or a command, after the change is published, from a helper process.

mod board;
mod channel;
mod command;
mod finding;
mod helper;
mod pid_file;
mod process;
mod queue;
mod settings;
mod trust;
mod unit;

use std::io;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::board::Ended;
pub use self::board::{Board, Standing, State};
pub use self::channel::{COMMAND, Helper, Outcome};
use self::channel::{Channel, Order, Report};
pub use self::finding::{Finding, examine};
pub use self::helper::run as run_helper;
use self::queue::{Queue, Seen};
pub use self::settings::{Action, Hook, InvalidTimeout, InvalidUnit, Recipient, Signal, Timeout, Unit, UnknownSignal};
pub use self::trust::Distrust;
use crate::causes::with_causes;
use crate::clock::Clock;
use crate::environment::Environment;
use crate::metrics::Metrics;
use crate::store::Reader;

/// What commands keep of the agent's environment. Everything else may tell how to be the agent to Azure, or hold somebody's
/// password: the agent's environment is where platforms put such things.
const KEPT_VARIABLES: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "LC_TIME",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
];

/// The environment of every command: what is kept of the agent's, and where the secrets are.
#[must_use]
pub fn variables(environment: &Environment, socket: &Path, files: Option<&Path>) -> Vec<(String, String)> {
    let kept = KEPT_VARIABLES.iter().filter_map(|name| Some((*name, environment.get(name)?.to_owned())));
    let places = [("KEYSIDE_SOCKET", Some(socket)), ("KEYSIDE_SECRETS_DIR", files)];
    let places = places.into_iter().filter_map(|(name, path)| Some((name, path?.to_str()?.to_owned())));
    kept.chain(places).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The agent's side of the hooks.
pub struct Hooks {
    /// Where it is shown how they fare.
    pub board: Board,
    names: Vec<String>,
    queue: Queue,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hooks").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Hooks {
    /// Nothing to do yet.
    #[must_use]
    pub fn new(hooks: &[Hook], metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        let names: Vec<_> = hooks.iter().map(|hook| hook.name.clone()).collect();
        for name in &names {
            metrics.hook_known(name, Outcome::ALL.map(Outcome::as_str));
        }
        Self { names, board: Board::new(hooks), metrics, clock, queue: Queue::new(hooks) }
    }

    /// Has hooks run whenever their secrets have changed and everybody can see it, until stopped. Then what still runs is
    /// ended, and waited for.
    ///
    /// Nothing that a hook does holds up anything else. Without a helper the changes are counted as missed: a new one
    /// could do no more than the agent may by then.
    ///
    /// # Errors
    /// When the way to the helper cannot be used at all.
    pub async fn run(self, helper: Helper, reader: Reader, stop: CancellationToken) -> anyhow::Result<()> {
        let Helper { mut child, channel } = helper;
        self.follow(Channel::new(channel)?, reader, stop).await;
        reap(&mut child);
        Ok(())
    }

    async fn follow(mut self, channel: Channel, mut reader: Reader, stop: CancellationToken) {
        let mut channel = Some(channel);
        let mut seen = Seen::default();
        let mut publisher_lives = true;
        loop {
            let snapshot = reader.snapshot();
            if snapshot.is_shown() {
                self.queue.note(&seen.changed(&snapshot));
            }
            drop(snapshot);
            self.start_due(&mut channel).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                report = hear(&mut channel) => match report {
                    Some(report) => self.ended(report),
                    None => self.lose(&mut channel),
                },
                lives = reader.changed(), if publisher_lives => publisher_lives = lives,
            }
        }
        if let Some(channel) = &mut channel {
            // Only where the other end is closed already.
            drop(channel.close().await);
            while let Ok(Some(_)) = channel.hear::<Report>().await {}
        }
    }

    async fn start_due(&mut self, channel: &mut Option<Channel>) {
        while let Some(order) = self.queue.next() {
            let name = &self.names[order.hook];
            tracing::debug!(hook = %name, changed = order.changed.join(" "), "a hook starts");
            self.board.started(order.hook);
            if !say(channel, &order).await {
                self.ended(Report { hook: order.hook, outcome: Outcome::Unavailable, detail: None });
            }
        }
    }

    /// Notes how a run ended. What was not ordered is not believed.
    fn ended(&mut self, report: Report) {
        let Report { hook, outcome, detail } = report;
        if !self.queue.ended(hook) {
            return;
        }
        let name = &self.names[hook];
        if outcome == Outcome::Succeeded {
            tracing::info!(hook = %name, "a hook ran");
        } else {
            tracing::warn!(hook = %name, outcome = outcome.as_str(), detail, "a hook did not succeed");
        }
        self.metrics.hook_ran(name, outcome.as_str());
        self.board.ended(hook, Ended { outcome, detail, at: self.clock.now() });
    }

    fn lose(&mut self, channel: &mut Option<Channel>) {
        *channel = None;
        tracing::error!(
            "the hooks' helper ended: no hook runs until the agent is restarted; secrets are kept fresh as before"
        );
        for hook in self.queue.running() {
            self.ended(Report { hook, outcome: Outcome::Unavailable, detail: None });
        }
        self.board.lost();
        for name in &self.names {
            self.metrics.hook_available(name, false);
        }
    }
}

/// Hears the helper, forever where there is none; none when it ended or makes no sense.
async fn hear(channel: &mut Option<Channel>) -> Option<Report> {
    match channel {
        Some(channel) => channel.hear().await.unwrap_or_else(|error: io::Error| {
            tracing::warn!(error = with_causes(&error), "the hooks' helper makes no sense");
            None
        }),
        None => std::future::pending().await,
    }
}

async fn say(channel: &mut Option<Channel>, order: &Order) -> bool {
    match channel {
        Some(channel) => channel.say(order).await.is_ok(),
        None => false,
    }
}

/// Takes the helper's end, which is at hand: it closes its end of the way only by ending.
fn reap(child: &mut Child) {
    match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::warn!(%status, "the hooks' helper did not end well"),
        Err(error) => tracing::warn!(error = with_causes(&error), "the hooks' helper cannot be waited for"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixStream;
    use tokio::task::JoinSet;

    use super::*;
    use crate::secret::SecretName;
    use crate::store::{self, Publisher};
    use crate::testing::{TimerClock, name, publish, secret};

    fn hook(name: &str, secrets: &[&str]) -> Hook {
        let action = Action::Command { command: vec!["/bin/true".to_owned()], timeout: Duration::from_secs(1) };
        let secrets = Some(secrets.iter().map(|local| local.parse::<SecretName>().expect("a name")).collect());
        Hook { name: name.to_owned(), secrets, action }
    }

    /// Hooks whose helper is the test.
    struct Followed {
        publisher: Publisher,
        helper: Channel,
        board: Board,
        stop: CancellationToken,
        tasks: JoinSet<()>,
    }

    impl Followed {
        fn start(hooks: &[Hook]) -> Self {
            let (publisher, reader) = store::channel([(name("db"), false), (name("token"), false)]);
            let (here, there) = UnixStream::pair().expect("a pair");
            let hooks = Hooks::new(hooks, Arc::new(Metrics::new()), Arc::new(TimerClock::start()));
            let (board, stop) = (hooks.board.clone(), CancellationToken::new());
            let mut tasks = JoinSet::new();
            tasks.spawn(hooks.follow(Channel::over(here), reader, stop.clone()));
            Self { publisher, helper: Channel::over(there), board, stop, tasks }
        }

        /// Publishes, and lets whoever follows see that generation.
        async fn set(&self, local: &str, digit: char) {
            publish(&self.publisher, local, Ok(secret(digit, b"one")));
            tokio::task::yield_now().await;
        }

        async fn order(&mut self) -> (usize, String) {
            let order: Order = self.helper.hear().await.expect("heard").expect("an order");
            (order.hook, order.changed.join(" "))
        }

        async fn report(&mut self, hook: usize, outcome: Outcome) {
            let said = self.helper.say(&Report { hook, outcome, detail: None }).await;
            said.expect("said");
        }

        async fn until(&self, hook: usize, state: State, outcome: Option<Outcome>) {
            loop {
                let standing = self.board.standings().swap_remove(hook);
                if standing.state == state && standing.last.map(|last| last.outcome) == outcome {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_hook_runs_after_a_change_and_once_more_for_all_that_changes_meanwhile() {
        let mut followed = Followed::start(&[hook("reload", &["db", "token"])]);
        for local in ["db", "token"] {
            followed.set(local, 'a').await;
        }
        followed.set("db", 'b').await;
        assert_eq!(followed.order().await, (0, "db".to_owned()), "and nothing for the first versions");
        followed.until(0, State::Running, None).await;
        for (local, digit) in [("token", 'b'), ("db", 'c'), ("token", 'c')] {
            followed.set(local, digit).await;
        }
        followed.report(0, Outcome::Failed).await;
        assert_eq!(followed.order().await, (0, "db token".to_owned()));
        followed.report(0, Outcome::Succeeded).await;
        followed.until(0, State::Idle, Some(Outcome::Succeeded)).await;
        followed.stop.cancel();
        assert!(followed.helper.hear::<Order>().await.expect("heard").is_none(), "no further run");
        drop(followed.helper);
        followed.tasks.join_next().await.expect("it ran").expect("a clean end");
    }

    #[tokio::test]
    async fn no_hook_runs_before_the_files_show_the_change() {
        let mut followed = Followed::start(&[hook("reload", &["db"]), hook("other", &["token"])]);
        let mut files = followed.publisher.hold_readiness();
        followed.set("db", 'a').await;
        files.show(1);
        followed.set("token", 'a').await;
        files.show(2);
        tokio::task::yield_now().await;
        followed.set("db", 'b').await;
        tokio::task::yield_now().await;
        assert_eq!(followed.board.standings()[0].state, State::Idle, "the file still holds the old value");
        files.show(3);
        assert_eq!(followed.order().await, (0, "db".to_owned()));
    }

    #[tokio::test]
    async fn without_its_helper_a_hook_is_unavailable_and_changes_are_counted() {
        let mut followed = Followed::start(&[hook("reload", &["db"]), hook("other", &["token"])]);
        for (local, digit) in [("db", 'a'), ("token", 'a'), ("db", 'b')] {
            followed.set(local, digit).await;
        }
        assert_eq!(followed.order().await, (0, "db".to_owned()));
        drop(std::mem::replace(&mut followed.helper, Channel::over(UnixStream::pair().expect("a pair").0)));
        followed.until(0, State::Unavailable, Some(Outcome::Unavailable)).await;
        followed.until(1, State::Unavailable, None).await;
        followed.set("token", 'b').await;
        followed.until(1, State::Unavailable, Some(Outcome::Unavailable)).await;
        assert!(followed.tasks.try_join_next().is_none(), "an end of this task would end the agent");
        followed.stop.cancel();
        followed.tasks.join_next().await.expect("it ran").expect("a clean end");
    }

    #[tokio::test]
    async fn an_end_that_nobody_waits_for_is_not_believed() {
        let mut followed = Followed::start(&[hook("reload", &["db"])]);
        for hook in [0, 7] {
            followed.report(hook, Outcome::Succeeded).await;
        }
        followed.set("db", 'a').await;
        followed.set("db", 'b').await;
        assert_eq!(followed.order().await, (0, "db".to_owned()));
        assert_eq!(followed.board.standings()[0].last, None);
    }

    #[test]
    fn commands_get_what_programs_need_and_nothing_by_which_they_could_be_the_agent() {
        let environment = Environment::from([
            ("PATH", "/usr/bin"),
            ("TZ", "UTC"),
            ("AZURE_CLIENT_SECRET", "hunter2"),
            ("MSI_SECRET", "hunter2"),
            ("IDENTITY_HEADER", "hunter2"),
            ("HTTPS_PROXY", "http://ada:hunter2@proxy"),
            ("ANYTHING_ELSE", "hunter2"),
        ]);
        let shown = variables(&environment, Path::new("/run/x/agent.sock"), Some(Path::new("/run/x/secrets")));
        let shown: Vec<_> = shown.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected =
            ["PATH=/usr/bin", "TZ=UTC", "KEYSIDE_SOCKET=/run/x/agent.sock", "KEYSIDE_SECRETS_DIR=/run/x/secrets"];
        assert_eq!(shown, expected);
        assert_eq!(variables(&Environment::default(), Path::new("/s"), None).len(), 1, "no files, no variable");
    }
}
