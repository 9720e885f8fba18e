//! What each file will hold, and the access that it will have.

use super::acl::Access;
use super::generation::Content;
use super::path::RelativePath;
use super::settings::{EnvFile, Settings};
use crate::env_file::Line;
use crate::secret::SecretName;
use crate::store::Snapshot;

/// A file that every generation has as soon as there is something to put in it.
#[derive(Debug)]
pub(super) struct Planned {
    holds: Holds,
    path: RelativePath,
    access: Access,
}

#[derive(Debug)]
enum Holds {
    Secret(SecretName),
    Variables(Vec<(Line, SecretName)>),
}

/// Every file of the settings, for an agent of the user `owner` whose files have the group `group`.
pub(super) fn plan(settings: &Settings, owner: u32, group: u32) -> Vec<Planned> {
    let of_secrets = settings.targets.iter().map(|(name, target)| (Holds::Secret(name.clone()), target));
    let of_variables =
        settings.env_files.iter().map(|EnvFile { target, lines }| (Holds::Variables(lines.clone()), target));
    let planned = of_secrets.chain(of_variables).map(|(holds, target)| Planned {
        holds,
        path: target.path.clone(),
        access: Access::plan(target, owner, group),
    });
    planned.collect()
}

impl Planned {
    /// Whose values are in it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        let (one, many) = match &self.holds {
            Holds::Secret(name) => (Some(name), [].as_slice()),
            Holds::Variables(lines) => (None, lines.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|(_, name)| name))
    }

    /// The file without anything in it.
    pub(super) fn empty(&self) -> Content<'_> {
        self.with(Vec::new())
    }

    /// The file as it is in `snapshot`; none of a secret without a value, and a variable without one has no line.
    pub(super) fn content<'a>(&'a self, snapshot: &'a Snapshot) -> Option<Content<'a>> {
        let value = |name| Some(snapshot.slots.get(name)?.published.as_ref()?.secret.value.as_bytes());
        match &self.holds {
            Holds::Secret(name) => value(name).map(|value| self.with(vec![value])),
            Holds::Variables(lines) => {
                let lines = lines.iter().filter_map(|(line, name)| Some(line.pieces(value(name)?)));
                Some(self.with(lines.flatten().collect()))
            }
        }
    }

    /// Whether something that the file is made of has been taken away.
    pub(super) fn shows_withdrawn(&self, snapshot: &Snapshot) -> bool {
        self.secrets().any(|name| snapshot.slots.get(name).is_some_and(|slot| slot.withdrawn.is_some()))
    }

    fn with<'a>(&'a self, pieces: Vec<&'a [u8]>) -> Content<'a> {
        Content { path: &self.path, pieces, access: &self.access }
    }
}
