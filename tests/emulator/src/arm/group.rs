//! Resource groups, and what goes when one is deleted.

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::{Call, World, location_key, member, text};
use super::operation::Work;
use super::refusal::Refusal;
use super::resources;
use super::store::{Group, Store};
use super::vault::soft_delete;
use crate::vault::milliseconds_after;

/// The longest name of a resource group.
const LONGEST_NAME: usize = 90;

fn show(group: &Group, store: &Store) -> Value {
    let state = if group.gone_from.is_some() { "Deleting" } else { "Succeeded" };
    let mut document = json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", store.subscription, group.name),
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "properties": { "provisioningState": state },
    });
    if let Some(tags) = &group.tags {
        document["tags"] = tags.clone();
    }
    document
}

/// Every resource group, or those with the tag that `$filter` names.
pub(crate) fn list(call: &Call<'_>, store: &Store) -> Answer {
    let wanted = call.query.value("$filter").and_then(tag_filter);
    let matches = |group: &&Group| {
        wanted.as_ref().is_none_or(|(name, value)| {
            group.tags.as_ref().and_then(|tags| tags.get(name)).and_then(Value::as_str) == Some(value)
        })
    };
    Answer::list(store.groups.values().filter(matches).map(|group| show(group, store)).collect())
}

/// The tag of `tagName eq 'a' and tagValue eq 'b'`.
fn tag_filter(filter: &str) -> Option<(String, String)> {
    let mut quoted = filter.split('\'').skip(1).step_by(2);
    let (name, value) = (quoted.next()?, quoted.next()?);
    filter.to_ascii_lowercase().starts_with("tagname eq").then(|| (name.into(), value.into()))
}

/// Answers a request about one resource group.
pub(crate) fn answer(call: &Call<'_>, name: &str, store: &mut Store) -> Result<Answer, Refusal> {
    match *call.method {
        Method::GET => store.group(name).map(|group| Answer::ok(show(group, store))),
        Method::HEAD => store.group(name).map(|_| Answer::empty(StatusCode::NO_CONTENT)),
        Method::PUT => put(call, name, store),
        Method::PATCH => patch(call, name, store),
        Method::DELETE => delete(call, name, store),
        _ => Err(Refusal::method_not_allowed(call.method.as_str())),
    }
}

fn put(call: &Call<'_>, name: &str, store: &mut Store) -> Result<Answer, Refusal> {
    check_name(name)?;
    let body = call.object()?;
    let location = text(&body, "location").ok_or_else(Refusal::location_required)?;
    let tags = member(&body, "tags").cloned();
    let key = name.to_ascii_lowercase();
    let Some(existing) = store.groups.get_mut(&key) else {
        let group = Group { name: name.into(), location: location_key(location), tags, gone_from: None };
        let answer = Answer::json(StatusCode::CREATED, show(&group, store));
        store.groups.insert(key, group);
        return Ok(answer);
    };
    if existing.gone_from.is_some() {
        return Err(Refusal::group_being_deleted(&existing.name));
    }
    if location_key(location) != location_key(&existing.location) {
        return Err(Refusal::provider(
            StatusCode::CONFLICT,
            "InvalidResourceGroupLocation",
            format!(
                "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
                existing.location
            ),
        ));
    }
    existing.tags = tags;
    let group = existing.clone();
    Ok(Answer::ok(show(&group, store)))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |one: char| one.is_alphanumeric() || "-_.()".contains(one);
    if name.len() <= LONGEST_NAME && !name.ends_with('.') && name.chars().all(fits) {
        return Ok(());
    }
    Err(Refusal::provider(
        StatusCode::BAD_REQUEST,
        "InvalidResourceGroup",
        format!(
            "The provided resource group name '{name}' has these invalid characters or is too long. The name can only be \
             a letter, digit, '-', '.', '(', ')' or '_', cannot end with '.', and has at most {LONGEST_NAME} characters."
        ),
    ))
}

fn patch(call: &Call<'_>, name: &str, store: &mut Store) -> Result<Answer, Refusal> {
    store.group_to_write(name)?;
    let tags = member(&call.object()?, "tags").cloned();
    let group = store.groups.get_mut(&name.to_ascii_lowercase()).ok_or_else(|| Refusal::group_not_found(name))?;
    group.tags = tags.or_else(|| group.tags.take());
    let group = group.clone();
    Ok(Answer::ok(show(&group, store)))
}

fn delete(call: &Call<'_>, name: &str, store: &mut Store) -> Result<Answer, Refusal> {
    let takes = call.times.group_deletion;
    let gone_from = milliseconds_after(call.now(), takes);
    let key = name.to_ascii_lowercase();
    let group = store.groups.get_mut(&key).ok_or_else(|| Refusal::group_not_found(name))?;
    group.gone_from.get_or_insert(gone_from);
    let location = group.location.clone();
    Ok(store.begin(call, (Work::GroupDeletion, takes), (&key, &location), Answer::empty(StatusCode::ACCEPTED)))
}

/// Completes what is due: deletions of groups and of resources, purges, and the end of retentions.
pub(crate) fn settle(store: &mut Store, world: &World<'_>) {
    let now = world.now.as_millisecond();
    let due = |gone_from: Option<i64>| gone_from.filter(|from| *from <= now);
    let groups: Vec<(String, String, i64)> = store
        .groups
        .iter()
        .filter_map(|(key, group)| Some((key.clone(), group.name.clone(), due(group.gone_from)?)))
        .collect();
    for (key, name, gone_from) in groups {
        store.groups.remove(&key);
        let at = Timestamp::from_millisecond(gone_from).unwrap_or(world.now);
        empty(store, world, &name, at);
    }
    let gone: Vec<String> = store
        .resources
        .iter()
        .filter(|(_, record)| due(record.gone_from).is_some())
        .map(|(key, _)| key.clone())
        .collect();
    for key in gone {
        resources::forget(store, world, &key);
    }
    store.deleted_vaults.retain(|_, deleted| due(deleted.purged_from).is_none() && world.now < deleted.scheduled_purge);
    store.deleted_log_workspaces.retain(|_, (_, until)| world.now < *until);
}

/// Forgets everything in a group that is gone; its vaults can be recovered.
fn empty(store: &mut Store, world: &World<'_>, name: &str, at: Timestamp) {
    let own = |vault: &crate::vault::Vault| {
        vault.subscription == store.subscription && vault.resource_group.eq_ignore_ascii_case(name)
    };
    let vaults: Vec<String> = world.vaults.snapshot().into_iter().filter(own).map(|vault| vault.name.clone()).collect();
    for vault in vaults.iter().filter_map(|name| world.vaults.take(name)) {
        soft_delete(store, world.assignments, vault, at);
    }
    let scope = format!("/subscriptions/{}/resourceGroups/{name}", store.subscription).to_ascii_lowercase();
    let within = format!("{scope}/");
    let keys: Vec<String> = store.resources.keys().filter(|key| key.starts_with(&within)).cloned().collect();
    for key in keys {
        resources::forget(store, world, &key);
    }
    world.assignments.forget_within(&scope);
}
