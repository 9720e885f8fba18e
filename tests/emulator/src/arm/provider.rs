//! Resource providers: a subscription uses one only once it is registered.

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::refusal::Refusal;
use super::store::Store;
use crate::vault::milliseconds_after;

/// The providers that exist, with the types that are of interest here.
const NAMESPACES: [(&str, &[&str]); 12] = [
    ("Microsoft.Authorization", &["roleAssignments", "roleDefinitions"]),
    ("Microsoft.Compute", &["virtualMachines", "virtualMachineScaleSets"]),
    ("Microsoft.ContainerRegistry", &["registries"]),
    ("Microsoft.EventGrid", &["eventSubscriptions", "namespaces", "systemTopics"]),
    ("microsoft.insights", &["components", "diagnosticSettings"]),
    ("Microsoft.KeyVault", &["vaults", "checkNameAvailability", "deletedVaults"]),
    ("Microsoft.MachineLearningServices", &["workspaces", "workspaces/computes"]),
    ("Microsoft.ManagedIdentity", &["userAssignedIdentities"]),
    ("Microsoft.Network", &["privateEndpoints", "virtualNetworks", "privateDnsZones"]),
    ("Microsoft.OperationalInsights", &["workspaces"]),
    ("Microsoft.Resources", &["resourceGroups", "deployments"]),
    ("Microsoft.Storage", &["storageAccounts"]),
];

/// Those that every subscription has from the start.
const ALWAYS: [&str; 2] = ["Microsoft.Authorization", "Microsoft.Resources"];

/// The name of a provider in the service's own case.
fn known(namespace: &str) -> Result<(&'static str, &'static [&'static str]), Refusal> {
    let found = NAMESPACES.iter().find(|(own, _)| own.eq_ignore_ascii_case(namespace));
    found.copied().ok_or_else(|| Refusal::unknown_namespace(namespace))
}

/// Whether a provider of this name exists.
pub(crate) fn exists(namespace: &str) -> bool {
    known(namespace).is_ok()
}

/// Registers the providers of a seed: those that it names, or all of them.
pub(crate) fn seed(store: &mut Store, named: Option<&[String]>) {
    let all = || NAMESPACES.iter().map(|(namespace, _)| (*namespace).to_string()).collect();
    let named: Vec<String> = named.map_or_else(all, <[String]>::to_vec);
    let always = ALWAYS.iter().map(ToString::to_string);
    store.providers = named.into_iter().chain(always).map(|one| (one.to_ascii_lowercase(), i64::MIN)).collect();
}

fn state(store: &Store, namespace: &str, now: Timestamp) -> &'static str {
    match store.providers.get(&namespace.to_ascii_lowercase()) {
        None => "NotRegistered",
        Some(from) if *from <= now.as_millisecond() => "Registered",
        Some(_) => "Registering",
    }
}

/// Refuses the use of a provider that is not registered.
pub(crate) fn check(store: &Store, namespace: &str, now: Timestamp) -> Result<(), Refusal> {
    if state(store, namespace, now) == "Registered" { Ok(()) } else { Err(Refusal::unregistered(namespace)) }
}

fn document(store: &Store, (namespace, types): (&str, &[&str]), now: Timestamp) -> Value {
    let shown = |name: &&str| json!({ "resourceType": name, "locations": ["West Europe", "East US", "East US 2"], "apiVersions": [], "capabilities": "None" });
    json!({
        "id": format!("/subscriptions/{}/providers/{namespace}", store.subscription),
        "namespace": namespace,
        "resourceTypes": types.iter().map(shown).collect::<Vec<_>>(),
        "registrationState": state(store, namespace, now),
        "registrationPolicy": if ALWAYS.contains(&namespace) { "RegistrationFree" } else { "RegistrationRequired" },
    })
}

/// Every provider.
pub(crate) fn list(call: &Call<'_>, store: &Store) -> Answer {
    Answer::list(NAMESPACES.iter().map(|provider| document(store, *provider, call.now())).collect())
}

/// One provider.
pub(crate) fn show(call: &Call<'_>, store: &Store, namespace: &str) -> Result<Answer, Refusal> {
    if *call.method != Method::GET {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    Ok(Answer::ok(document(store, known(namespace)?, call.now())))
}

/// Registers a provider, which takes a while, or unregisters it.
pub(crate) fn change(call: &Call<'_>, store: &mut Store, (namespace, verb): (&str, &str)) -> Result<Answer, Refusal> {
    if *call.method != Method::POST {
        return Err(Refusal::method_not_allowed(call.method.as_str()));
    }
    let provider = known(namespace)?;
    let key = provider.0.to_ascii_lowercase();
    if verb == "register" {
        let from = milliseconds_after(call.now(), call.times.registration);
        store.providers.entry(key).or_insert(from);
    } else if !ALWAYS.contains(&provider.0) {
        store.providers.remove(&key);
    }
    Ok(Answer::ok(document(store, provider, call.now())))
}
