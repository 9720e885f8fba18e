//! How a token is got from each source; those that `azure_identity` knows are asked through it.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, Executor, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};

use super::attempt::with_causes;
use super::certificate::CertificateAssertion;
use super::entra::{Authority, EntraRefusal};
use super::platform::Endpoint;
use crate::azure::transport::{Transport, TransportError};
use crate::clock::Clock;

/// Longest wait for the Azure CLI, a Python program that may have to refresh its own token first.
const AZURE_CLI_TIMEOUT: Duration = Duration::from_secs(15);

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

/// A client secret, or the file to read it from each time.
#[derive(Debug)]
pub(super) enum ClientSecret {
    Text(Secret),
    File(PathBuf),
}

/// Gets tokens: from Azure, or from a list in tests.
#[async_trait]
pub(super) trait Mint: Send + Sync {
    /// Gets one token for `scope` by `plan`, or says why not, in words without any secret.
    async fn mint(&self, plan: &Plan, scope: &str) -> Result<AccessToken, String>;
}

/// Asks Azure for tokens.
pub(super) struct Minter {
    pub(super) transport: Arc<Transport>,
    pub(super) authority: Authority,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Mint for Minter {
    async fn mint(&self, plan: &Plan, scope: &str) -> Result<AccessToken, String> {
        let credential = match plan {
            Plan::Platform(endpoint) => {
                let resource = scope.strip_suffix("/.default").unwrap_or(scope);
                let token = endpoint.token(&self.transport, resource, self.clock.now()).await;
                return token.map_err(|error| with_causes(&error));
            }
            Plan::AzureCli { tenant_id } => azure_cli(tenant_id.clone()),
            Plan::ClientSecret { tenant_id, client_id, secret } => self.client_secret(tenant_id, client_id, secret)?,
            Plan::ClientCertificate { tenant_id, client_id, path } => {
                let endpoint = self.authority.token_endpoint(tenant_id);
                let assertion = CertificateAssertion::read(path, (client_id, endpoint), Arc::clone(&self.clock))
                    .map_err(|error| with_causes(&error))?;
                let options =
                    ClientAssertionCredentialOptions { client_options: self.authority.options(&self.transport) };
                ClientAssertionCredential::new(tenant_id.clone(), client_id.clone(), assertion, Some(options))
                    .map(|credential| -> Arc<dyn TokenCredential> { credential })
            }
            Plan::WorkloadIdentity { tenant_id, client_id, token_file } => {
                let mut options = WorkloadIdentityCredentialOptions::default();
                options.credential_options.client_options = self.authority.options(&self.transport);
                options.client_id = Some(client_id.clone());
                options.tenant_id = Some(tenant_id.clone());
                options.token_file_path = Some(token_file.clone());
                WorkloadIdentityCredential::new(Some(options))
                    .map(|credential| -> Arc<dyn TokenCredential> { credential })
            }
        };
        let credential = credential.map_err(|error| reason(&error))?;
        credential.get_token(&[scope], None).await.map_err(|error| reason(&error))
    }
}

impl Minter {
    fn client_secret(
        &self,
        tenant_id: &str,
        client_id: &str,
        secret: &ClientSecret,
    ) -> Result<azure_core::Result<Arc<dyn TokenCredential>>, String> {
        let secret = match secret {
            ClientSecret::Text(secret) => secret.clone(),
            ClientSecret::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| format!("could not read the client secret {}: {cause}", path.display()))?;
                Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let options = ClientSecretCredentialOptions { client_options: self.authority.options(&self.transport) };
        Ok(ClientSecretCredential::new(tenant_id, client_id.to_owned(), secret, Some(options))
            .map(|credential| -> Arc<dyn TokenCredential> { credential }))
    }
}

fn azure_cli(tenant_id: Option<String>) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let executor: Option<Arc<dyn Executor>> = Some(Arc::new(BoundedExecutor));
    let options = AzureCliCredentialOptions { tenant_id, executor, ..AzureCliCredentialOptions::default() };
    AzureCliCredential::new(Some(options)).map(|credential| -> Arc<dyn TokenCredential> { credential })
}

/// Runs a command for a limited time and does not leave it behind.
#[derive(Debug)]
struct BoundedExecutor;

#[async_trait]
impl Executor for BoundedExecutor {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> std::io::Result<Output> {
        let mut command = tokio::process::Command::new(program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(AZURE_CLI_TIMEOUT, command.output()).await?
    }
}

/// What an error of `azure_identity` comes down to. Its own text repeats that of its cause and ends with a link, and
/// where it could not parse an answer it may quote from it.
fn reason(outermost: &azure_core::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(outermost);
    while let Some(error) = cause {
        if error.is::<EntraRefusal>() || error.is::<TransportError>() {
            return with_causes(error);
        }
        if error.is::<std::io::Error>() {
            return format!("{}: {error}", first_line(outermost));
        }
        if error.is::<serde_json::Error>() {
            return "its answer is no token".to_owned();
        }
        cause = error.source();
    }
    first_line(outermost)
}

fn first_line(error: &azure_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
