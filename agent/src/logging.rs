//! The log: text for a terminal, JSON lines otherwise, always on standard error.

mod lines;

use std::str::FromStr;

use anyhow::{Context as _, Result};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::{fmt, reload};

use crate::causes::with_causes;

pub use self::lines::{Detached, Lines};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Says that a text is no [`Format`].
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no log format: use auto, text or json")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// A level of the log, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(LevelFilter);

/// Says that a text is no [`Level`].
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no log level: use error, warn, info, debug or trace")]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text {
            "error" | "warn" | "info" | "debug" | "trace" => {
                text.parse().map(Self).map_err(|_| UnknownLevel(text.to_owned()))
            }
            other => Err(UnknownLevel(other.to_owned())),
        }
    }
}

/// What the configuration says about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least level that is shown of Keyside's own lines; libraries are shown from `warn`.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

impl Settings {
    /// Warnings as text: for an agent whose log stands between the lines of the command that it was started for.
    #[must_use]
    pub fn beside_a_command() -> Self {
        Self { level: Level(LevelFilter::WARN), format: Format::Text }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: Level(LevelFilter::INFO), format: Format::Auto }
    }
}

/// Changes the level of a log that was started.
pub struct Levels(Option<Box<SetFilter>>);

type SetFilter = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

impl std::fmt::Debug for Levels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Levels").finish_non_exhaustive()
    }
}

impl Levels {
    /// Shows lines from this level on, unless `RUST_LOG` says which.
    pub fn set(&self, level: Level) {
        let Some(set) = &self.0 else { return };
        if let Err(error) = set(level.filter()) {
            tracing::warn!(error = with_causes(&error), "the level of the log stays as it was");
        }
    }
}

impl Level {
    fn filter(self) -> EnvFilter {
        EnvFilter::new(format!("warn,keyside={}", self.0))
    }
}

/// Starts logging, and answers how its level and its way can be changed. `directives`, the content of `RUST_LOG`, goes before the
/// configured level.
///
/// # Errors
/// When `directives` cannot be read, or logging was started before.
pub fn start(settings: Settings, directives: Option<&str>, terminal: bool) -> Result<(Levels, Lines)> {
    let directives = directives.filter(|text| !text.is_empty());
    let filter = match directives {
        Some(text) => EnvFilter::builder()
            .parse(text)
            .context("RUST_LOG holds no filter directives: write for instance keyside=debug, or unset it")?,
        None => settings.level.filter(),
    };
    // A line that nobody reads any more is lost; told of on the same stream, that would end the process.
    let way = Lines::default();
    let lines = fmt().with_env_filter(filter).with_writer(way.clone()).log_internal_errors(false);
    let set: Box<SetFilter>;
    let started = match (settings.format, terminal) {
        (Format::Json, _) | (Format::Auto, false) => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            set = Box::new(move |filter| handle.reload(filter));
            lines.try_init()
        }
        (Format::Text, _) | (Format::Auto, true) => {
            let lines = lines.with_ansi(terminal).with_target(false).with_filter_reloading();
            let handle = lines.reload_handle();
            set = Box::new(move |filter| handle.reload(filter));
            lines.try_init()
        }
    };
    started.map_err(anyhow::Error::from_boxed)?;
    Ok((Levels(directives.is_none().then_some(set)), way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_formats_are_read_by_name() {
        for (text, valid) in [("info", true), ("trace", true), ("INFO", false), ("loud", false), ("", false)] {
            assert_eq!(text.parse::<Level>().is_ok(), valid, "{text:?}");
        }
        for (text, valid) in [("auto", true), ("text", true), ("json", true), ("xml", false)] {
            assert_eq!(text.parse::<Format>().is_ok(), valid, "{text:?}");
        }
    }
}
