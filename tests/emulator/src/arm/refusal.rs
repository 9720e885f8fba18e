//! Resource Manager's error answers, in the service's own words.
//!
//! Texts are those of recorded traffic, of Azure's documentation, or of bodies quoted in public reports.

use hyper::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Answer;
use crate::directory::{Caller, TokenProblem};

/// Who made an error: Resource Manager itself, or the provider behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Gateway,
    Provider,
}

/// An error that is part of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Detail {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    target: Option<String>,
    details: Vec<Detail>,
    cause: Cause,
}

impl Refusal {
    fn gateway(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        let message = message.into();
        Refusal { status, code, message, target: None, details: Vec::new(), cause: Cause::Gateway }
    }

    /// An error of the provider.
    pub(crate) fn provider(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { cause: Cause::Provider, ..Refusal::gateway(status, code, message) }
    }

    /// A 400 of the provider.
    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::provider(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn answer(self) -> Answer {
        let Refusal { code, message, target, details, .. } = &self;
        let body = Body { error: ErrorBody { code, message, target: target.as_deref(), details } };
        let answer = Answer::written(self.status, serde_json::to_string(&body).expect("strings always serialise"));
        let answer = match self.cause {
            Cause::Gateway => answer.with("x-ms-failure-cause", "gateway"),
            Cause::Provider => answer,
        };
        if self.status != StatusCode::UNAUTHORIZED {
            return answer;
        }
        let challenge = "Bearer authorization_uri=\"https://login.windows.net/\", error=\"invalid_token\", \
                         error_description=\"The authentication failed because of missing 'Authorization' header.\"";
        answer.with("www-authenticate", challenge)
    }

    pub(crate) fn missing_token() -> Refusal {
        Refusal::gateway(
            StatusCode::UNAUTHORIZED,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        )
    }

    pub(crate) fn token(problem: &TokenProblem, tenant: Uuid) -> Refusal {
        let (code, message) = match problem {
            TokenProblem::Malformed => ("InvalidAuthenticationToken", "The access token is invalid.".to_string()),
            TokenProblem::Expired => ("ExpiredAuthenticationToken", "The access token has expired.".to_string()),
            TokenProblem::Audience { found } => (
                "InvalidAuthenticationTokenAudience",
                format!(
                    "The access token has been obtained for wrong audience or resource '{found}'. It should exactly match \
                     with one of the allowed audiences 'https://management.core.windows.net/',\
                     'https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'."
                ),
            ),
            TokenProblem::Issuer { found } => (
                "InvalidAuthenticationTokenTenant",
                format!(
                    "The access token is from the wrong issuer '{found}'. It must match the tenant \
                     'https://sts.windows.net/{tenant}/' associated with this subscription. Please use the authority (URL) \
                     'https://login.windows.net/{tenant}' to get the token."
                ),
            ),
        };
        Refusal::gateway(StatusCode::UNAUTHORIZED, code, message)
    }

    pub(crate) fn not_permitted(caller: Caller, action: &str, scope: &str) -> Refusal {
        let Caller { app_id, object_id, .. } = caller;
        Refusal::gateway(
            StatusCode::FORBIDDEN,
            "AuthorizationFailed",
            format!(
                "The client '{app_id}' with object id '{object_id}' does not have authorization to perform action \
                 '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh \
                 your credentials."
            ),
        )
    }

    pub(crate) fn api_version(given: Option<&str>) -> Refusal {
        match given {
            None => Refusal::gateway(
                StatusCode::BAD_REQUEST,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            ),
            Some(given) => Refusal::gateway(
                StatusCode::BAD_REQUEST,
                "InvalidApiVersionParameter",
                format!(
                    "The api-version '{given}' is invalid. It must be of the form YYYY-MM-DD or YYYY-MM-DD-preview."
                ),
            ),
        }
    }

    pub(crate) fn subscription_not_found(subscription: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "SubscriptionNotFound",
            format!("The subscription '{subscription}' could not be found."),
        )
    }

    pub(crate) fn group_not_found(group: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    pub(crate) fn group_being_deleted(group: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::CONFLICT,
            "ResourceGroupBeingDeleted",
            format!("The resource group '{group}' is in deprovisioning state and cannot perform this operation."),
        )
    }

    /// `resource` is type and name, such as `Microsoft.KeyVault/vaults/kv`.
    pub(crate) fn resource_not_found(resource: &str, group: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!(
                "The Resource '{resource}' under resource group '{group}' was not found. For more details please go to \
                 https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    pub(crate) fn no_such_path(path: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "InvalidResourceType",
            format!("The resource type could not be found in the namespace of '{path}'."),
        )
    }

    pub(crate) fn method_not_allowed(method: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::METHOD_NOT_ALLOWED,
            "UnsupportedHttpMethod",
            format!("The requested resource does not support http method '{method}'."),
        )
    }

    pub(crate) fn content() -> Refusal {
        Refusal::gateway(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized.",
        )
    }

    pub(crate) fn location_required() -> Refusal {
        Refusal::gateway(
            StatusCode::BAD_REQUEST,
            "LocationRequired",
            "The location property is required for this definition.",
        )
    }

    pub(crate) fn other_location(name: &str, group: &str, (is, asked): (&str, &str)) -> Refusal {
        Refusal::gateway(
            StatusCode::CONFLICT,
            "InvalidResourceLocation",
            format!(
                "The resource '{name}' already exists in location '{is}' in resource group '{group}'. A resource with the \
                 same name cannot be created in location '{asked}'. Please select a new resource name."
            ),
        )
    }

    pub(crate) fn unregistered(namespace: &str) -> Refusal {
        let message = format!(
            "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how \
             to register subscriptions."
        );
        let code = "MissingSubscriptionRegistration";
        let detail = Detail { code, target: Some(namespace.into()), message: message.clone() };
        let refusal = Refusal::gateway(StatusCode::CONFLICT, code, message);
        Refusal { details: vec![detail], ..refusal }
    }

    pub(crate) fn unknown_namespace(namespace: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::NOT_FOUND,
            "InvalidResourceNamespace",
            format!("The resource namespace '{namespace}' is invalid."),
        )
    }

    /// A poll address that was not followed as it was given.
    pub(crate) fn poll_address() -> Refusal {
        Refusal::gateway(
            StatusCode::FORBIDDEN,
            "InvalidAsyncOperationSignature",
            "The signature of the asynchronous operation's address does not match the address.",
        )
    }

    pub(crate) fn other_operation() -> Refusal {
        Refusal::provider(
            StatusCode::CONFLICT,
            "AnotherOperationInProgress",
            "Another operation on this or dependent resource is in progress. To retrieve status of the operation use the \
             address that it was answered with.",
        )
    }

    /// `value` is where an id of a resource should be.
    pub(crate) fn linked_id(value: &str, path: &str) -> Refusal {
        Refusal::gateway(
            StatusCode::BAD_REQUEST,
            "LinkedInvalidPropertyId",
            format!(
                "Property id '{value}' at path '{path}' is invalid. Expect fully qualified resource Id that start with \
                 '/subscriptions/{{subscriptionId}}' or '/providers/{{resourceProviderNamespace}}/'."
            ),
        )
    }

    /// A 400 of the Machine Learning service.
    pub(crate) fn validation(message: impl Into<String>) -> Refusal {
        let message = message.into();
        let detail = Detail { code: "Invalid", target: None, message: message.clone() };
        let refusal = Refusal::provider(StatusCode::BAD_REQUEST, "ValidationError", message);
        Refusal { target: Some("workspace".into()), details: vec![detail], ..refusal }
    }
}
