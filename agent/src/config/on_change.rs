//! The tables `[[on_change]]`: what is done when secrets change, and whether each says one thing that can be done.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::document::{Document, Parsed};
use crate::hooks::{Action, Hook, Recipient, Signal, Timeout, Unit};
use crate::secret::SecretName;

/// Longest name of a hook, in characters: it becomes a label of metrics and a word in the log.
const NAME_LENGTH_MAX: usize = 64;

const REMEDY: &str = "write signal with pid_file or unit, or write command";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnChangeTable {
    name: Option<Spanned<String>>,
    secrets: Option<Spanned<Vec<Spanned<Parsed<SecretName>>>>>,
    signal: Option<Spanned<Parsed<Signal>>>,
    pid_file: Option<Spanned<PathBuf>>,
    unit: Option<Spanned<Parsed<Unit>>>,
    command: Option<Spanned<Vec<String>>>,
    timeout: Option<Spanned<Parsed<Timeout>>>,
}

/// The hooks of the tables, without those that have problems. `names` are the secrets that there are.
pub(super) fn hooks(
    document: &mut Document<'_>,
    tables: Vec<(Range<usize>, OnChangeTable)>,
    names: &BTreeSet<&SecretName>,
) -> Vec<Hook> {
    let mut hooks: Vec<Hook> = Vec::new();
    for (span, mut table) in tables {
        let secrets = table.secrets.take().map(|secrets| followed(document, secrets, names));
        let name = table.name.take();
        let action = match action(table) {
            Ok(action) => action,
            Err((Some(place), message)) => {
                document.report(&place, message);
                continue;
            }
            // What a table lacks may be a key that was told of already, and left out for it.
            Err((None, _)) if document.problems.iter().any(|told| told.message.starts_with("[on_change] ")) => continue,
            Err((None, message)) => {
                document.report(&span, message);
                continue;
            }
        };
        let place = name.as_ref().map_or(span, Spanned::span);
        let name = name.map_or_else(|| action.default_name(), Spanned::into_inner);
        if name.is_empty() || name.chars().any(char::is_control) || name.chars().count() > limit(&name, &action) {
            document.report(&place, format!("a hook's name has 1 to {NAME_LENGTH_MAX} characters that can be printed"));
        }
        if hooks.iter().any(|other| other.name == name) {
            document.report(&place, format!("two hooks are called '{name}': give each a name of its own"));
        }
        hooks.push(Hook { name, secrets, action });
    }
    hooks
}

/// A name that nobody chose is as long as what it was made from.
fn limit(name: &str, action: &Action) -> usize {
    if name == action.default_name() { usize::MAX } else { NAME_LENGTH_MAX }
}

fn followed(
    document: &mut Document<'_>,
    secrets: Spanned<Vec<Spanned<Parsed<SecretName>>>>,
    names: &BTreeSet<&SecretName>,
) -> BTreeSet<SecretName> {
    let span = secrets.span();
    let secrets = secrets.into_inner();
    if secrets.is_empty() {
        document.report(&span, "a hook for no secret never runs: name some, or leave secrets out for all".to_owned());
    }
    for name in &secrets {
        let text = &name.get_ref().0;
        if !names.contains(text) {
            document.report(&name.span(), format!("there is no secret '{text}': use a name of a [[secret]] table"));
        }
    }
    secrets.into_iter().map(|name| name.into_inner().0).collect()
}

/// What is wrong, and where; without a place it is what the table lacks.
type Wrong = (Option<Range<usize>>, String);

fn action(table: OnChangeTable) -> Result<Action, Wrong> {
    let OnChangeTable { signal, pid_file, unit, command, timeout, .. } = table;
    match (signal, command) {
        (Some(signal), None) => {
            if let Some(timeout) = timeout {
                return wrong(&timeout, "a timeout belongs to a command: a signal takes no time");
            }
            let recipient = recipient(pid_file, unit)?;
            Ok(Action::Signal { signal: signal.into_inner().0, recipient })
        }
        (None, Some(command)) => {
            if let Some(place) = pid_file.as_ref().map(Spanned::span).or(unit.as_ref().map(Spanned::span)) {
                return Err((
                    Some(place),
                    "pid_file and unit belong to a signal, and this hook is a command".to_owned(),
                ));
            }
            let timeout = timeout.map_or(Timeout::default(), |timeout| timeout.into_inner().0);
            Ok(Action::Command { command: checked(command)?, timeout: timeout.0 })
        }
        (Some(_), Some(command)) => wrong(&command, &format!("a hook does one thing, not both: {REMEDY}")),
        (None, None) => Err((None, format!("this hook does nothing: {REMEDY}"))),
    }
}

fn recipient(pid_file: Option<Spanned<PathBuf>>, unit: Option<Spanned<Parsed<Unit>>>) -> Result<Recipient, Wrong> {
    match (pid_file, unit) {
        (Some(path), None) if !is_whole(path.get_ref()) => {
            wrong(&path, "pid_file must be an absolute path, as in /run/nginx.pid")
        }
        (Some(path), None) => Ok(Recipient::PidFile(path.into_inner())),
        (None, Some(unit)) => Ok(Recipient::Unit(unit.into_inner().0)),
        (Some(_), Some(unit)) => wrong(&unit, "a signal goes to one process: write pid_file or unit"),
        (None, None) => Err((None, "the signal has nobody to go to: add pid_file or unit".to_owned())),
    }
}

