//! Where a token can come from, and what is needed to ask there.

use std::fmt;
use std::path::PathBuf;

use azure_core::credentials::Secret;
use hyper::Uri;

use super::platform::Endpoint;
use crate::azure::transport::Reach;

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An application with a secret.
    ClientSecret,
    /// An application with a certificate.
    ClientCertificate,
    /// A token of a federated issuer.
    WorkloadIdentity,
    /// App Service, Functions and Container Apps.
    AppService,
    /// An Azure Machine Learning compute.
    AzureMl,
    /// The user of an Azure Machine Learning job.
    AzureMlOnBehalfOf,
    /// The instance metadata service of a virtual machine.
    Imds,
    /// The Azure CLI.
    AzureCli,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientSecret => "client secret",
            Self::ClientCertificate => "client certificate",
            Self::WorkloadIdentity => "workload identity",
            Self::AppService => "App Service identity",
            Self::AzureMl => "Azure ML identity",
            Self::AzureMlOnBehalfOf => "Azure ML user",
            Self::Imds => "IMDS",
            Self::AzureCli => "Azure CLI",
        })
    }
}

/// Everything that is needed to ask one source.
#[derive(Debug)]
pub(super) enum Plan {
    ClientSecret { tenant_id: String, client_id: String, secret: ClientSecret },
    ClientCertificate { tenant_id: String, client_id: String, path: PathBuf },
    WorkloadIdentity { tenant_id: String, client_id: String, token_file: PathBuf },
    Platform(Endpoint),
    AzureCli { tenant_id: Option<String> },
}

impl Plan {
    /// The endpoint of a platform, and the way there.
    pub(super) fn platform(&self) -> Option<(Uri, Reach)> {
        match self {
            Self::Platform(endpoint) => endpoint.place(),
            _ => None,
        }
    }
}

/// A client secret, or the file to read it from each time.
#[derive(Debug)]
pub(super) enum ClientSecret {
    Text(Secret),
    File(PathBuf),
}
