//! Vaults that were deleted: they keep their name until they are recovered or purged.

use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::call::{Call, location_key};
use super::super::operation::Work;
use super::super::place::Place;
use super::super::refusal::Refusal;
use super::super::store::{DeletedVault, Store};
use super::{Casing, forget_access, show, stamp};
use crate::role::RoleAssignments;
use crate::vault::{Vault, milliseconds_after};

/// Keeps a vault that was taken from the data plane; one without soft delete is lost.
pub(crate) fn soft_delete(store: &mut Store, assignments: &RoleAssignments, vault: Vault, now: Timestamp) {
    forget_access(store, assignments, &vault);
    store.removed_vaults.insert(vault.name.to_ascii_lowercase());
    let Some(days) = vault.lifecycle.retention_days else {
        return;
    };
    let retention = SignedDuration::from_hours(24 * i64::from(days));
    let scheduled_purge = now.saturating_add(retention).unwrap_or(Timestamp::MAX);
    let name = vault.name.to_ascii_lowercase();
    store.deleted_vaults.insert(name, DeletedVault { vault, deleted: now, scheduled_purge, purged_from: None });
}

impl DeletedVault {
    /// Whether it is the one that a vault at `place` would be: Azure recovers in the same group and location only.
    pub(super) fn is_of(&self, place: &Place, location: &str) -> bool {
        self.vault.resource_id().eq_ignore_ascii_case(&place.id())
            && location_key(&self.vault.location) == location_key(location)
    }

    fn show(&self) -> Value {
        let DeletedVault { vault, deleted, scheduled_purge, .. } = self;
        let (subscription, location, name) = (vault.subscription, &vault.location, &vault.name);
        let mut properties = json!({
            "vaultId": vault.resource_id(),
            "location": location,
            "tags": vault.control.tags,
            "deletionDate": format!("{deleted:.0}"),
            "scheduledPurgeDate": format!("{scheduled_purge:.0}"),
        });
        if vault.lifecycle.purge_protection {
            properties["purgeProtectionEnabled"] = true.into();
        }
        json!({
            "id": format!("/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}"),
            "name": name,
            "type": "Microsoft.KeyVault/deletedVaults",
            "properties": properties,
        })
    }
}

/// Every deleted vault of the subscription.
pub(crate) fn deleted_list(store: &Store) -> Answer {
    let own = store.deleted_vaults.values().filter(|deleted| deleted.vault.subscription == store.subscription);
    Answer::list(own.map(DeletedVault::show).collect())
}

fn find<'a>(store: &'a Store, (location, name): (&str, &str)) -> Result<&'a DeletedVault, Refusal> {
    let found = store.deleted_vaults.get(&name.to_ascii_lowercase());
    let found = found.filter(|deleted| {
        deleted.vault.subscription == store.subscription
            && location_key(&deleted.vault.location) == location_key(location)
    });
    found.ok_or_else(|| {
        Refusal::provider(
            StatusCode::NOT_FOUND,
            "DeletedVaultNotFound",
            format!("The specified deleted vault '{name}' does not exist."),
        )
    })
}

/// One deleted vault.
pub(crate) fn deleted(store: &Store, place: (&str, &str)) -> Result<Answer, Refusal> {
    Ok(Answer::ok(find(store, place)?.show()))
}

/// Begins a purge.
pub(crate) fn purge(call: &Call<'_>, store: &mut Store, place: (&str, &str)) -> Result<Answer, Refusal> {
    if *call.method != Method::POST {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let found = find(store, place)?;
    let (name, location) = (found.vault.name.clone(), found.vault.location.clone());
    if found.vault.lifecycle.purge_protection {
        return Err(Refusal::provider(
            StatusCode::BAD_REQUEST,
            "DeletedVaultPurge",
            format!(
                "Operation 'DeletedVaultPurge' is not allowed because purge protection is enabled for vault '{name}'."
            ),
        ));
    }
    if found.purged_from.is_some() {
        return Err(Refusal::other_operation());
    }
    let takes = call.times.vault_purge;
    let key = name.to_ascii_lowercase();
    if let Some(found) = store.deleted_vaults.get_mut(&key) {
        found.purged_from = Some(milliseconds_after(call.now(), takes));
    }
    let answer = Answer::empty(StatusCode::ACCEPTED);
    Ok(store.begin(call, (Work::VaultPurge, takes), (&key, &location), answer))
}

/// Gives a deleted vault back to the data plane, with what it held; roles and diagnostic settings stay lost.
pub(super) fn recover(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let key = place.name().to_ascii_lowercase();
    if store.deleted_vaults.get(&key).is_some_and(|deleted| deleted.purged_from.is_some()) {
        return Err(Refusal::other_operation());
    }
    let found = store.deleted_vaults.remove(&key);
    let mut vault = found.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))?.vault;
    store.removed_vaults.remove(&key);
    vault.control.changed = stamp(call);
    vault.control.resolves_from = milliseconds_after(call.now(), call.times.vault);
    let answer = Answer::ok(show(call, &vault, Casing::AsTyped));
    call.world.vaults.insert(vault);
    Ok(answer)
}
