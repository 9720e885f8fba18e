//! How a vault looks in Resource Manager's answers.

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::store::system_data;
use crate::vault::{DefaultAction, Network, Switch, Vault};

/// The two forms of `vaultUri`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Casing {
    /// What a PUT answers: the name as it was typed, and no slash at the end.
    AsTyped,
    /// What everything else answers: in lower case, with a slash.
    Settled,
}

/// The document of a vault.
pub(crate) fn show(call: &Call<'_>, vault: &Vault, casing: Casing) -> Value {
    let control = &vault.control;
    let resolves = control.resolves_from <= call.now().as_millisecond();
    let uri = match casing {
        Casing::AsTyped => format!("https://{}.vault.azure.net", vault.name),
        Casing::Settled => format!("https://{}.vault.azure.net/", vault.name.to_ascii_lowercase()),
    };
    let mut properties = json!({
        "sku": { "family": "A", "name": control.sku },
        "tenantId": call.world.directory.tenant(),
        "accessPolicies": control.access_policies,
        "enabledForDeployment": false,
        "enableSoftDelete": vault.lifecycle.retention_days.is_some(),
        "vaultUri": uri,
        "provisioningState": if resolves { "Succeeded" } else { "RegisteringDns" },
        "publicNetworkAccess": match vault.network.public_network_access {
            Switch::Enabled => "Enabled",
            Switch::Disabled => "Disabled",
        },
    });
    if let Some(days) = vault.lifecycle.retention_days {
        properties["softDeleteRetentionInDays"] = days.into();
    }
    if let Some(rbac) = control.rbac {
        properties["enableRbacAuthorization"] = rbac.into();
    }
    if vault.lifecycle.purge_protection {
        properties["enablePurgeProtection"] = true.into();
    }
    if control.shows_network {
        properties["networkAcls"] = network(&vault.network, &control.bypass, &control.subnets);
    }
    for (name, value) in &control.enabled_for {
        properties[name] = value.clone();
    }
    json!({
        "id": vault.resource_id(),
        "name": vault.name,
        "type": "Microsoft.KeyVault/vaults",
        "location": vault.location,
        "tags": control.tags,
        "systemData": system_data(control.made, control.changed),
        "properties": properties,
    })
}

fn network(network: &Network, bypass: &str, subnets: &[Value]) -> Value {
    let rules = network.ip_rules.iter().map(|range| json!({ "value": String::from(*range) }));
    json!({
        "bypass": bypass,
        "defaultAction": match network.default_action {
            DefaultAction::Allow => "Allow",
            DefaultAction::Deny => "Deny",
        },
        "ipRules": rules.collect::<Vec<_>>(),
        "virtualNetworkRules": subnets,
    })
}
