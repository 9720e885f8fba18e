//! Which secret becomes which file, for whom: checked types, and the problems that show without looking at the machine.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use super::path::RelativePath;
use crate::env_file::Line;
use crate::principal::Principal;
use crate::secret::SecretName;

/// The operator's settings for files.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the files are, on a file system in memory.
    pub directory: PathBuf,
    /// The file of each secret that has one.
    pub targets: BTreeMap<SecretName, Target>,
    /// The files of environment variables.
    pub env_files: Vec<EnvFile>,
    /// Accept a directory that is on a disk, with a warning.
    pub allow_disk: bool,
    /// Refuse a file system whose pages can be swapped out, rather than warn.
    pub require_noswap: bool,
    /// What becomes of the files when the agent stops.
    pub on_stop: OnStop,
    /// The group that the files belong to; the directory's setgid group or the agent's own without it.
    pub group: Option<u32>,
}

/// One secret's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is, below the directory.
    pub path: RelativePath,
    /// What its owner, its group and others may do.
    pub mode: Mode,
    /// Who may read it besides.
    pub readers: Vec<Principal>,
}

/// A file that holds several secrets as environment variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// Where it is, for whom.
    pub target: Target,
    /// The variables, each with its secret.
    pub lines: Vec<(Line, SecretName)>,
}

/// What becomes of the files when the agent stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// They are overwritten and removed.
    #[default]
    Remove,
    /// They stay for the next agent, or for the program that an init container prepared them for.
    Keep,
}

/// Says that a word is no [`OnStop`].
#[derive(Debug, Error)]
#[error("'{0}' is unknown: use remove or keep")]
pub struct UnknownOnStop(String);

impl FromStr for OnStop {
    type Err = UnknownOnStop;

    fn from_str(word: &str) -> Result<Self, UnknownOnStop> {
        match word {
            "remove" => Ok(Self::Remove),
            "keep" => Ok(Self::Keep),
            other => Err(UnknownOnStop(other.to_owned())),
        }
    }
}

/// Permission bits that suit a secret's file: the agent reads it back, nobody runs it, nobody else writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

/// Says why a text is no [`Mode`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{mode}' is no mode for a secret's file: {rule}")]
pub struct InvalidMode {
    mode: String,
    rule: &'static str,
}

impl Mode {
    /// The bits as `chmod` takes them.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether every user of the machine may read, which a configuration has to ask for in so many words.
    #[must_use]
    pub fn is_world_readable(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl Default for Mode {
    /// Only the owner reads, because readers are named one by one.
    fn default() -> Self {
        Self(0o400)
    }
}

impl FromStr for Mode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Self, InvalidMode> {
        let invalid = |rule| InvalidMode { mode: text.escape_debug().take(16).collect(), rule };
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        match bits.ok_or_else(|| invalid("write three or four octal digits, as in \"0400\""))? {
            bits if bits & 0o7000 != 0 => Err(invalid("leave out the setuid, setgid and sticky bits")),
            bits if bits & 0o111 != 0 => Err(invalid("leave out the bits for executing")),
            bits if bits & 0o022 != 0 => {
                Err(invalid("only the owner may write, or readers could change it for others"))
            }
            bits if bits & 0o400 == 0 => Err(invalid("the owner must be able to read it")),
            bits if bits & 0o044 == 0o004 => Err(invalid("what others may read, the group may read too")),
            bits => Ok(Self(bits)),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What is wrong with settings whose single parts are right.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// The directory is relative, the root, or has `..` in it.
    #[error("'{0}' is no directory for files: write an absolute path below / without '..'")]
    Directory(PathBuf),
    /// Two secrets have one file.
    #[error("the secrets '{first}' and '{second}' have the same file '{path}': give each a path of its own")]
    Duplicate {
        /// The path of both.
        path: RelativePath,
        /// The secret that keeps it.
        first: SecretName,
        /// The secret that needs another.
        second: SecretName,
    },
    /// A file would have to be a directory too.
    #[error("the file '{inner}' of '{second}' lies inside '{outer}', the file of '{first}': rename one of them")]
    Inside {
        /// The path that would be both.
        outer: RelativePath,
        /// The path below it.
        inner: RelativePath,
        /// The secret of `outer`.
        first: SecretName,
        /// The secret of `inner`.
        second: SecretName,
    },
    /// A file of variables has the path of another file, or one of them lies inside the other.
    #[error("the file of variables '{path}' and the file '{other}' cannot both be: rename one of them")]
    EnvFile {
        /// The file of variables.
        path: RelativePath,
        /// The other file.
        other: RelativePath,
    },
}

impl Problem {
    /// The secret whose file has to change, where it is one secret's.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretName> {
        match self {
            Self::Directory(_) | Self::EnvFile { .. } => None,
            Self::Duplicate { second, .. } | Self::Inside { second, .. } => Some(second),
        }
    }
}

impl Settings {
    /// Everything that is wrong between the parts of the settings, in the order of the secrets' names.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !is_plain_absolute(&self.directory) {
            problems.push(Problem::Directory(self.directory.clone()));
        }
        let mut owners = BTreeMap::<&str, (&RelativePath, &SecretName)>::new();
        for (name, Target { path, .. }) in &self.targets {
            if let Some((_, first)) = owners.get(path.as_str()) {
                let (path, first, second) = (path.clone(), SecretName::clone(first), name.clone());
                problems.push(Problem::Duplicate { path, first, second });
            } else {
                owners.insert(path.as_str(), (path, name));
            }
        }
        for (inner, second) in owners.values() {
            problems.extend(inner.folders().filter_map(|folder| owners.get(folder)).map(|(outer, first)| {
                Problem::Inside {
                    outer: RelativePath::clone(outer),
                    inner: RelativePath::clone(inner),
                    first: SecretName::clone(first),
                    second: SecretName::clone(second),
                }
            }));
        }
        for (index, EnvFile { target: Target { path, .. }, .. }) in self.env_files.iter().enumerate() {
            let earlier = self.env_files[..index].iter().map(|file| &file.target);
            let others = self.targets.values().chain(earlier).map(|target| &target.path);
            problems.extend(
                others
                    .filter(|other| path.clashes_with(other))
                    .map(|other| Problem::EnvFile { path: path.clone(), other: other.clone() }),
            );
        }
        problems
    }

