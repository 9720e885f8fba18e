//! What speaks against the file of the audit: where it lies, whose it is, and who else can write to it.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use nix::unistd::geteuid;
use thiserror::Error;

use super::Settings;
use crate::place::{Objection, Place, is_trusted};

/// What a job of Azure Machine Learning uploads when it ends, whatever is in it.
/// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-save-write-experiment-files#where-to-write-files>.
const UPLOADED: [&str; 2] = ["outputs", "logs"];

/// The permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// What speaks against the file, with the remedy.
#[derive(Debug, Error)]
pub enum Finding {
    /// A job would upload it, and with it who reads which secret when.
    #[error(
        "the audit {file} lies under '{folder}', which a job uploads when it ends: name another folder, or set \
         allow_upload = true under [audit]"
    )]
    Uploaded {
        /// The file, links resolved.
        file: PathBuf,
        /// The name of the folder.
        folder: &'static str,
    },
    /// Its folder does not exist.
    #[error("the folder of the audit {file} does not exist: make it, for uid {uid} alone")]
    NoFolder {
        /// The file.
        file: PathBuf,
        /// As whom this runs.
        uid: u32,
    },
    /// Its folder does not suit.
    #[error("the audit {file} cannot lie there")]
    Place {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: Objection,
    },
    /// Others can put a file of theirs in its place, or could before it was made.
    #[error("others than its owner can write to the folder of the audit {file}: use one inside it, with mode 0700")]
    OpenFolder {
        /// The file.
        file: PathBuf,
    },
    /// What is there is somebody else's, or somebody else can write to it.
    #[error(
        "the audit {file} belongs to uid {owner} and has mode {mode:04o}: it must belong to root or to uid {uid}, and \
         nobody else may write to it"
    )]
    OpenFile {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// As whom this runs.
        uid: u32,
    },
    /// What is there is no file to write lines to.
    #[error("the audit {file} is neither a file nor a named pipe: remove it, or name another")]
    Kind {
        /// The file.
        file: PathBuf,
    },
    /// It cannot be looked at, or not be opened.
    #[error("the audit {file} cannot be written")]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// The folder on the way to `file` that a job uploads.
#[must_use]
pub fn uploaded_folder(file: &Path) -> Option<&'static str> {
    let folders = file.parent().into_iter().flat_map(Path::components).filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let mut found = folders.filter_map(|name| UPLOADED.into_iter().find(|one| name.eq_ignore_ascii_case(one)));
    found.next()
}

/// Everything that speaks against the file, as far as it can be known without a change.
#[must_use]
pub fn examine(settings: &Settings) -> Vec<Finding> {
    let file = || settings.file.clone();
    let folder = settings.file.parent().unwrap_or(Path::new("/"));
    let place = match Place::look(folder) {
        Ok(place) => place,
        Err(cause) => return vec![Finding::Unwritable { file: file(), cause }],
    };
    if place.existing() != folder {
        return vec![Finding::NoFolder { file: file(), uid: geteuid().as_raw() }];
    }
    let is_replaceable = |objection: &Objection| matches!(objection, Objection::ReplaceableByOthers { .. });
    let objections = place.objections().into_iter().filter(|objection| !is_replaceable(objection));
    let mut findings: Vec<_> = objections.map(|cause| Finding::Place { file: file(), cause }).collect();
    if place.others_can_write() {
        findings.push(Finding::OpenFolder { file: file() });
    }
    findings.extend(uploaded(settings, folder));
    match fs::symlink_metadata(&settings.file) {
        Ok(found) => findings.extend(judge(&settings.file, &found).err()),
        // Of a folder that is none it was said above.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(cause) => findings.push(Finding::Unwritable { file: file(), cause }),
    }
    findings
}

/// By links a file can lie elsewhere than its path says.
fn uploaded(settings: &Settings, folder: &Path) -> Option<Finding> {
    let file = folder.canonicalize().ok()?.join(settings.file.file_name()?);
    let folder = uploaded_folder(&file).filter(|_| !settings.allow_upload)?;
    Some(Finding::Uploaded { file, folder })
}

