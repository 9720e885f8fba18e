//! What people see: columns, ages and states.

use std::fmt::Write as _;
use std::time::Duration;

use crate::hooks::{Outcome, State};
use crate::serve::documents::{Audit, Config, Hook, Item, Listing, Operation, Status};

/// The table of `keyside list`.
#[must_use]
pub(super) fn listing(listing: &Listing) -> String {
    if listing.secrets.is_empty() {
        return "no secret here is readable by you\n".to_owned();
    }
    items(&listing.secrets)
}

/// The page of `keyside status`.
#[must_use]
pub(super) fn status(status: &Status) -> String {
    let mut facts = vec![
        row(["agent", &format!("{}, started {}", status.agent, status.started)]),
        row(["ready", if status.ready { "yes" } else { "not yet" }]),
        row(["looks", &looks(status)]),
    ];
    if let Some(operation) = &status.operation {
        let memory = match &operation.memory_protection {
            Some(protection) => format!("{protection} ({} bytes of values)", operation.memory_used_bytes),
            None => "nothing held yet".to_owned(),
        };
        facts.push(row(["vault", &operation.vault]));
        let left_alone = operation.circuits.iter().filter(|(_, state)| *state != "closed");
        facts.extend(left_alone.map(|(vault, _)| row(["", &format!("{vault} fails, and is left alone for a while")])));
        facts.push(row(["identity", operation.identity.as_deref().unwrap_or("not signed in yet")]));
        facts.push(row(["memory", &memory]));
        facts.push(row(["warm restart", &operation.warm_restart]));
        facts.push(row(["config", &config(&operation.config)]));
        facts.extend(operation.config.problems.iter().map(|problem| row(["", problem])));
        facts.push(row(["generation", &operation.generation.to_string()]));
        facts.push(row(["hardening", &hardening(operation)]));
        facts.extend(operation.audit.iter().map(|one| row(["audit", &audit(one)])));
        facts.extend(operation.hooks.iter().map(|hook| row(["hook", &format!("{}: {}", hook.name, standing(hook))])));
    }
    let mut page = columns(&facts);
    if !status.secrets.is_empty() {
        page = page + "\n" + &items(&status.secrets);
    }
    for trouble in &status.failures {
        let why = legible(trouble.message.as_deref().unwrap_or(&trouble.code));
        // Writing to a text does not fail.
        let _ = write!(page, "\n{}: no fresh value since {}: {why}\n", legible(&trouble.name), trouble.since);
    }
    page
}

/// By which configuration the agent goes, where it is not the newest.
fn config(config: &Config) -> String {
    let loaded = format!("of {:.0}", config.loaded);
    if config.problems.is_empty() {
        return loaded;
    }
    format!("{loaded}; what was read at {:.0} is refused:", config.attempted)
}

/// Names only what does not hold in full.
fn hardening(operation: &Operation) -> String {
    let lacking = operation.hardening.iter().filter(|(_, outcome)| *outcome != "applied");
    let lacking: Vec<_> = lacking.map(|(measure, outcome)| format!("{measure} {outcome}")).collect();
    if lacking.is_empty() { "applied in full".to_owned() } else { lacking.join(", ") }
}

/// What became of the audit's lines.
fn audit(audit: &Audit) -> String {
    let Audit { file, written, lost, trouble } = audit;
    let trouble = trouble.as_ref().map(|why| format!(", none can be written now: {why}")).unwrap_or_default();
    format!("{file}: {written} lines, {lost} lost{trouble}")
}

/// What a hook does now, and how its last run ended.
fn standing(hook: &Hook) -> String {
    let now = match hook.state {
        State::Idle => None,
        State::Running => Some("running".to_owned()),
        State::Unavailable => Some("cannot run until the agent is restarted".to_owned()),
    };
    let last = hook.last.as_ref().filter(|last| last.outcome != Outcome::Unavailable).map(|last| {
        let why = last.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("{} at {:.0}{why}", last.outcome.as_str().replace('_', " "), last.ended)
    });
    let known: Vec<_> = now.into_iter().chain(last).collect();
    if known.is_empty() { "has not run yet".to_owned() } else { known.join(", last ") }
}

fn looks(status: &Status) -> String {
    let every = humantime::format_duration(Duration::from_secs(status.poll_interval_seconds));
    match (status.refreshing, status.next_look) {
        (false, _) => "stopped".to_owned(),
        (true, None) => format!("every {every}"),
        (true, Some(next)) => format!("every {every}, next at {next:.0}"),
    }
}

fn items(items: &[Item]) -> String {
    let mut rows = vec![row(["NAME", "STATE", "VERSION", "AGE", "EXPIRES"])];
    rows.extend(items.iter().map(|item| {
        let age = item.age_seconds.map(age);
        let expires = item.expires.map(|expires| expires.to_string());
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        row([&item.name, item.state.as_str(), &or_none(item.version.clone()), &or_none(age), &or_none(expires)])
    }));
    columns(&rows)
}

/// The two greatest units of an age: `1h 5m`, not `1h 5m 12s`.
fn age(seconds: u64) -> String {
    let whole = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// One line of a table, a cell for each column.
pub(crate) type Row = Vec<String>;

/// A line of legible cells.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Row {
    cells.map(legible).to_vec()
}

