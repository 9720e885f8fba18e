//! One request: remembered, struck by its fault, and answered by the service it is meant for.

use std::net::IpAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::uri::Authority;
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::service::Service;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;

use super::Server;
use super::destination::{self, Destination, host};
use super::disturb;
use crate::arm::ArmRequest;
use crate::request_log::Entry;
use crate::vault::{Surroundings, VaultRequest};

/// More than any request that a vault accepts: values end at 25 KB, backups hold every version of one.
const LONGEST_BODY: usize = 8 * 1024 * 1024;

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const APP_SERVICE_HEADER: HeaderName = HeaderName::from_static("x-identity-header");
const AZURE_ML_HEADER: HeaderName = HeaderName::from_static("secret");

/// The connection breaks without an answer, because a fault wants it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("connection is broken by a fault")]
pub(super) struct Broken;

/// The line that a request came over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) client: IpAddr,
    pub(super) protection: Protection,
}

/// Whether a line is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    Tls,
    Plain,
}

impl Server {
    /// Answers one request that is no CONNECT.
    pub(super) async fn answer(&self, request: Request<Incoming>, line: Line) -> Result<Response<Body>, Broken> {
        let authority = authority(&request);
        let host = host(&authority);
        let destination = Destination::of(host, request.uri().path());
        let (parts, body) = request.into_parts();
        // Read in any case: a request that is answered without being read costs the client its connection.
        let body = Limited::new(body, LONGEST_BODY).collect().await.map(Collected::to_bytes);
        let Ok(body) = body else {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "larger than any request of the emulator's clients\n"));
        };
        let request = Request::from_parts(parts, body);
        if destination == Destination::Admin {
            return Ok(hand_to(&self.admin, request).await);
        }
        let entry = self.entry(request.method().as_str(), host, request.uri().path());
        self.cloud.resource_manager.settle(&self.cloud.world());
        let fault = self.cloud.faults.take(&entry.method, &entry.host, &entry.path);
        let entry = Entry { fault: fault.as_ref().map(|fault| fault.id), ..entry };
        let fault = fault.map(|scripted| scripted.fault).unwrap_or_default();
        self.cloud.requests.until(&entry, fault.hold_back()).await;
        match (fault.hang, fault.cut) {
            (true, None | Some(0)) => {
                self.cloud.requests.add(entry);
                return std::future::pending().await;
            }
            (false, Some(0)) => {
                self.cloud.requests.add(entry);
                return Err(Broken);
            }
            _ => {}
        }
        let response = match fault.status {
            Some(_) => Response::new(Body::empty()),
            None if line.protection == Protection::Plain && destination::needs_tls(host) => unreachable_in_plain(host),
            None => self.route(&destination, request, (&authority, line.client)).await,
        };
        let response = disturb::apply(&fault, &destination, response).await;
        self.cloud.requests.add(Entry { status: Some(response.status().as_u16()), ..entry });
        Ok(response)
    }

    /// What the request log says about a request before it is answered.
    pub(super) fn entry(&self, method: &str, host: &str, path: &str) -> Entry {
        Entry {
            time: self.cloud.clock.now().to_string(),
            method: method.into(),
            host: host.into(),
            path: path.into(),
            status: None,
            fault: None,
        }
    }

    async fn route(
        &self,
        destination: &Destination,
        request: Request<Bytes>,
        (authority, client): (&str, IpAddr),
    ) -> Response<Body> {
        match destination {
            Destination::Vault(name) => self.ask_vault(name, request, (authority, client)),
            Destination::FirstVault => {
                let name = self.cloud.vaults.first().unwrap_or("").to_string();
                self.ask_vault(&name, request, (authority, client))
            }
            Destination::ResourceManager => self.ask_resource_manager(&request, authority),
            Destination::Entra => hand_to(&self.entra, request).await,
            Destination::Metadata => hand_to(&self.imds, request).await,
            Destination::ComputeIdentity => hand_to(self.compute_identity(request.headers()), request).await,
            Destination::OnBehalfOf => hand_to(&self.on_behalf_of, request).await,
            Destination::Admin => hand_to(&self.admin, request).await,
            Destination::Nobody => {
                plain(StatusCode::MISDIRECTED_REQUEST, format!("the emulator does not play {authority}\n"))
            }
        }
    }

    fn compute_identity(&self, headers: &HeaderMap) -> &Router {
        let for_azure_ml = headers.contains_key(AZURE_ML_HEADER) && !headers.contains_key(APP_SERVICE_HEADER);
        if for_azure_ml { &self.azure_ml } else { &self.app_service }
    }

    fn ask_resource_manager(&self, request: &Request<Bytes>, authority: &str) -> Response<Body> {
        let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let asked = ArmRequest {
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or(""),
            authority,
            authorization: text(header::AUTHORIZATION),
            client_request_id: text(CLIENT_REQUEST_ID),
            body: request.body(),
        };
        let response = self.cloud.resource_manager.answer(&asked, self.cloud.world());
        if request.method() != Method::GET && response.status().is_success() {
            self.cloud.save_or_warn();
        }
        response.map(|body| Body::from(Bytes::from(body)))
    }

    fn ask_vault(&self, name: &str, request: Request<Bytes>, (authority, client): (&str, IpAddr)) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let request = VaultRequest {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
            authority,
            authorization: text(header::AUTHORIZATION),
            client_request_id: text(CLIENT_REQUEST_ID),
            client: self.cloud.client_address.unwrap_or(client),
            body: &body,
        };
        let surroundings = Surroundings { directory: &self.cloud.directory, now: self.cloud.clock.now() };
        let Some(response) = self.cloud.vaults.answer(name, &request, &surroundings) else {
            return plain(StatusCode::MISDIRECTED_REQUEST, format!("no vault is called \"{name}\"\n"));
        };
        if parts.method != Method::GET && response.status().is_success() {
            self.cloud.save_or_warn();
        }
        response.map(|body| Body::from(Bytes::from(body)))
    }
}

/// Whom the caller believes to talk to: the absolute target through a proxy, else the Host header.
fn authority<B>(request: &Request<B>) -> String {
    let host = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let named = request.uri().authority().map(Authority::as_str).or_else(host);
    named.unwrap_or("localhost").to_string()
}

async fn hand_to(router: &Router, request: Request<Bytes>) -> Response<Body> {
    let Ok(response) = TowerToHyperService::new(router.clone()).call(request.map(Body::from)).await;
    response
}

/// What a proxy says where nothing listens: Azure's services have no port 80.
fn unreachable_in_plain(host: &str) -> Response<Body> {
    plain(StatusCode::BAD_GATEWAY, format!("nothing listens on port 80 of {host}\n"))
}

pub(super) fn plain(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
}
