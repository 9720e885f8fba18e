//! Which part of the vault's text readers get: all of it, a field of JSON, or one kind of PEM block.

mod chain;
mod field;
mod pem;
mod pointer;

use std::fmt;

use crate::memory::{Arena, Locked};
use crate::secret::{Secret, SecretValue};
use crate::vault::{Delivery, FetchError};

use self::field::Found;
pub use self::pem::{Part, UnknownPart};
pub use self::pointer::{InvalidPointer, Pointer};

/// The content type of a certificate's secret in PEM, as Key Vault writes it.
const PEM_TYPE: &str = "application/x-pem-file";

/// What is taken out of a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Nothing: readers get the whole.
    #[default]
    Whole,
    /// The field of a JSON text.
    Field(Pointer),
    /// Blocks of a certificate's secret, which the vault gives as PEM.
    Pem(Part),
}

impl Selection {
    /// How the vault is to give the secret.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Whole | Self::Field(_) => Delivery::AsStored,
            Self::Pem(_) => Delivery::AsPem,
        }
    }

    /// Takes the part out of a fetched secret, into memory of `arena`. The whole is wiped with its last owner.
    ///
    /// # Errors
    /// [`FetchError::Unusable`] when the part is not there, or locked memory ran out.
    pub fn take_from(&self, secret: Secret, arena: &Arena) -> Result<Secret, FetchError> {
        let whole = secret.value.as_bytes();
        let (value, content_type) = match self {
            Self::Whole => return Ok(secret),
            Self::Field(pointer) => (take_field(whole, pointer, arena)?, secret.metadata.content_type.clone()),
            Self::Pem(part) => (part.take_from(whole, arena).map_err(unusable)?, Some(PEM_TYPE.to_owned())),
        };
        let mut metadata = secret.metadata;
        metadata.content_type = content_type;
        Ok(Secret { metadata, selection: self.clone(), encoding: secret.encoding, value: SecretValue::new(value) })
    }
}

/// What distinguishes the parts of one secret, for entity tags; empty for the whole.
impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Field(pointer) => write!(formatter, "field {pointer:?}"),
            Self::Pem(part) => write!(formatter, "pem {part}"),
        }
    }
}

fn take_field(text: &[u8], pointer: &Pointer, arena: &Arena) -> Result<Locked, FetchError> {
    match field::find(text, pointer).map_err(unusable)? {
        Found::Literal(literal) => arena.store(literal).map_err(unusable),
        Found::Text(escaped) => {
            let mut buffer = arena.buffer(escaped.len()).map_err(unusable)?;
            let written = buffer.fill(escaped.len(), |room| field::unescape(escaped, room)).map_err(unusable)?;
            written.map_err(unusable)?;
            Ok(buffer.freeze())
        }
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> FetchError {
    FetchError::Unusable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::with_causes;
    use crate::testing::secret;

    fn taken(selection: &Selection, text: &str, arena: &Arena) -> Result<Secret, FetchError> {
        let value = SecretValue::new(arena.store(text.as_bytes()).expect("memory"));
        selection.take_from(Secret { value, ..secret('a', b"") }, arena)
    }

    fn field(pointer: &str) -> Selection {
        Selection::Field(pointer.parse().expect("a pointer"))
    }

    #[test]
    fn only_what_was_selected_stays_in_memory() {
        let arena = Arena::unlocked();
        let text = format!(r#"{{"user":"app","password":"hunter\u0032\n","rest":"{}"}}"#, "x".repeat(1_000));
        let whole = taken(&Selection::Whole, &text, &arena).expect("all of it");
        assert_eq!((whole.value.as_bytes(), arena.used_bytes()), (text.as_bytes(), 1_088));
        drop(whole);
        let password = taken(&field("/password"), &text, &arena).expect("a field");
        assert_eq!((password.value.as_bytes(), arena.used_bytes()), (&b"hunter2\n"[..], 64));
        assert_eq!(password.selection, field("/password"));
        assert_eq!(password.metadata, secret('a', b"").metadata, "what the vault says is about the whole");
    }

    #[test]
    fn a_part_of_a_certificate_is_asked_for_and_marked_as_pem() {
        let selection = Selection::Pem(Part::PrivateKey);
        assert_eq!((selection.delivery(), field("/a").delivery()), (Delivery::AsPem, Delivery::AsStored));
        let key = "-----BEGIN PRIVATE KEY-----\na2V5\n-----END PRIVATE KEY-----\n";
        let taken = taken(&selection, key, &Arena::unlocked()).expect("a key");
        assert_eq!(taken.value.as_bytes(), key.as_bytes());
        assert_eq!(taken.metadata.content_type.as_deref(), Some(PEM_TYPE));
    }

    #[test]
    fn what_is_not_there_is_told_without_anything_that_is() {
        for (selection, text) in [
            (field("/password"), r#"{"user":"hunter2"}"#),
            (field("/password"), r#"{"password":"hunter2""#),
            (field("/password"), "hunter2"),
            (Selection::Pem(Part::PrivateKey), "hunter2"),
        ] {
            let error = taken(&selection, text, &Arena::unlocked()).expect_err(text);
            let shown = format!("{error:?} {}", with_causes(&error));
            assert!(error.code() == "unusable" && !shown.contains("hunter2"), "{shown}");
        }
    }
}
