//! Which operation on secrets a request asks for, and what right it needs.

use hyper::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::name::{is_secret_name, is_version};
use super::refusal::Refusal;

/// What a caller asks of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Set { name: String },
    Get { name: String, version: Option<String> },
    Update { name: String, version: Option<String> },
    List,
    ListVersions { name: String },
    Delete { name: String },
    GetDeleted { name: String },
    ListDeleted,
    Recover { name: String },
    Purge { name: String },
    Backup { name: String },
    Restore,
}

/// A right on secrets as an access policy grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Every other one.
    All,
    /// Read a value, or a deleted secret's description.
    Get,
    /// See names and attributes.
    List,
    /// Write a version, or change one's attributes.
    Set,
    /// Delete.
    Delete,
    /// Take a backup.
    Backup,
    /// Write a backup back.
    Restore,
    /// Undo a deletion.
    Recover,
    /// Make a deletion final.
    Purge,
}

impl Operation {
    /// Reads the operation out of a method and a path without its query.
    ///
    /// # Errors
    /// A 400 where the path names something that cannot exist, or the method does not apply to it.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Operation, Refusal> {
        let segments = segments(path)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let unknown =
            || Refusal::bad_parameter(format!("Method {method} does not allow operation '{}'", segments.join("/")));
        let operation = match (method.as_str(), segments.as_slice()) {
            ("GET", ["secrets"]) => Operation::List,
            ("POST", ["secrets", "restore"]) => Operation::Restore,
            ("GET", ["deletedsecrets"]) => Operation::ListDeleted,
            (_, [_, name, ..]) if !is_secret_name(name) => return Err(Refusal::invalid_name(name)),
            ("PUT", ["secrets", name]) => Operation::Set { name: (*name).into() },
            ("DELETE", ["secrets", name]) => Operation::Delete { name: (*name).into() },
            ("POST", ["secrets", name, "backup"]) => Operation::Backup { name: (*name).into() },
            ("GET", ["secrets", name, "versions"]) => Operation::ListVersions { name: (*name).into() },
            ("GET", ["secrets", name, rest @ ..]) => {
                Operation::Get { name: (*name).into(), version: version(name, rest)? }
            }
            ("PATCH", ["secrets", name, rest @ ..]) => {
                Operation::Update { name: (*name).into(), version: version(name, rest)? }
            }
            ("GET", ["deletedsecrets", name]) => Operation::GetDeleted { name: (*name).into() },
            ("DELETE", ["deletedsecrets", name]) => Operation::Purge { name: (*name).into() },
            ("POST", ["deletedsecrets", name, "recover"]) => Operation::Recover { name: (*name).into() },
            _ => return Err(unknown()),
        };
        Ok(operation)
    }

    /// The secret it is about; none where it is about the vault as a whole.
    pub(crate) fn secret_name(&self) -> Option<&str> {
        match self {
            Operation::List | Operation::ListDeleted | Operation::Restore => None,
            Operation::Set { name }
            | Operation::Get { name, .. }
            | Operation::Update { name, .. }
            | Operation::ListVersions { name }
            | Operation::Delete { name }
            | Operation::GetDeleted { name }
            | Operation::Recover { name }
            | Operation::Purge { name }
            | Operation::Backup { name } => Some(name),
        }
    }

    /// The data action that a role must grant for it.
    pub(crate) fn data_action(&self) -> &'static str {
        match self {
            Operation::Set { .. } => "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            Operation::Get { .. } => "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            Operation::Update { .. } => "Microsoft.KeyVault/vaults/secrets/update/action",
            Operation::List
            | Operation::ListVersions { .. }
            | Operation::GetDeleted { .. }
            | Operation::ListDeleted => "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
            Operation::Delete { .. } => "Microsoft.KeyVault/vaults/secrets/delete",
            Operation::Recover { .. } => "Microsoft.KeyVault/vaults/secrets/recover/action",
            Operation::Purge { .. } => "Microsoft.KeyVault/vaults/secrets/purge/action",
            Operation::Backup { .. } => "Microsoft.KeyVault/vaults/secrets/backup/action",
            Operation::Restore => "Microsoft.KeyVault/vaults/secrets/restore/action",
        }
    }

    /// The permission that an access policy must grant for it, with its name on the wire.
    pub(crate) fn permission(&self) -> (Permission, &'static str) {
        match self {
            Operation::Get { .. } | Operation::GetDeleted { .. } => (Permission::Get, "get"),
            Operation::Set { .. } | Operation::Update { .. } => (Permission::Set, "set"),
            Operation::List | Operation::ListVersions { .. } | Operation::ListDeleted => (Permission::List, "list"),
            Operation::Delete { .. } => (Permission::Delete, "delete"),
            Operation::Recover { .. } => (Permission::Recover, "recover"),
            Operation::Purge { .. } => (Permission::Purge, "purge"),
            Operation::Backup { .. } => (Permission::Backup, "backup"),
            Operation::Restore => (Permission::Restore, "restore"),
        }
    }
}

