//! What a hook is: which secrets it follows and what it does, as types that hold only what was checked.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::secret::SecretName;

/// What is done when secrets change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What the log, the metrics and the status call it; unique.
    pub name: String,
    /// The secrets whose changes it follows; all of them without.
    pub secrets: Option<BTreeSet<SecretName>>,
    /// What it does.
    pub action: Action,
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It sends a signal to a process.
    Signal {
        /// Which one.
        signal: Signal,
        /// To whom.
        recipient: Recipient,
    },
    /// It runs a command.
    Command {
        /// The program's absolute path and its arguments.
        command: Vec<String>,
        /// How long it may run.
        timeout: Duration,
    },
}

/// The process that a signal is meant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recipient {
    /// The one whose number is in this file.
    PidFile(PathBuf),
    /// The main process of a systemd service.
    Unit(Unit),
}

impl Action {
    /// What a hook that does this is called where it has no name of its own.
    #[must_use]
    pub fn default_name(&self) -> String {
        match self {
            Self::Signal { recipient: Recipient::PidFile(path), .. } => path.display().to_string(),
            Self::Signal { recipient: Recipient::Unit(unit), .. } => unit.0.clone(),
            Self::Command { command, .. } => command.first().cloned().unwrap_or_default(),
        }
    }
}

/// The signals that programs take as a request. SIGKILL and SIGSTOP are none: nothing that gets one reads a new secret.
const SIGNALS: [(&str, rustix::process::Signal); 7] = [
    ("HUP", rustix::process::Signal::HUP),
    ("INT", rustix::process::Signal::INT),
    ("QUIT", rustix::process::Signal::QUIT),
    ("TERM", rustix::process::Signal::TERM),
    ("USR1", rustix::process::Signal::USR1),
    ("USR2", rustix::process::Signal::USR2),
    ("WINCH", rustix::process::Signal::WINCH),
];

/// A signal by its name, `HUP` or `SIGHUP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(usize);

/// Says that a text is no [`Signal`].
#[derive(Debug, Error)]
#[error("'{0}' is no signal that asks a program for something: use HUP, INT, QUIT, TERM, USR1, USR2 or WINCH")]
pub struct UnknownSignal(String);

impl Signal {
    pub(super) fn number(self) -> rustix::process::Signal {
        SIGNALS[self.0].1
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let short = text.strip_prefix("SIG").unwrap_or(text);
        SIGNALS.iter().position(|(name, _)| *name == short).map(Self).ok_or_else(|| UnknownSignal(text.to_owned()))
    }
}

impl TryFrom<String> for Signal {
    type Error = UnknownSignal;

    fn try_from(text: String) -> Result<Self, UnknownSignal> {
        text.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> Self {
        signal.to_string()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SIG{}", SIGNALS[self.0].0)
    }
}

/// Longest name of a unit, in bytes.
/// Source: `UNIT_NAME_MAX` in systemd's `unit-name.h`, 256 with the NUL at the end.
const UNIT_BYTES_MAX: usize = 255;

/// The name of a systemd service, such as `nginx.service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit(String);

/// Says that a text is no [`Unit`].
#[derive(Debug, Error)]
#[error("'{0}' is no service of systemd: write its whole name, as in nginx.service")]
pub struct InvalidUnit(String);

impl Unit {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Unit {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        // Source: systemd.unit(5). A first hyphen is left out: it would read as an option.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        let prefix = text.strip_suffix(".service").unwrap_or_default();
        let is_whole = !prefix.is_empty() && !prefix.starts_with('-') && text.len() <= UNIT_BYTES_MAX;
        if is_whole && prefix.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUnit(text.to_owned()))
        }
    }
}

/// How long a command may run unless told otherwise: a reload takes seconds, and one that hangs should be told soon.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Shortest and longest time that a command may be given. Work of more than an hour is no reaction to a change, but a job.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// How long a command may run, such as `30s`.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(pub Duration);

impl Default for Timeout {
    fn default() -> Self {
        Self(TIMEOUT)
    }
}

/// Says why a text is no [`Timeout`].
#[derive(Debug, Error)]
pub enum InvalidTimeout {
    /// It is no length of time.
    #[error("'{0}' is no length of time: write it as \"30s\" or \"2m\"")]
    Form(String),
    /// It is too short or too long.
    #[error("{0} is out of range: use from 1s to 1h")]
    Range(String),
}

impl FromStr for Timeout {
    type Err = InvalidTimeout;

    fn from_str(text: &str) -> Result<Self, InvalidTimeout> {
        let timeout = humantime::parse_duration(text).map_err(|_| InvalidTimeout::Form(text.to_owned()))?;
        if TIMEOUTS.contains(&timeout) { Ok(Self(timeout)) } else { Err(InvalidTimeout::Range(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_ask_for_something_are_known_by_name() {
        let rows = [
            ("HUP", Some("SIGHUP")),
            ("SIGUSR1", Some("SIGUSR1")),
            ("KILL", None),
            ("SIGSTOP", None),
            ("hup", None),
            ("1", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let signal = text.parse::<Signal>().ok().map(|signal| signal.to_string());
            assert_eq!(signal.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_unit_is_a_whole_name_of_a_service_and_no_option() {
        let longest = format!("{}.service", "a".repeat(UNIT_BYTES_MAX - ".service".len()));
        let rows = [
            ("nginx.service", true),
            ("app@2.service", true),
            (r"dev-disk\x2d1.service", true),
            (&longest, true),
            ("nginx", false),
            ("nginx.socket", false),
            (".service", false),
            ("--user.service", false),
            ("a b.service", false),
            ("../x.service", false),
            (&format!("a{longest}"), false),
        ];
        for (text, fits) in rows {
            assert_eq!(text.parse::<Unit>().is_ok(), fits, "{text:?}");
        }
    }

    #[test]
    fn a_timeout_is_from_a_second_to_an_hour() {
        for (text, fits) in [("1s", true), ("1h", true), ("999ms", false), ("61m", false), ("30", false)] {
            assert_eq!(text.parse::<Timeout>().is_ok(), fits, "{text}");
        }
    }
}
