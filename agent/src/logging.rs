//! The log: text for a terminal, JSON lines otherwise, always on standard error.

mod lines;

use std::str::FromStr;

use anyhow::{Context as _, Result};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::causes::with_causes;

pub use self::lines::{Detached, Lines, say_last};

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
#[derive(Debug)]
pub struct Levels(Option<reload::Handle<Targets, Registry>>);

impl Levels {
    /// Shows lines from this level on, unless `RUST_LOG` says which.
    pub fn set(&self, level: Level) {
        let Some(filter) = &self.0 else { return };
        if let Err(error) = filter.reload(level.filter()) {
            tracing::warn!(error = with_causes(&error), "the level of the log stays as it was");
        }
    }
}

impl Level {
    fn filter(self) -> Targets {
        Targets::new().with_default(LevelFilter::WARN).with_target("keyside", self.0)
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
        Some(text) => text
            .parse()
            .context("RUST_LOG holds no filter directives: write for instance keyside=debug, or unset it")?,
        None => settings.level.filter(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    // A line that nobody reads any more is lost; told of on the same stream, that would end the process.
    let way = Lines::default();
    let lines = fmt::layer().with_writer(way.clone()).log_internal_errors(false);
    let lines = match (settings.format, terminal) {
        (Format::Json, _) | (Format::Auto, false) => lines.json().flatten_event(true).boxed(),
        (Format::Text, _) | (Format::Auto, true) => lines.with_ansi(terminal).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init()?;
    Ok((Levels(directives.is_none().then_some(handle)), way))
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

    #[test]
    fn a_level_is_for_keyside_and_libraries_are_shown_from_warn() {
        let filter = "debug".parse::<Level>().expect("a level").filter();
        let shown = |target, level| filter.would_enable(target, &level);
        for target in ["keyside::serve", "keyside_bootstrap"] {
            assert!(shown(target, tracing::Level::DEBUG) && !shown(target, tracing::Level::TRACE), "{target}");
        }
        assert!(shown("hyper::proto", tracing::Level::WARN) && !shown("hyper::proto", tracing::Level::INFO));
    }

    #[test]
    fn directives_that_cannot_be_read_are_refused() {
        for directives in ["keyside=loud", "keyside=debug=info"] {
            let error = start(Settings::default(), Some(directives), false).expect_err("refused");
            assert!(error.to_string().starts_with("RUST_LOG holds no filter directives"), "{error}");
        }
    }
}
