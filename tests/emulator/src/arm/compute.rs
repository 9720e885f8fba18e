//! Clusters and instances of machine learning workspaces: looked at, and given identities.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::answer::Answer;
use super::call::Call;
use super::operation::Work;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::shown;
use super::store::{Record, Store};
use super::virtual_machine::change_identity;

/// Changes the identity of a compute: only a PUT of the whole can.
pub(crate) fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    if store.resource(place).is_err() {
        return Err(Refusal::bad_request("The emulator's machines are those of its seed: none can be made."));
    }
    let body = call.object()?;
    let record = change_identity(call, place, store, &body)?;
    let location = record.location.clone();
    let answer = shown(&record, StatusCode::OK, call.now());
    Ok(store.begin(call, (Work::ComputeChange, call.times.machine), (&place.key(), &location), answer))
}

/// The document of a compute.
pub(crate) fn show(record: &Record, now: Timestamp) -> Value {
    let mut document = Value::Object(record.document());
    document["properties"]["provisioningState"] = record.state("Updating", now).into();
    document
}
