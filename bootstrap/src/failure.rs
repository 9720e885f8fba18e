//! What is told when a command did not do what it was asked to: lines for people, a document for programs, an exit code.

use std::io::{self, Write};
use std::path::PathBuf;

use keyside::azure::identity::TokenError;
use keyside::config::ConfigError;
use serde::Serialize;
use serde_json::{Value, json};

use crate::arm::{ArmError, Problem, Refusal};
use crate::cli::Exit;
use crate::vault_data::{DataError, Reason};

/// What to do where nobody knows better.
const MEND: &str = "mend what the message names, then run this again, which goes on where it ended";

/// Why a command did not do what it was asked to. The members and the values of `code` are promised to programs, by
/// docs/bootstrap.md.
#[derive(Debug, Serialize)]
pub struct Failure {
    code: Code,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Resource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    azure: Option<Answer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tried: Vec<Tried>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    next: String,
}

/// What kind of failure it is, by the word that programs go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Code {
    Usage,
    ConfigUnreadable,
    ConfigWrong,
    NoSignIn,
    Unreachable,
    AzureRefused,
    NotInTime,
    InTheWay,
    NoEstate,
    NotConfirmed,
    Failed,
}

impl Code {
    fn exit(self) -> Exit {
        match self {
            Self::Usage => Exit::Usage,
            Self::ConfigUnreadable | Self::ConfigWrong => Exit::Config,
            Self::NoSignIn | Self::Unreachable => Exit::Unavailable,
            Self::AzureRefused | Self::NotInTime | Self::InTheWay | Self::Failed => Exit::Refused,
            Self::NoEstate => Exit::Absent,
            Self::NotConfirmed => Exit::NotConfirmed,
        }
    }
}

/// What it was about.
#[derive(Debug, Serialize)]
struct Resource {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    name: String,
}

/// What Azure answered.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// A way to sign in that gave no token.
#[derive(Debug, Serialize)]
struct Tried {
    source: String,
    reason: String,
}

/// Something wrong with the file.
#[derive(Debug, Serialize)]
struct Line {
    line: usize,
    message: String,
}

