//! Which units may have which secrets as credentials, and where they get them.

use std::path::{Path, PathBuf};

use super::assemble::{Assembly, Checked};
use super::shape::{CredentialsTable, SecretTable};
use crate::credentials::{Settings, UnitPattern, WAIT};
use crate::socket::lock_file;

/// What the socket is called beside that of the API.
const SOCKET: &str = "credentials.sock";

impl Assembly<'_> {
    /// The units that may have a secret.
    pub(super) fn units(&mut self, table: &SecretTable) -> Vec<UnitPattern> {
        let Some(units) = &table.units else { return Vec::new() };
        if units.get_ref().is_empty() {
            let name = &table.name.get_ref().0;
            self.document.report(&units.span(), format!("no unit may have '{name}': name one, or leave units out"));
        } else if !self.has_credentials {
            let remedy = "add a [credentials] table";
            self.document.report(&units.span(), format!("units get nothing without a socket for them: {remedy}"));
        }
        units.get_ref().iter().map(|unit| unit.get_ref().0.clone()).collect()
    }

    /// The table `[credentials]`.
    pub(super) fn credentials(
        &mut self,
        table: Option<CredentialsTable>,
        api: &Path,
        secrets: &[Checked],
    ) -> Option<Settings> {
        let CredentialsTable { socket, wait } = table?;
        let path = match &socket {
            Some(path) => self.socket_path(path),
            None => api.parent().unwrap_or(Path::new("/")).join(SOCKET),
        };
        self.keep_apart(&path, api, socket.map_or(0..0, |key| key.span()));
        let units = secrets.iter().filter(|secret| !secret.units.is_empty());
        Some(Settings {
            socket: path,
            wait: wait.map_or(WAIT, |wait| wait.0.0),
            units: units.map(|secret| (secret.wanted.name.clone(), secret.units.clone())).collect(),
        })
    }

    fn keep_apart(&mut self, path: &PathBuf, api: &Path, span: std::ops::Range<usize>) {
        let taken = [api.to_owned(), lock_file(api)];
        if taken.contains(path) || taken.contains(&lock_file(path)) {
            let message = format!("{} is the API's socket or its lock: name another socket", path.display());
            self.document.report(&span, message);
        }
    }
}
