//! What can go wrong between an agent and Azure, as one table, over the real program and the emulator: at its start, in the
//! steady state and during a rotation.

mod budget;
mod control;
mod crowd;
mod outcome;
mod row;
mod scene;
mod trial;

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use keyside_tests::report::{root_or_skip, say, wish};

use self::outcome::{Outcome, markdown, summary};
use self::row::{Phase, Row, Strike, rows};

/// How many trials run at once. Most of them wait most of the time.
const AT_ONCE: usize = 16;

type Trial = (Row, Phase);
type Ended = (Row, Phase, Result<Outcome, String>);

#[test]
fn every_fault_keeps_the_promises() {
    let only = wish("KEYSIDE_FAULT").unwrap_or_default();
    let mut rows = rows();
    rows.retain(|row| row.name.contains(&only));
    let takes_root = |row: &Row| matches!(row.strike, Strike::Vault(_) | Strike::Names);
    if rows.iter().any(takes_root) && !root_or_skip("rows with a host file of their own take root") {
        rows.retain(|row| !takes_root(row));
    }
    let order: Vec<_> = rows.iter().map(|row| row.name.to_owned()).collect();
    let trials = rows.into_iter().flat_map(|row| Phase::ALL.map(|phase| (row.clone(), phase))).collect();
    let (mut outcomes, mut broken) = (BTreeMap::<String, Vec<Outcome>>::new(), Vec::new());
    for (row, phase, ended) in play(trials) {
        match ended {
            Ok(outcome) => outcomes.entry(row.name.to_owned()).or_default().push(outcome),
            Err(why) => broken.push(format!("{} {}: {why}", row.name, phase.as_str())),
        }
    }
    let mut table: Vec<_> = outcomes.into_iter().collect();
    table.sort_by_key(|(name, _)| order.iter().position(|other| other == name));
    for (name, outcomes) in &mut table {
        outcomes.sort_by_key(|outcome| outcome.phase);
        for outcome in outcomes {
            say(&outcome.line(name));
        }
    }
    say(&markdown(&table));
    say(&summary(&table));
    assert!(broken.is_empty(), "{} broken promises:\n{}", broken.len(), broken.join("\n"));
}

/// Plays every trial, several at once, and gives what came of them.
fn play(trials: VecDeque<Trial>) -> Vec<Ended> {
    let (waiting, ended) = (Mutex::new(trials), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((row, phase)) = next() {
                    let outcome = catch_unwind(AssertUnwindSafe(|| trial::run(&row, phase)));
                    let outcome = outcome.map_err(|panic| words_of(&*panic));
                    ended.lock().unwrap_or_else(PoisonError::into_inner).push((row, phase, outcome));
                }
            });
        }
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
