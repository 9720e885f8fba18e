//! One generation: a directory of its own that holds every file, made whole before it shows and wiped when it is superseded.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, fchmod, fchown, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use thiserror::Error;
use zeroize::Zeroizing;

use super::acl::Access;
use super::path::RelativePath;
use crate::causes::with_causes;
use crate::kernel;

/// A directory's owner lists it; others open only what they know by name, so that they cannot learn which secrets exist.
pub(super) const DIRECTORY_BITS: u32 = 0o711;

/// How much of a file is compared at a time. A value is 25 KB at most; the piece is wiped after use.
const PIECE_BYTES: usize = 4096;

/// The name of a generation's directory: `..`, a number for people who look, `-`, and 16 digits that make it unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GenerationName(String);

impl GenerationName {
    fn unique(number: u64) -> Self {
        Self(format!("..{number}-{:016x}", fastrand::u64(..)))
    }

    /// Reads the name of a directory entry; none when it is not of our form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unique) = text.strip_prefix("..")?.split_once('-')?;
        let decimal = (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        let hexadecimal = unique.len() == 16 && unique.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (decimal && hexadecimal).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GenerationName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One file of a generation. It has no `Debug`, because it has the bytes.
pub(super) struct Content<'a> {
    pub(super) path: &'a RelativePath,
    /// The bytes, in pieces that are put one behind the other.
    pub(super) pieces: Vec<&'a [u8]>,
    pub(super) access: &'a Access,
}

/// Says which file could not be made.
#[derive(Debug, Error)]
enum FileError {
    #[error("'{path}' cannot have the group {group}: start the agent with that group, or configure another")]
    Group { path: RelativePath, group: u32, source: Errno },
    #[error(
        "'{path}' has readers who need an access control list, which this file system lacks: use a tmpfs, or make the \
         group of the files the only reader"
    )]
    NoLists { path: RelativePath, source: Errno },
    #[error("'{path}' has a reader whose number the user namespace of this container does not map: choose another")]
    Unmapped { path: RelativePath, source: Errno },
    #[error("could not write '{path}'")]
    Write { path: RelativePath, source: io::Error },
}

/// Makes the next generation below `parent`, whole, and answers its name. Nothing is left of one that fails.
pub(super) fn write(
    parent: BorrowedFd<'_>,
    number: u64,
    group: u32,
    contents: &[Content<'_>],
) -> io::Result<GenerationName> {
    let name = GenerationName::unique(number);
    make_closed(parent, name.as_str())?;
    match fill(parent, &name, group, contents) {
        Ok(()) => Ok(name),
        Err(error) => {
            if let Err(leftover) = erase(parent, &name) {
                tracing::warn!(generation = %name, error = with_causes(&leftover), "an unfinished generation stays until the next start");
            }
            Err(error)
        }
    }
}

/// Makes a folder that only its owner enters, whatever the umask is.
fn make_closed(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    mkdirat(parent, name, Mode::RWXU)
}

fn fill(parent: BorrowedFd<'_>, name: &GenerationName, group: u32, contents: &[Content<'_>]) -> io::Result<()> {
    let top = open_directory(parent, name.as_str())?;
    for content in contents {
        write_file(top.as_fd(), group, content).map_err(io::Error::other)?;
    }
    // Until here nobody else could enter, so no file was ever open to the wrong ones.
    Ok(fchmod(&top, Mode::from_raw_mode(DIRECTORY_BITS))?)
}

fn write_file(top: BorrowedFd<'_>, group: u32, content: &Content<'_>) -> Result<(), FileError> {
    let path = || content.path.clone();
    let unwritable = |source| FileError::Write { path: path(), source };
    let mut file = create(top, content.path).map_err(unwritable)?;
    let found = fstat(&file).map_err(|error| unwritable(error.into()))?;
    if found.st_gid != group {
        fchown(&file, None, Some(Gid::from_raw(group))).map_err(|source| FileError::Group {
            path: path(),
            group,
            source,
        })?;
    }
    content.access.apply(file.as_fd()).map_err(|source| match source {
        Errno::OPNOTSUPP => FileError::NoLists { path: path(), source },
        Errno::INVAL => FileError::Unmapped { path: path(), source },
        other => unwritable(other.into()),
    })?;
    // Straight from the locked bytes: a buffered writer would keep a copy.
    content.pieces.iter().try_for_each(|piece| file.write_all(piece)).map_err(unwritable)
}

