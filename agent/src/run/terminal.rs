//! The terminal of a run: lent to the command's process group, so that Ctrl-C and job control reach it, and taken back.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, IsTerminal as _};

use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The terminal that controls this session.
#[derive(Debug)]
pub(super) struct Terminal {
    file: File,
    /// Whether the command has it whenever this process could. From the start, unless it is one part of a pipeline, whose
    /// others may want it; else once it has asked for it.
    lends: Cell<bool>,
}

impl Terminal {
    /// Opens it; none where the session has none.
    pub(super) fn open() -> Option<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self { file, lends: Cell::new(io::stdin().is_terminal() && io::stdout().is_terminal()) })
    }

    /// The terminal, where a command is to have it from its start.
    pub(super) fn for_start(&self) -> Option<&File> {
        (self.lends.get() && self.is_ours()).then_some(&self.file)
    }

    /// Whether this process may use it now.
    pub(super) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file) == Ok(getpgrp())
    }

    /// From now on the command has it.
    pub(super) fn grant(&self) {
        self.lends.set(true);
    }

    /// Lends it to the command's process group, if it is ours to lend, and meant to be.
    pub(super) fn lend(&self, group: Pid) {
        if self.lends.get() && self.is_ours() {
            // A group that has ended needs none.
            let _ = tcsetpgrp(&self.file, group);
        }
    }

    /// Takes it back from a process group, if that has it.
    pub(super) fn take_back(&self, group: Pid) {
        if tcgetpgrp(&self.file) == Ok(group) {
            let _ = tcsetpgrp(&self.file, getpgrp());
        }
    }
}
