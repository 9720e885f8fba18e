//! Carries out a plan: independent items at once, each looked at again just before it is written.

use anyhow::{Context as _, Result, bail};

use crate::azure::Azure;
use crate::graph::{Direction, work_through};
use crate::item::{Decision, Known, Node};
use crate::plan::Plan;
use crate::progress::Progress;

/// What was done, by what was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How many items were written or waited for.
    pub written: usize,
}

/// Carries out the steps of `plan` that are work.
///
/// # Errors
/// Everything that failed, after all that had begun has ended.
pub async fn carry_out(
    plan: &Plan,
    nodes: &[Node],
    (azure, known): (&Azure, &Known),
    progress: &Progress,
) -> Result<Done> {
    let after: Vec<_> = nodes.iter().map(|node| node.after.clone()).collect();
    let outcomes = work_through(&after, Direction::Forward, |place| async move {
        let decision = &plan.steps[place].observed.decision;
        if decision.is_work() { one(&nodes[place], decision, (azure, known), progress).await } else { Ok(0) }
    })
    .await;
    let not_begun = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    let mut written = 0;
    let mut failures = Vec::new();
    for outcome in outcomes.into_iter().flatten() {
        match outcome {
            Ok(count) => written += count,
            Err(error) => failures.push(error),
        }
    }
    fail(failures, not_begun)?;
    Ok(Done { written })
}

/// Fails with the first failure; the others are told before it.
fn fail(mut failures: Vec<anyhow::Error>, not_begun: usize) -> Result<()> {
    let Some(last) = failures.pop() else { return Ok(()) };
    for error in failures {
        tracing::error!("{error:#}");
    }
    if not_begun == 0 {
        return Err(last);
    }
    Err(last).with_context(|| format!("{not_begun} items were not begun; run this again when the cause is mended"))
}

async fn one(node: &Node, planned: &Decision, (azure, known): (&Azure, &Known), progress: &Progress) -> Result<usize> {
    let label = node.item.label();
    let under_way = progress.begins(&label);
    let observed = node.item.observe(azure, known).await?;
    let (word, count, document) = match &observed.decision {
        Decision::Leave => ("left", 0, observed.document.clone()),
        Decision::Refuse(reason) => bail!("{label}: {reason}"),
        // Nobody has seen these changes in the plan.
        Decision::Change(_) if matches!(planned, Decision::Create) => {
            bail!("{label} appeared since the plan was made, and differs: run this again to see how")
        }
        decision => {
            let written = node.item.write(azure, known, &observed).await?;
            (past(decision), 1, Some(written))
        }
    };
    if let Some(document) = document {
        known.keep(node.item.key(), document);
    }
    under_way.ended(word);
    Ok(count)
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
