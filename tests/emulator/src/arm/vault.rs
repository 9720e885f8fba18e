//! Key Vaults as resources: the same vaults that answer on the data plane.

mod deleted;
mod document;
mod policies;
mod settings;

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::{Call, location_key, text};
use super::place::Place;
use super::refusal::Refusal;
use super::store::Store;
use crate::role::RoleAssignments;
use crate::vault::seed::{DEFAULT_DELETE_TAKES, DEFAULT_RECOVER_TAKES};
use crate::vault::{
    Authorization, Contents, Control, Lifecycle, Network, Stamp, Vault, Vaults, is_vault_name, milliseconds_after,
};

pub(crate) use self::deleted::{deleted, deleted_list, purge, soft_delete};
pub(crate) use self::document::{Casing, show};
pub(crate) use self::policies::change as change_policies;
pub(crate) use self::policies::{adopt_seeded, grant_all_secrets};
use self::settings::{Manner, Settings};

const NAME_TAKEN: &str = "is already in use. Vault names are globally unique so it is possible that the name is already \
    taken. If you are sure that the vault name was not taken then it is possible that a vault with the same name was \
    recently deleted but not purged after being placed in a recoverable state. If the vault is in a recoverable state then \
    the vault will need to be purged before reusing the name. For more information about VaultAlreadyExists, soft delete \
    and purging a vault follow this link https://go.microsoft.com/fwlink/?linkid=2147740.";

/// Answers a request about one vault.
pub(crate) fn answer(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    match *call.method {
        Method::GET => shown(call, place, store),
        Method::HEAD => find(call, place, store).map(|()| Answer::empty(StatusCode::NO_CONTENT)),
        Method::PUT => put(call, place, store),
        Method::PATCH => patch(call, place, store),
        Method::DELETE => delete(call, place, store),
        _ => Err(Refusal::method_not_allowed(call.method.as_str())),
    }
}

/// Every vault of the subscription, or of a group.
pub(crate) fn list(call: &Call<'_>, store: &Store, group: Option<&str>) -> Vec<Value> {
    let vaults = call.world.vaults.snapshot().into_iter().filter(|vault| {
        vault.subscription == store.subscription
            && group.is_none_or(|group| vault.resource_group.eq_ignore_ascii_case(group))
    });
    vaults.map(|vault| show(call, &vault, Casing::Settled)).collect()
}

/// Whether the vault of `place` is in its group, where it can be found.
pub(crate) fn is_there(vaults: &Vaults, place: &Place) -> bool {
    vaults.with(place.name(), |vault| vault.resource_id().eq_ignore_ascii_case(&place.id())) == Some(true)
}

fn find(call: &Call<'_>, place: &Place, store: &Store) -> Result<(), Refusal> {
    store.group(&place.group)?;
    if is_there(call.world.vaults, place) {
        return Ok(());
    }
    Err(Refusal::resource_not_found(&place.shown(), &place.group))
}

fn with_found<T>(call: &Call<'_>, place: &Place, act: impl FnOnce(&mut Vault) -> T) -> Result<T, Refusal> {
    let found = call.world.vaults.with(place.name(), act);
    found.ok_or_else(|| Refusal::resource_not_found(&place.shown(), &place.group))
}

fn shown(call: &Call<'_>, place: &Place, store: &Store) -> Result<Answer, Refusal> {
    find(call, place, store)?;
    with_found(call, place, |vault| Answer::ok(show(call, vault, Casing::Settled)))
}

fn put(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    let group = store.group_to_write(&place.group)?.name.clone();
    if !is_vault_name(place.name()) {
        return Err(Refusal::provider(
            StatusCode::BAD_REQUEST,
            "VaultNameNotValid",
            format!(
                "The vault name '{}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must \
             begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for \
             more information: https://go.microsoft.com/fwlink/?linkid=2147742",
                place.name()
            ),
        ));
    }
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?;
    if is_there(call.world.vaults, place) {
        return replace(call, place, (&body, location));
    }
    let taken = call.world.vaults.exists(place.name());
    let recover = Settings::recovers(&body);
    match store.deleted_vaults.get(&place.name().to_ascii_lowercase()) {
        _ if taken => Err(already_exists(place.name())),
        Some(deleted) if !deleted.is_of(place, location) => Err(already_exists(place.name())),
        Some(_) if recover => deleted::recover(call, place, store),
        Some(_) => Err(Refusal::provider(
            StatusCode::CONFLICT,
            "ConflictError",
            "A vault with the same name already exists in deleted state. You need to either recover or purge existing key \
             vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.",
        )),
        None if recover => Err(Refusal::provider(
            StatusCode::BAD_REQUEST,
            "SoftDeletedVaultDoesNotExist",
            format!("A soft deleted vault with the given name '{}' does not exist.", place.name()),
        )),
        None => create(call, &Place { group, ..place.clone() }, (&body, location)),
    }
}

