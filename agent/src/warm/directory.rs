//! The first page of what is kept: which of two entries is the newest, and where the index is that it leads to.
//!
//! The entries are written in turns, so that an agent that is killed in the middle of one leaves the other whole.

use sha2::{Digest as _, Sha256};

use crate::memory::{Place, Region};

/// Length of the page in bytes: the least that can be mapped.
pub(super) const PAGE_BYTES: usize = 4096;

/// What the page begins with: what it is, and in which format everything else is written. An agent that writes another format
/// counts on.
const HEAD: [u64; 2] = [u64::from_le_bytes(*b"keyside\0"), 1];

/// Where the entries are.
const ENTRIES: [usize; 2] = [64, 128];

/// An entry in words: its number, the place of the index, the checksum of the index, and the checksum of all that.
const WORDS: usize = 6;

/// Says why a page leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    #[error("it is of {0} bytes and not of {PAGE_BYTES}")]
    Size(usize),
    #[error("it is no page of a Keyside agent")]
    Foreign,
    #[error("it is written in format {0}, and this agent reads format {known}", known = HEAD[1])]
    Format(u64),
    #[error("neither of its entries is whole")]
    Torn,
}

/// Where an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Grows by one with each.
    pub(super) number: u64,
    pub(super) index: Place,
    /// [`checksum`] of the index.
    pub(super) checksum: u64,
}

/// The page of this agent, which it alone writes.
#[derive(Debug)]
pub(super) struct Directory {
    page: Region,
    written: u64,
}

/// A number that tells bytes from others: by accident, no two texts have the same.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Directory {
    /// Takes an empty page.
    pub(super) fn new(mut page: Region) -> Self {
        let head = HEAD.map(u64::to_le_bytes).concat();
        debug_assert!(page.len() >= PAGE_BYTES, "a page was asked for");
        let _written = page.write(0, &head);
        Self { page, written: 0 }
    }

    /// Has the page lead to another index from now on. The entry of before stays whole until this one is.
    pub(super) fn lead_to(&mut self, index: Place, checksum: u64) {
        let entry = Entry { number: self.written + 1, index, checksum };
        let place = ENTRIES[usize::from(entry.number % 2 == 1)];
        let _written = self.page.write(place, &entry.to_bytes());
        self.written = entry.number;
    }
}

impl Entry {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self { number, index: Place { chunk, offset, length }, checksum: sum } = self;
        let words = [number, chunk as u64, offset as u64, length as u64, sum].map(u64::to_le_bytes).concat();
        let own = checksum(&words).to_le_bytes();
        [words, own.to_vec()].concat()
    }

    fn of_bytes(bytes: [u8; WORDS * 8]) -> Option<Self> {
        let (words, own) = bytes.split_at((WORDS - 1) * 8);
        let word = |number: usize| Some(u64::from_le_bytes(bytes.get(number * 8..)?.get(..8)?.try_into().ok()?));
        let size = |number: usize| usize::try_from(word(number)?).ok();
        if own != checksum(words).to_le_bytes() {
            return None;
        }
        let index = Place { chunk: size(1)?, offset: size(2)?, length: size(3)? };
        Some(Self { number: word(0)?, index, checksum: word(4)? })
    }
}

/// The newest whole entry of a page that somebody else wrote.
pub(super) fn newest(page: &Region) -> Result<Entry, Lost> {
    if page.len() != PAGE_BYTES {
        return Err(Lost::Size(page.len()));
    }
    let word = |offset| {
        let mut room = [0; 8];
        page.read(offset, &mut room).then_some(u64::from_le_bytes(room))
    };
    match [word(0), word(8)] {
        [Some(magic), Some(format)] if magic == HEAD[0] && format == HEAD[1] => {}
        [Some(magic), Some(format)] if magic == HEAD[0] => return Err(Lost::Format(format)),
        _ => return Err(Lost::Foreign),
    }
    let entries = ENTRIES.iter().filter_map(|offset| {
        let mut room = [0; WORDS * 8];
        Entry::of_bytes(page.read(*offset, &mut room).then_some(room)?)
    });
    entries.max_by_key(|entry| entry.number).ok_or(Lost::Torn)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place = Place { chunk: 1, offset: 64, length: 900 };

    /// A page and a second mapping of it; none on a machine whose kernel has no secret memory.
    fn page() -> Option<(Directory, Region)> {
        let (page, descriptor) = Region::create(PAGE_BYTES).ok()?;
        Some((Directory::new(page), Region::map(&descriptor).expect("mapped again")))
    }

    #[test]
    fn the_newest_entry_counts_and_a_torn_one_leaves_the_one_before() {
        let Some((mut directory, mut seen)) = page() else { return };
        assert_eq!(newest(&seen), Err(Lost::Torn), "nothing was written");
        for number in 1..=5 {
            directory.lead_to(Place { offset: 64 * number, ..PLACE }, 7);
            let found = newest(&seen).expect("whole");
            assert_eq!((found.number, found.index.offset, found.checksum), (number as u64, 64 * number, 7));
        }
        let torn = ENTRIES[1] + 20;
        assert!(seen.write(torn, &[0xff]));
        assert_eq!(newest(&seen).expect("the one before").number, 4);
        assert!(seen.write(ENTRIES[0], &[0xff]));
        assert_eq!(newest(&seen), Err(Lost::Torn));
    }

    #[test]
    fn what_another_program_or_a_later_agent_wrote_is_not_read() {
        let Some((mut directory, mut seen)) = page() else { return };
        directory.lead_to(PLACE, 7);
        assert!(seen.write(8, &2_u64.to_le_bytes()));
        assert_eq!(newest(&seen), Err(Lost::Format(2)));
        assert!(seen.write(0, b"other"));
        assert_eq!(newest(&seen), Err(Lost::Foreign));
        let (longer, _descriptor) = Region::create(2 * PAGE_BYTES).expect("secret memory");
        assert_eq!(newest(&longer), Err(Lost::Size(2 * PAGE_BYTES)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_page_with_a_wrong_byte_leads_anywhere_else(offset in 0..ENTRIES[1] + 64, byte in any::<u8>()) {
            let Some((mut directory, mut seen)) = page() else { return Ok(()) };
            directory.lead_to(PLACE, 7);
            prop_assert!(seen.write(offset, &[byte]));
            if let Ok(entry) = newest(&seen) {
                prop_assert_eq!(entry, Entry { number: 1, index: PLACE, checksum: 7 });
            }
        }
    }
}
