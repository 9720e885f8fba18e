//! What of another process's memory there is to read: the pages that it has, mapping by mapping.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;

use crate::report::skipped;

/// Memory is mapped, and what the kernel says of it is counted, in pages of this size on the machines that run this.
const PAGE_BYTES: u64 = 4096;

/// An entry of `/proc/PID/pagemap` is so long, and its highest two bits say that the page is in memory or in swap.
/// Source: the kernel's `Documentation/admin-guide/mm/pagemap.rst`.
const ENTRY_BYTES: usize = 8;
const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;

/// Whether this user may read the memory of process `pid`: that takes `CAP_SYS_PTRACE`, which root in a container may lack.
#[must_use]
pub fn is_allowed(pid: u32) -> bool {
    File::open(format!("/proc/{pid}/mem")).is_ok()
}

/// Whether this kernel has secret memory and lets programs have it; if not, says loudly what is skipped. Before Linux 6.5 it
/// takes a parameter at its start (`Documentation/admin-guide/kernel-parameters.txt`, `secretmem.enable`).
#[must_use]
pub fn has_secret_memory() -> bool {
    let setting = std::fs::read_to_string("/sys/module/secretmem/parameters/enable");
    let has = setting.is_ok_and(|setting| setting.trim() == "Y");
    if !has {
        skipped("this kernel has no memfd_secret: what is kept there was not looked at");
    }
    has
}

/// A range of addresses, and what `/proc/PID/smaps` says of it.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    start: u64,
    end: u64,
    pub(super) locked: bool,
    pub(super) name: String,
}

pub(super) fn mappings(pid: u32) -> Vec<Mapping> {
    let file = File::open(format!("/proc/{pid}/smaps")).expect("the process runs");
    let mut found: Vec<Mapping> = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.expect("smaps is text");
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let last = found.last_mut().expect("flags follow their mapping");
            last.locked = flags.split_whitespace().any(|flag| flag == "lo");
        } else if let Some((start, end)) = range(&line) {
            let name = line.split_whitespace().nth(5).unwrap_or("memory without a name").to_owned();
            found.push(Mapping { start, end, locked: false, name });
        }
    }
    found
}

/// The addresses of a line such as `7f00-7f10 rw-p …`; none for the lines about a mapping.
fn range(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

/// What is in a mapping, without the pages that the process never touched. Pages that cannot be read are zeros.
pub(super) fn contents(pid: u32, mapping: &Mapping) -> Vec<Vec<u8>> {
    let open = |file: &str| File::open(format!("/proc/{pid}/{file}")).expect("permission, which was asked for before");
    let (memory, page_map) = (open("mem"), open("pagemap"));
    let pages = usize::try_from((mapping.end - mapping.start) / PAGE_BYTES).expect("an address");
    let mut entries = vec![0; pages * ENTRY_BYTES];
    // For what is above the addresses of programs the kernel has no entries; it holds the kernel's own code alone.
    let known = page_map.read_at(&mut entries, mapping.start / PAGE_BYTES * ENTRY_BYTES as u64).unwrap_or(0);
    let mut stretches: Vec<Vec<u8>> = Vec::new();
    let mut follows = false;
    for (number, entry) in (0_u64..).zip(entries[..known].chunks_exact(ENTRY_BYTES)) {
        let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
        let is_there = entry & PRESENT_OR_SWAPPED != 0;
        if is_there {
            if !follows {
                stretches.push(Vec::new());
            }
            let stretch = stretches.last_mut().expect("one was pushed");
            let length = stretch.len();
            stretch.resize(length + usize::try_from(PAGE_BYTES).expect("small"), 0);
            // Secret memory answers with an error: nothing of it can be read.
            drop(memory.read_at(&mut stretch[length..], mapping.start + number * PAGE_BYTES));
        }
        follows = is_there;
    }
    stretches
}
