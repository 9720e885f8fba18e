//! Storage accounts: empty 202, then the whole account at the operation's address.

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, member, object_of, text};
use super::operation::Work;
use super::place::Place;
use super::refusal::Refusal;
use super::resources::{demanded, shown, tags};
use super::store::{Draft, Record, Store};
use super::written;

/// Makes an account, or changes one.
pub(crate) fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    if !is_name(place.name()) {
        return Err(Refusal::provider(StatusCode::BAD_REQUEST, "AccountNameInvalid", invalid(place.name())));
    }
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?.to_string();
    let sku = text(&object_of(&body, "sku"), "name").ok_or_else(|| demanded("sku.name"))?.to_string();
    let kind = text(&body, "kind").ok_or_else(|| demanded("kind"))?.to_string();
    let existing = store.resources.get(&place.key()).cloned();
    match &existing {
        Some(existing) => {
            Store::check_location(place, (&existing.location, &location))?;
            check_immutable(existing, &body)?;
        }
        None if is_taken(store, place.name()) => {
            return Err(Refusal::provider(StatusCode::CONFLICT, "StorageAccountAlreadyTaken", taken(place.name())));
        }
        None => {}
    }
    let made = existing.as_ref().map_or(call.now(), |existing| existing.made.at);
    let mut properties = properties(place.name(), &location, (&object_of(&body, "properties"), made));
    if let Some(secondary) = secondary(&sku, &location) {
        properties.insert("secondaryLocation".into(), secondary.into());
        properties.insert("statusOfSecondary".into(), "available".into());
    }
    let mut document = Map::new();
    document.insert("sku".into(), json!({ "name": sku, "tier": sku.split('_').next().unwrap_or_default() }));
    document.insert("kind".into(), kind.into());
    document.insert("properties".into(), properties.into());
    let draft = Draft { place: place.clone(), location, tags: Some(tags(&body)), body: document };
    if existing.is_some() {
        let record = store.keep(call, draft, std::time::Duration::ZERO);
        return Ok(shown(&record, StatusCode::OK, call.now()));
    }
    let takes = call.times.storage;
    let record = store.keep(call, draft, takes);
    let answer = Answer::empty(StatusCode::ACCEPTED).with("content-type", "text/plain; charset=utf-8");
    Ok(store.begin(call, (Work::StorageCreation, takes), (&place.key(), &record.location), answer))
}

/// Says whether a name is free.
pub(crate) fn check_availability(call: &Call<'_>, store: &Store) -> Result<Answer, Refusal> {
    if *call.method != Method::POST {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let body = call.object()?;
    let name = text(&body, "name").ok_or_else(Refusal::content)?;
    let (reason, message) = match (is_name(name), is_taken(store, name)) {
        (true, false) => return Ok(Answer::ok(json!({ "nameAvailable": true }))),
        (true, true) => ("AlreadyExists", taken(name)),
        (false, _) => ("AccountNameInvalid", invalid(name)),
    };
    Ok(Answer::ok(json!({ "nameAvailable": false, "reason": reason, "message": message })))
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=24).contains(&name.len()) && name.bytes().all(fits)
}

fn invalid(name: &str) -> String {
    format!(
        "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and \
         use numbers and lower-case letters only."
    )
}

fn taken(name: &str) -> String {
    format!("The storage account named {name} is already taken.")
}

fn is_taken(store: &Store, name: &str) -> bool {
    let accounts = store.of_kind(super::kind::Kind::StorageAccount, "/subscriptions");
    accounts.into_iter().any(|record| record.name() == name)
}

fn check_immutable(existing: &Record, body: &Map<String, Value>) -> Result<(), Refusal> {
    let hns =
        |properties: &Map<String, Value>| member(properties, "isHnsEnabled").and_then(Value::as_bool).unwrap_or(false);
    if hns(&existing.properties()) == hns(&object_of(body, "properties")) {
        return Ok(());
    }
    Err(Refusal::provider(
        StatusCode::BAD_REQUEST,
        "PropertyUpdateNotAllowed",
        "The update of property 'isHnsEnabled' is not allowed.",
    ))
}