    /// Every file with what it is of: a secret's name, or its own path where it is one of variables.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Target)> {
        let of_secrets = self.targets.iter().map(|(name, target)| (name.as_str(), target));
        of_secrets.chain(self.env_files.iter().map(|file| (file.target.path.as_str(), &file.target)))
    }
}

fn is_plain_absolute(directory: &Path) -> bool {
    let mut components = directory.components();
    components.next() == Some(Component::RootDir)
        && components.clone().next().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_and_harmless() {
        let rows = [
            ("0400", Some(0o400)),
            ("400", Some(0o400)),
            ("0440", Some(0o440)),
            ("0640", Some(0o640)),
            ("0444", Some(0o444)),
            ("4400", None),
            ("1400", None),
            ("0500", None),
            ("0460", None),
            ("0402", None),
            ("0040", None),
            ("0404", None),
            ("0x1a", None),
            ("+400", None),
            ("0800", None),
            ("00400", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<Mode>().ok().map(Mode::bits), expected, "{text:?}");
        }
        assert!("0444".parse::<Mode>().expect("a mode").is_world_readable());
        assert!(!Mode::default().is_world_readable());
        assert_eq!(Mode::default().to_string(), "0400");
    }

    fn settings(directory: &str, targets: &[(&str, &str)]) -> Settings {
        let target =
            |path: &str| Target { path: path.parse().expect("a path"), mode: Mode::default(), readers: Vec::new() };
        Settings {
            directory: directory.into(),
            targets: targets.iter().map(|(name, path)| (name.parse().expect("a name"), target(path))).collect(),
            env_files: Vec::new(),
            allow_disk: false,
            require_noswap: false,
            on_stop: OnStop::default(),
            group: None,
        }
    }

    #[test]
    fn problems_between_targets_are_all_named() {
        let shown: Vec<_> =
            settings("run/secrets", &[("a", "db"), ("b", "db"), ("c", "db/password"), ("d", "db/x/y"), ("e", "dbx/y")])
                .problems()
                .iter()
                .map(Problem::to_string)
                .collect();
        assert_eq!(
            shown,
            [
                "'run/secrets' is no directory for files: write an absolute path below / without '..'",
                "the secrets 'a' and 'b' have the same file 'db': give each a path of its own",
                "the file 'db/password' of 'c' lies inside 'db', the file of 'a': rename one of them",
                "the file 'db/x/y' of 'd' lies inside 'db', the file of 'a': rename one of them",
            ]
        );
    }

    #[test]
    fn a_file_of_variables_has_a_path_of_its_own() {
        let rows = [(".env", true), ("db", false), ("db/env", false), ("a", false), ("a/b/c", false), ("a/c", true)];
        for (path, valid) in rows {
            let target = Target { path: path.parse().expect("a path"), mode: Mode::default(), readers: Vec::new() };
            let file = EnvFile { target, lines: Vec::new() };
            let one = Settings { env_files: vec![file.clone()], ..settings("/run/x", &[("x", "db"), ("y", "a/b")]) };
            assert_eq!(one.problems().is_empty(), valid, "{path}");
            let two = Settings { env_files: vec![file.clone(), file], ..settings("/run/x", &[]) };
            assert_eq!(two.problems().len(), 1, "{path} twice");
        }
    }

    #[test]
    fn directories_are_absolute_and_not_the_root() {
        let rows = [("/run/keyside/secrets", true), ("/x", true), ("/", false), ("/run/../etc", false), ("", false)];
        for (directory, valid) in rows {
            assert_eq!(settings(directory, &[]).problems().is_empty(), valid, "{directory:?}");
        }
    }
}
