//! User-assigned identities and their federated credentials, and every identity's place in the directory.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::call::{Call, World, member, object_of, text};
use super::kind::Kind;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::{demanded, tags};
use super::store::{Draft, Record, Store};
use crate::directory::seed::FederatedCredential;
use crate::directory::{Attachment, Enrolment, IdentityKind, ManagedIdentity};
use crate::vault::milliseconds_after;

/// How many federated credentials an identity can have.
const MOST_CREDENTIALS: usize = 20;

/// Makes an identity, or changes its tags.
pub(crate) fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?.to_string();
    let existing = store.resources.get(&place.key()).cloned();
    let status = match &existing {
        None => StatusCode::CREATED,
        Some(existing) => {
            Store::check_location(place, (&existing.location, &location))?;
            StatusCode::OK
        }
    };
    let properties = existing.as_ref().map_or_else(
        || new_properties(call.world.directory.tenant(), Uuid::new_v4(), Uuid::new_v4()),
        |former| former.properties().into(),
    );
    let document = Map::from_iter([("properties".to_string(), properties)]);
    let draft = Draft { place: place.clone(), location, tags: Some(tags(&body)), body: document };
    let record = store.keep(call, draft, Duration::ZERO);
    enrol(&record, store, &call.world);
    Ok(Answer::json(status, record.document().into()))
}

/// The properties of an identity.
pub(crate) fn new_properties(tenant: Uuid, principal: Uuid, client: Uuid) -> Value {
    json!({ "tenantId": tenant, "principalId": principal, "clientId": client })
}

/// Makes a federated credential, or replaces one.
pub(crate) fn put_credential(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let given = object_of(&body, "properties");
    let issuer = text(&given, "issuer").ok_or_else(|| demanded("properties.issuer"))?;
    let subject = text(&given, "subject").ok_or_else(|| demanded("properties.subject"))?;
    let audiences = member(&given, "audiences").and_then(Value::as_array).filter(|audiences| audiences.len() == 1);
    let audiences = audiences.ok_or_else(|| demanded("properties.audiences"))?;
    let parent = place.parent().ok_or_else(|| Refusal::no_such_path(call.path))?;
    let others = || {
        store.of_kind(Kind::FederatedCredential, &parent.id()).filter(|one| !one.id.eq_ignore_ascii_case(&place.id()))
    };
    if others().any(|one| one.property("issuer") == Some(issuer) && one.property("subject") == Some(subject)) {
        return Err(Refusal::provider(
            StatusCode::CONFLICT,
            "Conflict",
            "Issuer and subject combination already exists for this Managed Identity.",
        ));
    }
    if others().count() >= MOST_CREDENTIALS {
        return Err(Refusal::bad_request(format!(
            "A managed identity has at most {MOST_CREDENTIALS} federated credentials."
        )));
    }
    let properties = json!({ "issuer": issuer, "subject": subject, "audiences": audiences });
    let document = Map::from_iter([("properties".to_string(), properties)]);
    let status = if store.resources.contains_key(&place.key()) { StatusCode::OK } else { StatusCode::CREATED };
    let location = store.resource(&parent)?.location.clone();
    let draft = Draft { place: place.clone(), location, tags: None, body: document };
    let record = store.keep(call, draft, Duration::ZERO);
    let identity = store.resource(&parent)?.clone();
    enrol(&identity, store, &call.world);
    let mut document = record.document();
    document.remove("location");
    Ok(Answer::json(status, document.into()))
}

/// Brings every identity of `store` into the directory.
pub(crate) fn enrol_all(store: &Store, world: &World<'_>) {
    for record in store.resources.values() {
        enrol(record, store, world);
    }
}

/// Brings the identity of a resource into the directory, as it is now.
pub(crate) fn enrol(record: &Record, store: &Store, world: &World<'_>) {
    let id = |value: Option<&str>| value.and_then(|text| text.parse::<Uuid>().ok());
    let (principal, client, resource_id, kind) = match record.kind {
        Kind::Identity => {
            let (principal, client) = (id(record.property("principalId")), id(record.property("clientId")));
            (principal, client, record.id.clone(), IdentityKind::UserAssigned)
        }
        Kind::Workspace => {
            let principal = id(record.body["identity"]["principalId"].as_str());
            // No machine hands out its tokens, so nobody asks what its client id is.
            let client = principal.map(|principal| Uuid::new_v5(&principal, b"client"));
            (principal, client, record.id.clone(), IdentityKind::UserAssigned)
        }
        _ => return,
    };
    let (Some(object_id), Some(client_id)) = (principal, client) else {
        return;
    };
    let identity = ManagedIdentity { client_id, object_id, resource_id: Some(resource_id), kind };
    let takes = if record.made.by.is_some() { store.principals_take } else { Duration::ZERO };
    let enrolment = Enrolment {
        attachment: attachment(record, store),
        known_from: milliseconds_after(record.made.at, takes),
        federated_credentials: credentials(record, store),
        identity,
    };
    if let Err(error) = world.directory.enrol(enrolment) {
        tracing::warn!(error = &error as &dyn std::error::Error, "identity is not in the directory");
    }
}

/// An identity of the seed is there for its machine; any other has to be assigned to one first.
fn attachment(record: &Record, store: &Store) -> Attachment {
    let assigned = |machine: &Record| {
        let given = machine.body.get("identity").and_then(|identity| identity["userAssignedIdentities"].as_object());
        given.is_some_and(|ids| ids.keys().any(|id| id.eq_ignore_ascii_case(&record.id)))
    };
    let mut machines = store.resources.values().filter(|one| matches!(one.kind, Kind::VirtualMachine | Kind::Compute));
    let seeded = record.kind == Kind::Identity && record.made.by.is_none();
    if seeded || machines.any(assigned) { Attachment::Attached } else { Attachment::Detached }
}

fn credentials(record: &Record, store: &Store) -> Vec<FederatedCredential> {
    if record.kind != Kind::Identity {
        return Vec::new();
    }
    let own = store.of_kind(Kind::FederatedCredential, &record.id);
    let credential = |one: &Record| {
        let audience = one.properties()["audiences"][0].as_str().unwrap_or_default().to_string();
        Some(FederatedCredential {
            issuer: one.property("issuer")?.into(),
            subject: one.property("subject")?.into(),
            audience,
            public_key: None,
            jwks: None,
        })
    };
    own.filter_map(credential).collect()
}

/// Takes a resource that is gone out of the directory.
pub(crate) fn strike(record: &Record, store: &Store, world: &World<'_>) {
    match record.kind {
        Kind::Identity | Kind::Workspace => {
            let principal = record.property("principalId").or_else(|| record.body["identity"]["principalId"].as_str());
            if let Some(principal) = principal.and_then(|text| text.parse().ok()) {
                world.directory.identities().strike(principal);
            }
        }
        Kind::FederatedCredential => {
            let parent = Place::of_id(&record.id).and_then(|place| place.parent());
            if let Some(identity) = parent.and_then(|parent| store.resources.get(&parent.key())) {
                enrol(identity, store, world);
            }
        }
        _ => {}
    }
}
