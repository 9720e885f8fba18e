//! Everything that is wrong with a configuration on this machine, for people or programs.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::causes::with_causes;
use crate::cli::Output;
use crate::config::{Config, ConfigError, Defaults};
use crate::principal::Accounts;
use crate::{files, socket};

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

impl Found {
    fn of_machine(finding: &files::Finding) -> Self {
        Self { line: None, message: with_causes(finding) }
    }
}

/// Reads a configuration and looks whether it fits this machine. Nothing is changed and nothing is fetched.
///
/// # Errors
/// The report, when there is a problem; it also comes with a configuration that can be used, since it may have warnings.
pub fn examine(path: &Path, accounts: &dyn Accounts, root: &Path) -> Result<(Config, Report), Report> {
    let report = |problems, warnings| Report { config: path.to_owned(), problems, warnings };
    let uid = nix::unistd::geteuid().as_raw();
    let socket = socket::default(uid);
    let config = Config::load(path, accounts, Defaults { operator_uid: uid, socket: &socket })
        .map_err(|error| report(of_file(&error), Vec::new()))?;
    let findings = config.files.as_ref().map(|settings| files::examine(root, settings)).unwrap_or_default();
    let of_machine = |findings: &[files::Finding]| findings.iter().map(Found::of_machine).collect::<Vec<_>>();
    let report = report(of_machine(&findings.refusals), of_machine(&findings.warnings));
    if report.problems.is_empty() { Ok((config, report)) } else { Err(report) }
}

fn of_file(error: &ConfigError) -> Vec<Found> {
    match error {
        ConfigError::Unreadable { .. } => vec![Found { line: None, message: with_causes(error) }],
        ConfigError::Wrong { problems, .. } => problems
            .iter()
            .map(|problem| Found { line: Some(problem.line), message: problem.message.clone() })
            .collect(),
    }
}

impl Report {
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

    /// The findings that do not keep the agent from starting.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|found| found.message.as_str())
    }
}
