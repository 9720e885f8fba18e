//! The tenant: who exists, what proves them, and the key that signs their tokens.

mod credential;
#[cfg(test)]
pub(crate) mod fixture;
mod identities;
mod key;
pub mod seed;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use serde_json::json;
use thiserror::Error;
use uuid::Uuid;

pub(crate) use self::credential::{AssertionProblem, Registration};
use self::identities::Identities;
pub(crate) use self::identities::{Attachment, Enrolment};
use self::key::Keyring;
pub use self::seed::{Application, DirectorySeed, ExpiresOnForm, IdentityKind, ManagedIdentity, User};
pub(crate) use self::token::{Issued, Principal, is_resource};

/// How long Entra's tokens live: the `expires_in` of recorded answers.
const ENTRA_LIFETIME: Duration = Duration::from_secs(3599);

/// How long the tokens of managed identities live: the `expires_in` of IMDS.
const MANAGED_IDENTITY_LIFETIME: Duration = Duration::from_secs(86_399);

/// How long a projected service-account token lives: what Kubernetes gives by default.
const PROJECTED_TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The tenant's identities with the keys that sign for them.
pub struct Directory {
    tenant: Uuid,
    keys: Keyring,
    applications: Vec<Arc<Registration>>,
    identities: Identities,
    user: Option<User>,
    entra_lifetime: Duration,
    managed_identity_lifetime: Duration,
    identity_header: String,
    msi_secret: String,
    expires_on: ExpiresOnForm,
}

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
    /// The library made no key or no certificate.
    #[error("key or certificate could not be made")]
    KeyNotMade(#[source] rcgen::Error),
    /// The stored keys cannot be read.
    #[error("stored signing keys are no RSA keys in PEM (PKCS #8)")]
    SigningKey,
    /// An application's certificate cannot be read.
    #[error("certificate of application {app_id} is no RSA certificate in PEM")]
    Certificate {
        /// The application's client id.
        app_id: Uuid,
    },
    /// A federated credential's key cannot be read.
    #[error("issuer {issuer} needs one of public_key (RSA, PEM) and jwks (a JSON key set)")]
    IssuerKey {
        /// The credential's issuer.
        issuer: String,
    },
    /// Two identities share an id, so that a token would speak for both.
    #[error("id {id} is used by two identities")]
    Duplicate {
        /// The id found twice.
        id: Uuid,
    },
}

/// Which managed identity a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// The machine's own, or the only one that is assigned.
    Default,
    ClientId(String),
    ObjectId(String),
    ResourceId(String),
}

/// Why no managed identity is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SelectionProblem {
    Unknown,
    Ambiguous,
}

