//! What an operator may say about the identity. Whatever is left out comes from the variables of the platform.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

use crate::environment::Environment;

/// What an operator says about the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which sources to consider.
    pub kind: Kind,
    /// The directory, else `AZURE_TENANT_ID`.
    pub tenant_id: Option<String>,
    /// The application or user-assigned identity, else `AZURE_CLIENT_ID` (`DEFAULT_IDENTITY_CLIENT_ID` on Azure ML).
    pub client_id: Option<String>,
    /// A user-assigned identity by its object instead of its client id.
    pub object_id: Option<String>,
    /// A file with a PEM certificate and its private key, else `AZURE_CLIENT_CERTIFICATE_PATH`.
    pub certificate_path: Option<PathBuf>,
    /// A file that holds a client secret, else the variable `AZURE_CLIENT_SECRET`.
    pub client_secret_file: Option<PathBuf>,
    /// A file with a token of a federated issuer, else `AZURE_FEDERATED_TOKEN_FILE`.
    pub token_file: Option<PathBuf>,
}

impl Settings {
    /// Where a source must be able to write: the Azure CLI keeps its own tokens in `AZURE_CONFIG_DIR`, else in `~/.azure`.
    #[must_use]
    pub fn writable(&self, environment: &Environment) -> Option<PathBuf> {
        if !matches!(self.kind, Kind::Auto | Kind::AzureCli) {
            return None;
        }
        let named = environment.get("AZURE_CONFIG_DIR").map(PathBuf::from);
        named.or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".azure")))
    }
}

/// Which sources of tokens to consider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Every source, in the order of the other Azure SDKs, until one gives a token.
    #[default]
    Auto,
    /// An application with a secret.
    ClientSecret,
    /// An application with a certificate.
    ClientCertificate,
    /// A token of a federated issuer, as Kubernetes mounts it.
    WorkloadIdentity,
    /// The identity of the machine, of App Service or of Container Apps.
    ManagedIdentity,
    /// The identity of an Azure Machine Learning compute.
    AzureMl,
    /// The user on whose behalf an Azure Machine Learning job runs.
    AzureMlOnBehalfOf,
    /// Whoever has signed in to the Azure CLI.
    AzureCli,
}

/// Says why a text is no [`Kind`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no kind of identity: write one of {known}", known = Kind::ALL.map(Kind::name).join(", "))]
pub struct UnknownKind(String);

impl Kind {
    const ALL: [Self; 8] = [
        Self::Auto,
        Self::ClientSecret,
        Self::ClientCertificate,
        Self::WorkloadIdentity,
        Self::ManagedIdentity,
        Self::AzureMl,
        Self::AzureMlOnBehalfOf,
        Self::AzureCli,
    ];

    /// The word for it in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ClientSecret => "client-secret",
            Self::ClientCertificate => "client-certificate",
            Self::WorkloadIdentity => "workload-identity",
            Self::ManagedIdentity => "managed-identity",
            Self::AzureMl => "azure-ml",
            Self::AzureMlOnBehalfOf => "azure-ml-on-behalf-of",
            Self::AzureCli => "azure-cli",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or_else(|| UnknownKind(text.escape_debug().take(100).collect()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_azure_cli_writes_and_where_it_is_told_to() {
        let here = Environment::from([("HOME", "/home/ada")]);
        let moved = Environment::from([("HOME", "/home/ada"), ("AZURE_CONFIG_DIR", "/elsewhere")]);
        let rows = [
            (Kind::AzureCli, &here, Some("/home/ada/.azure")),
            (Kind::Auto, &moved, Some("/elsewhere")),
            (Kind::ManagedIdentity, &here, None),
        ];
        for (kind, environment, expected) in rows {
            let settings = Settings { kind, ..Settings::default() };
            assert_eq!(settings.writable(environment).as_deref(), expected.map(Path::new), "{kind} {environment:?}");
        }
    }

    #[test]
    fn every_kind_is_read_back_from_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "managed".parse::<Kind>().expect_err("no kind").to_string();
        assert!(error.contains("managed-identity"), "{error}");
    }
}
