//! Where the audit lies: a place that is named in full, that no job uploads, and that is nobody else's.

use std::path::Path;

use super::document::Document;
use super::shape::AuditTable;
use crate::files;
use crate::serve::audit::{Settings, uploaded_folder};
use crate::socket::{lease_file, lock_file};

/// The settings of the table `[audit]`.
pub(super) fn audit_settings(
    document: &mut Document<'_>,
    table: AuditTable,
    (socket, files): (&Path, Option<&files::Settings>),
) -> Settings {
    let AuditTable { file, allow_upload } = table;
    let (span, file) = (file.span(), file.into_inner());
    if !file.is_absolute() || file.file_name().is_none() {
        let message = "file must be an absolute path, as in /var/log/keyside/audit.jsonl";
        document.report(&span, format!("[audit] {message}"));
    }
    if let Some(folder) = uploaded_folder(&file).filter(|_| !allow_upload) {
        let remedy = "name another folder, or set allow_upload = true, too";
        document.report(&span, format!("[audit] a job uploads what is under '{folder}' when it ends: {remedy}"));
    }
    let is_taken = [socket.to_owned(), lock_file(socket), lease_file(socket)].contains(&file);
    if is_taken || files.is_some_and(|files| file.starts_with(&files.directory)) {
        let message = "file takes the place of the socket, of what is beside it, or of the secrets' files";
        document.report(&span, format!("[audit] {message}: name another"));
    }
    Settings { file, allow_upload }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::parse;

    const SMALLEST: &str =
        "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'db'\n";

    #[test]
    fn an_audit_is_refused_where_it_should_not_lie() {
        let uploaded = "a job uploads what is under";
        let rows = [
            ("file = '/var/log/keyside/audit.jsonl'", vec![]),
            ("file = 'audit.jsonl'", vec!["must be an absolute path"]),
            ("file = '/'", vec!["must be an absolute path"]),
            ("file = '/job/outputs/a'", vec![uploaded]),
            ("file = 'logs/a'", vec!["must be an absolute path", uploaded]),
            ("file = '/job/outputs/a'\nallow_upload = true", vec![]),
            ("file = '/run/keyside/agent.sock'", vec!["takes the place of the socket"]),
            ("file = '/run/keyside/agent.sock.lock'", vec!["takes the place of the socket"]),
            ("file = '/run/keyside/secrets/a'", vec!["takes the place of the socket"]),
            ("allow_upload = true", vec!["missing field `file`"]),
        ];
        for (keys, expected) in rows {
            let told = parse(&format!("{SMALLEST}[files]\n[audit]\n{keys}\n")).err().unwrap_or_default();
            assert_eq!(told.len(), expected.len(), "{keys}: {told:?}");
            for part in expected {
                assert!(told.iter().any(|one| one.contains(part)), "{keys}: {told:?}");
            }
        }
    }
}
