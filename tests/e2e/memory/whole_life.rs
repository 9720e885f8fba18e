//! Where each value is through its whole life: once, in locked pages, and nowhere after its end. The counts are printed, also
//! for an agent whose memory is not wiped when it is freed, so that the search is seen to find.

use keyside_tests::memory_scan::{Count, has_secret_memory};
use keyside_tests::report::say;

use super::story::{Backend, Look, tell};

fn print(title: &str, looks: &[Look]) {
    let mut lines =
        vec![format!("{:<44} live values: locked, elsewhere    gone values: locked, elsewhere", format!("{title}:"))];
    for Look { step, live, gone, .. } in looks {
        let of =
            |(values, count): &(usize, Count)| format!("{values:>11}: {:>6}, {:>9}", count.locked, count.elsewhere);
        lines.push(format!("  {step:<42} {}    {}", of(live), of(gone)));
    }
    say(&lines.join("\n"));
}

fn holds(backend: Backend) {
    let Some(looks) = tell("keyside", backend, true) else { return };
    print(backend.word(), &looks);
    for Look { step, wrong, findings, .. } in &looks {
        assert!(wrong.is_empty(), "{step}: {wrong:?}\n{findings}");
    }
}

#[test]
fn with_mlock_each_live_value_is_there_once_and_locked_and_no_other() {
    holds(Backend::Locked);
}

#[test]
fn with_secret_memory_no_value_can_be_read_at_all() {
    if has_secret_memory() {
        holds(Backend::SecretMemory);
    }
}

#[test]
fn with_nothing_left_to_lock_each_live_value_is_there_once_and_the_status_says_so() {
    holds(Backend::Exhausted);
}

#[test]
fn without_the_wiping_allocator_the_same_search_finds_what_is_left_behind() {
    let Some(looks) = tell("keyside-unwiped", Backend::Locked, false) else { return };
    print("mlock, freed memory not wiped", &looks);
    let found: Vec<_> = looks.iter().filter(|look| look.gone.1.elsewhere > 0).map(|look| look.step).collect();
    assert!(looks.iter().all(|look| look.live.1.elsewhere > 0), "parts of live values lie about");
    assert!(found.contains(&"after a rotation, with 8 who waited"), "a superseded value: {found:?}");
    assert!(found.contains(&"after answers that cannot be used"), "one that never was served: {found:?}");
}
