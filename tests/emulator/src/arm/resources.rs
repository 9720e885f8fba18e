//! What resources of every type have in common: being found, listed, tagged and deleted.

use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, World, member, object_of};
use super::kind::Kind;
use super::operation::Work;
use super::place::Place;
use super::refusal::Refusal;
use super::store::{Record, Store};
use super::{component, compute, identity, log_workspace, provider, storage, vault, virtual_machine, workspace};
use crate::vault::milliseconds_after;

/// How long a deleted Log Analytics workspace comes back under its former name.
const LOG_RETENTION: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Answers a request about one resource.
pub(crate) fn answer(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    if matches!(*call.method, Method::PUT | Method::PATCH) {
        provider::check(store, place.kind.namespace(), call.now())?;
    }
    if place.kind == Kind::Vault {
        return vault::answer(call, place, store);
    }
    match *call.method {
        Method::GET => {
            let record = found(store, place)?;
            Ok(shown(record, StatusCode::OK, call.now()))
        }
        Method::HEAD => found(store, place).map(|_| Answer::empty(StatusCode::NO_CONTENT)),
        Method::PUT => {
            store.group_to_write(&place.group)?;
            let place = store.canonical(place)?;
            put(call, &place, store)
        }
        Method::PATCH => {
            store.group_to_write(&place.group)?;
            found(store, place)?;
            patch(call, place, store)
        }
        Method::DELETE => delete(call, place, store),
        _ => Err(Refusal::method_not_allowed(call.method.as_str())),
    }
}

/// The resource, and everything that it lives in.
fn found<'a>(store: &'a Store, place: &Place) -> Result<&'a Record, Refusal> {
    if let Some(parent) = place.parent() {
        store.resource(&parent)?;
    }
    store.resource(place)
}

fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    match place.kind {
        Kind::Vault => vault::answer(call, place, store),
        Kind::StorageAccount => storage::put(call, place, store),
        Kind::LogWorkspace => log_workspace::put(call, place, store),
        Kind::Component => component::put(call, place, store),
        Kind::Workspace => workspace::put(call, place, store),
        Kind::Identity => identity::put(call, place, store),
        Kind::FederatedCredential => identity::put_credential(call, place, store),
        Kind::Compute => compute::put(call, place, store),
        Kind::VirtualMachine => virtual_machine::change(call, place, store),
    }
}

fn patch(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    match place.kind {
        Kind::Workspace => workspace::patch(call, place, store),
        Kind::VirtualMachine => virtual_machine::change(call, place, store),
        Kind::StorageAccount => storage::patch(call, place, store),
        Kind::LogWorkspace => revise(call, place, store),
        Kind::Vault | Kind::Compute | Kind::FederatedCredential => {
            Err(Refusal::method_not_allowed(call.method.as_str()))
        }
        Kind::Component | Kind::Identity => tag(call, place, store),
    }
}

/// Replaces the tags, which is all that can be changed of the simpler resources here.
fn tag(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let tags = member(&call.object()?, "tags").cloned();
    let record = store.resources.get_mut(&place.key());
    let record = record.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))?;
    record.tags = tags.or_else(|| record.tags.take());
    Ok(shown(record, StatusCode::OK, call.now()))
}

/// Replaces the tags and the properties that a patch names.
fn revise(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let record = store.resources.get_mut(&place.key());
    let record = record.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))?;
    record.tags = member(&body, "tags").cloned().or_else(|| record.tags.take());
    for (name, value) in object_of(&body, "properties") {
        record.set_property(&name, value);
    }
    Ok(shown(record, StatusCode::OK, call.now()))
}

fn document(record: &Record, now: Timestamp) -> Value {
    match record.kind {
        Kind::Vault => Value::Null,
        Kind::StorageAccount => storage::show(record, now),
        Kind::LogWorkspace => log_workspace::show(record, now),
        Kind::Component => component::show(record),
        Kind::Workspace => workspace::show(record, now),
        Kind::Compute => compute::show(record, now),
        Kind::VirtualMachine => virtual_machine::show(record, now),
        Kind::Identity | Kind::FederatedCredential => record.document().into(),
    }
}

/// The document of a resource, in its service's handwriting.
pub(crate) fn shown(record: &Record, status: StatusCode, now: Timestamp) -> Answer {
    let document = document(record, now);
    if record.kind == Kind::Component { Answer::lines(status, document) } else { Answer::json(status, document) }
}