fn checked(command: Spanned<Vec<String>>) -> Result<Vec<String>, Wrong> {
    let words = command.get_ref();
    if !words.first().is_some_and(|program| is_whole(Path::new(program))) {
        return wrong(
            &command,
            "a command begins with the absolute path of a program, as in [\"/usr/bin/systemctl\", \"reload\", \"nginx\"]",
        );
    }
    if words.iter().any(|word| word.contains('\0')) {
        return wrong(&command, "no word of a command can hold a NUL character");
    }
    Ok(command.into_inner())
}

/// Whether a path is absolute and leads up nowhere, so that the directories on the way are those that it names.
fn is_whole(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| part != std::path::Component::ParentDir)
}

fn wrong<T, U>(place: &Spanned<U>, message: &str) -> Result<T, Wrong> {
    Err((Some(place.span()), message.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::name;

    fn read(text: &str) -> Result<Vec<Hook>, Vec<String>> {
        let mut document = Document::parse(text);
        let tables = document.tables("on_change");
        let (db, token) = (name("db"), name("token"));
        let hooks = hooks(&mut document, tables, &[&db, &token].into());
        let problems: Vec<_> = document.problems.iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(hooks) } else { Err(problems) }
    }

    #[test]
    fn each_kind_of_hook_is_read_with_its_defaults() {
        let text = "\
[[on_change]]
command = ['/usr/bin/reload', '--now']
[[on_change]]
name = 'pod'
secrets = ['db']
signal = 'HUP'
pid_file = '/run/app.pid'
[[on_change]]
signal = 'SIGUSR1'
unit = 'nginx.service'
";
        let command = vec!["/usr/bin/reload".to_owned(), "--now".to_owned()];
        let (pid_file, unit) = ("/run/app.pid".into(), "nginx.service".parse().expect("a unit"));
        let signal = |text: &str, recipient| Action::Signal { signal: text.parse().expect("a signal"), recipient };
        let hook = |name: &str, secrets, action| Hook { name: name.to_owned(), secrets, action };
        let expected = vec![
            hook("/usr/bin/reload", None, Action::Command { command, timeout: Duration::from_secs(30) }),
            hook("pod", Some([name("db")].into()), signal("HUP", Recipient::PidFile(pid_file))),
            hook("nginx.service", None, signal("USR1", Recipient::Unit(unit))),
        ];
        assert_eq!(read(text), Ok(expected));
    }

    #[test]
    fn what_cannot_be_done_is_told_with_its_line_and_the_remedy() {
        let rows = [
            ("secrets = ['db']", "line 1: this hook does nothing: write signal with"),
            ("signal = 'HUP'\ncommand = ['/a']", "line 3: a hook does one thing, not both"),
            ("signal = 'HUP'", "line 1: the signal has nobody to go to: add pid_file or unit"),
            ("signal = 'HUP'\npid_file = '/a'\nunit = 'a.service'", "line 4: a signal goes to one process"),
            ("signal = 'HUP'\npid_file = 'run/a.pid'", "line 3: pid_file must be an absolute path"),
            ("signal = 'HUP'\npid_file = '/run/../a.pid'", "line 3: pid_file must be an absolute path"),
            ("signal = 'HUP'\nunit = 'a'", "line 3: [on_change] unit: 'a' is no service of systemd"),
            ("signal = 'KILL'\nunit = 'a.service'", "line 2: [on_change] signal: 'KILL' is no signal that asks"),
            ("signal = 'HUP'\nunit = 'a.service'\ntimeout = '5s'", "line 4: a timeout belongs to a command"),
            ("command = ['/a']\ntimeout = '0s'", "line 3: [on_change] timeout: 0s is out of range"),
            ("command = ['/a']\npid_file = '/a.pid'", "line 3: pid_file and unit belong to a signal"),
            ("command = []", "line 2: a command begins with the absolute path of a program"),
            ("command = ['reload']", "line 2: a command begins with the absolute path of a program"),
            ("command = [\"/a\", \"b\\u0000c\"]", "line 2: no word of a command can hold a NUL"),
            ("command = ['/a']\nsecrets = []", "line 3: a hook for no secret never runs"),
            ("command = ['/a']\nsecrets = ['db', 'other']", "line 3: there is no secret 'other'"),
            ("command = ['/a']\nname = ''", "line 3: a hook's name has 1 to 64 characters"),
            ("command = ['/a']\n[[on_change]]\ncommand = ['/a', 'b']", "line 3: two hooks are called '/a'"),
            ("command = ['/a']\nuser = 'root'", "line 3: [on_change] unknown key `user`"),
        ];
        for (text, start) in rows {
            let problems = read(&format!("[[on_change]]\n{text}\n")).expect_err(text);
            assert!(problems.len() == 1 && problems[0].starts_with(start), "{text}: {problems:#?}");
        }
    }
}
