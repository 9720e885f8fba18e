//! What Keyside needs of a vault, and what a fetch can answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use thiserror::Error;

use crate::schedule::{Facts, Kind};
use crate::secret::{Secret, SecretName, Version};

/// Where secrets come from: Azure Key Vault, or a fake in tests.
pub trait Vault: Send + Sync + 'static {
    /// Fetches one secret.
    ///
    /// # Errors
    /// [`FetchError`], one variant for each decision that a caller can take.
    fn fetch(&self, source: &Source) -> impl Future<Output = Result<Secret, FetchError>> + Send;

    /// Lists what is in the vault, in at most `calls_max` requests.
    ///
    /// # Errors
    /// [`FetchError`], as for one secret; [`FetchError::Denied`] where this identity may read secrets and not list them.
    fn list(&self, calls_max: usize) -> impl Future<Output = Result<Listed, FetchError>> + Send;
}

/// What a list brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Every secret of the vault, by its [folded](SecretName::folded) name.
    Whole {
        /// What the list says about each.
        facts: BTreeMap<SecretName, Facts>,
        /// How many requests it took.
        calls: usize,
    },
    /// It goes on beyond the requests that were allowed.
    TooLong {
        /// How many were made.
        calls: usize,
    },
}

impl Listed {
    /// How many requests were made for it.
    #[must_use]
    pub fn calls(&self) -> usize {
        match self {
            Self::Whole { calls, .. } | Self::TooLong { calls } => *calls,
        }
    }
}

/// What is fetched by one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// What the vault calls it.
    pub name: SecretName,
    /// The version to keep to, or none for the newest.
    pub version: Option<Version>,
    /// How the vault is to give it.
    pub delivery: Delivery,
}

/// How a vault gives a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// As it was stored.
    #[default]
    AsStored,
    /// A certificate's secret as PEM, whatever it was stored as.
    AsPem,
}

/// Why a fetch brought no secret, by what follows from it.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The vault is there and says that this identity may not read the secret.
    #[error("the vault denies access to it ({code}): {remedy}")]
    Denied {
        /// Key Vault's inner error code, `ForbiddenByRbac` for instance.
        code: &'static str,
        /// What grants the access.
        remedy: &'static str,
    },
    /// The vault has no such secret, or no such version of it.
    #[error("the vault has no such secret or version: create it there, or correct the name or version asked for")]
    NotFound,
    /// The secret, or this version of it, is disabled.
    #[error("the secret is disabled in the vault")]
    Disabled,
    /// Too many requests reached the vault.
    #[error("the vault is throttling requests")]
    Throttled {
        /// How long the vault asks to wait; Key Vault seldom says.
        retry_after: Option<Duration>,
    },
    /// The vault could not be reached, did not answer in time, or answered that it cannot serve.
    #[error("the vault cannot be reached")]
    Unavailable(#[source] Cause),
    /// No token could be had for the vault.
    #[error("no token for the vault")]
    NoToken(#[source] Cause),
    /// The answer, or the value in it, is not what Key Vault promises.
    #[error("the vault's answer cannot be used")]
    Unusable(#[source] Cause),
}

/// The reason behind a [`FetchError`], free of any secret.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl FetchError {
    /// Whether a later try may succeed without anyone changing the vault or the configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable(_) | Self::NoToken(_))
    }

    /// What the vault says about the secret itself where it refuses it. None where the vault does not answer, or answers
    /// something that it does not promise: then nothing is known of the secret.
    #[must_use]
    pub fn refusal(&self) -> Option<Kind> {
        match self {
            Self::Denied { .. } => Some(Kind::Denied),
            Self::NotFound | Self::Disabled => Some(Kind::Gone),
            Self::Throttled { .. } | Self::Unavailable(_) | Self::NoToken(_) | Self::Unusable(_) => None,
        }
    }

    /// How long the vault asks to wait, where it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => *retry_after,
            _ => None,
        }
    }

    /// A stable word for programs: metrics, status and problem documents.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::NotFound => "not_found",
            Self::Disabled => "disabled",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::NoToken(_) => "no_token",
            Self::Unusable(_) => "unusable",
        }
    }
}
