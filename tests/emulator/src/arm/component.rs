//! Application Insights components: made at once, and written in a hand of their own.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, object_of, text};
use super::kind::Kind;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::{demanded, shown, tags};
use super::store::{Draft, Record, Store};
use super::written;

/// Makes a component, or changes one.
pub(crate) fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?.to_string();
    let kind = text(&body, "kind").ok_or_else(|| demanded("kind"))?.to_string();
    let given = object_of(&body, "properties");
    let application = text(&given, "Application_Type").unwrap_or("web").to_string();
    let logs = text(&given, "WorkspaceResourceId").ok_or_else(invalid_workspace)?;
    let logs = log_workspace(store, logs)?;
    let existing = store.resources.get(&place.key()).cloned();
    if let Some(existing) = &existing {
        Store::check_location(place, (&existing.location, &location))?;
    }
    let kept = |name: &str| existing.as_ref().and_then(|former| former.property(name)).map(str::to_string);
    let new = || Uuid::new_v4().to_string();
    let application_id = kept("AppId").unwrap_or_else(new);
    let key = kept("InstrumentationKey").unwrap_or_else(new);
    let region = super::call::location_key(&location);
    let properties = json!({
        "ApplicationId": place.name(),
        "AppId": application_id,
        "Application_Type": application,
        "Flow_Type": "Bluefield",
        "Request_Source": "rest",
        "InstrumentationKey": key,
        "ConnectionString": format!(
            "InstrumentationKey={key};IngestionEndpoint=https://{region}-0.in.applicationinsights.azure.com/;\
             LiveEndpoint=https://{region}.livediagnostics.monitor.azure.com/;ApplicationId={application_id}"
        ),
        "Name": place.name(),
        "CreationDate": kept("CreationDate").unwrap_or_else(|| written(call.now())),
        "TenantId": store.subscription,
        "provisioningState": "Succeeded",
        "SamplingPercentage": null,
        "RetentionInDays": 90,
        "WorkspaceResourceId": logs,
        "IngestionMode": "LogAnalytics",
        "publicNetworkAccessForIngestion": text(&given, "publicNetworkAccessForIngestion").unwrap_or("Enabled"),
        "publicNetworkAccessForQuery": text(&given, "publicNetworkAccessForQuery").unwrap_or("Enabled"),
        "Ver": "v2",
    });
    let mut document = Map::new();
    document.insert("kind".into(), kind.into());
    document.insert("etag".into(), format!("\"{}\"", Uuid::new_v4()).into());
    document.insert("properties".into(), properties);
    let draft = Draft { place: place.clone(), location, tags: Some(tags(&body)), body: document };
    let record = store.keep(call, draft, Duration::ZERO);
    Ok(shown(&record, StatusCode::OK, call.now()))
}

/// The id of a Log Analytics workspace, which must exist; recorded traffic uses one that still says Creating.
fn log_workspace(store: &Store, id: &str) -> Result<String, Refusal> {
    let place = Place::of_id(id).filter(|place| place.kind == Kind::LogWorkspace).ok_or_else(invalid_workspace)?;
    store.resources.get(&place.key()).map(|found| found.id.clone()).ok_or_else(invalid_workspace)
}

fn invalid_workspace() -> Refusal {
    Refusal::bad_request("Provided WorkspaceResourceId is invalid")
}

/// The document of a component.
pub(crate) fn show(record: &Record) -> Value {
    record.document().into()
}
