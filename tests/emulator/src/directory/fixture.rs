//! The directory that tests of this side work with, and a way to send one request to a router.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use uuid::{Uuid, uuid};

use super::{Directory, DirectorySeed};

pub(crate) const TENANT: Uuid = uuid!("11111111-2222-3333-4444-555555555555");
pub(crate) const APP: Uuid = uuid!("a0000000-0000-0000-0000-000000000001");
pub(crate) const APP_OBJECT: Uuid = uuid!("a0000000-0000-0000-0000-0000000000ff");
pub(crate) const SYSTEM: Uuid = uuid!("b0000000-0000-0000-0000-000000000001");
pub(crate) const ASSIGNED: Uuid = uuid!("b0000000-0000-0000-0000-000000000002");
pub(crate) const ASSIGNED_OBJECT: Uuid = uuid!("b0000000-0000-0000-0000-0000000000fe");
pub(crate) const USER_OBJECT: Uuid = uuid!("c0000000-0000-0000-0000-0000000000ff");
pub(crate) const VAULT: &str = "https://vault.azure.net";
pub(crate) const CLUSTER: &str = "https://cluster.example/";
pub(crate) const SUBJECT: &str = "system:serviceaccount:default:pipeline";
pub(crate) const ASSIGNED_RESOURCE: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/pipeline";

/// A seed with one of everything.
pub(crate) const SEED: &str = r#"
tenant = "11111111-2222-3333-4444-555555555555"

[[applications]]
app_id = "a0000000-0000-0000-0000-000000000001"
object_id = "a0000000-0000-0000-0000-0000000000ff"
secrets = ["first-secret", "s%cond+s/cret:"]
certificate = "generate"

[[applications.federated_credentials]]
issuer = "https://cluster.example/"
subject = "system:serviceaccount:default:pipeline"

[[managed_identities]]
client_id = "b0000000-0000-0000-0000-000000000001"
object_id = "b0000000-0000-0000-0000-0000000000ff"
kind = "system-assigned"

[[managed_identities]]
client_id = "b0000000-0000-0000-0000-000000000002"
object_id = "b0000000-0000-0000-0000-0000000000fe"
resource_id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/pipeline"

[user]
object_id = "c0000000-0000-0000-0000-0000000000ff"
name = "ada@example.com"

[app_service]
identity_header = "header-value"

[azure_ml]
secret = "msi-secret"
"#;

/// Keys are made once for all tests: each costs a tenth of a second.
static KEYS: LazyLock<String> = LazyLock::new(|| {
    let empty = Directory::new(DirectorySeed::default(), None).unwrap();
    empty.keys_pem()
});

pub(crate) fn directory(seed: &str) -> Directory {
    Directory::new(toml::from_str(seed).unwrap(), Some(&KEYS)).unwrap()
}

pub(crate) fn shared() -> Arc<Directory> {
    Arc::new(directory(SEED))
}

/// One answer of a router.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn get(router: &Router, address: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::get(address), |request, (name, value)| request.header(*name, *value));
    send(router, request.body(Body::empty()).unwrap()).await
}