/// Whether lines may be written to what was found at the path.
pub(super) fn judge(file: &Path, found: &Metadata) -> Result<(), Finding> {
    let file = || file.to_owned();
    if !found.is_file() && !found.file_type().is_fifo() {
        return Err(Finding::Kind { file: file() });
    }
    let (owner, mode, uid) = (found.uid(), found.mode() & 0o7777, geteuid().as_raw());
    if !is_trusted(owner, uid) || mode & OTHERS_WRITE != 0 {
        return Err(Finding::OpenFile { file: file(), owner, mode, uid });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn found(file: PathBuf) -> Vec<String> {
        let settings = Settings { file, allow_upload: false };
        examine(&settings).iter().map(ToString::to_string).collect()
    }

    fn folder(mode: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a directory");
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("changed");
        folder
    }

    #[test]
    fn a_folder_that_a_job_uploads_is_found_wherever_it_is_on_the_way() {
        let rows = [
            ("/job/outputs/audit", Some("outputs")),
            ("/job/outputs/deep/er/audit", Some("outputs")),
            ("outputs/audit", Some("outputs")),
            ("./logs/audit", Some("logs")),
            ("../Logs/audit", Some("logs")),
            ("/var/logs/audit", Some("logs")),
            ("/var/log/audit", None),
            ("/var/log/outputs", None),
            ("/job/my-outputs/audit", None),
            ("/job/outputs.old/audit", None),
            ("audit", None),
        ];
        for (file, expected) in rows {
            assert_eq!(uploaded_folder(Path::new(file)), expected, "{file}");
        }
    }

    #[test]
    fn a_link_into_such_a_folder_is_followed() {
        let job = folder(0o755);
        fs::create_dir(job.path().join("outputs")).expect("made");
        fs::set_permissions(job.path().join("outputs"), Permissions::from_mode(0o755)).expect("changed");
        symlink("outputs", job.path().join("elsewhere")).expect("a link");
        let file = job.path().join("elsewhere/audit");
        assert!(
            found(file.clone())[0].contains("lies under 'outputs', which a job uploads"),
            "{:?}",
            found(file.clone())
        );
        assert!(examine(&Settings { file, allow_upload: true }).is_empty(), "said twice");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused_sticky_or_not() {
        for (mode, fits) in [(0o700, true), (0o755, true), (0o775, false), (0o757, false), (0o1777, false)] {
            let folder = folder(mode);
            let told = found(folder.path().join("audit"));
            assert_eq!(told.is_empty(), fits, "{mode:o}: {told:?}");
            assert!(told.iter().all(|one| one.starts_with("others than its owner can write")), "{told:?}");
        }
    }

    #[test]
    fn a_folder_that_is_missing_or_no_folder_is_named() {
        let folder = folder(0o700);
        assert!(found(folder.path().join("missing/audit"))[0].contains("does not exist: make it"));
        fs::write(folder.path().join("file"), "").expect("written");
        let told = found(folder.path().join("file/audit"));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("cannot lie there"), "{told:?}");
    }

    #[test]
    fn what_is_there_must_be_a_file_or_a_pipe_that_nobody_else_writes() {
        let folder = folder(0o700);
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder")).expect("made");
        symlink("/dev/null", at("link")).expect("a link");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        fs::write(at("open"), "").expect("written");
        fs::set_permissions(at("open"), Permissions::from_mode(0o666)).expect("changed");
        fs::write(at("read-by-a-group"), "").expect("written");
        fs::set_permissions(at("read-by-a-group"), Permissions::from_mode(0o640)).expect("changed");
        let rows = [
            ("folder", Some("neither a file nor a named pipe")),
            ("link", Some("neither a file nor a named pipe")),
            ("pipe", None),
            ("open", Some("mode 0666")),
            ("read-by-a-group", None),
            ("absent", None),
        ];
        for (name, expected) in rows {
            let told = found(at(name));
            assert_eq!(told.len(), expected.iter().len(), "{name}: {told:?}");
            assert!(expected.is_none_or(|part| told[0].contains(part)), "{name}: {told:?}");
        }
    }
}