fn already_exists(name: &str) -> Refusal {
    Refusal::provider(StatusCode::CONFLICT, "VaultAlreadyExists", format!("The vault name '{name}' {NAME_TAKEN}"))
}

fn create(call: &Call<'_>, place: &Place, (body, location): (&Map<String, Value>, &str)) -> Result<Answer, Refusal> {
    let settings = Settings::read(body, Manner::Whole)?;
    settings.check_tenant(call.world.directory.tenant())?;
    let mut vault = Vault {
        name: place.name().into(),
        subscription: place.subscription.parse().map_err(|_| Refusal::subscription_not_found(&place.subscription))?,
        resource_group: place.group.clone(),
        location: location_key(location),
        authorization: Authorization::Rbac,
        network: Network::default(),
        lifecycle: Lifecycle {
            retention_days: Some(settings.retention_days.unwrap_or(90)),
            purge_protection: false,
            delete_takes: DEFAULT_DELETE_TAKES,
            recover_takes: DEFAULT_RECOVER_TAKES,
        },
        role_changes_take: call.times.role_changes,
        throttle: None,
        contents: Contents::default(),
        control: Control {
            shows_network: false,
            // Since 2026-02-01 a create that does not say means roles; before, access policies.
            rbac: (call.api_version.as_str() >= "2026-02-01").then_some(true),
            made: stamp(call),
            resolves_from: milliseconds_after(call.now(), call.times.vault),
            ..Control::seeded(call.now())
        },
    };
    settings.apply(&mut vault, Manner::Whole, stamp(call));
    let answer = Answer::ok(show(call, &vault, Casing::AsTyped));
    call.world.vaults.insert(vault);
    Ok(answer)
}

fn replace(call: &Call<'_>, place: &Place, (body, location): (&Map<String, Value>, &str)) -> Result<Answer, Refusal> {
    let settings = Settings::read(body, Manner::Whole)?;
    settings.check_tenant(call.world.directory.tenant())?;
    with_found(call, place, |vault| {
        Store::check_location(place, (&vault.location, location))?;
        settings.check_change(vault)?;
        settings.apply(vault, Manner::Whole, stamp(call));
        Ok(Answer::ok(show(call, vault, Casing::AsTyped)))
    })?
}

fn patch(call: &Call<'_>, place: &Place, store: &Store) -> Result<Answer, Refusal> {
    store.group_to_write(&place.group)?;
    find(call, place, store)?;
    let settings = Settings::read(&call.object()?, Manner::Part)?;
    settings.check_tenant(call.world.directory.tenant())?;
    with_found(call, place, |vault| {
        settings.check_change(vault)?;
        settings.apply(vault, Manner::Part, stamp(call));
        Ok(Answer::ok(show(call, vault, Casing::Settled)))
    })?
}

fn delete(call: &Call<'_>, place: &Place, store: &mut Store) -> Result<Answer, Refusal> {
    store.group(&place.group)?;
    if !is_there(call.world.vaults, place) {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    }
    let taken = call.world.vaults.take(place.name());
    if let Some(vault) = taken {
        soft_delete(store, call.world.assignments, vault, call.now());
    }
    Ok(Answer::empty(StatusCode::OK))
}

/// Forgets who may do what in a vault that goes: recovery does not bring it back.
fn forget_access(store: &mut Store, assignments: &RoleAssignments, vault: &Vault) {
    let id = vault.resource_id();
    assignments.forget_within(&id);
    let within = format!("{}/", id.to_ascii_lowercase());
    store.diagnostic_settings.retain(|key, _| !key.starts_with(&within));
}

fn stamp(call: &Call<'_>) -> Stamp {
    Stamp { at: call.now(), by: Some(call.caller.app_id) }
}

/// Says whether a name is free.
pub(crate) fn check_name(call: &Call<'_>, store: &Store) -> Result<Answer, Refusal> {
    if *call.method != Method::POST {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let body = call.object()?;
    let name = text(&body, "name").ok_or_else(Refusal::content)?;
    if !is_vault_name(name) {
        let message = format!("The vault name '{name}' is invalid.");
        return Ok(Answer::ok(json!({ "nameAvailable": false, "reason": "AccountNameInvalid", "message": message })));
    }
    let deleted = store.deleted_vaults.contains_key(&name.to_ascii_lowercase());
    if deleted || call.world.vaults.exists(name) {
        let message = format!("The vault name '{name}' {NAME_TAKEN}");
        return Ok(Answer::ok(json!({ "nameAvailable": false, "reason": "AlreadyExists", "message": message })));
    }
    Ok(Answer::ok(json!({ "nameAvailable": true })))
}
