//! Looks for values in all memory of another process, or in a file, as an attacker with root would: in every form that a
//! program may give them, and for parts of them.

mod forms;
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

pub use self::forms::Form;
use self::forms::{Text, forms};
use self::pages::{Mapping, contents, mappings};
pub use self::pages::{has_secret_memory, is_allowed};

/// The shortest part of a form that counts as found.
const FRAGMENT_BYTES: usize = 12;

/// What the search goes by. Seeds of eight bytes at every fifth place: one of them lies whole in any twelve bytes of a form.
const SEED_BYTES: usize = 8;
const SEED_STEP: usize = FRAGMENT_BYTES - SEED_BYTES + 1;

/// How often a value was found, whole or in part, in whichever form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In memory that `/proc/PID/smaps` shows as locked.
    pub locked: usize,
    /// In any other memory.
    pub elsewhere: usize,
}

impl Count {
    /// Once, in locked memory.
    pub const LOCKED: Self = Self { locked: 1, elsewhere: 0 };
    /// Nowhere.
    pub const NONE: Self = Self { locked: 0, elsewhere: 0 };
}

/// Values that are looked for together, in one pass.
pub struct Scanner {
    names: Vec<String>,
    texts: Vec<(usize, Text)>,
    seeds: AhoCorasick,
    /// For each seed: in which texts it is, and where.
    owners: Vec<Vec<(usize, usize)>>,
}

/// A value that was found, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    value: usize,
    form: Form,
    start: usize,
    end: usize,
    /// How long the form is as a whole.
    of: usize,
    /// Whether it is in locked memory.
    locked: bool,
    place: String,
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct Findings {
    names: Vec<String>,
    sightings: Vec<Sighting>,
}

impl Scanner {
    /// Prepares a search for values, each with a name for those who read about it.
    ///
    /// # Panics
    /// When a value is empty, or there are too many to be looked for at once.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (mut names, mut texts) = (Vec::new(), Vec::new());
        for (value, (name, bytes)) in values.into_iter().enumerate() {
            assert!(!bytes.is_empty(), "{name} is empty");
            names.push(name.to_owned());
            texts.extend(forms(bytes).into_iter().map(|text| (value, text)));
        }
        let mut owners: HashMap<Vec<u8>, Vec<(usize, usize)>> = HashMap::new();
        for (index, (_, text)) in texts.iter().enumerate() {
            for (at, seed) in seeds(&text.bytes) {
                owners.entry(seed.to_vec()).or_default().push((index, at));
            }
        }
        let (seeds, owners): (Vec<_>, Vec<_>) = owners.into_iter().unzip();
        let seeds = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(&seeds);
        Self { names, texts, seeds: seeds.expect("few enough seeds"), owners }
    }

    /// What is looked for, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Looks through all memory of process `pid` that can be read. Secret memory (`memfd_secret`) cannot.
    ///
    /// # Panics
    /// When the process's memory cannot be opened; see [`is_allowed`].
    #[must_use]
    pub fn process(&self, pid: u32) -> Findings {
        let mut sightings = Vec::new();
        for mapping in mappings(pid) {
            for stretch in contents(pid, &mapping) {
                sightings.extend(self.bytes(&stretch, &mapping));
            }
        }
        Findings { names: self.names.clone(), sightings }
    }

    /// Looks through bytes that come from somewhere else, such as a core file.
    #[must_use]
    pub fn file(&self, bytes: &[u8]) -> Findings {
        let sightings = self.bytes(bytes, &Mapping::default());
        Findings { names: self.names.clone(), sightings }
    }

    fn bytes(&self, bytes: &[u8], mapping: &Mapping) -> Vec<Sighting> {
        let mut found: BTreeMap<(usize, usize), Vec<Sighting>> = BTreeMap::new();
        for hit in self.seeds.find_overlapping_iter(bytes) {
            for &(index, at) in &self.owners[hit.pattern().as_usize()] {
                let (value, text) = &self.texts[index];
                let (start, end) = extended(bytes, &text.bytes, hit.start(), at);
                if end - start >= FRAGMENT_BYTES.min(text.bytes.len()) {
                    let (form, of) = (text.form, text.bytes.len());
                    let sighting = Sighting {
                        value: *value,
                        form,
                        start,
                        end,
                        of,
                        locked: mapping.locked,
                        place: mapping.name.clone(),
                    };
                    let others = found.entry((*value, start)).or_default();
                    if !others.contains(&sighting) {
                        others.push(sighting);
                    }
                }
            }
        }
        longest(found.into_values().flatten())
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Scanner").field(&self.names).finish()
    }
}

fn seeds(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let length = if text.len() < FRAGMENT_BYTES { text.len() } else { SEED_BYTES };
    text.windows(length).enumerate().step_by(SEED_STEP)
}

/// From where to where `bytes` and `text` are the same, around a place in each where they are.
fn extended(bytes: &[u8], text: &[u8], place: usize, at: usize) -> (usize, usize) {
    let same = |(left, right): &(&u8, &u8)| left == right;
    let before = bytes[..place].iter().rev().zip(text[..at].iter().rev()).take_while(same).count();
    let behind = bytes[place..].iter().zip(&text[at..]).take_while(same).count();
    (place - before, place + behind)
}

/// The same bytes can be a part of several forms: the longest of those that overlap is kept. They come by value and place.
fn longest(sightings: impl IntoIterator<Item = Sighting>) -> Vec<Sighting> {
    let mut kept: Vec<Sighting> = Vec::new();
    for next in sightings {
        match kept.last_mut() {
            Some(last) if last.value == next.value && next.start < last.end => {
                if next.end - next.start > last.end - last.start {
                    *last = next;
                }
            }
            _ => kept.push(next),
        }
    }
    kept
}

impl Findings {
    /// How often the value of this name was found.
    ///
    /// # Panics
    /// When it was not looked for.
    #[must_use]
    pub fn count(&self, name: &str) -> Count {
        let value = self.names.iter().position(|other| other == name).expect("a value that was looked for");
        let of_value = self.sightings.iter().filter(|sighting| sighting.value == value);
        let locked = of_value.clone().filter(|sighting| sighting.locked).count();
        Count { locked, elsewhere: of_value.count() - locked }
    }

    /// How often any value was found.
    #[must_use]
    pub fn total(&self) -> Count {
        let locked = self.sightings.iter().filter(|sighting| sighting.locked).count();
        Count { locked, elsewhere: self.sightings.len() - locked }
    }
}

/// Says where each is, and shows none of it.
impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Sighting { value, form, start, end, of, locked, place } in &self.sightings {
            let (name, found) = (&self.names[*value], end - start);
            let locked = if *locked { "locked " } else { "" };
            writeln!(formatter, "  {name}: {found} of {of} bytes as {form}, in {locked}{place}")?;
        }
        Ok(())
    }
}

/// All memory of process `pid` that can be read, in stretches without a gap.
///
/// # Panics
/// When the process's memory cannot be opened; see [`is_allowed`].
pub fn memory(pid: u32) -> impl Iterator<Item = Vec<u8>> {
    mappings(pid).into_iter().flat_map(move |mapping| contents(pid, &mapping))
}

/// Counts `needle` in all memory of process `pid` that can be read.
///
/// # Panics
/// When the process's memory cannot be opened; see [`is_allowed`].
#[must_use]
pub fn count(pid: u32, needle: &[u8]) -> Count {
    Scanner::new([("it", needle)]).process(pid).total()
}

#[cfg(test)]
mod tests;
