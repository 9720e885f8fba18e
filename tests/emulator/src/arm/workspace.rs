//! Machine learning workspaces: 202 with two addresses, demands on what they are linked to, and much that is fixed at
//! creation.

mod demands;

use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::demands::Dependencies;
use super::answer::Answer;
use super::call::{Call, location_key, member, object_of, text};
use super::operation::Work;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::tags;
use super::store::{Draft, Record, Store, system_data};
use super::{identity, vault, written};
use crate::role::{self, RoleAssignment};
use crate::vault::milliseconds_after;

/// What a PATCH can change: everything else is fixed, or is not the service's to change.
const CHANGEABLE: [&str; 9] = [
    "applicationInsights",
    "containerRegistry",
    "description",
    "friendlyName",
    "imageBuildCompute",
    "publicNetworkAccess",
    "managedNetwork",
    "primaryUserAssignedIdentity",
    "systemDatastoresAuthMode",
];

/// Makes a workspace, or replaces one: either way it is an operation.
pub(crate) fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    check_name(place.name())?;
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?.to_string();
    let given = object_of(&body, "properties");
    let existing = store.resources.get(&place.key()).cloned();
    if let Some(existing) = &existing {
        Store::check_location(place, (&existing.location, &location))?;
        check_free(existing, call.now())?;
    }
    let dependencies = Dependencies::read(&given)?;
    if object_of(&body, "identity").is_empty() {
        return Err(Refusal::validation("Make sure to create your workspace using a client which support MSI"));
    }
    dependencies.check(call, store)?;
    if let Some(existing) = &existing {
        demands::check_immutable(existing, &given)?;
    }
    let (identity, principal) = identity_of(call, existing.as_ref(), &body);
    let mut document = Map::new();
    let properties = properties(call, place, (&given, &location), existing.as_ref());
    document.insert("properties".into(), dependencies.recased(properties).into());
    document.insert("identity".into(), identity);
    document.insert("kind".into(), text(&body, "kind").unwrap_or("Default").into());
    document.insert("sku".into(), sku(&body));
    document.insert("etag".into(), Value::Null);
    let draft = Draft { place: place.clone(), location, tags: Some(tags(&body)), body: document };
    let record = store.keep(call, draft, call.times.workspace);
    if let (Some(principal), None) = (principal, &existing) {
        welcome(call, place, (&record, principal), &dependencies);
    }
    identity::enrol(&record, store, &call.world);
    Ok(begin(call, store, &record))
}

fn begin(call: &Call<'_>, store: &mut Store, record: &Record) -> Answer {
    let about = record.id.to_ascii_lowercase();
    let work = (Work::WorkspaceChange, call.times.workspace);
    store.begin(call, work, (&about, &record.location), Answer::empty(StatusCode::ACCEPTED))
}

fn check_free(record: &Record, now: Timestamp) -> Result<(), Refusal> {
    if record.is_ready(now) && record.gone_from.is_none() { Ok(()) } else { Err(Refusal::other_operation()) }
}

/// 3 to 33 characters, the first of them a letter or a digit
/// (learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules).
fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if (3..=33).contains(&name.len()) && starts && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Refusal::validation(format!(
        "Workspace name '{name}' is invalid. It must be between 3 and 33 characters long, and may only include alphanumeric \
         characters, '-' and '_'. Its first character has to be alphanumeric."
    )))
}

/// The identity that answers show, with the principal of a system-assigned one.
fn identity_of(call: &Call<'_>, existing: Option<&Record>, body: &Map<String, Value>) -> (Value, Option<Uuid>) {
    let given = object_of(body, "identity");
    let kind = text(&given, "type").unwrap_or("SystemAssigned").to_string();
    let former = existing.and_then(|former| former.body.get("identity")?.get("principalId")?.as_str()?.parse().ok());
    let mut identity = json!({ "type": kind });
    if let Some(assigned) = member(&given, "userAssignedIdentities") {
        identity["userAssignedIdentities"] = assigned.clone();
    }
    if !kind.to_ascii_lowercase().contains("systemassigned") {
        return (identity, None);
    }
    let principal = former.unwrap_or_else(Uuid::new_v4);
    identity["principalId"] = principal.to_string().into();
    identity["tenantId"] = call.world.directory.tenant().to_string().into();
    (identity, Some(principal))
}

fn sku(body: &Map<String, Value>) -> Value {
    let given = object_of(body, "sku");
    let name = text(&given, "name").unwrap_or("Basic");
    json!({ "name": name, "tier": text(&given, "tier").unwrap_or(name) })
}

