//! The order in which a vault looks at a request, and the answer it gives.
//!
//! Seen in traffic: token, then network, then authorisation, then the state of the object.

use std::net::IpAddr;

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::Vault;
use super::access::Decision;
use super::api_version::ApiVersion;
use super::network::Passage;
use super::operation::Operation;
use super::page::PageRequest;
use super::perform::{ApiVersionName, Task};
use super::refusal::{AUDIENCE, Refusal, Scene};
use crate::directory::{Caller, Directory};
use crate::role::RoleAssignments;

/// The build that the recorded traffic of 2026 came from.
const SERVICE_VERSION: &str = "1.9.3347.1";

/// A request to a vault, with its body read.
#[derive(Debug)]
pub(crate) struct VaultRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// Host and port as the caller wrote them; links to further pages lead back to it.
    pub(crate) authority: &'a str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) client_request_id: Option<&'a str>,
    pub(crate) client: IpAddr,
    pub(crate) body: &'a [u8],
}

/// What a vault needs to know beside the request.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) now: Timestamp,
}

/// The query's parameters that the data plane reads.
#[derive(Debug, Default)]
struct Query {
    api_version: Option<String>,
    max_results: Option<String>,
    skip_token: Option<String>,
    out_content_type: Option<String>,
}

impl Query {
    /// Keys are decoded as values are: some SDKs send `api%2Dversion`.
    fn parse(query: &str) -> Query {
        let mut parsed = Query::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match key.to_ascii_lowercase().as_str() {
                "api-version" => &mut parsed.api_version,
                "maxresults" => &mut parsed.max_results,
                "$skiptoken" => &mut parsed.skip_token,
                "outcontenttype" => &mut parsed.out_content_type,
                _ => continue,
            };
            *slot = Some(value.into_owned());
        }
        parsed
    }
}

/// A status with its JSON, and the role assignment that allowed it.
pub(super) struct Answer {
    status: StatusCode,
    body: Option<Vec<u8>>,
    assignment: Option<Uuid>,
}

impl Answer {
    pub(super) fn json(value: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(value).expect("an answer always serialises");
        Answer { status: StatusCode::OK, body: Some(body), assignment: None }
    }

    pub(super) fn empty() -> Answer {
        Answer { status: StatusCode::NO_CONTENT, body: None, assignment: None }
    }

    fn refused(refusal: &Refusal) -> Answer {
        Answer { status: refusal.status, body: Some(refusal.body()), assignment: None }
    }
}

impl Vault {
    /// Answers `request`, with every header that the service sends.
    pub(crate) fn answer(
        &mut self,
        request: &VaultRequest<'_>,
        surroundings: &Surroundings<'_>,
        assignments: &RoleAssignments,
    ) -> Response<Vec<u8>> {
        let decided = self.decide(request, surroundings, assignments);
        let answer = decided.unwrap_or_else(|refusal| Answer::refused(&refusal));
        self.respond(answer, request, surroundings.directory.tenant())
    }

    fn decide(
        &mut self,
        request: &VaultRequest<'_>,
        surroundings: &Surroundings<'_>,
        assignments: &RoleAssignments,
    ) -> Result<Answer, Refusal> {
        let now = surroundings.now;
        let caller = authenticate(request.authorization, surroundings)?;
        let query = Query::parse(request.query);
        let name = query.api_version.as_deref().ok_or_else(|| Refusal::api_version(None))?;
        let version = ApiVersion::parse(name).ok_or_else(|| Refusal::api_version(Some(name)))?;
        let operation = Operation::parse(request.method, request.path)?;
        self.check_network(caller, request.client)?;
        let assignment = self.authorize(caller, &operation, assignments, now)?;
        if self.throttle.as_mut().is_some_and(|throttle| !throttle.admits(now)) {
            return Err(Refusal::throttled());
        }
        let page = PageRequest::parse(query.max_results.as_deref(), query.skip_token.as_deref());
        let task = Task {
            authority: request.authority,
            body: request.body,
            page,
            out_content_type: query.out_content_type.as_deref().filter(|_| version.converts()),
            api_version: ApiVersionName { version, name },
            now,
        };
        let answer = self.perform(&operation, task).unwrap_or_else(|refusal| Answer::refused(&refusal));
        Ok(Answer { assignment, ..answer })
    }