impl Failure {
    /// What `error` means for whoever ran the command.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let next = advice(&error.root_cause().to_string());
        let told = Self::new(Code::Failed, format!("{error:#}"), next);
        for cause in error.chain() {
            if let Some(cause) = cause.downcast_ref::<ArmError>() {
                return told.of_manager(cause);
            } else if let Some(cause) = cause.downcast_ref::<DataError>() {
                return told.of_vault(cause);
            } else if let Some(cause) = cause.downcast_ref::<ConfigError>() {
                return told.of_file(cause);
            }
        }
        told
    }

    /// The command line is wrong.
    #[must_use]
    pub fn usage(message: &str) -> Self {
        let message = message.strip_prefix("error: ").unwrap_or(message).lines().next().unwrap_or_default().to_owned();
        Self::new(Code::Usage, message, Some("see `keyside-bootstrap --help`".to_owned()))
    }

    /// So many things are in the way of an apply.
    #[must_use]
    pub fn in_the_way(count: usize) -> Self {
        let next = "mend what is refused, each as it says, then run this again".to_owned();
        Self::new(Code::InTheWay, format!("in the way: {count}; nothing was done"), Some(next))
    }

    /// A purge would take what nobody could look at.
    #[must_use]
    pub fn unseen(message: String) -> Self {
        let next = advice(&message);
        Self::new(Code::InTheWay, message, next)
    }

    /// There is nothing in `group` yet that anybody could be told of.
    #[must_use]
    pub fn no_estate(group: &str) -> Self {
        let next = "run `keyside-bootstrap apply` first, which makes what this file describes".to_owned();
        Self::new(Code::NoEstate, format!("there is no estate in {group} yet: {next}"), Some(next))
    }

    /// Nobody confirmed what was to be done.
    #[must_use]
    pub fn not_confirmed() -> Self {
        let next = "look at what this would do, then run it again with --yes".to_owned();
        let message = "nothing was done: with --output json nothing is asked, so say --yes".to_owned();
        Self::new(Code::NotConfirmed, message, Some(next))
    }

    fn new(code: Code, message: String, next: Option<String>) -> Self {
        let next = next.unwrap_or_else(|| MEND.to_owned());
        let (tried, problems) = (Vec::new(), Vec::new());
        Self { code, message, resource: None, operation: None, azure: None, tried, problems, file: None, next }
    }

    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.code.exit()
    }

    fn of_manager(self, error: &ArmError) -> Self {
        let resource = Some(Resource { kind: Some(error.label.kind), name: error.label.name.clone() });
        let told = Self { resource, operation: Some(error.operation), ..self };
        let next = advice(&error.problem.to_string());
        match &*error.problem {
            Problem::Refused(refusal) => told.refused(answer(refusal), remedy(refusal)),
            Problem::Abandoned { code, .. } => {
                told.refused(Answer { status: None, code: code.clone(), request_id: None }, None)
            }
            Problem::Ended(state) => told.refused(Answer { status: None, code: state.clone(), request_id: None }, next),
            Problem::Late(_) => told.with(Code::NotInTime, next),
            Problem::Unreachable(_) => told.with(Code::Unreachable, next),
            Problem::SignIn(cause) => told.without_sign_in(cause, next),
            Problem::Gone => told.with(Code::Failed, next),
            Problem::Client(_) | Problem::Unusable(_) => told.with(Code::Failed, None),
        }
    }

    fn of_vault(self, error: &DataError) -> Self {
        let resource = Some(Resource { kind: None, name: error.name.clone() });
        let told = Self { resource, operation: Some(error.operation), ..self };
        let next = advice(&error.reason.to_string());
        let answer =
            |status, code: &str| Answer { status, code: code.to_owned(), request_id: error.request_id.clone() };
        match &*error.reason {
            Reason::Denied { code } | Reason::Firewalled { code } => told.refused(answer(Some(403), code), next),
            Reason::InDeletedState => told.refused(answer(Some(409), "ObjectIsDeletedButRecoverable"), next),
            Reason::Refused { status, code, .. } => told.refused(answer(Some(*status), code), None),
            Reason::Unreachable(_) => told.with(Code::Unreachable, next),
            Reason::SignIn(cause) => told.without_sign_in(cause, next),
            Reason::Elsewhere(_) => told.with(Code::Failed, next),
            Reason::Unusable => told.with(Code::Failed, None),
        }
    }

    fn of_file(self, error: &ConfigError) -> Self {
        match error {
            ConfigError::Unreadable { .. } => {
                let next = "write the file, or name another one with --config".to_owned();
                self.with(Code::ConfigUnreadable, Some(next))
            }
            ConfigError::Wrong { path, problems } => {
                let told =
                    |problem: &keyside::config::Problem| Line { line: problem.line, message: problem.message.clone() };
                let next = format!("correct these lines of {}, then run this again", path.display());
                let problems = problems.iter().map(told).collect();
                Self { problems, file: Some(path.clone()), ..self.with(Code::ConfigWrong, Some(next)) }
            }
        }
    }

    fn refused(self, azure: Answer, next: Option<String>) -> Self {
        Self { azure: Some(azure), ..self.with(Code::AzureRefused, next) }
    }

    fn without_sign_in(self, error: &TokenError, next: Option<String>) -> Self {
        let told = |attempt: &keyside::azure::identity::Attempt| Tried {
            source: attempt.source.to_string(),
            reason: attempt.reason.clone(),
        };
        let tried = error.attempts.iter().map(told).collect();
        Self { tried, ..self.with(Code::NoSignIn, next) }
    }

    fn with(self, code: Code, next: Option<String>) -> Self {
        Self { code, next: next.unwrap_or_else(|| MEND.to_owned()), ..self }
    }

    /// Tells people.
    ///
    /// # Errors
    /// When `errors` cannot be written.
    pub fn write(&self, errors: &mut dyn Write) -> io::Result<()> {
        let Some(file) = &self.file else { return writeln!(errors, "keyside-bootstrap: {}", self.message) };
        let mut problems = self.problems.iter();
        problems.try_for_each(|Line { line, message }| writeln!(errors, "{}: line {line}: {message}", file.display()))
    }

    /// Puts itself into what programs are told: the only member of the document, or one beside what was found out.
    #[must_use]
    pub fn in_document(&self, found: Value) -> Value {
        let mut document = found;
        document["error"] = json!(self);
        document
    }
}

/// What to do, which stands in every message of this program after what is wrong and a colon.
fn advice(message: &str) -> Option<String> {
    message.rsplit_once(": ").map(|(_, advice)| advice.to_owned())
}

fn answer(refusal: &Refusal) -> Answer {
    Answer { status: Some(refusal.status), code: refusal.code.clone(), request_id: refusal.request_id.clone() }
}

