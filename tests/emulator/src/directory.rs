//! The tenant: who exists, what proves them, and the key that signs their tokens.

pub mod seed;

use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

pub use self::seed::{Application, DirectorySeed, ManagedIdentity};

/// The tenant's identities with the key that signs their tokens.
#[derive(Debug)]
pub struct Directory;

/// Who a token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The principal that role assignments name.
    pub object_id: Uuid,
    /// The client that asked for the token.
    pub app_id: Uuid,
    /// The tenant that issued it.
    pub tenant: Uuid,
}

/// Why a bearer token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenProblem {
    /// It is no token of this directory: unreadable, or signed by another key.
    #[error("token is malformed or not signed by this directory")]
    Malformed,
    /// Its `exp` has passed, or its `nbf` has not come.
    #[error("token is expired or not yet valid")]
    Expired,
    /// It was issued for another resource.
    #[error("token is for audience {found}")]
    Audience {
        /// The `aud` it carries.
        found: String,
    },
    /// It was issued by another tenant.
    #[error("token is of issuer {found}")]
    Issuer {
        /// The `iss` it carries.
        found: String,
    },
}

/// Why a seed makes no directory.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// A key could not be made or read.
    #[error("{0} is not usable")]
    Key(String),
}

impl Directory {
    /// Makes the directory of `seed`, with the keys of `signing_key_pem` or new ones.
    ///
    /// # Errors
    /// `Key` when a PEM or a key set cannot be read.
    pub fn new(seed: DirectorySeed, signing_key_pem: Option<&str>) -> Result<Directory, DirectoryError> {
        unimplemented!()
    }

    /// Every private key that was made, as the PEM text that `new` takes to make the same directory again.
    pub fn keys_pem(&self) -> String { unimplemented!() }

    /// The tenant's id.
    pub fn tenant(&self) -> Uuid { unimplemented!() }

    /// Checks a bearer token against this directory's key and issuer, the clock, and one audience.
    ///
    /// # Errors
    /// The first of: malformed, expired, issuer, audience.
    pub fn verify(&self, bearer: &str, expected_audience: &str, now: Timestamp) -> Result<Caller, TokenProblem> { unimplemented!() }

    /// Mints a service-account token of the emulator's own issuer key, as a cluster would project it.
    pub fn mint_federated(&self, issuer: &str, subject: &str, audience: &str, now: Timestamp) -> String { unimplemented!() }

    /// The key and the certificate of an application whose seed says `certificate = "generate"`.
    pub fn certificate_pem(&self, app_id: Uuid) -> Option<String> { unimplemented!() }

    /// What `X-IDENTITY-HEADER` must be: the value of `IDENTITY_HEADER`.
    pub fn identity_header(&self) -> &str { unimplemented!() }

    /// What the header `secret` must be: the value of `MSI_SECRET`.
    pub fn msi_secret(&self) -> &str { unimplemented!() }
}
