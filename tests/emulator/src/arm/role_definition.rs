//! Role definitions: the built-in ones, to be looked up.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::refusal::Refusal;
use super::target::subscription_of;
use crate::role::{self, Role};

fn show(role: &Role, scope: &str) -> Value {
    let subscription = subscription_of(scope).map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
    json!({
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.name,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            }],
        },
        "id": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", role.id),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id,
    })
}

/// Every built-in role, or the one that `$filter` names.
pub(crate) fn list(call: &Call<'_>, scope: &str) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let filter = call.query.value("$filter").unwrap_or_default();
    let at = filter.to_ascii_lowercase().find("rolename eq '");
    let wanted = at.and_then(|at| filter[at..].split('\'').nth(1));
    let matches = |role: &&Role| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(role.name));
    Ok(Answer::list(role::all().iter().filter(matches).map(|role| show(role, scope)).collect()))
}

/// One built-in role.
pub(crate) fn get(call: &Call<'_>, (scope, name): (&str, &str)) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let found = role::all().iter().find(|role| name.parse() == Ok(role.id));
    found.map(|role| Answer::ok(show(role, scope))).ok_or_else(|| {
        Refusal::provider(
            StatusCode::NOT_FOUND,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{name}' does not exist."),
        )
    })
}