/// What an agent sent, with everything escaped by which it could tell the terminal what to do or forge a line.
#[must_use]
pub(crate) fn legible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

/// Rows with each column as wide as its widest cell.
pub(crate) fn columns(rows: &[Row]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for row in rows {
        let padded = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column).unwrap_or(0)));
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::hooks;
    use crate::serve::documents::{HookRun, Operation, Trouble};
    use crate::store::State;

    fn item(name: &str, state: State) -> Item {
        let known = state != State::Awaited;
        Item {
            name: name.to_owned(),
            state,
            version: known.then(|| "a".repeat(32)),
            content_type: None,
            created: None,
            updated: None,
            expires: known.then(|| "2026-06-01T00:00:00Z".parse().expect("a time")),
            fetched: None,
            age_seconds: known.then_some(3912),
            stale: state == State::Stale,
            vault: None,
        }
    }

    fn hook(name: &str, state: hooks::State, last: Option<HookRun>) -> Hook {
        Hook { name: name.to_owned(), state, last }
    }

    #[test]
    fn a_list_is_a_table() {
        let secrets = vec![item("db", State::Fresh), item("model-token", State::Awaited)];
        let text = listing(&Listing { generation: String::new(), secrets });
        let expected = "\
NAME         STATE    VERSION                           AGE    EXPIRES
db           fresh    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  1h 5m  2026-06-01T00:00:00Z
model-token  awaited  -                                 -      -
";
        assert_eq!(text, expected);
        assert_eq!(
            listing(&Listing { generation: String::new(), secrets: vec![] }),
            "no secret here is readable by you\n"
        );
    }

    #[test]
    fn what_an_agent_says_commands_no_terminal_and_forges_no_line() {
        let rows = [
            ("it's \"fine\", C:\\é 漢", "it's \"fine\", C:\\é 漢"),
            ("\u{1b}]0;owned\u{7}", "\\u{1b}]0;owned\\u{7}"),
            ("a\nb\r\u{9b}1m\u{202e}", "a\\nb\\r\\u{9b}1m\\u{202e}"),
        ];
        for (text, expected) in rows {
            assert_eq!(legible(text), expected);
        }
        let text = listing(&Listing { generation: String::new(), secrets: vec![item("\u{1b}[2J", State::Fresh)] });
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    /// One of which much is amiss.
    fn operation(since: Timestamp) -> Operation {
        let last = HookRun { outcome: Outcome::TimedOut, detail: Some("ended after 30s".to_owned()), ended: since };
        Operation {
            vault: "https://v.vault.azure.net".to_owned(),
            circuits: [("https://v.vault.azure.net".to_owned(), "closed".to_owned())].into(),
            identity: None,
            memory_protection: Some("mlock".to_owned()),
            memory_used_bytes: 64,
            warm_restart: "on".to_owned(),
            generation: 3,
            hardening: [("confined".to_owned(), "partial".to_owned())].into(),
            config: Config { loaded: since, attempted: since, problems: vec!["line 3: no".to_owned()] },
            audit: Some(Audit { file: "/a".into(), written: 7, lost: 2, trouble: Some("no space".to_owned()) }),
            hooks: vec![
                hook("nginx.service", hooks::State::Idle, None),
                hook("reload", hooks::State::Running, Some(last)),
            ],
        }
    }

    #[test]
    fn a_status_shows_what_the_caller_may_know() {
        let since = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut known = Status {
            agent: "0.1.0".to_owned(),
            started: since,
            ready: false,
            refreshing: true,
            poll_interval_seconds: 120,
            next_look: Some(since),
            operation: None,
            secrets: vec![],
            failures: vec![Trouble { name: "db".to_owned(), code: "denied".to_owned(), since, message: None }],
        };
        let expected = "\
agent  0.1.0, started 2026-01-01T00:00:00Z
ready  not yet
looks  every 2m, next at 2026-01-01T00:00:00Z

db: no fresh value since 2026-01-01T00:00:00Z: denied
";
        assert_eq!(status(&known), expected);
        known.operation = Some(operation(since));
        known.operation.as_mut().expect("just set").circuits.insert("https://w.vault.azure.net".into(), "open".into());
        known.refreshing = false;
        known.failures[0].message = Some("\u{1b}]0;owned\u{7}".to_owned());
        let shown = status(&known);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        for part in [
            "looks         stopped",
            "              https://w.vault.azure.net fails, and is left alone",
            "identity      not signed in yet",
            "memory        mlock (64 bytes of values)",
            "warm restart  on\n",
            "config        of 2026-01-01T00:00:00Z; what was read at 2026-01-01T00:00:00Z is refused:\n              line 3: no",
            "hardening     confined partial",
            "audit         /a: 7 lines, 2 lost, none can be written now: no space",
            "hook          nginx.service: has not run yet",
            "hook          reload: running, last timed out at 2026-01-01T00:00:00Z (ended after 30s)",
        ] {
            assert!(shown.contains(part), "{part:?} in {shown}");
        }
        known.operation.as_mut().expect("just set").memory_protection = None;
        known.operation.as_mut().expect("just set").warm_restart = "off: it is switched off".to_owned();
        let shown = status(&known);
        assert!(shown.contains("memory        nothing held yet\nwarm restart  off: it is switched off\n"), "{shown}");
    }
}
