//! The administrator's endpoint: what the command line asks of a running emulator.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::cloud::Cloud;
use crate::fault::{Fault, FaultError};
use crate::vault::{ChangeError, Draft, Network, RoleGrant, SecretText};

/// Where commands are posted.
pub(crate) const PATH: &str = "/emulator/command";

/// What an administrator can ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Command {
    SetSecret { vault: String, name: String, value: SecretText, content_type: Option<String> },
    EnableSecret { vault: String, name: String, enabled: bool },
    DeleteSecret { vault: String, name: String },
    GrantRole { vault: String, grant: RoleGrant },
    RevokeRole { vault: String, grant: RoleGrant },
    SetFirewall { vault: String, network: Network },
    AddFault { fault: Fault },
    ListFaults,
    ClearFaults,
    AdvanceClock { by: Duration },
    ListRequests,
    FederatedToken { issuer: String, subject: String, audience: String },
    ClientCertificate { app_id: Uuid },
}

/// Why a command was not obeyed.
#[derive(Debug, Error)]
enum CommandError {
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("application {0} has no certificate that the emulator made")]
    NoCertificate(Uuid),
}

impl IntoResponse for CommandError {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// The endpoint's routes, for whoever shows `token`.
pub(crate) fn router(cloud: Arc<Cloud>, token: &str) -> Router {
    let expected = format!("Bearer {token}");
    let admitted = move |request: Request, next: Next| {
        let shown = request.headers().get(header::AUTHORIZATION).is_some_and(|value| value == expected.as_str());
        async move { if shown { next.run(request).await } else { StatusCode::UNAUTHORIZED.into_response() } }
    };
    Router::new().route(PATH, post(obey)).layer(middleware::from_fn(admitted)).with_state(cloud)
}

async fn obey(State(cloud): State<Arc<Cloud>>, Json(command): Json<Command>) -> Result<Json<Value>, CommandError> {
    let changes = !matches!(command, Command::ListFaults | Command::ListRequests);
    let answer = perform(&cloud, command)?;
    if changes {
        cloud.save_or_warn();
    }
    Ok(Json(answer))
}

fn perform(cloud: &Cloud, command: Command) -> Result<Value, CommandError> {
    let (vaults, now) = (&cloud.vaults, cloud.clock.now());
    match command {
        Command::SetSecret { vault, name, value, content_type } => {
            let draft = Draft { content_type, ..Draft::plain(value) };
            return Ok(json!({ "version": vaults.set_secret(&vault, &name, draft, now)? }));
        }
        Command::EnableSecret { vault, name, enabled } => vaults.enable_secret(&vault, &name, enabled, now)?,
        Command::DeleteSecret { vault, name } => vaults.delete_secret(&vault, &name, now)?,
        Command::GrantRole { vault, grant } => vaults.grant_role(&vault, &grant, now)?,
        Command::RevokeRole { vault, grant } => vaults.revoke_role(&vault, &grant, now)?,
        Command::SetFirewall { vault, network } => vaults.set_network(&vault, network)?,
        Command::AddFault { fault } => return Ok(json!({ "id": cloud.faults.add(fault)? })),
        Command::ListFaults => return Ok(json!(cloud.faults.list())),
        Command::ClearFaults => cloud.faults.clear(),
        Command::AdvanceClock { by } => {
            cloud.clock.advance(by);
            return Ok(json!({ "now": cloud.clock.now().to_string() }));
        }
        Command::ListRequests => return Ok(json!(cloud.requests.entries())),
        Command::FederatedToken { issuer, subject, audience } => {
            return Ok(json!({ "token": cloud.directory.mint_federated(&issuer, &subject, &audience, now) }));
        }
        Command::ClientCertificate { app_id } => {
            let certificate = cloud.directory.certificate_pem(app_id).ok_or(CommandError::NoCertificate(app_id))?;
            return Ok(json!({ "pem": certificate }));
        }
    }
    Ok(Value::Null)
}
