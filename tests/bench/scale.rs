//! How much is measured: all of it for the documents, or a glimpse that shows that every part still works.

use std::time::Duration;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// How often each read is measured, one server after the other.
    pub(crate) rounds: usize,
    /// How long, each time.
    pub(crate) span: Duration,
    /// How often an agent is started.
    pub(crate) starts: usize,
    /// How often a rotation is published and files are swapped.
    pub(crate) rotations: usize,
    /// How many looks at a vault are counted; the one with the fewest requests stands for those that go on.
    pub(crate) looks: usize,
    /// A thousand, where that does not take too long.
    pub(crate) thousand: usize,
}

impl Scale {
    /// What docs/benchmarks.md is made from.
    pub(crate) const FULL: Self =
        Self { rounds: 15, span: Duration::from_millis(150), starts: 40, rotations: 9, looks: 5, thousand: 1000 };

    /// What `make test` runs.
    pub(crate) const GLIMPSE: Self =
        Self { rounds: 1, span: Duration::from_millis(10), starts: 1, rotations: 1, looks: 1, thousand: 20 };
}
