//! What exists at the start: groups, machines and identities, as the seed declares or implies them.

use serde_json::{Map, Value, json};

use super::call::{World, location_key};
use super::kind::Kind;
use super::place::Place;
use super::seed::{ComputeKind, SubscriptionSeed};
use super::store::{Group, Record, Store};
use super::{identity, provider, vault};
use crate::role::{self, RoleAssignment};
use crate::vault::Stamp;

/// The store of a seed, whose vaults and directory are in `world`.
pub(crate) fn store(seed: &SubscriptionSeed, world: &World<'_>) -> Store {
    let mut store = Store { subscription: seed.id, subscription_name: seed.name.clone(), ..Store::default() };
    provider::seed(&mut store, seed.registered_providers.as_deref());
    let scope = format!("/subscriptions/{}", seed.id);
    for grant in &seed.role_assignments {
        let role = role::find(&grant.role).expect("roles were checked with the seed");
        let now = world.now.as_millisecond();
        world.assignments.add(RoleAssignment::given(grant.principal, role, scope.clone(), now));
    }
    for group in &seed.resource_groups {
        let tags = (!group.tags.is_empty()).then(|| json!(group.tags));
        add_group(&mut store, (&group.name, &group.location), tags);
    }
    adopt_vaults(&mut store, world);
    add_machines(&mut store, seed, world);
    add_identities(&mut store, world);
    store
}

fn add_group(store: &mut Store, (name, location): (&str, &str), tags: Option<Value>) {
    let group = Group { name: name.into(), location: location_key(location), tags, gone_from: None };
    store.groups.entry(name.to_ascii_lowercase()).or_insert(group);
}

/// Gives the vaults of the seed, which nobody has managed yet, what Resource Manager keeps about each.
pub(crate) fn adopt_vaults(store: &mut Store, world: &World<'_>) {
    let tenant = world.directory.tenant();
    for vault in world.vaults.snapshot() {
        if vault.control.made.by.is_none() && vault.control.rbac.is_none() {
            let _seen = world.vaults.with(&vault.name, |vault| vault::adopt_seeded(vault, tenant));
            if vault.subscription == store.subscription {
                add_group(store, (&vault.resource_group, &vault.location), None);
            }
        }
    }
}

fn add(store: &mut Store, world: &World<'_>, (place, location): (Place, &str), body: Map<String, Value>) {
    add_group(store, (&place.group, location), None);
    let stamp = Stamp { at: world.now, by: None };
    let record = Record {
        kind: place.kind,
        id: place.id(),
        location: location_key(location),
        tags: Some(json!({})),
        body,
        made: stamp,
        changed: stamp,
        ready_from: world.now.as_millisecond(),
        gone_from: None,
    };
    store.resources.insert(place.key(), record);
}

fn add_machines(store: &mut Store, seed: &SubscriptionSeed, world: &World<'_>) {
    let place = |kind, group: &str, names: &[&str]| Place {
        kind,
        subscription: seed.id.to_string(),
        group: group.into(),
        names: names.iter().map(ToString::to_string).collect(),
    };
    for machine in &seed.virtual_machines {
        let place = place(Kind::VirtualMachine, &machine.resource_group, &[&machine.name]);
        let properties = json!({ "hardwareProfile": { "vmSize": "Standard_D2s_v5" }, "vmId": machine.name });
        add(store, world, (place, &machine.location), Map::from_iter([("properties".to_string(), properties)]));
    }
    for compute in &seed.computes {
        let place = place(Kind::Compute, &compute.resource_group, &[&compute.workspace, &compute.name]);
        let properties = match compute.kind {
            ComputeKind::Cluster => json!({
                "computeType": "AmlCompute",
                "computeLocation": location_key(&compute.location),
                "disableLocalAuth": true,
                "properties": {
                    "vmSize": "STANDARD_DS3_V2",
                    "vmPriority": "Dedicated",
                    "scaleSettings": { "minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT120S" },
                },
            }),
            ComputeKind::Instance => json!({
                "computeType": "ComputeInstance",
                "computeLocation": location_key(&compute.location),
                "disableLocalAuth": true,
                "properties": { "vmSize": "STANDARD_DS3_V2", "applicationSharingPolicy": "Personal", "state": "Running" },
            }),
        };
        add(store, world, (place, &compute.location), Map::from_iter([("properties".to_string(), properties)]));
    }
}

/// The identities of the seed that have resource ids in this subscription are resources too.
fn add_identities(store: &mut Store, world: &World<'_>) {
    for seeded in world.directory.identities().with_resource_id() {
        let place = seeded.resource_id.as_deref().and_then(Place::of_id);
        let Some(place) =
            place.filter(|place| place.kind == Kind::Identity && place.subscription.parse() == Ok(store.subscription))
        else {
            continue;
        };
        let group = store.groups.get(&place.group.to_ascii_lowercase());
        let location = group.map_or("westeurope", |group| &group.location).to_string();
        let properties = identity::new_properties(world.directory.tenant(), seeded.object_id, seeded.client_id);
        add(store, world, (place, &location), Map::from_iter([("properties".to_string(), properties)]));
    }
}
