//! Log Analytics workspaces: 201 that says Creating, then GET until it succeeds.

use hyper::StatusCode;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, member, object_of, text};
use super::place::Place;
use super::refusal::Refusal;
use super::resources::shown;
use super::store::{Draft, Record, Store};
use super::written;

/// Makes a workspace, changes one, or takes up a deleted one under its former name.
pub(crate) fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?.to_string();
    let existing = store.resources.get(&place.key()).cloned();
    if let Some(existing) = &existing {
        Store::check_location(place, (&existing.location, &location))?;
    }
    let former = existing.clone().or_else(|| store.deleted_log_workspaces.remove(&place.key()).map(|(one, _)| one));
    let customer = former.as_ref().and_then(|former| former.property("customerId")).map(str::to_string);
    let created = former.as_ref().and_then(|former| former.property("createdDate")).map(str::to_string);
    let given = object_of(&body, "properties");
    let now = written(call.now());
    let sku = text(&object_of(&given, "sku"), "name").unwrap_or("PerGB2018").to_string();
    let mut properties = json!({
        "customerId": customer.unwrap_or_else(|| Uuid::new_v4().to_string()),
        "sku": { "name": sku, "lastSkuUpdate": now },
        "retentionInDays": member(&given, "retentionInDays").cloned().unwrap_or(json!(30)),
        "features": { "legacy": 0, "searchVersion": 1, "enableLogAccessUsingOnlyResourcePermissions": true },
        "workspaceCapping": {
            "dailyQuotaGb": -1.0,
            "quotaNextResetTime": format!("{:.0}", call.now().saturating_add(24.hours()).unwrap_or(Timestamp::MAX)),
            "dataIngestionStatus": "RespectQuota",
        },
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
        "createdDate": created.unwrap_or_else(|| now.clone()),
        "modifiedDate": now,
    });
    for name in ["publicNetworkAccessForIngestion", "publicNetworkAccessForQuery", "features"] {
        if let Some(value) = member(&given, name) {
            properties[name] = value.clone();
        }
    }
    let etag = format!("\"{}\"", Uuid::new_v4());
    let mut document = Map::new();
    document.insert("properties".into(), properties);
    document.insert("etag".into(), etag.into());
    let draft = Draft { place: place.clone(), location, tags: member(&body, "tags").cloned(), body: document };
    if existing.is_some() {
        let record = store.keep(call, draft, Duration::ZERO);
        return Ok(shown(&record, StatusCode::OK, call.now()));
    }
    let record = store.keep(call, draft, call.times.log_analytics);
    let address = format!("{}{}?api-version={}", call.base, record.id, call.api_version);
    Ok(shown(&record, StatusCode::CREATED, call.now()).with("location", address))
}

/// The document of a workspace.
pub(crate) fn show(record: &Record, now: Timestamp) -> Value {
    let mut document = Value::Object(record.document());
    document["properties"]["provisioningState"] = record.state("Creating", now).into();
    document
}
