//! Waits until everything that the command needs is there, and tells meanwhile what is missing and why.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout_at};

use super::keeper::{Verdict, View};
use super::plan::Plan;
use crate::cli::Exit;
use crate::client::Client;
use crate::secret::SecretName;
use crate::serve::documents::{Listing, Trouble};

/// How long a wait may be without a word.
const SILENCE: Duration = Duration::from_secs(1);

/// How often a wait whose reason stays the same is told again where lines cannot be replaced.
const REPETITION: Duration = Duration::from_secs(30);

/// How soon the files are looked at again, which are written right after the secrets have come.
const FILES_PAUSE: Duration = Duration::from_millis(20);

/// Codes of failures that no waiting mends.
const FINAL: [&str; 3] = ["not_found", "disabled", "unusable"];

/// Waits until every secret that the plan needs is published, and its files are.
///
/// # Errors
/// What the run ends with instead: 66 for a secret that the vault does not have, 69 when no agent answers in time, 75 when a
/// secret is not there in time, 78 when this agent will never serve it.
pub(super) async fn wait(plan: &Plan, view: &mut watch::Receiver<View>, deadline: Instant) -> Result<(), Verdict> {
    let mut look = interval_at(Instant::now() + SILENCE, SILENCE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut progress = Progress::new();
    let mut why = None;
    loop {
        let missing = missing(plan, &view.borrow_and_update())?;
        // An agent that does not answer must not take longer than there is.
        let all = missing.is_empty() && timeout_at(deadline, files_are_there(plan)).await.unwrap_or(Ok(false))?;
        if all {
            progress.clear();
            return Ok(());
        }
        tokio::select! {
            _ = view.changed() => {}
            () = sleep(FILES_PAUSE), if missing.is_empty() => {}
            _ = look.tick() => if let Ok(reason) = timeout_at(deadline, reason(plan, &missing, view)).await {
                progress.tell(why.insert(reason?));
            },
            () = sleep_until(deadline) => {
                progress.clear();
                return Err(too_late(plan, &missing, &view.borrow(), why));
            }
        }
    }
}

/// The end of a wait in vain, with the reason that was last told.
fn too_late(plan: &Plan, missing: &[SecretName], view: &View, why: Option<String>) -> Verdict {
    let exit = if view.listing.is_some() { Exit::NotYet } else { Exit::Unavailable };
    let why = why.or_else(|| view.trouble.clone()).unwrap_or_else(|| no_answer_about(missing));
    Verdict { exit, message: format!("not ready within {}: {why}", humantime::format_duration(plan.timeout)) }
}

fn no_answer_about(missing: &[SecretName]) -> String {
    let names: Vec<_> = missing.iter().map(SecretName::as_str).collect();
    format!("no answer yet about {}", if names.is_empty() { "the files".to_owned() } else { names.join(", ") })
}

/// The secrets that are not there yet; all of them while no agent answers.
fn missing(plan: &Plan, view: &View) -> Result<Vec<SecretName>, Verdict> {
    if let Some(verdict) = &view.verdict {
        return Err(verdict.clone());
    }
    let Some(listing) = view.listing.as_ref().filter(|_| view.trouble.is_none()) else {
        return Ok(plan.needed.iter().cloned().collect());
    };
    let states: BTreeMap<_, _> =
        listing.secrets.iter().map(|item| (item.name.as_str(), item.version.is_some())).collect();
    if let Some(unknown) = plan.needed.iter().find(|name| !states.contains_key(name.as_str())) {
        let (socket, uid) = (plan.socket.display(), plan.uid);
        let message = format!(
            "the agent at {socket} has no secret '{unknown}', or not for uid {uid}: whoever runs that agent must add it, or \
             give this run another --socket"
        );
        return Err(Verdict { exit: Exit::Config, message });
    }
    Ok(plan.needed.iter().filter(|name| states.get(name.as_str()) == Some(&false)).cloned().collect())
}

/// Why it is not ready, in one line.
///
/// # Errors
/// When waiting is of no use.
async fn reason(plan: &Plan, missing: &[SecretName], view: &watch::Receiver<View>) -> Result<String, Verdict> {
    let trouble = view.borrow().trouble.clone();
    if let Some(trouble) = trouble {
        return Ok(trouble);
    }
    let Ok(mut agent) = Client::open(&plan.socket, plan.uid).await else { return Ok("the agent starts".to_owned()) };
    if missing.is_empty() {
        let unready = agent.unreadiness().await.ok().flatten();
        return Ok(unready.unwrap_or_else(|| no_answer_about(missing)));
    }
    let Ok(status) = agent.status().await else { return Ok("the agent does not say".to_owned()) };
    let about = |name: &SecretName| status.failures.iter().find(|failure| failure.name == name.as_str());
    if let Some(failure) = missing.iter().filter_map(about).find(|failure| FINAL.contains(&failure.code.as_str())) {
        return Err(Verdict { exit: Exit::Absent, message: sentence(failure) });
    }
    let told: Vec<_> = missing.iter().filter_map(about).map(sentence).collect();
    Ok(if told.is_empty() { no_answer_about(missing) } else { told.join("; ") })
}

fn sentence(failure: &Trouble) -> String {
    format!("'{}': {}", failure.name, failure.message.as_ref().unwrap_or(&failure.code))
}

/// Whether the agent has written the files that are needed, which follow the secrets.
async fn files_are_there(plan: &Plan) -> Result<bool, Verdict> {
    let Some(files) = plan.files.as_ref().filter(|files| !files.needed.is_empty()) else { return Ok(true) };
    let Ok(mut agent) = Client::open(&plan.socket, plan.uid).await else { return Ok(false) };
    if !matches!(agent.unreadiness().await, Ok(None)) {
        return Ok(false);
    }
    match files.needed.iter().find(|path| !path.exists()) {
        None => Ok(true),
        Some(path) => {
            let message = format!(
                "the agent at {} is ready and has not written {}: whoever runs that agent must add the file, or give this run \
                 another --socket",
                plan.socket.display(),
                path.display()
            );
            Err(Verdict { exit: Exit::Config, message })
        }
    }
}

/// The versions of what the plan needs.
pub(super) fn versions(plan: &Plan, listing: &Listing) -> BTreeMap<String, Option<String>> {
    let all = listing.secrets.iter();
    let needed = |name: &str| {
        let variables = plan.variables.values();
        plan.needed.iter().chain(variables).any(|one| one.as_str() == name)
    };
    all.filter(|item| needed(&item.name)).map(|item| (item.name.clone(), item.version.clone())).collect()
}

/// What people see while they wait: one line that changes on a terminal, else a line whenever the reason changes.
struct Progress {
    terminal: bool,
    told: Option<(String, Instant)>,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal(), told: None }
    }

    fn tell(&mut self, why: &str) {
        let again = self.told.as_ref().is_none_or(|(told, at)| told != why || at.elapsed() >= REPETITION);
        if !again {
            return;
        }
        self.told = Some((why.to_owned(), Instant::now()));
        // When standard error is closed, nobody is left to tell.
        drop(if self.terminal {
            write!(io::stderr(), "\r\x1b[Kkeyside: waiting: {why}")
        } else {
            writeln!(io::stderr(), "keyside: waiting: {why}")
        });
    }

    fn clear(&mut self) {
        if self.terminal && self.told.take().is_some() {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::name;

    fn plan(needed: &[&str]) -> Plan {
        Plan {
            socket: "/run/x/agent.sock".into(),
            agent: None,
            vault: None,
            variables: BTreeMap::new(),
            needed: needed.iter().map(|text| name(text)).collect(),
            files: None,
            command: vec![],
            on_change: super::super::OnChange::Nothing,
            grace: Duration::ZERO,
            timeout: Duration::from_mins(5),
            uid: 1001,
        }
    }

    fn view(secrets: &[(&str, Option<&str>)]) -> View {
        let item = |(name, version): &(&str, Option<&str>)| {
            let item = serde_json::json!({"name": name, "state": "fresh", "version": version, "stale": false});
            serde_json::from_value(item).expect("an item")
        };
        let listing = Listing { generation: "g".to_owned(), secrets: secrets.iter().map(item).collect() };
        View { listing: Some(Arc::new(listing)), ..View::default() }
    }

    #[test]
    fn only_what_is_needed_is_missed() {
        let plan = plan(&["a", "b"]);
        let rows = [
            (View::default(), vec!["a", "b"]),
            (view(&[("a", None), ("b", None)]), vec!["a", "b"]),
            (view(&[("a", Some("1")), ("b", None), ("c", None)]), vec!["b"]),
            (view(&[("a", Some("1")), ("b", Some("1")), ("c", None)]), vec![]),
        ];
        for (view, expected) in rows {
            let missing = missing(&plan, &view).expect("it can be waited for");
            assert_eq!(missing.iter().map(SecretName::as_str).collect::<Vec<_>>(), expected);
        }
        let lost = View { trouble: Some("gone".to_owned()), ..view(&[("a", Some("1")), ("b", Some("1"))]) };
        assert_eq!(
            missing(&plan, &lost).expect("it may come back").len(),
            2,
            "what a lost agent said is not relied on"
        );
    }

    #[test]
    fn an_agent_that_does_not_know_a_secret_is_told_of_at_once() {
        let verdict = missing(&plan(&["a", "b"]), &view(&[("a", Some("1"))])).expect_err("it never will");
        assert_eq!(verdict.exit, Exit::Config);
        assert!(verdict.message.contains("no secret 'b'") && verdict.message.contains("--socket"), "{verdict:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_agent_the_wait_ends_with_the_reason() {
        let trouble = Some("no agent answers".to_owned());
        let (sender, mut receiver) = watch::channel(View { trouble, ..View::default() });
        let plan = plan(&["a"]);
        let verdict = wait(&plan, &mut receiver, Instant::now() + plan.timeout).await.expect_err("in vain");
        drop(sender);
        assert_eq!(verdict.exit, Exit::Unavailable);
        assert_eq!(verdict.message, "not ready within 5m: no agent answers");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_does_not_answer_makes_no_wait_longer() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("agent.sock");
        let _silent = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        let files = Some(super::super::plan::Files { directory: "/x".into(), needed: vec!["/x/a".into()] });
        let plan = Plan { socket, files, timeout: Duration::from_secs(3), ..plan(&["a"]) };
        for version in [None, Some("1")] {
            let (_sender, mut receiver) = watch::channel(view(&[("a", version)]));
            let start = Instant::now();
            let verdict = wait(&plan, &mut receiver, start + plan.timeout).await.expect_err("in vain");
            assert_eq!((verdict.exit, start.elapsed()), (Exit::NotYet, plan.timeout), "{verdict:?}");
        }
    }

    #[tokio::test]
    async fn an_agent_that_is_lost_while_it_is_asked_is_asked_again() {
        use tokio::io::AsyncWriteExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&socket).expect("bound");
        let variables = [("A".parse().expect("a variable"), name("a"))].into();
        let plan = Plan { socket, variables, ..plan(&["a"]) };
        let (_sender, mut receiver) = watch::channel(view(&[("a", Some("1"))]));
        let agent = async {
            drop(listener.accept().await.expect("asked"));
            let (mut end, _) = listener.accept().await.expect("asked again");
            end.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nv").await.expect("answered");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = super::super::values(&plan, &mut receiver) => drop(outcome.expect("the second time")),
            () = agent => {}
        }
    }

    #[test]
    fn a_wait_that_was_too_short_for_a_word_still_ends_with_a_reason() {
        let plan = plan(&["a"]);
        let verdict = too_late(&plan, &[name("a")], &view(&[("a", None)]), None);
        assert_eq!(
            (verdict.exit, verdict.message.as_str()),
            (Exit::NotYet, "not ready within 5m: no answer yet about a")
        );
    }
}
