//! One request to Resource Manager, read, and what its handler may look at.

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::refusal::Refusal;
use super::seed::Times;
use super::signature::Signer;
use crate::directory::{Caller, Directory};
use crate::role::RoleAssignments;
use crate::vault::Vaults;

/// A request, with its body read.
#[derive(Debug)]
pub(crate) struct ArmRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// Host and port as the caller wrote them; poll addresses lead back to it.
    pub(crate) authority: &'a str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) client_request_id: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// What Resource Manager changes beside its own resources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) vaults: &'a Vaults,
    pub(crate) assignments: &'a RoleAssignments,
    pub(crate) now: Timestamp,
}

/// The query's parameters, whose names count in any case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Query {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Query(pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned())).collect())
    }

    /// The first value of `name`, which is in lower case.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An authorised request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: Query,
    pub(crate) api_version: String,
    pub(crate) body: &'a [u8],
    pub(crate) caller: Caller,
    /// Where poll addresses begin, such as `https://management.azure.com`.
    pub(crate) base: String,
    pub(crate) world: World<'a>,
    pub(crate) times: &'a Times,
    pub(crate) signer: &'a Signer,
}

impl Call<'_> {
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now
    }

    /// The body, which must be a JSON object; an absent one counts as empty.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Refusal> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        // The parser's words could quote what a caller did not mean to show.
        serde_json::from_slice(self.body).map_err(|_| Refusal::content())
    }
}

/// Where the service is, without a port that goes without saying.
pub(crate) fn base(authority: &str) -> String {
    format!("https://{}", authority.trim_end_matches(":443"))
}

/// Text as locations are compared: `East US 2` and `eastus2` are one.
pub(crate) fn location_key(location: &str) -> String {
    location.chars().filter(|one| !one.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

/// The member `name` of `object`, in any case, as an object.
pub(crate) fn object_of(object: &Map<String, Value>, name: &str) -> Map<String, Value> {
    member(object, name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The member `name` of `object`, whose names count in any case; null counts as absent.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

/// The member `name` of `object` as text.
pub(crate) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    member(object, name).and_then(Value::as_str)
}
