//! What the arena promises, looked at from inside.

use super::arena::CHUNK_BYTES;
use super::*;

#[test]
fn stored_bytes_come_back_and_are_counted() {
    for best in [Protection::SecretMemory, Protection::Locked, Protection::Unprotected] {
        let arena = Arena::new(Settings { best, require_locked: false });
        assert_eq!(arena.protection(), None, "{best}: nothing is known before the first value");
        let locked = arena.store(&[7; 100]).expect("memory");
        assert_eq!(locked.as_ref(), [7; 100], "{best}");
        assert_eq!(arena.used_bytes(), 128, "{best}: two grains");
        assert!(arena.protection() >= Some(best), "{best} or what the kernel grants instead");
    }
}

#[test]
fn a_dropped_value_is_zeroed_where_it_lay() {
    let arena = Arena::unlocked();
    let keeper = arena.store(b"keeps the chunk alive").expect("memory");
    let locked = arena.store(b"hunter2").expect("memory");
    let offset = locked.piece.offset;
    drop(locked);
    let again = arena.buffer(GRAIN_BYTES).expect("memory");
    assert_eq!(again.piece.offset, offset, "the same place is handed out again");
    assert!(again.piece.bytes().iter().all(|&byte| byte == 0));
    assert_eq!(keeper.as_ref(), b"keeps the chunk alive");
}

#[test]
fn a_growing_buffer_keeps_its_bytes_and_wipes_the_place_it_left() {
    let arena = Arena::unlocked();
    let mut buffer = arena.buffer(4).expect("memory");
    for number in 0..200_u8 {
        buffer.extend(&[number; 10]).expect("memory");
    }
    let locked = buffer.freeze();
    let expected: Vec<u8> = (0..200_u8).flat_map(|number| [number; 10]).collect();
    assert_eq!(locked.as_ref(), expected);
    assert_eq!(arena.used_bytes(), 2048, "what the doubling left over was given back");
    let rest = arena.buffer(CHUNK_BYTES - 2048 - GRAIN_BYTES).expect("memory");
    assert!(rest.piece.bytes().iter().all(|&byte| byte == 0), "no old bytes in free memory");
}

#[test]
fn what_a_writer_leaves_behind_its_end_is_wiped() {
    let arena = Arena::unlocked();
    let mut buffer = arena.buffer(256).expect("memory");
    let scribble = |used: Result<usize, ()>| {
        move |room: &mut [u8]| {
            room.fill(7);
            used
        }
    };
    assert_eq!(buffer.fill(200, scribble(Err(()))).expect("memory"), Err(()));
    assert_eq!(buffer.len(), 0);
    assert_eq!(buffer.fill(200, scribble(Ok(10))).expect("memory"), Ok(()));
    assert_eq!(&buffer.piece.bytes()[..10], [7; 10]);
    assert!(buffer.piece.bytes()[10..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_piece_larger_than_a_chunk_gets_a_mapping_of_its_own() {
    let arena = Arena::unlocked();
    let locked = arena.store(&vec![9; CHUNK_BYTES + 1]).expect("memory");
    assert_eq!(locked.as_ref().len(), CHUNK_BYTES + 1);
    assert_eq!(arena.chunks().len(), 1);
}

#[test]
fn nothing_is_stored_unprotected_where_locking_is_required() {
    let arena = Arena::new(Settings { best: Protection::Unprotected, require_locked: true });
    let error = arena.store(b"hunter2").expect_err("refused");
    assert!(error.to_string().contains("memlock"), "{error}");
}

#[test]
fn who_wants_locked_memory_only_gets_no_room_in_other() {
    let arena = Arena::unlocked();
    let _first = arena.store(b"leaves most of a chunk free").expect("memory");
    assert!(arena.locked_only().store(b"hunter2").is_err());
    assert!(arena.store(b"hunter2").is_ok(), "whoever else asks still does");
}

/// The flags of the mapping of this process that holds `address`, as `VmFlags` of `proc_pid_smaps(5)` has them.
fn flags_of_mapping(address: *const u8) -> Vec<String> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
    let holds = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let address = address as usize;
        let start = usize::from_str_radix(start, 16).ok()?;
        Some(start <= address && address < usize::from_str_radix(end, 16).ok()?)
    };
    let mut lines = smaps.lines().skip_while(|line| holds(line) != Some(true));
    let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).expect("the mapping is listed");
    flags.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_kernel_knows_how_each_kind_of_memory_is_protected() {
    // Locked, left out of dumps, wiped in a forked child, not there in a forked child.
    let rows: [(Protection, &[&str]); 3] = [
        (Protection::SecretMemory, &["lo", "dd", "dc"]),
        (Protection::Locked, &["lo", "dd", "wf"]),
        (Protection::Unprotected, &["dd", "wf"]),
    ];
    for (best, expected) in rows {
        let arena = Arena::new(Settings { best, require_locked: false });
        let locked = arena.store(b"hunter2").expect("memory");
        if arena.protection() != Some(best) {
            // This machine's kernel or limits do not allow it; the rows below are what is left then.
            continue;
        }
        let flags = flags_of_mapping(locked.as_ref().as_ptr());
        assert!(expected.iter().all(|flag| flags.iter().any(|found| found == flag)), "{best}: {flags:?}");
    }
}
