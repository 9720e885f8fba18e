//! How the vault's text becomes the bytes that readers get: as it is, or decoded, from locked memory to locked memory.

use std::str::FromStr;

use base64ct::{Base64, Encoding as _};
use thiserror::Error;

use crate::memory::Arena;
use crate::secret::{Secret, SecretValue};
use crate::vault::FetchError;

/// Key Vault holds text; bytes that are no text are kept there encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// The text itself, in UTF-8.
    #[default]
    Text,
    /// Standard base64 with padding and without line breaks (RFC 4648, section 4).
    Base64,
}

/// Says that a word is no [`Encoding`].
#[derive(Debug, Error)]
#[error("'{0}' is unknown: use text or base64")]
pub struct UnknownEncoding(String);

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(word: &str) -> Result<Self, UnknownEncoding> {
        match word {
            "text" => Ok(Self::Text),
            "base64" => Ok(Self::Base64),
            other => Err(UnknownEncoding(other.to_owned())),
        }
    }
}

/// Says why a value could not be decoded, without any of it.
#[derive(Debug, Error)]
enum Undecodable {
    #[error("the value is no standard base64: encode it with padding and without line breaks, as base64 -w0 does")]
    Base64,
}

impl Encoding {
    /// Decodes a fetched value into memory of `arena`.
    ///
    /// # Errors
    /// [`FetchError::Unusable`] when the text is not of this encoding or locked memory ran out.
    pub fn decode(self, secret: Secret, arena: &Arena) -> Result<Secret, FetchError> {
        match self {
            Self::Text => Ok(secret),
            Self::Base64 => {
                let value = decode_base64(secret.value.as_bytes(), arena)?;
                Ok(Secret { value, ..secret })
            }
        }
    }
}

fn decode_base64(text: &[u8], arena: &Arena) -> Result<SecretValue, FetchError> {
    let mut buffer = arena.buffer(text.len()).map_err(|error| FetchError::Unusable(error.into()))?;
    buffer
        .fill(text.len(), |room| Base64::decode(text, room).map(<[u8]>::len))
        .map_err(|error| FetchError::Unusable(error.into()))?
        .map_err(|_| FetchError::Unusable(Undecodable::Base64.into()))?;
    Ok(SecretValue::new(buffer.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::with_causes;
    use crate::testing::secret;

    fn decoded(text: &str) -> Result<Vec<u8>, FetchError> {
        let arena = Arena::unlocked();
        let decoded = Encoding::Base64.decode(secret('a', text.as_bytes()), &arena)?;
        Ok(decoded.value.as_bytes().to_vec())
    }

    #[test]
    fn every_byte_value_comes_out_of_base64() {
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&Base64::encode_string(&every)).expect("decodes"), every);
        assert_eq!(decoded("").expect("decodes"), b"");
    }

    #[test]
    fn what_is_no_base64_is_refused_without_being_quoted() {
        for text in ["hunter2!", "aHVudGVyMg", "aHVu\ndGVy", "aHVudGVyMg==\n"] {
            let error = decoded(text).expect_err("refused");
            let shown = format!("{error:?} {}", with_causes(&error));
            assert!(shown.contains("base64 -w0"), "{shown}");
            assert!(!shown.contains(text), "{shown}");
        }
    }
}
