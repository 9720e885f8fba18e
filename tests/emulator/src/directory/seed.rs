//! What a seed file says about the directory: tenant, applications, managed identities, the user, token lifetimes.

use std::fmt;

use serde::Deserialize;
use uuid::Uuid;

use crate::seed::Delay;

/// The tenant of a seed that names none.
pub const DEFAULT_TENANT: Uuid = Uuid::from_u128(0x72f9_88bf_86f1_41af_91ab_2d7c_d011_db47);

/// The audience that workload identity asks of a projected token when the credential names none.
pub const TOKEN_EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The identities of one tenant, as a seed file declares them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectorySeed {
    /// The only tenant there is.
    pub tenant: Uuid,
    /// Applications with their service principals.
    pub applications: Vec<Application>,
    /// Identities that IMDS, App Service and Azure ML hand out tokens for.
    pub managed_identities: Vec<ManagedIdentity>,
    /// The person on whose behalf an Azure ML job runs.
    pub user: Option<User>,
    /// How long tokens live.
    pub lifetimes: Lifetimes,
    /// The App Service endpoint.
    pub app_service: AppServiceSeed,
    /// The Azure ML compute endpoint.
    pub azure_ml: AzureMlSeed,
}

impl Default for DirectorySeed {
    fn default() -> Self {
        Self {
            tenant: DEFAULT_TENANT,
            applications: Vec::new(),
            managed_identities: Vec::new(),
            user: None,
            lifetimes: Lifetimes::default(),
            app_service: AppServiceSeed::default(),
            azure_ml: AzureMlSeed::default(),
        }
    }
}

/// One application and the ways it may prove itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The client id.
    pub app_id: Uuid,
    /// The object id of its service principal: what role assignments name.
    pub object_id: Uuid,
    /// Client secrets, any of which is accepted.
    #[serde(default)]
    pub secrets: Vec<ClientSecret>,
    /// `"generate"`, or the PEM of a certificate that the application signs its assertions with.
    #[serde(default)]
    pub certificate: Option<CertificateSource>,
    /// Foreign tokens that are accepted as the application's own.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A client secret, which no log shows.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct ClientSecret(pub String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// Where an application's certificate comes from.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(from = "String")]
pub enum CertificateSource {
    /// The emulator makes a key and a self-signed certificate.
    Generate,
    /// This PEM certificate is registered; the key stays with whoever made it.
    Pem(String),
}

impl From<String> for CertificateSource {
    fn from(text: String) -> Self {
        if text == "generate" { Self::Generate } else { Self::Pem(text) }
    }
}

/// A trust in tokens of another issuer: what AKS workload identity configures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// The `iss` that the token must carry, compared byte by byte.
    pub issuer: String,
    /// The `sub` that the token must carry, compared byte by byte.
    pub subject: String,
    /// The `aud` that the token must carry.
    #[serde(default = "token_exchange_audience")]
    pub audience: String,
    /// The issuer's RSA public key or certificate in PEM. Without this and `jwks`, the emulator's own issuer key.
    #[serde(default)]
    pub public_key: Option<String>,
    /// The issuer's key set as JSON text (RFC 7517 section 5).
    #[serde(default)]
    pub jwks: Option<String>,
}

fn token_exchange_audience() -> String {
    TOKEN_EXCHANGE_AUDIENCE.to_owned()
}

/// An identity that the platform signs in, without a secret of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    /// The client id.
    pub client_id: Uuid,
    /// The object id of its service principal.
    pub object_id: Uuid,
    /// The ARM id of a user-assigned identity.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Whether it belongs to the machine or was assigned to it.
    #[serde(default)]
    pub kind: IdentityKind,
}

/// The two kinds of managed identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKind {
    /// The machine's own: the one meant when a request names none.
    SystemAssigned,
    /// One of any number that are assigned.
    #[default]
    UserAssigned,
}

/// A person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The object id: what role assignments name.
    pub object_id: Uuid,
    /// The sign-in name, for the `upn` claim.
    pub name: String,
    /// The client through which the person signed in.
    #[serde(default = "azure_ml_app")]
    pub app_id: Uuid,
}

/// The first-party application id of Azure Machine Learning.
const fn azure_ml_app() -> Uuid {
    Uuid::from_u128(0x0736_f41a_0425_4b46_bdb5_1563_eff0_2385)
}

/// How long tokens live.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lifetimes {
    /// Those that Entra itself hands out; without, as long as the real service says.
    pub entra: Option<Delay>,
    /// Those of managed identities; without, as long as IMDS says.
    pub managed_identity: Option<Delay>,
}

/// The App Service endpoint's settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppServiceSeed {
    /// What `X-IDENTITY-HEADER` must be; a random value without.
    pub identity_header: Option<ClientSecret>,
}

/// The Azure ML endpoint's settings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureMlSeed {
    /// What the header `secret` must be; a random value without.
    pub secret: Option<ClientSecret>,
    /// How `expires_on` is written.
    pub expires_on: ExpiresOnForm,
}

/// The forms in which `expires_on` has been seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpiresOnForm {
    /// `1586984735`.
    Integer,
    /// `"1586984735"`.
    #[default]
    NumericString,
    /// `"06/20/2019 02:57:58 +00:00"`, of the App Service API of 2017 on Linux.
    DateText,
    /// `"1/16/2020 5:24:12 AM +00:00"`, of the same API on Windows.
    DateTextTwelveHours,
}
