//! Looks for byte strings in every mapping of another process, as an attacker with root would.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;

/// How often one byte string was found in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In memory that `/proc/PID/smaps` shows as locked.
    pub locked: usize,
    /// In any other memory.
    pub elsewhere: usize,
}

/// Whether this user may read the memory of process `pid`: that takes `CAP_SYS_PTRACE`, which root in a container may lack.
#[must_use]
pub fn is_allowed(pid: u32) -> bool {
    File::open(format!("/proc/{pid}/mem")).is_ok()
}

/// Memory is read in pieces of this size, which overlap by the length of the string that is looked for.
const PIECE_BYTES: usize = 1 << 20;

/// Counts `needle` in all memory of process `pid` that can be read. Secret memory (`memfd_secret`) cannot.
///
/// # Panics
/// When the process's memory cannot be opened; see [`is_allowed`].
#[must_use]
pub fn count(pid: u32, needle: &[u8]) -> Count {
    let memory = File::open(format!("/proc/{pid}/mem")).expect("permission, which was asked for before");
    let mut total = Count::default();
    for mapping in mappings(pid) {
        let found = count_in(&memory, &mapping, needle);
        if mapping.locked {
            total.locked += found;
        } else {
            total.elsewhere += found;
        }
    }
    total
}

struct Mapping {
    start: u64,
    end: u64,
    locked: bool,
}

fn mappings(pid: u32) -> Vec<Mapping> {
    let file = File::open(format!("/proc/{pid}/smaps")).expect("the process runs");
    let mut found: Vec<Mapping> = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.expect("smaps is text");
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let last = found.last_mut().expect("flags follow their mapping");
            last.locked = flags.split_whitespace().any(|flag| flag == "lo");
        } else if let Some((start, end)) = range(&line) {
            found.push(Mapping { start, end, locked: false });
        }
    }
    found
}

/// The addresses of a line such as `7f00-7f10 rw-p …`; none for the lines about a mapping.
fn range(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

fn count_in(memory: &File, mapping: &Mapping, needle: &[u8]) -> usize {
    let overlap = needle.len() - 1;
    let mut buffer = vec![0; PIECE_BYTES + overlap];
    let mut found = 0;
    let mut position = mapping.start;
    while position < mapping.end {
        let length = usize::try_from(mapping.end - position).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        // Pages without contents and secret memory answer with an error: nothing of them can be read.
        let read = memory.read_at(&mut buffer[..length], position).unwrap_or(0);
        found += occurrences(&buffer[..read], needle);
        position += PIECE_BYTES as u64;
    }
    found
}

/// How often `needle` stands in `haystack`, starting in its first [`PIECE_BYTES`].
fn occurrences(haystack: &[u8], needle: &[u8]) -> usize {
    memchr::memmem::find_iter(haystack, needle).filter(|&start| start < PIECE_BYTES).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_in_another_process_is_found_where_it_lies() {
        let needle = "scan-for-me-".repeat(4);
        let mut process = std::process::Command::new("cat")
            .env_clear()
            .env("NEEDLE", &needle)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat starts");
        crate::wait::until("the child's own program", || {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", process.id())).ok()?;
            (name.trim() == "cat").then_some(())
        });
        let found = count(process.id(), needle.as_bytes());
        let absent = count(process.id(), needle.replace("scan", "SCAN").as_bytes());
        process.kill().and_then(|()| process.wait()).expect("own child");
        assert_eq!(found, Count { locked: 0, elsewhere: 1 }, "its environment lies on its stack");
        assert_eq!(absent, Count::default());
    }

    #[test]
    fn a_string_across_two_pieces_is_counted_once() {
        let mut haystack = vec![0; PIECE_BYTES + 3];
        haystack[PIECE_BYTES - 2..PIECE_BYTES + 2].copy_from_slice(b"need");
        assert_eq!(occurrences(&haystack, b"need"), 1);
        assert_eq!(occurrences(&haystack[PIECE_BYTES..], b"need"), 0);
    }
}
