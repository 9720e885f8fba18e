//! What a client asks first: the cloud's addresses, the tenants and the subscriptions that it can see.

use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::store::Store;

/// The addresses of the cloud. Its own is the one that was asked.
pub(crate) fn endpoints(base: &str) -> Answer {
    Answer::ok(json!({
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "authentication": {
            "loginEndpoint": "https://login.microsoftonline.com",
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": format!("{base}/"),
        "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/",
        "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "batch": "https://batch.core.windows.net/",
        "media": "https://rest.media.azure.net",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "gallery": "https://gallery.azure.com/",
        "activeDirectoryDataLake": "https://datalake.azure.net/",
        "vmImageAliasDoc":
            "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/main/arm-compute/quickstart-templates/aliases.json",
        "suffixes": {
            "acrLoginServer": "azurecr.io",
            "keyVaultDns": "vault.azure.net",
            "storage": "core.windows.net",
            "sqlServerHostname": "database.windows.net",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "attestationEndpoint": "attest.azure.net",
            "synapseAnalytics": "dev.azuresynapse.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
        },
    }))
}

/// The only tenant.
pub(crate) fn tenants(call: &Call<'_>) -> Answer {
    let tenant = call.world.directory.tenant();
    Answer::list(vec![json!({
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "countryCode": "US",
        "displayName": "Keyside",
        "domains": ["keyside.onmicrosoft.com"],
        "tenantCategory": "Home",
        "defaultDomain": "keyside.onmicrosoft.com",
        "tenantType": "AAD",
    })])
}

fn document(call: &Call<'_>, store: &Store) -> Value {
    json!({
        "id": format!("/subscriptions/{}", store.subscription),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": store.subscription,
        "tenantId": call.world.directory.tenant(),
        "displayName": store.subscription_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// The subscriptions in which the caller has any role.
pub(crate) fn list(call: &Call<'_>, store: &Store) -> Answer {
    let scope = format!("/subscriptions/{}", store.subscription);
    let within = crate::role::RoleAssignment::given(call.caller.object_id, uuid::Uuid::nil(), scope, 0);
    let standing = call.world.assignments.standing();
    let any = standing.iter().any(|one| one.principal == call.caller.object_id && within.reaches(&one.scope));
    let visible: Vec<Value> = any.then(|| document(call, store)).into_iter().collect();
    let count = visible.len();
    Answer::ok(json!({ "value": visible, "count": { "type": "Total", "value": count } }))
}

/// The subscription.
pub(crate) fn show(call: &Call<'_>, store: &Store) -> Answer {
    Answer::ok(document(call, store))
}

/// Some of Azure's regions.
pub(crate) fn locations(store: &Store) -> Answer {
    let regions = [
        ("eastus", "East US", "US"),
        ("eastus2", "East US 2", "US"),
        ("westus2", "West US 2", "US"),
        ("northeurope", "North Europe", "Europe"),
        ("westeurope", "West Europe", "Europe"),
        ("southeastasia", "Southeast Asia", "Asia Pacific"),
    ];
    let shown = |(name, display, geography): (&str, &str, &str)| {
        json!({
            "id": format!("/subscriptions/{}/locations/{name}", store.subscription),
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": format!("({geography}) {display}"),
            "metadata": { "regionType": "Physical", "regionCategory": "Recommended", "geographyGroup": geography },
        })
    };
    Answer::list(regions.into_iter().map(shown).collect())
}