/// What was given, and what the service adds.
fn properties(name: &str, location: &str, (given, made): (&Map<String, Value>, Timestamp)) -> Map<String, Value> {
    let enabled = json!({ "keyType": "Account", "enabled": true, "lastEnabledTime": written(made) });
    let endpoint = |service: &str| format!("https://{name}.{service}.core.windows.net/");
    let usual = json!({
        "minimumTlsVersion": "TLS1_2",
        "allowBlobPublicAccess": false,
        "allowSharedKeyAccess": true,
        "supportsHttpsTrafficOnly": true,
        "publicNetworkAccess": "Enabled",
        "accessTier": "Hot",
        "networkAcls": { "bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [], "defaultAction": "Allow" },
        "encryption": {
            "services": { "file": enabled, "blob": enabled },
            "keySource": "Microsoft.Storage",
        },
    });
    let own = json!({
        "creationTime": written(made),
        "keyCreationTime": { "key1": written(made), "key2": written(made) },
        "privateEndpointConnections": [],
        "primaryEndpoints": {
            "dfs": endpoint("dfs"), "web": endpoint("z6.web"), "blob": endpoint("blob"), "queue": endpoint("queue"),
            "table": endpoint("table"), "file": endpoint("file"),
        },
        "primaryLocation": super::call::location_key(location),
        "statusOfPrimary": "available",
    });
    let mut properties = usual.as_object().cloned().unwrap_or_default();
    properties.extend(given.clone().into_iter().filter(|(_, value)| !value.is_null()));
    properties.extend(own.as_object().cloned().unwrap_or_default());
    stamp_encryption(&mut properties, made);
    properties
}

/// Since when each service of an account encrypts: since it was made.
fn stamp_encryption(properties: &mut Map<String, Value>, made: Timestamp) {
    let services = properties.get_mut("encryption").and_then(|encryption| encryption["services"].as_object_mut());
    for service in services.into_iter().flat_map(|services| services.values_mut()) {
        service["lastEnabledTime"] = written(made).into();
    }
}

/// The region that an account of a geo-redundant SKU is copied to, of Azure's pairs of regions
/// (learn.microsoft.com/azure/reliability/regions-paired).
fn secondary(sku: &str, location: &str) -> Option<&'static str> {
    const PAIRS: [(&str, &str); 5] = [
        ("eastus", "westus"),
        ("eastus2", "centralus"),
        ("westus2", "westcentralus"),
        ("northeurope", "westeurope"),
        ("southeastasia", "eastasia"),
    ];
    let location = super::call::location_key(location);
    let of = |(one, other): &(&'static str, &'static str)| match location.as_str() {
        own if own == *one => Some(*other),
        own if own == *other => Some(*one),
        _ => None,
    };
    sku.contains("GRS").then(|| PAIRS.iter().find_map(of)).flatten()
}

/// Changes tags, SKU and properties.
pub(crate) fn patch(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let body = call.object()?;
    let record = store.resources.get_mut(&place.key());
    let record = record.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))?;
    record.tags = member(&body, "tags").cloned().or_else(|| record.tags.take());
    if let Some(name) = text(&object_of(&body, "sku"), "name") {
        let tier = name.split('_').next().unwrap_or_default();
        record.body.insert("sku".into(), json!({ "name": name, "tier": tier }));
    }
    let mut properties = record.properties();
    properties.extend(object_of(&body, "properties"));
    stamp_encryption(&mut properties, record.made.at);
    record.body.insert("properties".into(), properties.into());
    Ok(shown(record, StatusCode::OK, call.now()))
}

/// The document of an account.
pub(crate) fn show(record: &Record, now: Timestamp) -> Value {
    let mut document = Value::Object(record.document());
    document["properties"]["provisioningState"] = record.state("Creating", now).into();
    document
}