/// What the service does for a new workspace's identity: a role on the group, and rights in a vault with policies.
fn welcome(call: &Call<'_>, place: &Place, (record, principal): (&Record, Uuid), dependencies: &Dependencies) {
    let now = call.now();
    let group = format!("/subscriptions/{}/resourceGroups/{}", place.subscription, place.group);
    if let Some(contributor) = role::find("Contributor") {
        let acts_from = milliseconds_after(now, call.times.role_changes);
        let assignment = RoleAssignment::given(principal, contributor, group, acts_from);
        call.world.assignments.add(RoleAssignment { created: record.made.at, ..assignment });
    }
    let tenant = call.world.directory.tenant();
    let vault = dependencies.vault.name();
    let _seen = call.world.vaults.with(vault, |vault| vault::grant_all_secrets(vault, principal, tenant));
}

/// What was given, and what the service adds.
fn properties(
    call: &Call<'_>,
    place: &Place,
    (given, location): (&Map<String, Value>, &str),
    existing: Option<&Record>,
) -> Map<String, Value> {
    let kept = |name: &str| existing.and_then(|former| former.property(name)).map(str::to_string);
    let id = kept("workspaceId").unwrap_or_else(|| Uuid::new_v4().to_string());
    let location = location_key(location);
    let short: String = place.name().chars().take(15).collect();
    let usual = json!({
        "friendlyName": "",
        "description": "",
        "hbiWorkspace": false,
        "imageBuildCompute": null,
        "allowRoleAssignmentOnRG": true,
        "v1LegacyMode": false,
        "softDeleteEnabled": false,
        "publicNetworkAccess": "Enabled",
        "ipAllowlist": [],
        "serverlessComputeSettings": null,
        "EnableSoftwareBillOfMaterials": false,
        "enableDataIsolation": false,
        "networkAcls": { "defaultAction": "Allow", "bypass": "", "ipRules": [], "resourceAccessRules": [] },
    });
    let own = json!({
        "tenantId": call.world.directory.tenant(),
        "creationTime": kept("creationTime").unwrap_or_else(|| written(call.now())),
        "notebookInfo": {
            "resourceId": id.replace('-', ""),
            "fqdn": format!("ml-{short}-{location}-{id}.{location}.notebooks.azure.net"),
            "isPrivateLinkEnabled": false,
            "notebookPreparationError": null,
        },
        "storageHnsEnabled": false,
        "workspaceId": id,
        "linkedModelInventoryArmId": null,
        "privateLinkCount": 0,
        "discoveryUrl": format!("https://{location}.api.azureml.ms/discovery"),
        "mlFlowTrackingUri": format!("azureml://{location}.api.azureml.ms/mlflow/v1.0{}", place.id()),
        "sdkTelemetryAppInsightsKey": kept("sdkTelemetryAppInsightsKey").unwrap_or_else(|| Uuid::new_v4().to_string()),
    });
    let mut properties = usual.as_object().cloned().unwrap_or_default();
    properties.extend(given.clone().into_iter().filter(|(_, value)| !value.is_null()));
    properties.extend(own.as_object().cloned().unwrap_or_default());
    properties
}

/// Changes what can be changed, tags and identity among it.
pub(crate) fn patch(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let given = object_of(&body, "properties");
    let mut record = store.resource(place)?.clone();
    check_free(&record, call.now())?;
    demands::check_immutable(&record, &given)?;
    demands::check_component(call, store, &given)?;
    for name in CHANGEABLE {
        if let Some(value) = member(&given, name) {
            record.set_property(name, value.clone());
        }
    }
    record.tags = member(&body, "tags").cloned().or(record.tags);
    if member(&body, "identity").is_some() {
        let (identity, _) = identity_of(call, Some(&record), &body);
        record.body.insert("identity".into(), identity);
    }
    if member(&body, "sku").is_some() {
        record.body.insert("sku".into(), sku(&body));
    }
    let Record { location, tags, body, .. } = record;
    let draft = Draft { place: place.clone(), location, tags, body };
    // Of the versions before 2022, whose clients know no operation here, the answer is the workspace itself.
    if call.api_version.as_str() < "2022" {
        let record = store.keep(call, draft, Duration::ZERO);
        return Ok(Answer::ok(show(&record, call.now())));
    }
    let record = store.keep(call, draft, call.times.workspace);
    Ok(begin(call, store, &record))
}

/// The document of a workspace.
pub(crate) fn show(record: &Record, now: Timestamp) -> Value {
    let mut document = Value::Object(record.document());
    let working = if record.made == record.changed { "Creating" } else { "Updating" };
    document["properties"]["provisioningState"] = record.state(working, now).into();
    document["systemData"] = system_data(record.made, record.changed);
    document
}
