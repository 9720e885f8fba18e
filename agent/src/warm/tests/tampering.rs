//! What a service manager gives back that it should not.

use proptest::prelude::*;

use super::super::index::Kept;
use super::*;

/// The kernel has none, and there is nothing to show.
#[derive(Debug, PartialEq, Eq)]
struct NoSecretMemory;

type Change = fn(&mut Kept);

/// What an agent left whose memory somebody has changed.
fn tampered(change: impl FnOnce(&mut Region, &mut Region)) -> Result<Option<Seen>, NoSecretMemory> {
    let shelf = Shelf::default();
    let first = Agent::start(&shelf, &["db"]).ok_or(NoSecretMemory)?;
    first.publish("db", 'a', b"one");
    first.stop();
    let find = |root: bool| {
        let kept = shelf.hand_out();
        let found = kept.iter().find(|(name, _)| name.ends_with("-root") == root);
        Region::map(&found.expect("kept").1).expect("secret memory")
    };
    change(&mut find(true), &mut find(false));
    let next = Agent::start(&shelf, &["db"]).ok_or(NoSecretMemory)?;
    next.adopt_at(moment(160));
    Ok(next.seen("db"))
}

/// Has the first page lead to an index that says this, with every checksum right.
fn rewrite(root: &Region, chunk: &mut Region, change: impl FnOnce(&mut Kept)) -> (directory::Entry, Vec<u8>) {
    let entry = directory::newest(root).expect("whole");
    let mut bytes = vec![0; entry.index.length];
    assert!(chunk.read(entry.index.offset, &mut bytes));
    let mut index: Index = serde_json::from_slice(&bytes).expect("an index");
    change(&mut index.secrets[0]);
    let bytes = serde_json::to_vec(&index).expect("written");
    let offset = 32 * 1024;
    assert!(chunk.write(offset, &bytes));
    let index = memory::Place { offset, length: bytes.len(), ..entry.index };
    (directory::Entry { number: entry.number + 1, index, checksum: checksum(&bytes) }, bytes)
}

fn rewritten(change: impl FnOnce(&mut Kept)) -> Result<Option<Seen>, NoSecretMemory> {
    tampered(|root, chunk| {
        let (entry, _) = rewrite(root, chunk, change);
        assert!(root.write(128, &entry.to_bytes()));
        assert!(root.write(64, &[0; 48]));
    })
}

#[test]
fn what_is_said_of_a_value_is_believed_within_bounds_only() {
    if Agent::start(&Shelf::default(), &[]).is_none() {
        return;
    }
    assert_eq!(rewritten(|_| {}), Ok(Some(stale(b"one"))), "the rewriting itself changes nothing");
    let rows: [(&str, Change); 12] = [
        ("a huge length", |kept| kept.length = usize::MAX),
        ("a length beyond the end", |kept| kept.length = 64 * 1024 + 1),
        ("a huge offset", |kept| kept.offset = usize::MAX),
        ("an offset beyond the end", |kept| kept.offset = 64 * 1024 - 1),
        ("a mapping that is not there", |kept| kept.chunk = 7),
        ("a place that was wiped", |kept| kept.offset = 60 * 1024),
        ("no version", |kept| kept.version = "../x".to_owned()),
        ("another secret's name", |kept| kept.name = "../db".to_owned()),
        ("no recipe", |kept| kept.recipe = String::new()),
        ("another vault", |kept| kept.vault = "https://evil.example".to_owned()),
        ("the future", |kept| kept.fetched_uptime = u64::MAX),
        ("the beginning", |kept| kept.fetched_uptime = 0),
    ];
    for (row, change) in rows {
        let expected = if row == "the beginning" { Some(stale(b"one")) } else { None };
        assert_eq!(rewritten(change), Ok(expected), "{row}");
    }
}

#[test]
fn what_was_never_the_agents_is_closed_and_forgotten() {
    let shelf = Shelf::default();
    let Some(mut agent) = Agent::start(&shelf, &["db"]) else { return };
    let file = tempfile::tempfile().expect("a file");
    let (empty, descriptor) = Region::create(PAGE_BYTES).expect("secret memory");
    drop(empty);
    for (name, descriptor) in [
        ("other", file.as_fd()),
        ("keyside-00000000000000ab-root", file.as_fd()),
        ("keyside-00000000000000cd-root", descriptor.as_fd()),
        ("keyside-00000000000000ef-0", descriptor.as_fd()),
    ] {
        shelf.keep(name, descriptor).expect("kept");
    }
    agent.keeper = Keeper::new(shelf.clone(), agent.arena.clone(), on(), shelf.hand_out());
    agent.adopt_at(moment(160));
    assert_eq!(agent.seen("db"), None);
    agent.update();
    assert_eq!(shelf.hand_out().len(), 2, "the agent's own");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Whatever bytes are there, nothing but the value itself is ever served, and nothing breaks.
    #[test]
    fn no_garbage_is_taken_for_a_value(
        in_root in any::<bool>(),
        offset in 0_usize..4096,
        garbage in prop::collection::vec(any::<u8>(), 1..2000),
    ) {
        let found = tampered(|root, chunk| {
            let region = if in_root { root } else { chunk };
            // Garbage in the value itself cannot be told from a value; what tells of it can.
            let offset = if in_root { offset } else { offset + 64 };
            let room = region.len().saturating_sub(offset).min(garbage.len());
            assert!(region.write(offset, &garbage[..room]));
        });
        prop_assert!(found.is_ok_and(|found| found.is_none_or(|found| found == stale(b"one"))) || Region::create(1).is_err());
    }

    #[test]
    fn no_index_of_any_numbers_breaks_anything(
        chunk in any::<usize>(),
        offset in any::<usize>(),
        length in any::<usize>(),
        uptime in any::<u64>(),
        text in ".{0,40}",
    ) {
        let _found = rewritten(|kept| {
            (kept.chunk, kept.offset, kept.length, kept.fetched_uptime) = (chunk % 2, offset, length, uptime);
            kept.content_type = Some(text);
        });
    }
}