    fn check_network(&self, caller: Caller, client: IpAddr) -> Result<(), Refusal> {
        let scene = Scene { caller, vault: &self.name, location: &self.location };
        match self.network.decide(client) {
            Passage::Open => Ok(()),
            Passage::BlockedByRules => Err(Refusal::by_firewall(&scene, client)),
            Passage::NoPublicAccess => Err(Refusal::by_connection(&scene)),
        }
    }

    fn authorize(
        &self,
        caller: Caller,
        operation: &Operation,
        assignments: &RoleAssignments,
        now: Timestamp,
    ) -> Result<Option<Uuid>, Refusal> {
        let scene = Scene { caller, vault: &self.name, location: &self.location };
        let resource = match operation.secret_name() {
            None => self.resource_id(),
            Some(name) => format!("{}/secrets/{name}", self.resource_id()),
        };
        let call = (caller.object_id, operation, resource.as_str());
        match self.authorization.decide(assignments, call, now) {
            Decision::Allowed(assignment) => Ok(assignment),
            Decision::DeniedByRbac => {
                let vault = self.resource_id();
                let shown = format!("{}{}", vault.to_ascii_lowercase(), &resource[vault.len()..]);
                Err(Refusal::by_rbac(&scene, operation.data_action(), &shown))
            }
            Decision::DeniedByPolicy => Err(Refusal::by_access_policy(&scene, operation.permission().1)),
        }
    }
}

fn authenticate(authorization: Option<&str>, surroundings: &Surroundings<'_>) -> Result<Caller, Refusal> {
    let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or_else(Refusal::missing_token)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::missing_token());
    }
    let directory = surroundings.directory;
    let verified = directory.verify(token.trim(), AUDIENCE, surroundings.now);
    verified.map_err(|problem| Refusal::token(&problem, directory.tenant()))
}

impl Vault {
    /// Dresses an answer in the headers that recorded traffic shows.
    fn respond(&self, answer: Answer, request: &VaultRequest<'_>, tenant: Uuid) -> Response<Vec<u8>> {
        let Answer { status, body, assignment } = answer;
        let content_type = body.as_ref().map(|_| "application/json; charset=utf-8".to_string());
        let mut response = Response::new(body.unwrap_or_default());
        *response.status_mut() = status;
        let network = match request.client {
            IpAddr::V4(address) => format!("conn_type=Ipv4;addr={address};act_addr_fam=InterNetwork;"),
            IpAddr::V6(address) => format!("conn_type=Ipv6;addr={address};act_addr_fam=InterNetworkV6;"),
        };
        let challenge =
            format!(r#"Bearer authorization="https://login.microsoftonline.com/{tenant}", resource="{AUDIENCE}""#);
        let optional = [
            (header::CONTENT_TYPE, content_type),
            (header::WWW_AUTHENTICATE, (status == StatusCode::UNAUTHORIZED).then_some(challenge)),
            (HeaderName::from_static("x-ms-client-request-id"), request.client_request_id.map(Into::into)),
            (HeaderName::from_static("x-ms-keyvault-rbac-assignment-id"), assignment.map(|id| id.simple().to_string())),
        ];
        let always = [
            (header::CACHE_CONTROL, "no-cache".to_string()),
            (header::PRAGMA, "no-cache".into()),
            (header::EXPIRES, "-1".into()),
            (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000;includeSubDomains".into()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
            (HeaderName::from_static("x-ms-keyvault-region"), self.location.clone()),
            (HeaderName::from_static("x-ms-request-id"), Uuid::new_v4().to_string()),
            (HeaderName::from_static("x-ms-keyvault-service-version"), SERVICE_VERSION.into()),
            (HeaderName::from_static("x-ms-keyvault-network-info"), network),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in always.into_iter().chain(optional) {
            // Only what a caller or a seed wrote can be no header value, and then it is left out.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests;
