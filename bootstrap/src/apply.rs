//! Carries out a plan: independent items at once, each looked at again just before it is written.

use anyhow::{Context as _, Result, bail};

use crate::azure::Azure;
use crate::graph::{Direction, work_through};
use crate::item::{Decision, Known, Node};
use crate::plan::Plan;
use crate::progress::Progress;

/// Carries out the steps of `plan` that are work.
///
/// # Errors
/// Everything that failed, after all that had begun has ended.
pub async fn carry_out(
    plan: &Plan,
    nodes: &[Node],
    (azure, known): (&Azure, &Known),
    progress: &Progress,
) -> Result<()> {
    let after: Vec<_> = nodes.iter().map(|node| node.after.clone()).collect();
    let outcomes = work_through(&after, Direction::Forward, |place| async move {
        let decision = &plan.steps[place].observed.decision;
        if !decision.is_work() {
            return Ok(());
        }
        let label = nodes[place].item.label();
        let under_way = progress.begins(&label);
        let outcome = one(&nodes[place], decision, (azure, known)).await;
        under_way.ended(outcome.as_ref().map_or("failed", |word| word));
        outcome.map(drop)
    })
    .await;
    let not_begun = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    let failure = first_failure(outcomes.into_iter().flatten().filter_map(Result::err));
    match failure {
        Some(error) if not_begun > 0 => Err(error)
            .with_context(|| format!("{not_begun} items were not begun; run this again when the cause is mended")),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The first failure; the others are told before it.
pub(crate) fn first_failure(failures: impl IntoIterator<Item = anyhow::Error>) -> Option<anyhow::Error> {
    let mut failures = failures.into_iter();
    let first = failures.next();
    failures.for_each(|error| tracing::error!("{error:#}"));
    first
}

/// Looks at an item again and writes it; answers with the word for what was done.
async fn one(node: &Node, planned: &Decision, (azure, known): (&Azure, &Known)) -> Result<&'static str> {
    let label = node.item.label();
    let observed = node.item.observe(azure, known).await?;
    let (word, document) = match &observed.decision {
        Decision::Leave => ("left", observed.document.clone()),
        Decision::Refuse(reason) => bail!("{label}: {reason}"),
        // Nobody has seen these changes in the plan.
        Decision::Change(_) if !matches!(planned, Decision::Change(_)) => {
            bail!("{label} differs in what the plan could not show: run this again to see how")
        }
        decision => (past(decision), Some(node.item.write(azure, known, &observed).await?)),
    };
    if let Some(document) = document {
        known.keep(node.item.key(), document);
    }
    Ok(word)
}

fn past(decision: &Decision) -> &'static str {
    match decision {
        Decision::Create => "created",
        Decision::Recover => "recovered",
        Decision::Change(_) => "changed",
        Decision::Await(_) => "is ready",
        Decision::Leave | Decision::Refuse(_) => "left",
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_first_of_several_failures_is_the_one_that_counts() {
        let first = first_failure([anyhow!("one"), anyhow!("two"), anyhow!("three")]);
        assert_eq!(first.map(|error| error.to_string()).as_deref(), Some("one"));
        assert!(first_failure([]).is_none());
    }
}
