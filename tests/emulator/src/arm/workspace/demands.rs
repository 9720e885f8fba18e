//! What a workspace demands of the resources that it is linked to, and what of it can never change.

use serde_json::{Map, Value};

use super::super::call::{Call, member, text};
use super::super::kind::Kind;
use super::super::place::Place;
use super::super::refusal::Refusal;
use super::super::store::{Record, Store};
use super::super::vault;

/// The resources that a workspace cannot do without. They may be in any group.
pub(super) struct Dependencies {
    pub(super) vault: Place,
    storage: Place,
    component: Place,
}

impl Dependencies {
    pub(super) fn read(given: &Map<String, Value>) -> Result<Dependencies, Refusal> {
        let named = |name: &str| text(given, name).filter(|id| !id.is_empty());
        let (Some(vault), Some(storage), Some(component)) =
            (named("keyVault"), named("storageAccount"), named("applicationInsights"))
        else {
            return Err(Refusal::validation("Missing dependent resources in workspace json"));
        };
        Ok(Dependencies {
            vault: linked(vault, ("keyVault", Kind::Vault))?,
            storage: linked(storage, ("storageAccount", Kind::StorageAccount))?,
            component: linked(component, ("applicationInsights", Kind::Component))?,
        })
    }

    /// Refuses what does not exist, is not provisioned yet, or is of a kind that workspaces cannot use.
    pub(super) fn check(&self, call: &Call<'_>, store: &Store) -> Result<(), Refusal> {
        let vault = &self.vault;
        if !vault::is_there(call.world.vaults, vault) {
            return Err(absent(vault));
        }
        if !call.world.vaults.resolves(vault.name(), call.now()) {
            return Err(unprovisioned(vault));
        }
        let storage = provisioned(call, store, &self.storage)?;
        let hierarchical = storage.properties().get("isHnsEnabled").and_then(Value::as_bool) == Some(true);
        let premium = storage.body["sku"]["name"].as_str().is_some_and(|name| name.starts_with("Premium"));
        if hierarchical || premium {
            return Err(Refusal::validation(format!(
                "The storage account {} has {}, which a workspace's default storage account cannot have.",
                self.storage.id(),
                if premium { "a premium SKU" } else { "hierarchical namespaces" },
            )));
        }
        provisioned(call, store, &self.component).map(|_| ())
    }

    /// Puts the ids in the case in which the service answers them.
    pub(super) fn recased(&self, mut properties: Map<String, Value>) -> Map<String, Value> {
        let recase = |place: &Place, from: &str, to: &str| Value::from(place.id().replace(from, to));
        let linked = [
            ("keyVault", recase(&self.vault, "Microsoft.KeyVault", "Microsoft.Keyvault")),
            ("storageAccount", self.storage.id().into()),
            ("applicationInsights", recase(&self.component, "microsoft.insights", "Microsoft.insights")),
        ];
        properties.extend(linked.into_iter().map(|(name, id)| (name.to_string(), id)));
        properties
    }
}

fn linked(id: &str, (name, kind): (&str, Kind)) -> Result<Place, Refusal> {
    let place = Place::of_id(id).filter(|place| place.kind == kind);
    place.ok_or_else(|| Refusal::linked_id(id, &format!("properties.{name}")))
}

fn provisioned<'a>(call: &Call<'_>, store: &'a Store, place: &Place) -> Result<&'a Record, Refusal> {
    let record = store.resources.get(&place.key()).ok_or_else(|| absent(place))?;
    if record.is_ready(call.now()) { Ok(record) } else { Err(unprovisioned(place)) }
}

fn absent(place: &Place) -> Refusal {
    Refusal::validation(format!("The dependent resource {} does not exist.", place.id()))
}

fn unprovisioned(place: &Place) -> Refusal {
    Refusal::validation(format!("The dependent resource {} is not in the state Succeeded.", place.id()))
}

/// Refuses a change of what is fixed at creation.
pub(super) fn check_immutable(existing: &Record, given: &Map<String, Value>) -> Result<(), Refusal> {
    for name in ["keyVault", "storageAccount", "hbiWorkspace", "enableDataIsolation", "encryption"] {
        let Some(asked) = member(given, name) else {
            continue;
        };
        let is = existing.properties().get(name).cloned().unwrap_or_default();
        let same = match (is.as_str(), asked.as_str()) {
            (Some(is), Some(asked)) => is.eq_ignore_ascii_case(asked),
            _ => is == *asked,
        };
        if !same {
            return Err(Refusal::validation(format!(
                "The property {name} of a workspace cannot be changed after its creation: it is {is}, and {asked} was given."
            )));
        }
    }
    Ok(())
}

/// Refuses a component, given to replace the linked one, that cannot be.
pub(super) fn check_component(call: &Call<'_>, store: &Store, given: &Map<String, Value>) -> Result<(), Refusal> {
    match text(given, "applicationInsights") {
        None => Ok(()),
        Some(id) => provisioned(call, store, &linked(id, ("applicationInsights", Kind::Component))?).map(|_| ()),
    }
}