/// The path's parts, percent-decoded; one trailing slash means nothing, because every SDK sends one.
fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
        .map(|segment| match percent_decode_str(segment).decode_utf8() {
            Ok(decoded) => Ok(decoded.into_owned()),
            Err(_) => Err(Refusal::invalid_name(segment)),
        })
        .collect()
}

fn version(name: &str, rest: &[&str]) -> Result<Option<String>, Refusal> {
    match rest {
        [] => Ok(None),
        [version] if is_version(version) => Ok(Some(version.to_ascii_lowercase())),
        more => Err(Refusal::secret_not_found(&format!("{name}/{}", more.join("/")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "d673228733a64a7c98d997c0b8a1c769";

    fn get(name: &str, version: Option<&str>) -> Operation {
        Operation::Get { name: name.into(), version: version.map(Into::into) }
    }

    #[test]
    fn every_route_of_the_data_plane_is_read() {
        let name = || "db".to_string();
        let rows = [
            ("GET", "/secrets", Operation::List),
            ("GET", "/secrets/", Operation::List),
            ("GET", "/secrets/db", get("db", None)),
            ("GET", "/secrets/db/", get("db", None)),
            ("GET", "/secrets/d%62/", get("db", None)),
            ("GET", "/secrets/restore", get("restore", None)),
            ("GET", "/secrets/db/d673228733a64a7c98d997c0b8a1c769", get("db", Some(VERSION))),
            ("GET", "/secrets/db/D673228733A64A7C98D997C0B8A1C769/", get("db", Some(VERSION))),
            ("GET", "/secrets/db/versions", Operation::ListVersions { name: name() }),
            ("PUT", "/secrets/db", Operation::Set { name: name() }),
            ("PATCH", "/secrets/db/", Operation::Update { name: name(), version: None }),
            ("DELETE", "/secrets/db", Operation::Delete { name: name() }),
            ("POST", "/secrets/db/backup", Operation::Backup { name: name() }),
            ("POST", "/secrets/restore", Operation::Restore),
            ("GET", "/deletedsecrets", Operation::ListDeleted),
            ("GET", "/deletedsecrets/db", Operation::GetDeleted { name: name() }),
            ("POST", "/deletedsecrets/db/recover", Operation::Recover { name: name() }),
            ("DELETE", "/deletedsecrets/db", Operation::Purge { name: name() }),
        ];
        for (method, path, expected) in rows {
            let method: Method = method.parse().unwrap();
            assert_eq!(Operation::parse(&method, path).unwrap(), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_cannot_exist_is_refused() {
        let rows = [
            ("GET", "/secrets/a_b", 400),
            ("GET", "/secrets/%2e%2e/keys", 400),
            ("GET", "/secrets/a%2fb", 400),
            ("GET", "/secrets/%ff", 400),
            ("GET", "/secrets//", 400),
            ("GET", "/secrets/db/short", 404),
            ("GET", "/keys/db", 400),
            ("POST", "/secrets/db", 400),
            ("GET", "/", 400),
        ];
        for (method, path, status) in rows {
            let method: Method = method.parse().unwrap();
            let refusal = Operation::parse(&method, path).unwrap_err();
            assert_eq!(refusal.status.as_u16(), status, "{method} {path}");
        }
    }
}
