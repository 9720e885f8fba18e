//! Everything that is wrong with a configuration on this machine, for people or programs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::causes::with_causes;
use crate::cli::{self, Output};
use crate::config::flags::{NoSource, Source, SourceError};
use crate::config::{Config, ConfigError, Defaults};
use crate::principal::Accounts;
use crate::serve::audit;
use crate::{files, hooks, socket};

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    config: PathBuf,
    problems: Vec<Found>,
    warnings: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    /// None where it is the machine that does not fit, or the file as a whole.
    line: Option<usize>,
    message: String,
}

/// Whether the agent can start in spite of a finding.
#[derive(Clone, Copy)]
enum Weight {
    Problem,
    Warning,
}

/// Reads a configuration and looks whether it fits this machine. Nothing is changed and nothing is fetched.
///
/// # Errors
/// The report, when there is a problem; it also comes with a configuration that can be used, since it may have warnings.
pub fn examine(
    source: &Source,
    defaults: Defaults<'_>,
    accounts: &dyn Accounts,
    root: &Path,
) -> Result<(Config, Report), Report> {
    let config = read(source, defaults, accounts)?;
    let mut report = Report { config: source.title(), problems: Vec::new(), warnings: Vec::new() };
    for finding in of_socket(&config) {
        report.add(if finding.is_refusal() { Weight::Problem } else { Weight::Warning }, &finding);
    }
    for finding in config.serve.audit.iter().flat_map(audit::examine) {
        report.add(Weight::Problem, &finding);
    }
    for finding in hooks::examine(&config.hooks) {
        report.add(Weight::Problem, &finding);
    }
    let of_files = config.files.as_ref().map(|settings| files::examine(root, settings)).unwrap_or_default();
    of_files.refusals.iter().for_each(|finding| report.add(Weight::Problem, finding));
    of_files.warnings.iter().for_each(|finding| report.add(Weight::Warning, finding));
    if report.problems.is_empty() { Ok((config, report)) } else { Err(report) }
}

/// Reads a configuration without a look at the machine, for what must go on where an agent must not start.
///
/// # Errors
/// The report, when there is a problem in the file.
pub fn read(source: &Source, defaults: Defaults<'_>, accounts: &dyn Accounts) -> Result<Config, Report> {
    let report = |error| Report { config: source.title(), problems: of_source(&error), warnings: Vec::new() };
    source.load(accounts, defaults).map_err(report)
}

fn of_socket(config: &Config) -> Vec<socket::Finding> {
    let uid = nix::unistd::geteuid().as_raw();
    let readers = config.serve.access.readers.values().flatten();
    socket::examine(Path::new(socket::SHARED_MEMORY), &config.serve.socket, uid, readers)
}

fn of_source(error: &SourceError) -> Vec<Found> {
    match error {
        SourceError::File(ConfigError::Unreadable { .. }) => vec![Found { line: None, message: with_causes(error) }],
        SourceError::File(ConfigError::Wrong { problems, .. }) => problems
            .iter()
            .map(|problem| Found { line: Some(problem.line), message: problem.message.clone() })
            .collect(),
        SourceError::Flags { problems } => {
            problems.iter().map(|message| Found { line: None, message: message.clone() }).collect()
        }
    }
}

impl Report {
    /// That there is nothing to check, and the remedy.
    #[must_use]
    pub fn without_source(error: &NoSource) -> Self {
        let problem = Found { line: None, message: with_causes(error) };
        Self { config: cli::CONFIG.into(), problems: vec![problem], warnings: Vec::new() }
    }

    /// Adds what the machine has against the configuration, once where socket and files are in one directory.
    fn add(&mut self, weight: Weight, finding: &dyn std::error::Error) {
        let list = match weight {
            Weight::Problem => &mut self.problems,
            Weight::Warning => &mut self.warnings,
        };
        let message = with_causes(finding);
        if list.iter().all(|known| known.message != message) {
            list.push(Found { line: None, message });
        }
    }

    /// Writes every finding.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&self, output: Output, out: &mut dyn Write) -> io::Result<()> {
        match output {
            Output::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)
            }
            Output::Text => self.write_text(out),
        }
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let lines = self.problems.iter().map(|found| ("", found));
        for (word, found) in lines.chain(self.warnings.iter().map(|found| ("warning: ", found))) {
            let place = found.line.map(|line| format!("line {line}: ")).unwrap_or_default();
            writeln!(out, "{}: {word}{place}{}", self.config.display(), found.message)?;
        }
        match self.problems.len() {
            0 => writeln!(out, "{}: fits", self.config.display()),
            1 => writeln!(out, "{}: 1 problem", self.config.display()),
            many => writeln!(out, "{}: {many} problems", self.config.display()),
        }
    }

    /// The findings that keep the agent from starting, each with its line.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let place = |found: &Found| found.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        self.problems.iter().map(|found| format!("{}{}", place(found), found.message)).collect()
    }

    /// The findings that do not keep the agent from starting.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|found| found.message.as_str())
    }
}