impl Directory {
    /// Makes the directory of `seed`, with the keys of `signing_key_pem` (as [`Directory::keys_pem`] writes them) or
    /// new ones.
    ///
    /// # Errors
    /// A key or certificate of the seed or of `signing_key_pem` cannot be read, or two identities share an id.
    pub fn new(seed: DirectorySeed, signing_key_pem: Option<&str>) -> Result<Directory, DirectoryError> {
        check_ids(&seed)?;
        let keys = Keyring::new(signing_key_pem)?;
        let applications = seed
            .applications
            .into_iter()
            .map(|application| Registration::read(application, &keys).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tenant: seed.tenant,
            keys,
            applications,
            identities: Identities::new(seed.managed_identities),
            user: seed.user,
            entra_lifetime: seed.lifetimes.entra.map_or(ENTRA_LIFETIME, Duration::from),
            managed_identity_lifetime: seed
                .lifetimes
                .managed_identity
                .map_or(MANAGED_IDENTITY_LIFETIME, Duration::from),
            identity_header: given_or_random(seed.app_service.identity_header),
            msi_secret: given_or_random(seed.azure_ml.secret),
            expires_on: seed.azure_ml.expires_on,
        })
    }

    /// The private keys of the directory and of the outsiders it plays: what `new` takes to make the same again.
    #[must_use]
    pub fn keys_pem(&self) -> String {
        self.keys.pem()
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// Checks a bearer token against this directory's issuer and key, the clock, and one audience, which may or may
    /// not end in a slash.
    ///
    /// # Errors
    /// The first that applies: malformed, issuer, signature (malformed too), times, audience.
    pub fn verify(&self, bearer: &str, expected_audience: &str, now: Timestamp) -> Result<Caller, TokenProblem> {
        token::verify(self.keys.signing(), self.tenant, (bearer, expected_audience), now)
    }

    /// Mints a service-account token with the emulator's own issuer key, as a cluster projects it into a pod.
    #[must_use]
    pub fn mint_federated(&self, issuer: &str, subject: &str, audience: &str, now: Timestamp) -> String {
        let expires = now.saturating_add(PROJECTED_TOKEN_LIFETIME).unwrap_or(Timestamp::MAX);
        self.keys.issuer().sign(&json!({
            "iss": issuer,
            "sub": subject,
            "aud": [audience],
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": expires.as_second(),
        }))
    }

    /// The key and the certificate, in PEM, of an application whose seed says `certificate = "generate"`.
    #[must_use]
    pub fn certificate_pem(&self, app_id: Uuid) -> Option<String> {
        self.application(app_id)?.certificate_pem().map(str::to_owned)
    }

    /// An access token as Entra would give to the application, managed identity or user of this object id.
    #[must_use]
    pub fn token_for(&self, object_id: Uuid, audience: &str, now: Timestamp) -> Option<String> {
        if let Some(application) = self.applications.iter().find(|one| one.object_id == object_id) {
            return Some(self.issue(Principal::Application(application), audience, now).token);
        }
        if let Some(user) = self.user.as_ref().filter(|user| user.object_id == object_id) {
            return Some(self.issue(Principal::User(user), audience, now).token);
        }
        let identity = self.identities.with_object_id(object_id)?;
        Some(self.issue(Principal::ManagedIdentity(&identity), audience, now).token)
    }

    /// What `X-IDENTITY-HEADER` must be: the value of `IDENTITY_HEADER`.
    #[must_use]
    pub fn identity_header(&self) -> &str {
        &self.identity_header
    }

    /// What the header `secret` must be: the value of `MSI_SECRET`.
    #[must_use]
    pub fn msi_secret(&self) -> &str {
        &self.msi_secret
    }

    /// The application of this client id, or the managed identity that has federated credentials.
    pub(crate) fn application(&self, app_id: Uuid) -> Option<Arc<Registration>> {
        let registered = self.applications.iter().find(|application| application.app_id == app_id);
        registered.cloned().or_else(|| self.identities.registration(app_id))
    }

    /// The managed identities, which change while the emulator runs.
    pub(crate) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Adds a managed identity, or replaces what is known of it.
    ///
    /// # Errors
    /// A federated credential carries a key that cannot be read.
    pub(crate) fn enrol(&self, enrolment: Enrolment) -> Result<(), DirectoryError> {
        self.identities.enrol(enrolment, &self.keys)
    }

    /// What Azure calls the kind of the principal `object_id`; none before the directory has heard of it.
    pub(crate) fn principal_type(&self, object_id: Uuid, now: Timestamp) -> Option<&'static str> {
        if self.user.as_ref().is_some_and(|user| user.object_id == object_id) {
            return Some("User");
        }
        let is_application = self.applications.iter().any(|one| one.object_id == object_id);
        (is_application || self.identities.knows(object_id, now)).then_some("ServicePrincipal")
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    pub(crate) fn expires_on(&self) -> ExpiresOnForm {
        self.expires_on
    }

    pub(crate) fn key_set(&self) -> JwkSet {
        JwkSet { keys: vec![self.keys.signing().jwk().clone()] }
    }

    /// Checks a client assertion of `application`; `endpoints` are the names of the endpoint it was sent to.
    pub(crate) fn check_assertion(
        &self,
        application: &Registration,
        (assertion, endpoints): (&str, &[String]),
        now: Timestamp,
    ) -> Result<(), AssertionProblem> {
        application.check_assertion(assertion, endpoints, (self.keys.issuer(), now))
    }

    pub(crate) fn issue(&self, principal: Principal<'_>, audience: &str, now: Timestamp) -> Issued {
        let lifetime = match principal {
            Principal::ManagedIdentity(_) => self.managed_identity_lifetime,
            Principal::Application(_) | Principal::User(_) => self.entra_lifetime,
        };
        token::issue(self.keys.signing(), (self.tenant, principal), audience, (now, lifetime))
    }

    /// The managed identity that a request means; ids compare without regard to case.
    pub(crate) fn managed_identity(&self, selector: &Selector) -> Result<Arc<ManagedIdentity>, SelectionProblem> {
        self.identities.select(selector)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Directory").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

fn given_or_random(given: Option<seed::ClientSecret>) -> String {
    given.map_or_else(|| Uuid::new_v4().simple().to_string(), |secret| secret.0)
}

fn check_ids(seed: &DirectorySeed) -> Result<(), DirectoryError> {
    let applications = seed.applications.iter().flat_map(|one| [one.app_id, one.object_id]);
    let identities = seed.managed_identities.iter().flat_map(|one| [one.client_id, one.object_id]);
    let users = seed.user.iter().map(|one| one.object_id);
    let mut taken = HashSet::new();
    match applications.chain(identities).chain(users).find(|id| !taken.insert(*id)) {
        Some(id) => Err(DirectoryError::Duplicate { id }),
        None => Ok(()),
    }
}
