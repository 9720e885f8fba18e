//! Which ranges of a mapping are free: in order, and never touching.

/// The free ranges of one mapping. Lengths and offsets are in bytes.
#[derive(Debug)]
pub(super) struct FreeList(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    offset: usize,
    length: usize,
}

impl Range {
    fn end(self) -> usize {
        self.offset + self.length
    }
}

impl FreeList {
    /// All of a mapping is free.
    pub(super) fn new(length: usize) -> Self {
        Self(vec![Range { offset: 0, length }])
    }

    /// How much is free.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|range| range.length).sum()
    }

    /// Takes `length` bytes from the first range that has them, and answers where they start.
    pub(super) fn take(&mut self, length: usize) -> Option<usize> {
        let index = self.0.iter().position(|range| range.length >= length)?;
        let range = self.0[index];
        if range.length == length {
            self.0.remove(index);
        } else {
            self.0[index] = Range { offset: range.offset + length, length: range.length - length };
        }
        Some(range.offset)
    }

    /// Gives back what was taken, or the end of it.
    pub(super) fn give_back(&mut self, offset: usize, length: usize) {
        let index = self.0.partition_point(|range| range.offset < offset);
        self.0.insert(index, Range { offset, length });
        self.join_with_next(index);
        if index > 0 {
            self.join_with_next(index - 1);
        }
    }

    fn join_with_next(&mut self, index: usize) {
        if let Some(&next) = self.0.get(index + 1)
            && self.0[index].end() == next.offset
        {
            self.0[index].length += next.length;
            self.0.remove(index + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: usize = 64 * 1024;

    #[test]
    fn the_first_range_that_is_long_enough_is_used() {
        let mut list = FreeList::new(LENGTH);
        let offsets = [100, 200, 300].map(|length| list.take(length).expect("room"));
        assert_eq!(offsets, [0, 100, 300]);
        list.give_back(100, 200);
        assert_eq!(list.take(201), Some(600), "too long for the gap");
        assert_eq!(list.take(200), Some(100), "fills the gap");
        assert_eq!(list.take(LENGTH), None);
    }

    proptest! {
        #[test]
        fn pieces_never_overlap_and_join_to_the_whole_again(steps in prop::collection::vec((1..9000_usize, any::<prop::sample::Index>(), any::<bool>()), 1..200)) {
            let mut list = FreeList::new(LENGTH);
            let mut taken: Vec<Range> = Vec::new();
            for (length, index, give) in steps {
                if give && !taken.is_empty() {
                    let range = taken.swap_remove(index.index(taken.len()));
                    list.give_back(range.offset, range.length);
                } else if let Some(offset) = list.take(length) {
                    let range = Range { offset, length };
                    prop_assert!(range.end() <= LENGTH);
                    prop_assert!(taken.iter().all(|other| other.end() <= offset || range.end() <= other.offset));
                    taken.push(range);
                }
                prop_assert_eq!(list.bytes() + taken.iter().map(|range| range.length).sum::<usize>(), LENGTH);
            }
            for range in taken {
                list.give_back(range.offset, range.length);
            }
            prop_assert_eq!(list.0, [Range { offset: 0, length: LENGTH }]);
        }
    }
}
