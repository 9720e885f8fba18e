//! Access policies: read from requests, added, replaced, removed, and what of them the data plane decides by.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::answer::Answer;
use super::super::call::{Call, member, object_of};
use super::super::place::Place;
use super::super::refusal::Refusal;
use super::super::store::Store;
use super::settings::{decide_by, invalid};
use super::{find, stamp, with_found};
use crate::vault::{AccessPolicy, Authorization, Permission, Vault};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    object_id: Uuid,
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    secrets: Option<Vec<String>>,
}

/// Reads and checks the policies of a request.
pub(super) fn read(value: &Value) -> Result<Vec<Value>, Refusal> {
    let policies = value.as_array().ok_or_else(|| invalid("accessPolicies"))?;
    policies.iter().try_for_each(|policy| parse(policy).map(|_| ()).ok_or_else(|| invalid("accessPolicies")))?;
    Ok(policies.clone())
}

fn parse(policy: &Value) -> Option<AccessPolicy> {
    let Policy { object_id, permissions } = serde_json::from_value(policy.clone()).ok()?;
    let permission = |word: &String| serde_json::from_value(Value::String(word.to_ascii_lowercase())).ok();
    let secrets: Option<Vec<Permission>> = permissions.secrets.unwrap_or_default().iter().map(permission).collect();
    Some(AccessPolicy { principal: object_id, secrets: secrets? })
}

/// What of policies that have been checked the data plane decides by.
pub(super) fn on_secrets(policies: &[Value]) -> Vec<AccessPolicy> {
    policies.iter().filter_map(parse).collect()
}

/// Gives a vault of the seed the management side that its data plane implies.
pub(crate) fn adopt_seeded(vault: &mut Vault, tenant: Uuid) {
    match &vault.authorization {
        Authorization::Rbac => vault.control.rbac = Some(true),
        Authorization::AccessPolicies(policies) => {
            vault.control.rbac = Some(false);
            let shown = |policy: &AccessPolicy| policy_of(policy.principal, &json!(policy.secrets), tenant);
            vault.control.access_policies = policies.iter().map(shown).collect();
        }
    }
}

fn policy_of(principal: Uuid, secrets: &Value, tenant: Uuid) -> Value {
    json!({ "tenantId": tenant, "objectId": principal, "permissions": { "keys": [], "secrets": secrets, "certificates": [] } })
}

/// Gives a principal every right on secrets, as Machine Learning does for its workspace in a vault with policies.
pub(crate) fn grant_all_secrets(vault: &mut Vault, principal: Uuid, tenant: Uuid) {
    if vault.control.rbac == Some(true) {
        return;
    }
    let all = json!(["get", "list", "set", "delete", "recover", "backup", "restore"]);
    vault.control.access_policies.retain(|policy| parse(policy).is_some_and(|own| own.principal != principal));
    vault.control.access_policies.push(policy_of(principal, &all, tenant));
    decide_by(vault);
}

/// Answers `accessPolicies/add`, `replace` and `remove`.
pub(crate) fn change(call: &Call<'_>, (place, verb): (&Place, &str), store: &Store) -> Result<Answer, Refusal> {
    if *call.method != Method::PUT {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    store.group_to_write(&place.group)?;
    find(call, place, store)?;
    let properties = object_of(&call.object()?, "properties");
    let given = read(member(&properties, "accessPolicies").ok_or_else(|| invalid("accessPolicies"))?)?;
    let change: fn(&mut Vec<Value>, Vec<Value>) = match verb {
        "add" => add,
        "replace" => |own, given| *own = given,
        "remove" => |own, given| given.iter().for_each(|removed| remove(own, removed)),
        _ => return Err(Refusal::bad_request(format!("The operation kind '{verb}' is not supported."))),
    };
    with_found(call, place, |vault| {
        change(&mut vault.control.access_policies, given);
        vault.control.changed = stamp(call);
        decide_by(vault);
        Answer::json(
            StatusCode::OK,
            json!({
                "id": format!("{}/accessPolicies/", vault.resource_id()),
                "type": "Microsoft.KeyVault/vaults/accessPolicies",
                "properties": { "accessPolicies": vault.control.access_policies },
            }),
        )
    })
}

fn same_principal(one: &Value, other: &Value) -> bool {
    let id = |policy: &Value| policy["objectId"].as_str().map(str::to_ascii_lowercase);
    id(one) == id(other)
}

/// Unites the permissions of each given policy with those that its principal has.
fn add(own: &mut Vec<Value>, given: Vec<Value>) {
    for policy in given {
        let Some(present) = own.iter_mut().find(|present| same_principal(present, &policy)) else {
            own.push(policy);
            continue;
        };
        for (of_what, wanted) in policy["permissions"].as_object().into_iter().flatten() {
            let mut granted = present["permissions"][of_what].as_array().cloned().unwrap_or_default();
            let new = wanted.as_array().into_iter().flatten().filter(|word| !holds(&granted, word));
            let new: Vec<Value> = new.cloned().collect();
            granted.extend(new);
            present["permissions"][of_what] = granted.into();
        }
    }
}

/// Takes the given permissions away, and the whole policy where none is left.
fn remove(own: &mut Vec<Value>, given: &Value) {
    for present in own.iter_mut().filter(|present| same_principal(present, given)) {
        for (of_what, unwanted) in given["permissions"].as_object().into_iter().flatten() {
            if let Some(granted) = present["permissions"][of_what].as_array_mut() {
                let unwanted = unwanted.as_array().cloned().unwrap_or_default();
                granted.retain(|word| !holds(&unwanted, word));
            }
        }
    }
    own.retain(|policy| {
        let granted = policy["permissions"].as_object().into_iter().flatten();
        granted.into_iter().any(|(_, words)| words.as_array().is_some_and(|words| !words.is_empty()))
    });
}

fn holds(words: &[Value], word: &Value) -> bool {
    let lower = |word: &Value| word.as_str().map(str::to_ascii_lowercase);
    words.iter().any(|one| lower(one) == lower(word))
}
