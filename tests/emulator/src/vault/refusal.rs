//! The data plane's error answers, in the service's own words.
//!
//! Texts are those of recorded traffic, of Azure's documentation, or of bodies quoted in public reports.

use std::net::IpAddr;

use hyper::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use crate::directory::{Caller, TokenProblem};

/// The audience that a token must be issued for.
pub(crate) const AUDIENCE: &str = "https://vault.azure.net";

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    inner: Option<&'static str>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    innererror: Option<Inner<'a>>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
}

/// Where a refused caller stood: the part that all authorisation texts share.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) caller: Caller,
    pub(crate) vault: &'a str,
    pub(crate) location: &'a str,
}

impl Scene<'_> {
    fn caller(&self) -> String {
        let Caller { app_id, object_id, tenant } = self.caller;
        format!("appid={app_id};oid={object_id};iss=https://sts.windows.net/{tenant}/")
    }

    fn vault(&self) -> String {
        format!("{};location={}", self.vault, self.location)
    }
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), inner: None }
    }

    fn with_inner(self, inner: &'static str) -> Refusal {
        Refusal { inner: Some(inner), ..self }
    }

    fn unauthorized(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    fn forbidden(inner: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message).with_inner(inner)
    }

    fn conflict(inner: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, "Conflict", message).with_inner(inner)
    }

    fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "SecretNotFound", message)
    }

    /// The body as it goes over the wire.
    pub(crate) fn body(&self) -> Vec<u8> {
        let innererror = self.inner.map(|code| Inner { code });
        let detail = Detail { code: self.code, message: &self.message, innererror };
        serde_json::to_vec(&Body { error: detail }).expect("strings always serialise")
    }

    /// Its text, for an administrator.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn missing_token() -> Refusal {
        Refusal::unauthorized("AKV10000: Request is missing a Bearer, PoP, or MTLS_POP token.")
    }

    pub(crate) fn token(problem: &TokenProblem, tenant: Uuid) -> Refusal {
        Refusal::unauthorized(match problem {
            TokenProblem::Malformed => "[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.".to_string(),
            TokenProblem::Expired => "[TokenExpired] Error validating token: 'S2S12086'.".to_string(),
            TokenProblem::Audience { found } => {
                format!("AKV10022: Invalid audience. Expected {AUDIENCE}, found: {found}.")
            }
            TokenProblem::Issuer { found } => format!(
                "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{tenant}/, \
                 https://sts.windows.net/f8cdef31-a31e-4b4a-93e4-5f571e91255a/, \
                 https://sts.windows.net/e2d54eb5-3869-4f70-8578-dee5fc7331f4/, found {found}."
            ),
        })
    }

    pub(crate) fn bad_parameter(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "BadParameter", message)
    }

    pub(crate) fn invalid_property(name: &str) -> Refusal {
        Refusal::bad_parameter(format!("Property {name} has invalid value\r\n"))
    }

    pub(crate) fn invalid_name(name: &str) -> Refusal {
        Refusal::bad_parameter(format!("The request URI contains an invalid name: {name}"))
    }

    pub(crate) fn api_version(given: Option<&str>) -> Refusal {
        Refusal::bad_parameter(match given {
            None => "api-version must be specified".to_string(),
            Some(given) => format!(
                "The specified version ({given}) is not recognized. Consider using the latest supported version (2026-04-01)."
            ),
        })
    }

    pub(crate) fn by_rbac(scene: &Scene<'_>, action: &str, resource: &str) -> Refusal {
        let (caller, vault) = (scene.caller(), scene.vault());
        Refusal::forbidden(
            "ForbiddenByRbac",
            format!(
                "Caller is not authorized to perform action on resource.\r\n\
                 If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n\
                 Caller: {caller}\r\nAction: '{action}'\r\nResource: '{resource}'\r\nAssignment: (not found)\r\n\
                 DenyAssignmentId: null\r\nDecisionReason: null \r\nVault: {vault}\r\n"
            ),
        )
    }

    pub(crate) fn by_access_policy(scene: &Scene<'_>, permission: &str) -> Refusal {
        let Caller { app_id, object_id, tenant } = scene.caller;
        let vault = scene.vault();
        Refusal::forbidden(
            "AccessDenied",
            format!(
                "The user, group or application 'appid={app_id};oid={object_id};numgroups=1;iss=https://sts.windows.net/{tenant}/' \
                 does not have secrets {permission} permission on key vault '{vault}'. \
                 For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
            ),
        )
    }

    pub(crate) fn by_firewall(scene: &Scene<'_>, address: IpAddr) -> Refusal {
        let (caller, vault) = (scene.caller(), scene.vault());
        Refusal::forbidden(
            "ForbiddenByFirewall",
            format!(
                "Client address is not authorized and caller is not a trusted service.\r\n\
                 Client address: {address}\r\nCaller: {caller}\r\nVault: {vault}"
            ),
        )
    }

    pub(crate) fn by_connection(scene: &Scene<'_>) -> Refusal {
        let (caller, vault) = (scene.caller(), scene.vault());
        Refusal::forbidden(
            "ForbiddenByConnection",
            format!(
                "Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\n\
                 Caller: {caller}\r\nVault: {vault}"
            ),
        )
    }

    pub(crate) fn disabled() -> Refusal {
        Refusal::forbidden("SecretDisabled", "Operation get is not allowed on a disabled secret.")
    }

    pub(crate) fn managed(operation: &str) -> Refusal {
        Refusal::forbidden(
            "SecretManagedByKeyVault",
            format!("Operation {operation} is not allowed on a secret that is managed by a certificate."),
        )
    }

    pub(crate) fn purge_protected(vault: &str, location: &str) -> Refusal {
        Refusal::forbidden(
            "ForbiddenByPolicy",
            format!(
                "Operation \"purge\" is not allowed because purge protection is enabled for this vault. \
                 Key Vault service will automatically purge it after the retention period has passed.\r\n\
                 Vault: {vault};location={location}"
            ),
        )
    }

    pub(crate) fn secret_not_found(id: &str) -> Refusal {
        Refusal::not_found(format!(
            "A secret with (name/id) {id} was not found in this key vault. If you recently deleted this secret you may be \
             able to recover it using the correct recovery command. For help resolving this issue, please see \
             https://go.microsoft.com/fwlink/?linkid=2125182"
        ))
    }

    pub(crate) fn deleted_secret_not_found(name: &str) -> Refusal {
        Refusal::not_found(format!("Deleted Secret not found: {name}"))
    }

    pub(crate) fn being_deleted() -> Refusal {
        Refusal::conflict("ObjectIsBeingDeleted", "Secret is currently being deleted.")
    }

    pub(crate) fn being_recovered() -> Refusal {
        Refusal::conflict("ObjectIsBeingRecovered", "Secret is currently being recovered.")
    }

    pub(crate) fn deleted_but_recoverable(name: &str) -> Refusal {
        Refusal::conflict(
            "ObjectIsDeletedButRecoverable",
            format!(
                "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this \
                 state, the secret can only be recovered or purged."
            ),
        )
    }

    pub(crate) fn already_exists(name: &str) -> Refusal {
        Refusal::new(
            StatusCode::CONFLICT,
            "Conflict",
            format!("A secret with name {name} already exists in this key vault."),
        )
    }

    pub(crate) fn throttled() -> Refusal {
        Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Throttled",
            "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
        )
    }
}
