//! What the caller itself may do on a scope, as preflight checks ask.

use hyper::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::refusal::Refusal;
use super::store::Store;
use crate::role;

/// The permissions of every role that the caller has on `scope` or above it.
pub(crate) fn list(call: &Call<'_>, scope: &str, store: &Store) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    if let Some(group) = scope.split('/').nth(4) {
        store.group(group)?;
    }
    let own = call.world.assignments.acting(call.caller.object_id, scope, call.now());
    let roles = own.iter().filter_map(|id| role::all().iter().find(|role| role.id == *id));
    let permission = |role: &role::Role| {
        json!({ "actions": role.actions, "notActions": role.not_actions, "dataActions": role.data_actions,
            "notDataActions": [] })
    };
    Ok(Answer::list(roles.map(permission).collect::<Vec<Value>>()))
}
