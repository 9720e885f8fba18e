//! The file of the audit: every line in it whole, also after it was rotated, removed, or had no room.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::Settings;
use super::place::{Finding, examine, judge};

/// The file as it is open now.
#[derive(Debug)]
pub struct AuditFile {
    settings: Settings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    device: u64,
    inode: u64,
    is_regular: bool,
    /// Whether it ends in the middle of a line that could not be taken back.
    is_torn: bool,
}

impl AuditFile {
    /// Opens the file for the end of it, and makes it for the owner alone where there is none. A named pipe without a reader
    /// is opened later.
    ///
    /// # Errors
    /// The first [`Finding`] that speaks against it.
    pub fn open(settings: Settings) -> Result<Self, Finding> {
        if let Some(finding) = examine(&settings).into_iter().next() {
            return Err(finding);
        }
        let mut file = Self { settings, open: None };
        match file.reopen() {
            Err(Finding::Unwritable { cause, .. }) if is_without_reader(&cause) => {}
            outcome => outcome?,
        }
        Ok(file)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.settings.file
    }

    /// Writes lines, all of them or none, to the file that is at the path now: programs that rotate it rename or remove it.
    ///
    /// # Errors
    /// Whatever keeps it from being written. It can be tried again.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        loop {
            let length = self.settle().map_err(io::Error::other)?;
            let Some(open) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
            let written = open.write_whole(lines, length);
            if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                self.open = None;
                return written;
            }
            written?;
            // What was removed just before nobody will read.
            if open.file.metadata()?.nlink() > 0 {
                return Ok(());
            }
        }
    }

    /// Makes sure that what is open is what is at the path, and answers its length.
    fn settle(&mut self) -> Result<u64, Finding> {
        let found = fs::symlink_metadata(&self.settings.file);
        if let (Some(open), Ok(found)) = (&self.open, &found)
            && (found.dev(), found.ino()) == (open.device, open.inode)
        {
            return Ok(found.len());
        }
        self.reopen()?;
        Ok(self.open.as_ref().and_then(|open| open.file.metadata().ok()).map_or(0, |found| found.len()))
    }

    fn reopen(&mut self) -> Result<(), Finding> {
        self.open = None;
        let path = &self.settings.file;
        let unwritable = |cause| Finding::Unwritable { file: path.clone(), cause };
        let mut options = File::options();
        // A pipe whose reader does not read must not hold up the writer, which has to notice the agent's end.
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path).map_err(unwritable)?;
        let found = file.metadata().map_err(unwritable)?;
        judge(path, &found)?;
        self.open = Some(Open { is_torn: is_torn(path, &found), ..Open::new(file, &found) });
        Ok(())
    }
}

impl Open {
    fn new(file: File, found: &Metadata) -> Self {
        Self { file, device: found.dev(), inode: found.ino(), is_regular: found.is_file(), is_torn: false }
    }

    /// One write for all of them: to a pipe it is whole or nothing up to 4 KiB (`PIPE_BUF` in pipe(7)), and what a full disk
    /// cut off is taken back.
    fn write_whole(&mut self, lines: &[u8], length: u64) -> io::Result<()> {
        let separate = self.is_torn.then(|| [b"\n", lines].concat());
        let outcome = self.write_all_or_nothing(separate.as_deref().unwrap_or(lines));
        if outcome.is_ok() {
            self.is_torn = false;
        } else if self.is_regular && self.file.metadata().is_ok_and(|now| now.len() > length) {
            // What ended in the middle of a line before does so again.
            self.is_torn |= self.file.set_len(length).is_err();
        }
        outcome
    }

    fn write_all_or_nothing(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.file.write(bytes) {
                Ok(written) if written == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::StorageFull.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a file that was there ends in the middle of a line, because an agent before this one was killed when the disk was
/// full, or the machine lost its power. Whoever may not read it does not see that.
fn is_torn(path: &Path, found: &Metadata) -> bool {
    let last = || {
        let mut last = [0];
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
        file.read_exact_at(&mut last, found.len().saturating_sub(1)).map(|()| last)
    };
    found.is_file() && found.len() > 0 && last().is_ok_and(|last: [u8; 1]| last != *b"\n")
}

/// A pipe that nobody has open for reading cannot be opened for writing (`ENXIO` in fifo(7)).
fn is_without_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
}
