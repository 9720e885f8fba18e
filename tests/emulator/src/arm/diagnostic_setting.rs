//! Diagnostic settings: where a resource sends its logs.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, member, object_of, text};
use super::kind::Kind;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::demanded;
use super::store::Store;
use super::vault;

fn key(scope: &str, name: &str) -> String {
    format!("{scope}/providers/microsoft.insights/diagnosticSettings/{name}").to_ascii_lowercase()
}

/// The resource must be there.
fn check_scope(call: &Call<'_>, scope: &str, store: &Store) -> Result<(), Refusal> {
    let place = Place::of_id(scope).ok_or_else(|| Refusal::no_such_path(call.path))?;
    store.group(&place.group)?;
    if place.kind != Kind::Vault {
        return store.resource(&place).map(|_| ());
    }
    let found = vault::is_there(call.world.vaults, &place);
    found.then_some(()).ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))
}

/// Answers a request about one diagnostic setting.
pub(crate) fn answer(call: &Call<'_>, (scope, name): (&str, &str), store: &mut Store) -> Result<Answer, Refusal> {
    check_scope(call, scope, store)?;
    let key = key(scope, name);
    match *call.method {
        Method::GET => {
            let found = store.diagnostic_settings.get(&key).cloned();
            found.map(Answer::ok).ok_or_else(|| {
                Refusal::provider(
                    StatusCode::NOT_FOUND,
                    "ResourceNotFound",
                    format!("The diagnostic setting '{name}' was not found on the resource '{scope}'."),
                )
            })
        }
        Method::PUT => {
            let document = document(call, (scope, name), store)?;
            store.diagnostic_settings.insert(key, document.clone());
            Ok(Answer::ok(document))
        }
        Method::DELETE => Ok(Answer::deleted(store.diagnostic_settings.remove(&key).as_ref())),
        _ => Err(Refusal::method_not_allowed(call.method.as_str())),
    }
}

fn document(call: &Call<'_>, (scope, name): (&str, &str), store: &Store) -> Result<Value, Refusal> {
    let given = object_of(&call.object()?, "properties");
    let sink = |name: &str| text(&given, name).map(str::to_string);
    let sinks = ["workspaceId", "storageAccountId", "eventHubAuthorizationRuleId"];
    if sinks.iter().all(|name| sink(name).is_none()) {
        return Err(Refusal::bad_request(
            "At least one data sink needs to be specified: a workspace, a storage account or an event hub.",
        ));
    }
    if let Some(workspace) = sink("workspaceId") {
        let place = Place::of_id(&workspace).filter(|place| place.kind == Kind::LogWorkspace);
        let place = place.ok_or_else(|| Refusal::linked_id(&workspace, "properties.workspaceId"))?;
        store.resource(&place)?;
    }
    if member(&given, "logs").is_none() && member(&given, "metrics").is_none() {
        return Err(demanded("properties.logs"));
    }
    let entries = |name: &str| -> Vec<Value> {
        let given = member(&given, name).and_then(Value::as_array).into_iter().flatten();
        given.filter_map(Value::as_object).map(entry).collect()
    };
    Ok(json!({
        "id": format!("{}/providers/microsoft.insights/diagnosticSettings/{name}", scope.to_ascii_lowercase()),
        "type": "Microsoft.Insights/diagnosticSettings",
        "name": name,
        "location": null,
        "kind": null,
        "tags": null,
        "identity": null,
        "properties": {
            "storageAccountId": sink("storageAccountId"),
            "serviceBusRuleId": null,
            "workspaceId": sink("workspaceId"),
            "eventHubAuthorizationRuleId": sink("eventHubAuthorizationRuleId"),
            "eventHubName": sink("eventHubName"),
            "metrics": entries("metrics"),
            "logs": entries("logs"),
            "logAnalyticsDestinationType": sink("logAnalyticsDestinationType"),
        },
    }))
}

/// A log or a metric with what the service adds.
fn entry(given: &Map<String, Value>) -> Value {
    let mut entry = given.clone();
    entry.entry("category").or_insert(Value::Null);
    entry.entry("categoryGroup").or_insert(Value::Null);
    entry.entry("retentionPolicy").or_insert(json!({ "enabled": false, "days": 0 }));
    entry.into()
}

/// Every diagnostic setting of a resource.
pub(crate) fn list(call: &Call<'_>, scope: &str, store: &Store) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    check_scope(call, scope, store)?;
    let prefix = key(scope, "");
    let own = store.diagnostic_settings.iter().filter(|(key, _)| key.starts_with(&prefix));
    Ok(Answer::list(own.map(|(_, document)| document.clone()).collect()))
}
