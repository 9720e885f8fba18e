//! Carries out a plan: independent items at once, each looked at again just before it is written.

use anyhow::{Context as _, Result, bail};

use crate::graph::{Direction, work_through};
use crate::item::{Decision, Node, World};
use crate::plan::Plan;
use crate::progress::Progress;

/// Carries out the steps of `plan` that are work.
///
/// # Errors
/// Everything that failed, after all that had begun has ended.
pub async fn carry_out(plan: &Plan, nodes: &[Node], world: World<'_>, progress: &Progress) -> Result<()> {
    let after: Vec<_> = nodes.iter().map(|node| node.after.clone()).collect();
    let outcomes = work_through(&after, Direction::Forward, |place| async move {
        let decision = &plan.steps[place].observed.decision;
        if !decision.is_work() {
            return Ok(());
        }
        let label = nodes[place].item.label();
        let under_way = progress.begins(&label);
        let outcome = one(&nodes[place], decision, world).await;
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
async fn one(node: &Node, planned: &Decision, World { azure, known }: World<'_>) -> Result<&'static str> {
    let label = node.item.label();
    let observed = node.item.observe(azure, known).await?;
    let (word, document) = match &observed.decision {
        Decision::Leave => ("left", observed.document.clone()),
        Decision::Refuse(reason) => bail!("{label}: {reason}"),
        found if !is_shown(planned, found) => {
            bail!("{label} is no longer as the plan found it: run plan again to see what is to be done now")
        }
        decision => (past(decision), Some(node.item.write(azure, known, &observed).await?)),
    };
    if let Some(document) = document {
        known.keep(node.item.key(), document);
    }
    Ok(word)
}

/// Whether what is to be done now is what the plan showed, or less.
fn is_shown(planned: &Decision, found: &Decision) -> bool {
    match (planned, found) {
        (Decision::Change(planned), Decision::Change(found)) => found.iter().all(|one| planned.contains(one)),
        (_, Decision::Change(_)) => false,
        // What was waited for may have been on its way out.
        (planned, Decision::Create) => matches!(planned, Decision::Create | Decision::Await(_)),
        (planned, Decision::Recover) => *planned == Decision::Recover,
        (_, Decision::Leave | Decision::Await(_) | Decision::Refuse(_)) => true,
    }
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
    use crate::field::Difference;

    #[test]
    fn only_what_the_plan_showed_is_done() {
        let change = |names: &[&str]| {
            let one =
                |name: &&str| Difference { field: (*name).to_owned(), old: 1.into(), new: 2.into(), fixed: false };
            Decision::Change(names.iter().map(one).collect())
        };
        let wait = || Decision::Await("Creating".to_owned());
        let rows = [
            (Decision::Create, Decision::Create, true),
            (Decision::Create, Decision::Leave, true),
            (Decision::Create, change(&["a"]), false),
            (Decision::Create, Decision::Recover, false),
            (Decision::Recover, change(&["a"]), false),
            (Decision::Recover, Decision::Create, false),
            (change(&["a", "b"]), change(&["b"]), true),
            (change(&["a"]), change(&["a", "b"]), false),
            (change(&["a"]), Decision::Create, false),
            (change(&["a"]), wait(), true),
            (wait(), Decision::Create, true),
            (wait(), change(&["a"]), false),
        ];
        for (planned, found, shown) in rows {
            assert_eq!(is_shown(&planned, &found), shown, "{planned:?} {found:?}");
        }
    }

    #[test]
    fn the_first_of_several_failures_is_the_one_that_counts() {
        let first = first_failure([anyhow!("one"), anyhow!("two"), anyhow!("three")]);
        assert_eq!(first.map(|error| error.to_string()).as_deref(), Some("one"));
        assert!(first_failure([]).is_none());
    }
}
