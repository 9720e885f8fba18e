//! Removes what this program made, and nothing else.

use std::io::{self, Write};

use anyhow::Result;
use serde_json::{Value, json};

use crate::apply::first_failure;
use crate::azure::Azure;
use crate::declaration::OWNER_TAG;
use crate::graph::{Direction, work_through};
use crate::item::{Key, Known, Label, Node, Removal};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::vault_data::{Listed, Reason, Rights};

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
}

/// What the application's vault holds, where it would go.
#[derive(Debug, Default)]
pub struct Contents {
    /// The secrets that go with it, by name.
    pub lost: Vec<String>,
    /// What is to be told: why it stays, or that nobody can say what it holds.
    pub notes: Vec<String>,
}

/// Lists the secrets of a vault that would go. One that holds a secret that the estate of this number did not make is
/// marked in `plan` as somebody else's, so that it stays.
///
/// # Errors
/// When the vault cannot be asked for another reason than a missing right or its firewall.
pub async fn spare_vault(plan: &mut Plan, nodes: &[Node], azure: &Azure, estate: &str) -> Result<Contents> {
    let mut contents = Contents::default();
    let vault = (0..nodes.len()).find(|place| nodes[*place].item.key() == Key::Vault);
    let Some(step) = vault.and_then(|place| plan.steps.get_mut(place)) else { return Ok(contents) };
    if !step.observed.ours || step.observed.document.is_none() {
        return Ok(contents);
    }
    let listed = match azure.vault.list(Rights::AreWhatTheyAre).await {
        Ok(listed) => listed,
        Err(error) if matches!(*error.reason, Reason::Denied { .. } | Reason::Firewalled { .. }) => {
            contents.notes.push(format!("{} may hold secrets, which the operator has no right to list", step.label));
            return Ok(contents);
        }
        Err(error) => return Err(error.into()),
    };
    let is_foreign = |one: &Listed| one.tags.get(OWNER_TAG).map(String::as_str) != Some(estate);
    let (foreign, own): (Vec<_>, Vec<_>) = listed.into_values().partition(is_foreign);
    let names = |all: Vec<Listed>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
    if foreign.is_empty() {
        contents.lost = names(own);
        return Ok(contents);
    }
    step.observed.ours = false;
    let foreign = names(foreign).join(", ");
    let why = "stays: it holds secrets which this program did not make";
    contents.notes.push(format!("{} {why}: {foreign}", step.label));
    Ok(contents)
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
            Removal::With(key) if part_goes(key) => Fate::GoesAlong,
            _ if removed(place) => Fate::Removed,
            _ => Fate::Kept,
        }
    };
    Removals { fates: (0..nodes.len()).map(|place| (plan.steps[place].label.clone(), fate(place))).collect() }
}

impl Removals {
    /// Whether something is to be removed.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.fates.iter().any(|(_, fate)| *fate == Fate::Removed)
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
    (azure, known): (&Azure, &Known),
    (progress, purge): (&Progress, bool),
) -> Result<Vec<String>> {
    let after: Vec<_> = nodes.iter().map(|node| node.after.clone()).collect();
    let outcomes = work_through(&after, Direction::Backward, |place| async move {
        let (label, fate) = &removals.fates[place];
        if *fate == Fate::Removed {
            let under_way = progress.begins(label);
            let outcome = nodes[place].item.remove(azure, known, purge).await;
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
