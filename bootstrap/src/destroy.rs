//! Removes what this program made, and nothing else.

use std::io::{self, Write};

use anyhow::Result;
use serde_json::{Value, json};

use crate::apply::first_failure;
use crate::azure::{Azure, Sight};
use crate::config::Config;
use crate::declaration::OWNER_TAG;
use crate::graph::{Direction, work_through};
use crate::item::{Key, Label, Node, Removal, World};
use crate::plan::{Plan, Step};
use crate::progress::Progress;
use crate::resources::{self, vault};
use crate::vault_data::Listed;

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is removed.
    Removed,
    /// It goes with what it is part of.
    GoesAlong,
    /// It is somebody else's.
    Kept,
    /// There is nothing.
    Absent,
}

/// What becomes of every item, in the order of the items.
#[derive(Debug)]
pub struct Removals {
    /// Each with its fate.
    pub fates: Vec<(Label, Fate)>,
    purge: bool,
}

/// What the vaults hold that would go.
#[derive(Debug, Default)]
pub struct Contents {
    /// The secrets that go with a vault, by its name.
    pub lost: Vec<(Label, Vec<String>)>,
    /// The vaults of which nobody can say what they hold.
    pub unseen: Vec<Label>,
    /// Why a vault stays.
    pub notes: Vec<String>,
}

/// Lists the secrets of the vaults that would go. One that holds what is not this estate's is marked in `plan` as
/// somebody else's, so that it stays.
///
/// # Errors
/// When a vault cannot be asked for another reason than a missing right or its firewall.
pub async fn look_into_vaults(plan: &mut Plan, nodes: &[Node], config: &Config, azure: &Azure) -> Result<Contents> {
    let mut contents = Contents::default();
    let workspace_stays = workspace_stays(plan, nodes);
    for (step, node) in plan.steps.iter_mut().zip(nodes) {
        let spared = match node.item.key() {
            Key::WorkspaceVault if workspace_stays => Some("the workspace that uses it stays".to_owned()),
            key @ (Key::Vault | Key::WorkspaceVault) if step.observed.ours => {
                look_into(step, key, config, (azure, &mut contents)).await?
            }
            _ => None,
        };
        if let Some(why) = spared {
            step.observed.ours = false;
            contents.notes.push(format!("{} stays: {why}", step.label));
        }
    }
    Ok(contents)
}

/// Whether there is a workspace which is not this program's to remove.
fn workspace_stays(plan: &Plan, nodes: &[Node]) -> bool {
    let stays = |step: &Step| step.observed.document.is_some() && !step.observed.ours;
    nodes.iter().zip(&plan.steps).any(|(node, step)| node.item.key() == Key::Workspace && stays(step))
}

/// Looks into one vault; answers why it stays, if it does.
async fn look_into(
    step: &Step,
    key: Key,
    config: &Config,
    (azure, contents): (&Azure, &mut Contents),
) -> Result<Option<String>> {
    let sight = match &step.observed {
        // What is in its deleted state cannot be looked into any more.
        observed if observed.deleted => Sight::Denied,
        observed if observed.document.is_none() => Sight::Gone,
        _ => azure.secrets(&config.group_id().resource(vault::KIND, &step.label.name)).await?,
    };
    let listed = match sight {
        Sight::Gone => return Ok(None),
        Sight::Denied => {
            contents.unseen.push(step.label.clone());
            return Ok(None);
        }
        Sight::Of(listed) => listed.into_values(),
    };
    // Those of the workspace's own vault are the workspace's, which goes with it.
    let estate = resources::estate(config);
    let is_own = |one: &Listed| key == Key::WorkspaceVault || one.tags.get(OWNER_TAG) == Some(&estate);
    let (own, foreign): (Vec<_>, Vec<_>) = listed.partition(is_own);
    let names = |all: Vec<Listed>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
    if foreign.is_empty() {
        contents.lost.push((step.label.clone(), names(own)));
        return Ok(None);
    }
    Ok(Some(format!("it holds secrets which this program did not make: {}", names(foreign).join(", "))))
}

/// Decides what goes; with `purge`, also what Azure keeps in a deleted state.
#[must_use]
pub fn decide(plan: &Plan, nodes: &[Node], purge: bool) -> Removals {
    let removed = |place: usize| {
        let observed = &plan.steps[place].observed;
        observed.ours && observed.document.is_some()
    };
    let part_goes = |key| (0..nodes.len()).any(|place| nodes[place].item.key() == key && removed(place));
    let fate = |place: usize| {
        let observed = &plan.steps[place].observed;
        match nodes[place].item.removal() {
            Removal::Never => Fate::Absent,
            _ if observed.deleted => {
                if purge && observed.ours {
                    Fate::Removed
                } else {
                    Fate::Absent
                }
            }
            _ if observed.document.is_none() => Fate::Absent,
            Removal::With(key) | Removal::OnlyWith(key) if part_goes(key) => Fate::GoesAlong,
            Removal::OnlyWith(_) => Fate::Kept,
            _ if removed(place) => Fate::Removed,
            _ => Fate::Kept,
        }
    };
    let fates = (0..nodes.len()).map(|place| (plan.steps[place].label.clone(), fate(place))).collect();
    Removals { fates, purge }
}

