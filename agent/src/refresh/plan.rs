//! What is kept fresh and how; and another plan in its place while the loop runs, as a difference to the one before.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::{Settings, Source, Wanted};
use crate::causes::with_causes;
use crate::secret::SecretName;
use crate::store::{Carry, Configured, Publisher};

/// Which secrets are kept fresh, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The secrets.
    pub wanted: Arc<[Wanted]>,
    /// How fresh they are kept, and how long without the vault.
    pub settings: Settings,
}

impl Plan {
    /// What is fetched for `name`, or for everything: first what readiness waits for.
    pub(super) fn sources(&self, name: Option<&SecretName>) -> Vec<Source> {
        let wanted = self.wanted.iter().filter(|wanted| name.is_none_or(|name| *name == wanted.name));
        let mut sources: Vec<_> = wanted.map(Wanted::source).collect();
        sources.sort();
        sources.dedup();
        sources.sort_by_key(|source| self.is_optional(source));
        sources
    }

    /// Those that are made of what is fetched from `source`.
    pub(super) fn wanting<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Wanted> {
        self.wanted.iter().filter(move |wanted| wanted.source() == *source)
    }

    /// Whether readiness does without all that is made of `source`.
    pub(super) fn is_optional(&self, source: &Source) -> bool {
        self.wanting(source).all(|wanted| wanted.optional)
    }

    /// Whether `wanted` is made of the same as the secret that this plan has under its name.
    fn has_same(&self, wanted: &Wanted) -> bool {
        self.wanted.iter().any(|known| known.name == wanted.name && known.is_made_like(wanted))
    }
}

/// Says why another plan is not followed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The value that a secret has does not fit a file of variables that it would be in.
    #[error("the value of '{secret}' does not fit a file of variables: {reason}")]
    Unfit {
        /// The secret.
        secret: SecretName,
        /// What is wrong with it.
        reason: String,
    },
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Another plan, for the loop to follow from now on.
#[derive(Debug)]
pub(super) struct NewPlan {
    plan: Plan,
    /// Of these no value is kept from before where they are fetched from elsewhere.
    to_more_readers: BTreeSet<SecretName>,
    done: oneshot::Sender<Result<(), PlanError>>,
}

/// Lets somebody else change the plan of a loop that runs.
#[derive(Debug)]
pub struct Plans(mpsc::Sender<NewPlan>);

impl Plans {
    /// Has the loop follow `plan` from now on, as a whole or not at all. What is gone from it is wiped, what is new in it is
    /// fetched at once, and what has not changed stays as it is. A secret that is made otherwise than before keeps its last
    /// good value until there is the new one; but those `to_more_readers` do not, as the new readers were not to see it.
    ///
    /// # Errors
    /// [`PlanError`], and the loop goes on as before.
    pub async fn follow(&self, plan: Plan, to_more_readers: BTreeSet<SecretName>) -> Result<(), PlanError> {
        let (done, outcome) = oneshot::channel();
        let sent = self.0.send(NewPlan { plan, to_more_readers, done }).await;
        sent.map_err(|_| PlanError::Stopping)?;
        outcome.await.unwrap_or(Err(PlanError::Stopping))
    }
}

/// Makes both ends of the way of plans to the loop. One is followed before the next is taken.
pub(super) fn plans() -> (Plans, mpsc::Receiver<NewPlan>) {
    let (sender, receiver) = mpsc::channel(1);
    (Plans(sender), receiver)
}

impl NewPlan {
    /// Takes the place of `plan`, in the store too, and answers what has to be fetched for it.
    pub(super) fn replace(self, plan: &mut Plan, publisher: &Publisher) -> Option<BTreeSet<Source>> {
        let Self { plan: next, to_more_readers, done } = self;
        let unfit =
            next.wanted.iter().filter(|wanted| plan.has_same(wanted)).find_map(|wanted| misfit(wanted, publisher));
        if let Some(unfit) = unfit {
            // Who asked may have gone away, with the whole agent.
            drop(done.send(Err(unfit)));
            return None;
        }
        let configured = next.wanted.iter().map(|wanted| {
            let carry = if plan.has_same(wanted) {
                Carry::Over
            } else if to_more_readers.contains(&wanted.name) || misfit(wanted, publisher).is_some() {
                Carry::Nothing
            } else {
                Carry::UntilRenewed
            };
            Configured { name: wanted.name.clone(), optional: wanted.optional, carry }
        });
        publisher.configure(configured.collect());
        let renewed = next.wanted.iter().filter(|wanted| !plan.has_same(wanted)).map(Wanted::source).collect();
        *plan = next;
        drop(done.send(Ok(())));
        Some(renewed)
    }
}

fn misfit(wanted: &Wanted, publisher: &Publisher) -> Option<PlanError> {
    let error = publisher.with_value(&wanted.name, |value| wanted.check_lines(value))?.err()?;
    Some(PlanError::Unfit { secret: wanted.name.clone(), reason: with_causes(&error) })
}
