//! Everything that Resource Manager keeps, but for vaults and role assignments, which have homes of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::call::{Call, location_key};
use super::kind::Kind;
use super::operation::Operation;
use super::place::Place;
use super::refusal::Refusal;
use crate::vault::{Stamp, Vault, milliseconds_after};

/// A resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) location: String,
    /// As it was given: an absent member is not an empty one.
    pub(crate) tags: Option<Value>,
    /// Unix milliseconds at which its deletion is complete.
    pub(crate) gone_from: Option<i64>,
}

/// One resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    /// What a GET shows beside id, name, type, location and tags.
    pub(crate) body: Map<String, Value>,
    pub(crate) made: Stamp,
    pub(crate) changed: Stamp,
    /// Unix milliseconds from which it is usable.
    pub(crate) ready_from: i64,
    /// Unix milliseconds at which its deletion is complete.
    pub(crate) gone_from: Option<i64>,
}

impl Record {
    pub(crate) fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or("")
    }

    pub(crate) fn is_ready(&self, now: Timestamp) -> bool {
        self.ready_from <= now.as_millisecond()
    }

    /// `provisioningState`, where `working` is the word for a creation that is under way.
    pub(crate) fn state(&self, working: &'static str, now: Timestamp) -> &'static str {
        match self.gone_from {
            Some(_) => "Deleting",
            None if self.is_ready(now) => "Succeeded",
            None => working,
        }
    }

    pub(crate) fn properties(&self) -> Map<String, Value> {
        self.body.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        self.body.get("properties")?.get(name)?.as_str()
    }

    pub(crate) fn set_property(&mut self, name: &str, value: Value) {
        let mut properties = self.properties();
        properties.insert(name.into(), value);
        self.body.insert("properties".into(), properties.into());
    }

    /// Every member that a GET shows, but for a provisioning state.
    pub(crate) fn document(&self) -> Map<String, Value> {
        let mut document = self.body.clone();
        document.insert("id".into(), self.id.clone().into());
        document.insert("name".into(), self.name().into());
        document.insert("type".into(), self.kind.type_name().into());
        document.insert("location".into(), self.location.clone().into());
        if let Some(tags) = &self.tags {
            document.insert("tags".into(), tags.clone());
        }
        document
    }
}

/// A vault that was deleted and can be recovered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeletedVault {
    pub(crate) vault: Vault,
    pub(crate) deleted: Timestamp,
    pub(crate) scheduled_purge: Timestamp,
    /// Unix milliseconds at which a purge is complete.
    pub(crate) purged_from: Option<i64>,
}

/// Everything that is kept. Maps go by ids and names in lower case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Store {
    pub(crate) subscription: Uuid,
    pub(crate) subscription_name: String,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) resources: BTreeMap<String, Record>,
    pub(crate) deleted_vaults: BTreeMap<String, DeletedVault>,
    /// Log Analytics workspaces that come back under their former name, with the instant that ends it.
    pub(crate) deleted_log_workspaces: BTreeMap<String, (Record, Timestamp)>,
    pub(crate) diagnostic_settings: BTreeMap<String, Value>,
    pub(crate) operations: BTreeMap<String, Operation>,
    /// The vaults that were deleted and not recovered, so that a restart does not seed them anew.
    pub(crate) removed_vaults: BTreeSet<String>,
    /// How long a new identity is unknown to role assignments.
    #[serde(skip)]
    pub(crate) principals_take: Duration,
    /// Unix milliseconds from which each namespace is registered.
    pub(crate) providers: BTreeMap<String, i64>,
}

impl Store {
    /// A group that is there, even while it is being deleted.
    pub(crate) fn group(&self, name: &str) -> Result<&Group, Refusal> {
        self.groups.get(&name.to_ascii_lowercase()).ok_or_else(|| Refusal::group_not_found(name))
    }

    /// A group that can be written into.
    pub(crate) fn group_to_write(&self, name: &str) -> Result<&Group, Refusal> {
        let group = self.group(name)?;
        if group.gone_from.is_some() { Err(Refusal::group_being_deleted(&group.name)) } else { Ok(group) }
    }

    /// `place` with its group as the group is called, and its parents as they are.
    pub(crate) fn canonical(&self, place: &Place) -> Result<Place, Refusal> {
        let mut canonical = Place { group: self.group(&place.group)?.name.clone(), ..place.clone() };
        if let Some(parent) = canonical.parent() {
            let parent = self.resource(&parent)?;
            canonical.names[0] = parent.name().to_string();
        }
        Ok(canonical)
    }

    pub(crate) fn resource(&self, place: &Place) -> Result<&Record, Refusal> {
        self.group(&place.group)?;
        let found = self.resources.get(&place.key());
        found.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))
    }

    /// Every resource of a kind within a subscription, a group or a resource: whatever `prefix` begins.
    pub(crate) fn of_kind<'a>(&'a self, kind: Kind, prefix: &str) -> impl Iterator<Item = &'a Record> + use<'a> {
        let prefix = format!("{}/", prefix.to_ascii_lowercase());
        let within = move |(key, record): &(&String, &Record)| record.kind == kind && key.starts_with(&prefix);
        self.resources.iter().filter(within).map(|(_, record)| record)
    }

    /// Refuses a location other than that of what exists already.
    pub(crate) fn check_location(place: &Place, (is, asked): (&str, &str)) -> Result<(), Refusal> {
        if location_key(is) == location_key(asked) {
            return Ok(());
        }
        Err(Refusal::other_location(place.name(), &place.group, (is, asked)))
    }

    /// Keeps a resource that is made or replaced, usable after `takes`.
    pub(crate) fn keep(&mut self, call: &Call<'_>, draft: Draft, takes: Duration) -> Record {
        let Draft { place, location, tags, body } = draft;
        let stamp = Stamp { at: call.now(), by: Some(call.caller.app_id) };
        let existing = self.resources.get(&place.key());
        let record = Record {
            kind: place.kind,
            id: existing.map_or_else(|| place.id(), |former| former.id.clone()),
            location: location_key(&location),
            tags,
            body,
            made: existing.map_or(stamp, |former| former.made),
            changed: stamp,
            ready_from: milliseconds_after(call.now(), takes),
            gone_from: None,
        };
        self.resources.insert(place.key(), record.clone());
        record
    }
}

/// A resource that is about to be kept.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) place: Place,
    pub(crate) location: String,
    pub(crate) tags: Option<Value>,
    pub(crate) body: Map<String, Value>,
}

/// `systemData` as most services write it.
pub(crate) fn system_data(made: Stamp, changed: Stamp) -> Value {
    let by = |stamp: Stamp| stamp.by.unwrap_or_default().to_string();
    json!({
        "createdAt": format!("{:.7}", made.at),
        "createdBy": by(made),
        "createdByType": "Application",
        "lastModifiedAt": format!("{:.7}", changed.at),
        "lastModifiedBy": by(changed),
        "lastModifiedByType": "Application",
    })
}