/// Every resource of a kind.
pub(crate) fn list(
    call: &Call<'_>,
    store: &Store,
    (kind, group, names): (Kind, Option<&str>, &[String]),
) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let mut prefix = format!("/subscriptions/{}", store.subscription);
    if let Some(group) = group {
        store.group(group)?;
        prefix = format!("{prefix}/resourceGroups/{group}");
    }
    if kind == Kind::Vault {
        return Ok(Answer::list(vault::list(call, store, group)));
    }
    if let (Some(group), [outer]) = (group, names) {
        let nested = Place {
            kind,
            subscription: store.subscription.to_string(),
            group: group.into(),
            names: vec![outer.clone()],
        };
        let parent = nested.parent().ok_or_else(|| Refusal::no_such_path(call.path))?;
        store.resource(&parent)?;
        prefix = parent.id();
    }
    Ok(Answer::list(store.of_kind(kind, &prefix).map(|record| document(record, call.now())).collect()))
}

/// Every resource of the subscription or of a group, in short.
pub(crate) fn list_all(call: &Call<'_>, store: &Store, group: Option<&str>) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    if let Some(group) = group {
        store.group(group)?;
    }
    let prefix = match group {
        None => "/".to_string(),
        Some(group) => format!("/subscriptions/{}/resourcegroups/{}/", store.subscription, group.to_ascii_lowercase()),
    };
    let own = store.resources.iter().filter(|(key, record)| key.starts_with(&prefix) && !record.kind.is_nested());
    let brief = |document: &Map<String, Value>| {
        let kept = ["id", "name", "type", "location", "tags", "kind", "sku", "identity"];
        let members = kept.iter().filter_map(|name| Some(((*name).to_string(), document.get(*name)?.clone())));
        Value::Object(members.collect())
    };
    let own = own.map(|(_, record)| brief(&record.document()));
    let vaults = vault::list(call, store, group);
    let vaults = vaults.iter().filter_map(Value::as_object).map(brief);
    let wanted = call.query.value("$filter").and_then(type_filter);
    let matches = |resource: &Value| {
        let own = resource["type"].as_str().unwrap_or_default();
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(own))
    };
    Ok(Answer::list(own.chain(vaults).filter(matches).collect()))
}

/// The type of `resourceType eq 'Microsoft.KeyVault/vaults'`.
fn type_filter(filter: &str) -> Option<String> {
    let of_type = filter.to_ascii_lowercase().starts_with("resourcetype eq");
    of_type.then(|| filter.split('\'').nth(1).map(str::to_string)).flatten()
}

fn delete(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    store.group(&place.group)?;
    let Ok(record) = found(store, place) else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let record = record.clone();
    match place.kind {
        Kind::Workspace => return Ok(begin_workspace_deletion(call, place, store)),
        Kind::Compute | Kind::VirtualMachine => {
            return Err(Refusal::bad_request("The emulator's machines are those of its seed, and stay."));
        }
        Kind::LogWorkspace if call.query.value("force") != Some("true") => {
            let until = call.now().saturating_add(LOG_RETENTION).unwrap_or(Timestamp::MAX);
            store.deleted_log_workspaces.insert(place.key(), (record.clone(), until));
        }
        _ => {}
    }
    forget(store, &call.world, &place.key());
    let answer = Answer::deleted(Some(&record));
    // Storage names a type even for a body that is empty.
    let typed = place.kind == Kind::StorageAccount;
    Ok(if typed { answer.with("content-type", "text/plain; charset=utf-8") } else { answer })
}

fn begin_workspace_deletion(call: &Call<'_>, place: &Place, store: &mut Store) -> Answer {
    let takes = call.times.workspace_deletion;
    let gone_from = milliseconds_after(call.now(), takes);
    let location = store.resources.get_mut(&place.key()).map(|record| {
        record.gone_from.get_or_insert(gone_from);
        record.location.clone()
    });
    let about = (place.key(), location.unwrap_or_default());
    store.begin(call, (Work::WorkspaceDeletion, takes), (&about.0, &about.1), Answer::empty(StatusCode::ACCEPTED))
}

/// Forgets a resource with everything that belongs to it: what it contains, roles on it, its principal.
pub(crate) fn forget(store: &mut Store, world: &World<'_>, key: &str) {
    let within = format!("{key}/");
    let keys: Vec<String> =
        store.resources.keys().filter(|other| *other == key || other.starts_with(&within)).cloned().collect();
    for key in keys {
        // A machine of the seed outlives its workspace: it is there again when the workspace is.
        if store.resources.get(&key).is_some_and(|record| record.kind == Kind::Compute) {
            continue;
        }
        if let Some(record) = store.resources.remove(&key) {
            identity::strike(&record, store, world);
        }
        world.assignments.forget_within(&key);
    }
    store.diagnostic_settings.retain(|setting, _| !setting.starts_with(&within));
}

/// The refusal of a body that lacks what the service demands.
pub(crate) fn demanded(name: &str) -> Refusal {
    Refusal::bad_request(format!("The required property '{name}' is missing."))
}

/// `tags` as most services answer them: an empty object where none were given.
pub(crate) fn tags(body: &Map<String, Value>) -> Value {
    member(body, "tags").cloned().unwrap_or_else(|| json!({}))
}
