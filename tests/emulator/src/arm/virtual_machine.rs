//! Virtual machines of the seed: looked at, and given identities.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, member, object_of};
use super::identity;
use super::kind::Kind;
use super::operation::Work;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::shown;
use super::store::{Record, Store};
use crate::vault::milliseconds_after;

/// Changes the identity and the tags of a machine, by PATCH or by PUT.
pub(crate) fn change(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    if store.resource(place).is_err() {
        return Err(Refusal::bad_request("The emulator's machines are those of its seed: none can be made."));
    }
    let body = call.object()?;
    let takes = call.times.machine;
    let record = change_identity(call, place, store, &body)?;
    let location = record.location.clone();
    let answer = shown(&record, StatusCode::OK, call.now());
    Ok(store.begin(call, (Work::MachineChange, takes), (&place.key(), &location), answer))
}

/// Gives a machine of either kind the identity of a request, and what it leads to in the directory.
pub(crate) fn change_identity(
    call: &Call<'_>,
    place: &Place,
    store: &mut Store,
    body: &Map<String, Value>,
) -> Result<Record, Refusal> {
    let takes = call.times.machine;
    let now = call.now();
    if !store.resource(place)?.is_ready(now) {
        return Err(Refusal::other_operation());
    }
    let given = match member(body, "identity") {
        None => None,
        Some(_) => Some(read_identity(store, &object_of(body, "identity"))?),
    };
    let record = store.resources.get_mut(&place.key());
    let record = record.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))?;
    record.tags = member(body, "tags").cloned().or_else(|| record.tags.take());
    if let Some((kind, assigned)) = given {
        let mut identity = json!({ "type": kind });
        if kind.to_ascii_lowercase().contains("systemassigned") {
            let former = record.body.get("identity").and_then(|identity| identity["principalId"].as_str());
            identity["principalId"] = former.map_or_else(|| Uuid::new_v4().to_string(), str::to_string).into();
            identity["tenantId"] = call.world.directory.tenant().to_string().into();
        }
        let patched = *call.method == hyper::Method::PATCH;
        let former = record.body.get("identity").and_then(|identity| identity["userAssignedIdentities"].as_object());
        let assigned = if patched { merged(former, assigned) } else { assigned };
        if !assigned.is_empty() {
            identity["userAssignedIdentities"] = assigned.into();
        }
        record.body.insert("identity".into(), identity);
    }
    record.ready_from = milliseconds_after(now, takes);
    let record = record.clone();
    identity::enrol_all(store, &call.world);
    Ok(record)
}

/// A PATCH adds the identities that it names, and takes away those that it sets to null.
fn merged(former: Option<&Map<String, Value>>, given: Map<String, Value>) -> Map<String, Value> {
    let mut all = former.cloned().unwrap_or_default();
    for (id, value) in given {
        all.retain(|own, _| !own.eq_ignore_ascii_case(&id));
        if !value.is_null() {
            all.insert(id, value);
        }
    }
    all
}

/// The type of an identity, and the user-assigned ones that it names, which must exist.
fn read_identity(store: &Store, given: &Map<String, Value>) -> Result<(String, Map<String, Value>), Refusal> {
    let kind = given.get("type").and_then(Value::as_str).unwrap_or("UserAssigned").to_string();
    let mut assigned = Map::new();
    for (id, value) in object_of(given, "userAssignedIdentities") {
        let place = Place::of_id(&id).filter(|place| place.kind == Kind::Identity);
        let place = place.ok_or_else(|| Refusal::linked_id(&id, "identity.userAssignedIdentities"))?;
        let value = if value.is_null() {
            Value::Null
        } else {
            let identity = store.resource(&place)?;
            json!({ "principalId": identity.property("principalId"), "clientId": identity.property("clientId") })
        };
        assigned.insert(id, value);
    }
    Ok((kind, assigned))
}

/// The document of a machine.
pub(crate) fn show(record: &Record, now: Timestamp) -> Value {
    let mut document = Value::Object(record.document());
    document["properties"]["provisioningState"] = record.state("Updating", now).into();
    document
}