impl Removals {
    /// Whether something is to be removed.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.fates.iter().any(|(_, fate)| *fate == Fate::Removed)
    }

    /// Whether what is called `label` is removed.
    #[must_use]
    pub fn removes(&self, label: &Label) -> bool {
        self.fates.iter().any(|(other, fate)| other == label && *fate == Fate::Removed)
    }

    /// What stays for want of a mark, and why.
    #[must_use]
    pub fn unmarked(&self, nodes: &[Node]) -> Vec<String> {
        let is_unmarked = |node: &Node| matches!(node.item.removal(), Removal::OnlyWith(_));
        let kept = self.fates.iter().zip(nodes).filter(|((_, fate), node)| *fate == Fate::Kept && is_unmarked(node));
        kept.map(|((label, _), _)| format!("{label} stays: the vault does not tell who added it")).collect()
    }

    /// Shows what goes and what stays.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let shown = || self.fates.iter().filter(|(_, fate)| *fate != Fate::Absent);
        let width = shown().map(|(label, _)| label.kind.len()).max().unwrap_or_default();
        for (Label { kind, name }, fate) in shown() {
            let sign = if *fate == Fate::Kept { '=' } else { '-' };
            writeln!(out, "{sign} {:<8}{kind:width$}  {name}", word(*fate))?;
        }
        let count = |wanted: Fate| self.fates.iter().filter(|(_, fate)| *fate == wanted).count();
        let gone = count(Fate::Removed) + count(Fate::GoesAlong);
        match (gone, count(Fate::Kept)) {
            (0, 0) => writeln!(out, "Nothing to destroy."),
            (0, kept) => writeln!(out, "\nNothing to destroy: this program made none of the {kept}."),
            (gone, kept) => writeln!(out, "\nPlan: {gone} to destroy, {kept} to keep."),
        }
    }

    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let shown = self.fates.iter().filter(|(_, fate)| *fate != Fate::Absent);
        shown.map(|(label, fate)| json!({"action": word(*fate), "kind": label.kind, "name": label.name})).collect()
    }
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Removed | Fate::GoesAlong => "destroy",
        Fate::Kept | Fate::Absent => "keep",
    }
}

/// Removes what is to be removed, what needs others before them. Answers with what stays all the same, and why.
///
/// # Errors
/// Everything that failed, after all that had begun has ended.
pub async fn carry_out(
    removals: &Removals,
    nodes: &[Node],
    World { azure, known }: World<'_>,
    progress: &Progress,
) -> Result<Vec<String>> {
    let after: Vec<_> = nodes.iter().map(|node| node.after.clone()).collect();
    let outcomes = work_through(&after, Direction::Backward, |place| async move {
        let (label, fate) = &removals.fates[place];
        if *fate == Fate::Removed {
            let under_way = progress.begins(label);
            let outcome = nodes[place].item.remove(azure, known, removals.purge).await;
            under_way.ended(match &outcome {
                Ok(None) => "destroyed",
                Ok(Some(_)) => "kept",
                Err(_) => "failed",
            });
            return Ok(outcome?.map(|reason| format!("{label} stays: {reason}")));
        }
        anyhow::Ok(None)
    })
    .await;
    let (stays, failures): (Vec<_>, Vec<_>) = outcomes.into_iter().flatten().partition(Result::is_ok);
    match first_failure(failures.into_iter().filter_map(Result::err)) {
        Some(error) => Err(error),
        None => Ok(stays.into_iter().flatten().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estate;
    use crate::item::Observed;
    use crate::testing::config;

    /// A plan in which everything is there, and ours but for what is named.
    fn plan(nodes: &[Node], foreign: &[&str]) -> Plan {
        let step = |node: &Node| {
            let label = node.item.label();
            let ours = !foreign.iter().any(|start| label.to_string().starts_with(start));
            Step { label, observed: Observed::present(json!({}), ours) }
        };
        Plan { steps: nodes.iter().map(step).collect() }
    }

    fn fate(removals: &Removals, start: &str) -> Fate {
        let found = removals.fates.iter().find(|(label, _)| label.to_string().starts_with(start));
        found.unwrap_or_else(|| panic!("{start} is in {removals:?}")).1
    }

    #[test]
    fn what_carries_no_mark_goes_with_its_vault_and_stays_with_it() {
        let nodes = estate::nodes(&config(
            "authorization = 'access-policies'\n[agent_identity]\n[[secret]]\nname = 'db'\ngenerate = {}\n\
             [operator]\naddress = '203.0.113.7'",
        ));
        let all = decide(&plan(&nodes, &[]), &nodes, false);
        for start in ["access policy", "firewall exception", "secret db"] {
            assert_eq!(fate(&all, start), Fate::GoesAlong, "{start}");
        }
        assert_eq!(all.unmarked(&nodes), Vec::<String>::new());
        let of_others = decide(&plan(&nodes, &["key vault", "access policy get+list+set"]), &nodes, false);
        assert_eq!(fate(&of_others, "access policy get+list for the agent"), Fate::Removed);
        assert_eq!(fate(&of_others, "firewall exception"), Fate::Kept);
        assert_eq!(fate(&of_others, "secret db"), Fate::Removed);
        let told = of_others.unmarked(&nodes);
        assert!(told.iter().any(|line| line.starts_with("firewall exception 203.0.113.7 on kv1 stays")), "{told:?}");
        assert!(told.iter().any(|line| line.contains("for the operator on kv1 stays")), "{told:?}");
    }

    #[test]
    fn a_vault_whose_workspace_stays_is_in_use() {
        let nodes = estate::nodes(&config("[workspace]"));
        assert!(!workspace_stays(&plan(&nodes, &[]), &nodes));
        assert!(workspace_stays(&plan(&nodes, &["machine learning workspace"]), &nodes));
    }
}
