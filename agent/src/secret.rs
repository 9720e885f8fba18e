//! A secret as Keyside holds it: its name, its version, its value that cannot be printed, and what the vault says about it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use thiserror::Error;

use crate::encoding::Encoding;
use crate::memory::Locked;
use crate::selection::Selection;

/// Longest name that Key Vault accepts, in characters.
/// Source: the `SetSecret` operation of the Key Vault REST specification, `^[0-9a-zA-Z-]{1,127}$`.
const NAME_LENGTH_MAX: usize = 127;

/// Length of a version in hexadecimal digits, as every Key Vault answer shows it.
const VERSION_LENGTH: usize = 32;

/// A name that is valid in Key Vault, and therefore also as a URL segment and as a file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Arc<str>);

/// Says why a text is no [`SecretName`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no Key Vault secret name: use 1 to {NAME_LENGTH_MAX} letters, digits and hyphens")]
pub struct InvalidName(String);

impl SecretName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case, which is the same one to Key Vault.
    /// Source: <https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#object-identifiers>.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

impl FromStr for SecretName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(text.escape_debug().take(2 * NAME_LENGTH_MAX).collect()))
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// One version of a secret: 32 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Arc<str>);

/// Says why a text is no [`Version`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "'{0}' is no Key Vault version: use the {VERSION_LENGTH} lower-case hexadecimal digits that end the secret's identifier"
)]
pub struct InvalidVersion(String);

impl Version {
    /// The version as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == VERSION_LENGTH && text.bytes().all(digit) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidVersion(text.escape_debug().take(2 * VERSION_LENGTH).collect()))
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The bytes of a secret, in locked memory. Clones share the one copy; the last owner's drop wipes it.
#[derive(Clone)]
pub struct SecretValue(Arc<Locked>);

impl SecretValue {
    /// Takes ownership of bytes that are already in locked memory.
    #[must_use]
    pub fn new(locked: Locked) -> Self {
        Self(Arc::new(locked))
    }

    /// The bytes where they lie. Copying them elsewhere breaks the promise of one copy.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }

    /// The memory that the bytes lie in.
    #[must_use]
    pub(crate) fn locked(&self) -> &Locked {
        &self.0
    }

    /// A buffer for the network that borrows the locked bytes and keeps them alive until it is sent.
    #[must_use]
    pub fn to_buffer(&self) -> Bytes {
        Bytes::from_owner(SharedBytes(Arc::clone(&self.0)))
    }

    /// Compares in time that depends only on the lengths.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let (left, right) = (self.as_bytes(), other.as_bytes());
        let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
        left.len() == right.len() && std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue(redacted)")
    }
}

/// Lends the locked bytes to a [`Bytes`] without copying them.
struct SharedBytes(Arc<Locked>);

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

/// What the vault says about one version of a secret; nothing of it is confidential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The version that the value belongs to.
    pub version: Version,
    /// The owner's free text about the format, `application/x-pem-file` for instance.
    pub content_type: Option<String>,
    /// When this version was made, to the second.
    pub created: Option<Timestamp>,
    /// When this version or its attributes last changed, to the second.
    pub updated: Option<Timestamp>,
    /// When this version expires; Key Vault serves it all the same.
    pub expires: Option<Timestamp>,
}

/// One version of a secret with its value.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What the vault says about it.
    pub metadata: Metadata,
    /// What of the vault's text it is.
    pub selection: Selection,
    /// What the bytes were made from the vault's text by.
    pub encoding: Encoding,
    /// The bytes.
    pub value: SecretValue,
}

impl Secret {
    /// Whether both carry the same version, metadata and bytes, made in the same way.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let made_alike = self.selection == other.selection && self.encoding == other.encoding;
        self.metadata == other.metadata && made_alike && self.value.same_as(&other.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Arena;
    use crate::testing::secret;

    #[test]
    fn names_follow_the_rule_of_key_vault() {
        let longest = "a".repeat(NAME_LENGTH_MAX);
        let too_long = "a".repeat(NAME_LENGTH_MAX + 1);
        let rows: &[(&str, bool)] = &[
            ("db-password", true),
            ("0", true),
            ("-", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("db_password", false),
            ("..", false),
            ("a/b", false),
            ("a%2fb", false),
            ("a\0b", false),
            ("pässword", false),
        ];
        for (text, valid) in rows {
            assert_eq!(text.parse::<SecretName>().is_ok(), *valid, "{text:?}");
        }
    }

    #[test]
    fn versions_are_thirty_two_lower_case_hexadecimal_digits() {
        let rows = [
            ("d673228733a64a7c98d997c0b8a1c769", true),
            ("D673228733A64A7C98D997C0B8A1C769", false),
            ("d673228733a64a7c98d997c0b8a1c76", false),
            ("../other1", false),
            ("", false),
        ];
        for (text, valid) in rows {
            assert_eq!(text.parse::<Version>().is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn no_way_of_formatting_shows_the_value() {
        let secret = secret('a', b"hunter2-hunter2");
        let shown = format!("{secret:?} {secret:#?} {:?}", secret.value);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117"), "no byte list either: {shown}");
    }

    #[test]
    fn the_network_buffer_is_the_locked_memory_itself() {
        let value = SecretValue::new(Arena::unlocked().store(b"one copy").expect("memory"));
        assert_eq!(value.to_buffer().as_ptr(), value.as_bytes().as_ptr());
    }

    #[test]
    fn values_compare_by_content_and_length() {
        let arena = Arena::unlocked();
        let value = |bytes: &[u8]| SecretValue::new(arena.store(bytes).expect("memory"));
        assert!(value(b"abc").same_as(&value(b"abc")));
        assert!(!value(b"abc").same_as(&value(b"abd")));
        assert!(!value(b"abc").same_as(&value(b"abcd")));
        assert!(value(b"").same_as(&value(b"")));
    }
}