/// What to do about a refusal, without Azure's own words, which have colons too.
fn remedy(refusal: &Refusal) -> Option<String> {
    let body = json!({"error": {"code": refusal.code}}).to_string();
    let bare = Refusal::read(refusal.status, body.as_bytes(), (None, None));
    advice(&bare.to_string())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use keyside::azure::identity::{Attempt, Source};

    use super::*;
    use crate::config::Config;
    use crate::item::Label;

    fn told(error: &anyhow::Error) -> (Exit, Value) {
        let failure = Failure::of(error);
        (failure.exit(), failure.in_document(json!({}))["error"].take())
    }

    fn of_vault(problem: Problem) -> anyhow::Error {
        let label = Label { kind: "key vault", name: "kv1".to_owned() };
        ArmError { label, operation: "create", problem: Box::new(problem) }.into()
    }

    #[test]
    fn a_refusal_is_told_member_by_member_whatever_stands_around_it() {
        let body = br#"{"error":{"code":"VaultAlreadyExists","message":"See: https://aka.ms/kv"}}"#;
        let refusal = Refusal::read(409, body, (Some("1d78".to_owned()), None));
        let error =
            Err::<(), _>(of_vault(Problem::Refused(refusal))).context("3 items were not begun").expect_err("one");
        let (exit, json) = told(&error);
        assert_eq!(exit, Exit::Refused);
        let next = "the name is taken, maybe by somebody else's vault: set another name under [vault]";
        assert_eq!(json["code"], "azure-refused");
        assert_eq!(json["resource"], json!({"kind": "key vault", "name": "kv1"}));
        assert_eq!(json["operation"], "create");
        assert_eq!(json["azure"], json!({"status": 409, "code": "VaultAlreadyExists", "request_id": "1d78"}));
        assert!(next.ends_with(json["next"].as_str().expect("a step")), "{json:#}");
        let message = json["message"].as_str().expect("a message");
        assert!(
            message.starts_with("3 items were not begun: could not create key vault kv1: Azure answers 409"),
            "{message}"
        );
        let unknown = Refusal::read(418, br#"{"error":{"code":"New","message":"a: b"}}"#, (None, None));
        assert_eq!(told(&of_vault(Problem::Refused(unknown))).1["next"], MEND, "Azure's words are no advice");
    }

    #[test]
    fn every_end_has_its_code_and_a_next_step() {
        let attempt = Attempt { source: Source::AzureCli, reason: "az is not installed".to_owned(), passing: false };
        let late = Problem::Late(std::time::Duration::from_mins(45));
        let denied = Reason::Denied { code: "ForbiddenByRbac".to_owned() };
        let wrong = Config::parse("", 0).map(drop).expect_err("nothing is in it");
        let rows = [
            (
                of_vault(Problem::SignIn(TokenError { attempts: vec![attempt] })),
                Exit::Unavailable,
                "no-sign-in",
                "az login",
            ),
            (of_vault(late), Exit::Refused, "not-in-time", "run this again"),
            (of_vault(Problem::Ended("Failed".to_owned())), Exit::Refused, "azure-refused", "activity log"),
            (of_vault(Problem::Unusable("the answer is no JSON")), Exit::Refused, "failed", MEND),
            (DataError::new("set", "db", denied).into(), Exit::Refused, "azure-refused", "Key Vault Secrets Officer"),
            (DataError::new("set", "db", Reason::InDeletedState).into(), Exit::Refused, "azure-refused", "--recover"),
            (
                ConfigError::Wrong { path: "e.toml".into(), problems: wrong }.into(),
                Exit::Config,
                "config-wrong",
                "e.toml",
            ),
            (anyhow::anyhow!("agent.toml is not ours: move it away"), Exit::Refused, "failed", "move it away"),
        ];
        for (error, exit, code, next) in rows {
            let (found, json) = told(&error);
            assert_eq!((found, json["code"].as_str()), (exit, Some(code)), "{json:#}");
            assert!(json["next"].as_str().is_some_and(|text| text.contains(next)), "{next}: {json:#}");
        }
    }

    #[test]
    fn the_guide_has_every_code_with_its_exit_code() {
        let all = [
            Code::Usage,
            Code::ConfigUnreadable,
            Code::ConfigWrong,
            Code::NoSignIn,
            Code::Unreachable,
            Code::AzureRefused,
            Code::NotInTime,
            Code::InTheWay,
            Code::NoEstate,
            Code::NotConfirmed,
            Code::Failed,
        ];
        let guide = include_str!("../../docs/bootstrap.md");
        let section =
            guide.split("## For programs").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("it is there");
        let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), all.len(), "{rows:#?}");
        for (row, code) in rows.iter().zip(all) {
            let word = json!(code);
            let start = format!("| `{}` | {} | ", word.as_str().expect("a word"), code.exit() as u8);
            assert!(row.starts_with(&start), "{start}: {row}");
        }
    }

    #[test]
    fn people_get_the_lines_of_a_wrong_file_and_else_the_message() {
        let problems = Config::parse("prefix = 'ml'\n", 0).map(drop).expect_err("much is missing");
        let written = |failure: &Failure| {
            let mut text = Vec::new();
            failure.write(&mut text).expect("written");
            String::from_utf8(text).expect("text")
        };
        let text = written(&Failure::of(&ConfigError::Wrong { path: "e.toml".into(), problems }.into()));
        assert!(text.lines().count() == 3 && text.starts_with("e.toml: line 1: `subscription` is missing"), "{text}");
        assert_eq!(written(&Failure::of(&anyhow::anyhow!("a: b"))), "keyside-bootstrap: a: b\n");
    }
}
