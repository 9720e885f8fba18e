//! A secret's backup: one opaque text that the same emulator takes back.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::secret::Secret;

/// What the service's own backups of secrets begin with: a name, after a byte that is its length, 41.
const MARK: &str = ")AzureKeyVaultSecretBackupV1.microsoft.com";

/// Writes `secret` as a backup. Unlike the service's, it is not encrypted.
pub(crate) fn write(secret: &Secret) -> String {
    let json = serde_json::to_vec(secret).expect("a secret always serialises");
    let text = format!("{MARK}{}", Base64UrlUnpadded::encode_string(&json));
    Base64UrlUnpadded::encode_string(text.as_bytes())
}

/// Reads a backup; none where `text` is no backup of this emulator.
pub(crate) fn read(text: &str) -> Option<Secret> {
    let text = Base64UrlUnpadded::decode_vec(text.trim_end_matches('=')).ok()?;
    let json = Base64UrlUnpadded::decode_vec(std::str::from_utf8(&text).ok()?.strip_prefix(MARK)?).ok()?;
    serde_json::from_slice::<Secret>(&json).ok().filter(|secret| !secret.versions.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::secret::Draft;

    #[test]
    fn what_was_written_is_read_back() {
        let mut secret = Secret::first("db", Draft::plain("one"), 1);
        secret.add(Draft::plain("two"), 2);
        assert_eq!(read(&write(&secret)), Some(secret));
    }

    #[test]
    fn what_is_no_backup_is_not_read() {
        for text in ["", "x", "KEF6dXJl", "%%%"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