fn create(top: BorrowedFd<'_>, path: &RelativePath) -> io::Result<File> {
    let mut folder = top.try_clone_to_owned()?;
    let mut names: Vec<_> = path.components().collect();
    let own = names.pop().unwrap_or_default();
    for name in names {
        folder = enter(folder.as_fd(), name)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(&folder, own, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn enter(folder: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match make_closed(folder, name) {
        Ok(()) => {
            let made = open_directory(folder, name)?;
            fchmod(&made, Mode::from_raw_mode(DIRECTORY_BITS))?;
            Ok(made)
        }
        Err(Errno::EXIST) => Ok(open_directory(folder, name)?),
        Err(error) => Err(error.into()),
    }
}

/// Whether a generation below `parent` is ours and holds exactly `contents`: the same files, bytes, owners and access.
pub(super) fn holds(
    parent: BorrowedFd<'_>,
    name: &GenerationName,
    group: u32,
    contents: &[Content<'_>],
) -> io::Result<bool> {
    let top = open_directory(parent, name.as_str())?;
    let found = fstat(&top)?;
    if found.st_uid != geteuid().as_raw() || found.st_mode & 0o7777 != DIRECTORY_BITS {
        return Ok(false);
    }
    let mut files = BTreeSet::new();
    list_files(top.as_fd(), "", &mut files)?;
    if !files.iter().map(String::as_str).eq(contents.iter().map(|one| one.path.as_str()).collect::<BTreeSet<_>>()) {
        return Ok(false);
    }
    for content in contents {
        if !file_holds(top.as_fd(), group, content)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn file_holds(top: BorrowedFd<'_>, group: u32, content: &Content<'_>) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = File::from(openat(top, content.path.as_str(), flags, Mode::empty())?);
    let found = fstat(&file)?;
    let length: usize = content.pieces.iter().map(|piece| piece.len()).sum();
    if (found.st_uid, found.st_gid) != (geteuid().as_raw(), group)
        || u64::try_from(found.st_size).ok() != u64::try_from(length).ok()
        || !content.access.holds(file.as_fd())?
    {
        return Ok(false);
    }
    let mut piece = Zeroizing::new([0; PIECE_BYTES]);
    for expected in content.pieces.iter().flat_map(|piece| piece.chunks(PIECE_BYTES)) {
        let read = &mut piece[..expected.len()];
        file.read_exact(read)?;
        if read != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list_files(folder: BorrowedFd<'_>, prefix: &str, files: &mut BTreeSet<String>) -> io::Result<()> {
    for (name, kind) in entries(folder)? {
        let path = format!("{prefix}{}", name.to_string_lossy());
        if kind == FileType::Directory {
            list_files(open_directory(folder, &*name)?.as_fd(), &format!("{path}/"), files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}

/// Overwrites and removes the generation `name` below `parent`; one that is gone already is no error.
pub(super) fn erase(parent: BorrowedFd<'_>, name: &GenerationName) -> io::Result<()> {
    match erase_folder(parent, &CString::new(name.as_str())?) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

fn erase_folder(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let folder = open_directory(parent, name)?;
    for (entry, kind) in entries(folder.as_fd())? {
        match kind {
            FileType::Directory => erase_folder(folder.as_fd(), &entry)?,
            FileType::RegularFile => erase_file(folder.as_fd(), &entry)?,
            _ => unlinkat(&folder, &*entry, AtFlags::empty())?,
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Unlinks a file, and overwrites it unless somebody has it open: a reader would see zeros in place of its value.
fn erase_file(folder: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let writable = open_for_overwriting(folder, name);
    // First the name, then the question: whoever has no name can no longer open it between answer and overwriting.
    unlinkat(folder, name, AtFlags::empty())?;
    match writable {
        Ok(mut file) if kernel::nobody_else_has_open(file.as_fd()) => {
            let overwritten =
                file.metadata().and_then(|found| io::copy(&mut io::repeat(0).take(found.len()), &mut file));
            if let Err(error) = overwritten {
                tracing::warn!(error = with_causes(&error), "a superseded file was removed without being overwritten");
            }
        }
        // In use: its pages are given back when the last reader closes it.
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "a superseded file was removed without being overwritten"),
    }
    Ok(())
}

/// An owner without privileges may not write its own 0400 file, but may change that first.
fn open_for_overwriting(folder: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let readable = openat(folder, name, OFlags::RDONLY | flags, Mode::empty())?;
    fchmod(&readable, Mode::RUSR | Mode::WUSR)?;
    openat(folder, name, OFlags::WRONLY | flags, Mode::empty()).map(File::from)
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Everything in `folder`, read before anything of it is changed.
pub(super) fn entries(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if ![c".", c".."].contains(&name) {
            found.push((name.to_owned(), kind(folder, name, entry.file_type())?));
        }
    }
    Ok(found)
}

/// Some file systems leave the kind out of their lists.
fn kind(folder: BorrowedFd<'_>, name: &CStr, listed: FileType) -> rustix::io::Result<FileType> {
    match listed {
        FileType::Unknown => Ok(FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)),
        known => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use nix::sched::{CloneFlags, unshare};
    use nix::sys::stat::{Mode as Bits, umask};

    use super::*;

    #[test]
    fn nobody_else_enters_a_generation_before_it_is_whole() {
        let parent = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let opened = File::open(parent.path()).expect("ours");
        let make = || {
            // A umask of this thread's own; that of the process is for every test.
            unshare(CloneFlags::CLONE_FS).expect("nobody needs a privilege for it");
            umask(Bits::empty());
            make_closed(opened.as_fd(), "..1-0123456789abcdef").expect("made");
        };
        std::thread::scope(|threads| threads.spawn(make).join().expect("no panic"));
        let found = parent.path().join("..1-0123456789abcdef").metadata().expect("there");
        assert_eq!(found.permissions().mode() & 0o7777, 0o700);
    }
}
