//! Other settings for a writer that runs: tried before they hold, and shown as one generation with the secrets that they bring.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::settings::Settings;
use super::{FilesError, FilesWriter, group_of_files, planned};
use crate::store::Snapshot;

/// How long the files of before stay where a secret that is new to the configuration has not been looked at. As long as a
/// superseded generation stays in any case, so that a file that is to go is gone within twice that time.
pub(super) const SETTLE_MAX: Duration = super::RETIRE_AFTER;

/// Says why other settings are refused.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The files cannot be written by them.
    #[error(transparent)]
    Files(FilesError),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Lets somebody else change the settings of a writer that runs.
#[derive(Debug)]
pub struct Changes(mpsc::Sender<Proposal>);

/// The receiving end of [`Changes`].
pub(super) type ChangeQueue = mpsc::Receiver<Proposal>;

/// Other settings, which hold once somebody says so.
#[derive(Debug)]
pub(super) struct Proposal {
    settings: Settings,
    verdict: oneshot::Sender<Result<(), FilesError>>,
    go: oneshot::Receiver<()>,
}

/// Settings that the writer could follow, and does once [`Self::follow`] is called. It writes nothing before, and goes on as
/// it was when this is dropped.
#[derive(Debug)]
#[must_use = "the writer waits for it"]
pub struct Tried(oneshot::Sender<()>);

impl Changes {
    /// Has the writer try `settings` of the same directory: groups that cannot be given, readers that the file system cannot
    /// express, names that something else has.
    ///
    /// # Errors
    /// [`ChangeError`]; then the writer goes on as before.
    pub async fn try_out(&self, settings: Settings) -> Result<Tried, ChangeError> {
        let (verdict, answer) = oneshot::channel();
        let (go, wait) = oneshot::channel();
        let sent = self.0.send(Proposal { settings, verdict, go: wait }).await;
        sent.map_err(|_| ChangeError::Stopping)?;
        answer.await.map_err(|_| ChangeError::Stopping)?.map_err(ChangeError::Files)?;
        Ok(Tried(go))
    }
}

impl Tried {
    /// Has the writer follow the settings from now on.
    pub fn follow(self) {
        // A writer that is gone follows nothing.
        let _ = self.0.send(());
    }
}

impl FilesWriter {
    /// Opens the way for other settings, in place of the one that was open before.
    pub fn take_changes(&mut self) -> Changes {
        let (sender, changes) = mpsc::channel(1);
        self.changes = Some(changes);
        Changes(sender)
    }

    /// Tries other settings, waits for the word to follow them, and answers whether it came. Nothing is written between, so
    /// that no value goes where it was not to go by the settings of before.
    pub(super) async fn consider(&mut self, proposal: Proposal) -> bool {
        let Proposal { settings, verdict, go } = proposal;
        let (group, plan) = match self.try_settings(&settings) {
            Ok(tried) => tried,
            Err(error) => {
                // Who asked may have gone away, with the whole agent.
                drop(verdict.send(Err(error)));
                return false;
            }
        };
        if verdict.send(Ok(())).is_err() || go.await.is_err() {
            return false;
        }
        (self.settings, self.group, self.planned) = (settings, group, plan);
        true
    }

    fn try_settings(&mut self, settings: &Settings) -> Result<(u32, Vec<planned::Planned>), FilesError> {
        let unwritten = |error| self.unwritten(error);
        let group = group_of_files(settings.group, &self.directory).map_err(unwritten)?;
        let plan = planned::plan(settings, rustix::process::geteuid().as_raw(), group);
        self.rehearse(group, &plan).map_err(unwritten)?;
        Ok((group, plan))
    }

    /// Whether each secret that a file is made of has been looked at since it is configured as it is.
    pub(super) fn is_settled(&self, snapshot: &Snapshot) -> bool {
        self.planned
            .iter()
            .flat_map(planned::Planned::secrets)
            .all(|name| snapshot.slots.get(name).is_none_or(|slot| !slot.is_new))
    }
}
