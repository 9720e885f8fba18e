//! Whether a configuration works with Azure itself: who Keyside is there, what it may read, and what grants the rest.

mod advice;
mod assessment;
mod document;
mod findings;
mod probe;
mod sign_in;
#[cfg(test)]
mod tests;
mod text;

use std::future::Future;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::document::Document;
use crate::azure::identity;
use crate::azure::key_vault::{KeyVault, Refused};
use crate::azure::transport::Timeouts;
use crate::check::Report;
use crate::cli::{Exit, Output};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::environment::Environment;
use crate::memory::Arena;
use crate::refresh::Wanted;
use crate::secret::Secret;
use crate::{azure, process};

/// How long each question may take: somebody is waiting, and an answer that takes longer is no use to an agent either.
pub(crate) const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(4), read: Duration::from_secs(10), total: Duration::from_secs(10) };

/// Who is told what was found, and how.
pub struct Audience<'a> {
    /// Where what was found goes.
    pub out: &'a mut dyn Write,
    /// Where it goes what is being done meanwhile; none where nobody watches.
    pub progress: Option<&'a mut dyn Write>,
    /// How to print.
    pub output: Output,
}

impl std::fmt::Debug for Audience<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Audience").field("output", &self.output).finish_non_exhaustive()
    }
}

impl Audience<'_> {
    fn tell(&mut self, step: &str) {
        if let Some(progress) = &mut self.progress {
            // When the terminal is gone, nobody is left to tell.
            drop(writeln!(progress, "{step} …"));
        }
    }
}

/// Goes to Azure with a configuration that fits this machine, and prints `report` and what it finds. Every secret is
/// fetched, because Key Vault has no lesser right than to read one, and wiped at once.
///
/// It must be called before any thread is started, since the process gives up rights for all of them. Answers
/// [`Exit::Success`] where every required secret can be read, [`Exit::NotYet`] where only time can help,
/// [`Exit::Unavailable`] where somebody has to change something first, and [`Exit::Config`] where the environment rules
/// every connection out.
///
/// # Errors
/// When no runtime can be started, or the output cannot be written.
pub fn check(config: &Config, report: &Report, environment: &Environment, mut audience: Audience<'_>) -> Result<Exit> {
    harden(&config.identity, environment);
    let arena = Arena::new(config.memory);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = azure::Settings {
        vault_url: config.vault.clone(),
        fallback: Vec::new(),
        identity: config.identity.clone(),
        timeouts: TIMEOUTS,
    };
    let document = match azure::connect(settings, environment, arena.clone(), Arc::clone(&clock)) {
        Ok(connection) => {
            let probe = probe::probe(&config.wanted, &connection, &arena, &mut audience);
            let findings = block_on(probe).context("could not start a runtime")?;
            Document::of(config, &findings, clock.now())
        }
        Err(error) => Document::unconnected(config, &error),
    };
    print(report, &document, audience).context("the output cannot be written")?;
    Ok(document.verdict.exit())
}

fn print(report: &Report, document: &Document, audience: Audience<'_>) -> io::Result<()> {
    let Audience { out, output, .. } = audience;
    match output {
        Output::Json => document.write_json(report, out)?,
        Output::Text => {
            report.write(output, out)?;
            out.write_all(text::page(document).as_bytes())?;
        }
    }
    out.flush()
}

/// What a process that is about to hold values forbids itself; only what the identity has to start may still write.
pub(crate) fn harden(identity: &identity::Settings, environment: &Environment) {
    let writable: Vec<_> = identity.writable(environment).into_iter().filter(|directory| directory.is_dir()).collect();
    // What the kernel refuses is logged, and is no reason to leave the question open.
    let _report = process::harden(&writable);
}

/// Waits for `work` on this thread.
///
/// # Errors
/// When no runtime can be started.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Fetches one secret and makes of it what readers would get.
///
/// # Errors
/// [`Refused`], also where the value is not what the configuration says it is.
pub(crate) async fn fetch(vault: &KeyVault, wanted: &Wanted, arena: &Arena) -> Result<Secret, Refused> {
    let secret = vault.examine(&wanted.source()).await?;
    Ok(wanted.make(secret, arena)?)
}
