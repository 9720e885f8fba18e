//! What is to be done about each item: observed, counted and shown.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::graph::{Direction, work_through};
use crate::item::{Decision, Label, Node, Observed, World};

/// One line of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is about.
    pub label: Label,
    /// What was found and decided.
    pub observed: Observed,
}

/// What is to be done about each item, in the order of the items.
#[derive(Debug)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// How many steps do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Made.
    pub create: usize,
    /// Brought back.
    pub recover: usize,
    /// Changed.
    pub change: usize,
    /// Waited for.
    pub wait: usize,
    /// Left alone.
    pub leave: usize,
    /// In the way.
    pub refuse: usize,
}

/// Looks at every item, those that do not depend on each other at once. Writes nothing.
///
/// # Errors
/// The first item that cannot be looked at.
pub async fn observe(nodes: &[Node], World { azure, known }: World<'_>) -> Result<Plan> {
    let after: Vec<_> = nodes.iter().map(|node| node.after.clone()).collect();
    let outcomes = work_through(&after, Direction::Forward, |place| async move {
        let item = &nodes[place].item;
        let observed = item.observe(azure, known).await?;
        if let Some(document) = &observed.document {
            known.keep(item.key(), document.clone());
        }
        anyhow::Ok(Step { label: item.label(), observed })
    })
    .await;
    let steps: Result<Vec<_>> = outcomes.into_iter().flatten().collect();
    Ok(Plan { steps: steps? })
}

impl Plan {
    /// How many steps do what.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for step in &self.steps {
            *match step.observed.decision {
                Decision::Create => &mut summary.create,
                Decision::Recover => &mut summary.recover,
                Decision::Change(_) => &mut summary.change,
                Decision::Await(_) => &mut summary.wait,
                Decision::Leave => &mut summary.leave,
                Decision::Refuse(_) => &mut summary.refuse,
            } += 1;
        }
        summary
    }

    /// Whether there is something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.steps.iter().any(|step| step.observed.decision.is_work())
    }

    /// Whether something is in the way.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.summary().refuse > 0
    }

    /// Adds that something is in the way which is no resource.
    pub fn refuse(&mut self, label: Label, reason: String) {
        self.steps.push(Step { label, observed: Observed::refused(reason) });
    }

    /// Shows every step to people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.steps.iter().map(|step| step.label.kind.len()).max().unwrap_or_default();
        for step in &self.steps {
            let Label { kind, name } = &step.label;
            let word = step.observed.decision.word();
            writeln!(out, "{} {word:<8}{kind:width$}  {name}", sign(&step.observed.decision))?;
            match &step.observed.decision {
                Decision::Change(differences) => {
                    for one in differences {
                        writeln!(out, "             {}: {} -> {}", one.field, one.old, one.new)?;
                    }
                }
                Decision::Refuse(reason) => writeln!(out, "             {reason}")?,
                Decision::Await(state) => writeln!(out, "             Azure says {state}")?,
                Decision::Create | Decision::Recover | Decision::Leave => {}
            }
            for note in &step.observed.notes {
                writeln!(out, "             note: {note}")?;
            }
        }
        writeln!(out, "\n{}", self.summary().words())
    }

    /// The plan for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(step_json).collect();
        json!({"steps": steps, "summary": self.summary()})
    }
}

fn sign(decision: &Decision) -> char {
    match decision {
        Decision::Create | Decision::Recover => '+',
        Decision::Change(_) => '~',
        Decision::Await(_) => '.',
        Decision::Leave => '=',
        Decision::Refuse(_) => '!',
    }
}

fn step_json(step: &Step) -> Value {
    let Step { label, observed } = step;
    let mut value = json!({"action": observed.decision.word(), "kind": label.kind, "name": label.name});
    match &observed.decision {
        Decision::Change(differences) => value["changes"] = json!(differences),
        Decision::Refuse(reason) => value["reason"] = reason.as_str().into(),
        Decision::Await(state) => value["state"] = state.as_str().into(),
        Decision::Create | Decision::Recover | Decision::Leave => {}
    }
    if !observed.notes.is_empty() {
        value["notes"] = json!(observed.notes);
    }
    value
}

impl Summary {
    /// The counts in a line for people.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { create, recover, change, wait, leave, refuse } = *self;
        if create + recover + change + wait + refuse == 0 {
            return format!("Nothing to do: all {leave} are as they should be.");
        }
        let parts = [
            (create, "to create"),
            (recover, "to recover"),
            (change, "to change"),
            (wait, "to wait for"),
            (leave, "to leave"),
            (refuse, "refused"),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
        format!("Plan: {}.", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Difference;

    fn plan() -> Plan {
        let step = |kind, name: &str, decision| Step {
            label: Label { kind, name: name.to_owned() },
            observed: Observed { decision, ..Observed::absent() },
        };
        let change = Difference { field: "tags.team".to_owned(), old: "a".into(), new: "b".into(), fixed: false };
        let mut vault = step("key vault", "kv", Decision::Create);
        vault.observed.notes.push("purge protection cannot be turned off again".to_owned());
        Plan {
            steps: vec![
                step("resource group", "rg", Decision::Leave),
                vault,
                step("storage account", "st", Decision::Change(vec![change])),
                step("identity", "id", Decision::Await("Creating".to_owned())),
                step("workspace", "ml", Decision::Refuse("x is 1 and 2".to_owned())),
            ],
        }
    }

    #[test]
    fn the_table_shows_every_decision_with_its_reason() {
        let mut table = Vec::new();
        plan().write_table(&mut table).expect("written");
        let expected = "\
= leave   resource group   rg
+ create  key vault        kv
             note: purge protection cannot be turned off again
~ change  storage account  st
             tags.team: \"a\" -> \"b\"
. await   identity         id
             Azure says Creating
! refuse  workspace        ml
             x is 1 and 2

Plan: 1 to create, 1 to change, 1 to wait for, 1 to leave, 1 refused.
";
        assert_eq!(String::from_utf8(table).expect("text"), expected);
    }

    #[test]
    fn programs_get_the_same() {
        let json = plan().to_json();
        assert_eq!(json["steps"][2]["changes"][0], json!({"field": "tags.team", "old": "a", "new": "b"}));
        assert_eq!(json["steps"][1]["action"], "create");
        assert_eq!(
            json["summary"],
            json!({"create": 1, "recover": 0, "change": 1, "wait": 1, "leave": 1, "refuse": 1})
        );
    }

    #[test]
    fn a_plan_without_work_says_so() {
        let summary = Summary { leave: 7, ..Summary::default() };
        assert_eq!(summary.words(), "Nothing to do: all 7 are as they should be.");
        assert!(plan().has_work() && plan().is_refused());
    }
}
