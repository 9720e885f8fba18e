//! The trust of the agent's identity in a Kubernetes service account.

use serde_json::json;

use super::{identity, numbered_name};
use crate::config::{AgentIdentity, Config, ServiceAccount};
use crate::declaration::{ChangedBy, Declaration, Mark};
use crate::field::Field;
use crate::item::Key;

/// Whom the cluster's tokens are for.
/// Source: <https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust-user-assigned-managed-identity>.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// The federated credential of the identity.
#[must_use]
pub fn declare(config: &Config, identity: &AgentIdentity, account: &ServiceAccount) -> Declaration {
    let ServiceAccount { issuer, subject } = account;
    Declaration {
        key: Key::Unnamed,
        kind: "federated credential",
        id: config.id_of(identity::KIND, &identity.place).child("federatedIdentityCredentials", &numbered_name(config)),
        api: identity::API,
        mark: Mark::Name,
        document: json!({"properties": {"issuer": issuer, "subject": subject, "audiences": [AUDIENCE]}}),
        fields: vec![
            Field::new("properties.issuer", issuer.as_str()),
            Field::new("properties.subject", subject.as_str()),
            Field::new("properties.audiences", json!([AUDIENCE])),
        ],
        changed_by: ChangedBy::Put,
        purge_query: "",
    }
}
