//! A look that somebody asks for, between two that come by themselves.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::plan::{self, NewPlan, Plans};
use crate::secret::SecretName;
use crate::store::Publication;

/// How many demands may queue before the next caller is told that the agent is busy. The loop takes them at once, so that a
/// full queue means a loop that hangs.
const DEMAND_QUEUE: usize = 16;

/// Asks the loop to look now.
#[derive(Debug)]
pub(super) struct Demand {
    /// The secret to look at; all of them where none is named.
    pub(super) name: Option<SecretName>,
    done: oneshot::Sender<Result<Publication, DemandError>>,
}

impl Demand {
    /// Whether the caller has gone away.
    pub(super) fn is_abandoned(&self) -> bool {
        self.done.is_closed()
    }

    /// Tells the caller, who may have gone away meanwhile, what came of it.
    pub(super) fn answer(self, outcome: Result<Publication, DemandError>) {
        let _ = self.done.send(outcome);
    }
}

/// Lets others ask for a look; clones share the queue.
#[derive(Clone, Debug)]
pub struct Demands(mpsc::Sender<Demand>);

/// Says why a demand was not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// Too many demands are waiting already.
    #[error("too many refreshes are waiting already")]
    Busy,
    /// The vault failed several times in a row and is left alone.
    #[error("the vault is left alone for {0:?}")]
    HeldBack(Duration),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

impl Demands {
    /// Has the loop look at `name`, or at every secret, and waits for the outcome.
    ///
    /// # Errors
    /// [`DemandError::Busy`] when the queue is full, [`DemandError::HeldBack`] when no vault may be asked now, and
    /// [`DemandError::Stopping`] when the loop has ended.
    pub async fn look(&self, name: Option<SecretName>) -> Result<Publication, DemandError> {
        let (done, outcome) = oneshot::channel();
        self.0.try_send(Demand { name, done }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DemandError::Busy,
            mpsc::error::TrySendError::Closed(_) => DemandError::Stopping,
        })?;
        outcome.await.unwrap_or(Err(DemandError::Stopping))
    }
}

/// The receiving end of [`Demands`], for the loop.
#[derive(Debug)]
pub struct DemandQueue {
    pub(super) demands: mpsc::Receiver<Demand>,
    pub(super) plans: mpsc::Receiver<NewPlan>,
}

impl DemandQueue {
    /// Opens the way for other plans, in place of the one that was open before.
    pub fn take_plans(&mut self) -> Plans {
        let (plans, receiver) = plan::plans();
        self.plans = receiver;
        plans
    }
}

/// Makes both ends of the queue of demands.
#[must_use]
pub fn demands() -> (Demands, DemandQueue) {
    let (sender, demands) = mpsc::channel(DEMAND_QUEUE);
    let (_, plans) = plan::plans();
    (Demands(sender), DemandQueue { demands, plans })
}

/// A demand made by hand.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    type Caller = oneshot::Receiver<Result<Publication, DemandError>>;

    /// A demand and its caller.
    pub(in crate::refresh) fn demand(name: Option<&str>) -> (Demand, Caller) {
        let (done, caller) = oneshot::channel();
        (Demand { name: name.map(crate::testing::name), done }, caller)
    }
}
