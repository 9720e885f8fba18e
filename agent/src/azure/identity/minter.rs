//! Gets a token from a source; those that `azure_identity` knows are asked through it.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::ClientMethodOptions;
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, Executor,
};

use super::attempt::Obstacle;
use super::certificate::CertificateAssertion;
use super::entra::{Authority, EntraRefusal};
use super::source::{ClientSecret, Plan};
use crate::azure::quotation::first_line;
use crate::azure::transport::{Transport, TransportError};
use crate::causes::with_causes;
use crate::clock::Clock;

/// Longest wait for the Azure CLI, a Python program that may have to refresh its own token first.
const AZURE_CLI_TIMEOUT: Duration = Duration::from_secs(15);

/// Gets tokens: from Azure, or from a list in tests.
#[async_trait]
pub(super) trait Mint: Send + Sync {
    /// Gets one token for `scope` by `plan`, or says why not.
    async fn mint(&self, plan: &Plan, scope: &str) -> Result<AccessToken, Obstacle>;
}

/// Asks Azure for tokens.
pub(super) struct Minter {
    pub(super) transport: Arc<Transport>,
    pub(super) authority: Authority,
    pub(super) clock: Arc<dyn Clock>,
}

/// One of the SDK's ways to sign in.
type Credential = Arc<dyn TokenCredential>;

#[async_trait]
impl Mint for Minter {
    async fn mint(&self, plan: &Plan, scope: &str) -> Result<AccessToken, Obstacle> {
        Ok(sendable(self.ask(plan, scope).await?)?)
    }
}

impl Minter {
    async fn ask(&self, plan: &Plan, scope: &str) -> Result<AccessToken, Obstacle> {
        let credential = match plan {
            Plan::Platform(endpoint) => {
                let resource = scope.strip_suffix("/.default").unwrap_or(scope);
                let token = endpoint.token(&self.transport, resource, self.clock.now()).await;
                return token.map_err(|error| Obstacle { reason: with_causes(&error), passing: error.is_passing() });
            }
            Plan::ClientSecret { tenant_id, client_id, secret } => self.client_secret(tenant_id, client_id, secret)?,
            Plan::ClientCertificate { tenant_id, client_id, path } => {
                let endpoint = self.authority.token_endpoint(tenant_id);
                let assertion = CertificateAssertion::read(path, client_id, endpoint, Arc::clone(&self.clock));
                self.client_assertion(tenant_id, client_id, assertion.map_err(|error| with_causes(&error))?)?
            }
            Plan::WorkloadIdentity { tenant_id, client_id, token_file } => {
                let token = Secret::new(read_line(token_file)?);
                self.client_assertion(tenant_id, client_id, FederatedToken(token))?
            }
            Plan::AzureCli { tenant_id } => azure_cli(tenant_id.clone())?,
        };
        let token = credential.get_token(&[scope], None).await;
        token.map_err(|error| Obstacle { reason: reason(&error), passing: is_passing(&error) })
    }

    fn client_secret(&self, tenant_id: &str, client_id: &str, secret: &ClientSecret) -> Result<Credential, String> {
        let secret = match secret {
            ClientSecret::Text(secret) => secret.clone(),
            ClientSecret::File(path) => Secret::new(read_line(path)?),
        };
        let options = ClientSecretCredentialOptions { client_options: self.authority.options(&self.transport) };
        match ClientSecretCredential::new(tenant_id, client_id.to_owned(), secret, Some(options)) {
            Ok(credential) => Ok(credential),
            Err(error) => Err(reason(&error)),
        }
    }

    fn client_assertion(
        &self,
        tenant_id: &str,
        client_id: &str,
        assertion: impl ClientAssertion + 'static,
    ) -> Result<Credential, String> {
        let options = ClientAssertionCredentialOptions { client_options: self.authority.options(&self.transport) };
        match ClientAssertionCredential::new(tenant_id.to_owned(), client_id.to_owned(), assertion, Some(options)) {
            Ok(credential) => Ok(credential),
            Err(error) => Err(reason(&error)),
        }
    }
}

/// Refuses a token that no request could carry; held, it would have every request refused until it expires.
///
/// The characters of a token are fewer (`b64token` in RFC 6750, section 2.1), but it is for the vault to mind those.
fn sendable(token: AccessToken) -> Result<AccessToken, String> {
    let text = token.token.secret();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err("the token that it gave is empty or has characters that no request can carry".to_owned())
    }
}

fn azure_cli(tenant_id: Option<String>) -> Result<Credential, String> {
    let executor: Option<Arc<dyn Executor>> = Some(Arc::new(BoundedExecutor));
    let options = AzureCliCredentialOptions { tenant_id, executor, ..AzureCliCredentialOptions::default() };
    match AzureCliCredential::new(Some(options)) {
        Ok(credential) => Ok(credential),
        Err(error) => Err(reason(&error)),
    }
}

/// A token of a federated issuer, read anew for each sign-in. The credential that the SDK has for it would send along
/// the line break with which most tools end a file.
#[derive(Debug)]
struct FederatedToken(Secret);

#[async_trait]
impl ClientAssertion for FederatedToken {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.secret().to_owned())
    }
}

/// What a file holds, without the line break at its end.
fn read_line(path: &Path) -> Result<String, String> {
    let unreadable = |cause| with_causes(&Unreadable { path: path.to_owned(), cause });
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A file of the operator's cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read {path}")]
struct Unreadable {
    path: PathBuf,
    #[source]
    cause: std::io::Error,
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

/// Whether the sign-in service could not be reached, or answered that it cannot serve.
fn is_passing(outermost: &azure_core::Error) -> bool {
    std::iter::successors(outermost.source(), |&error| error.source()).any(|error| {
        let refused = error.downcast_ref().is_some_and(EntraRefusal::is_passing);
        refused || error.downcast_ref().is_some_and(TransportError::is_passing)
    })
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
            return format!("{}: {error}", first_line(&outermost.to_string()));
        }
        if error.is::<serde_json::Error>() {
            return "its answer is no token".to_owned();
        }
        cause = error.source();
    }
    first_line(&outermost.to_string())
}
