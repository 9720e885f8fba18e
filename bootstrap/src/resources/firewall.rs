//! The exception of a vault's firewall for the machine that seeds secrets.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Value, json};

use super::vault;
use crate::arm::Call;
use crate::azure::Azure;
use crate::declaration::merge;
use crate::field::rule;
use crate::id::ArmId;
use crate::item::{Item, Key, Known, Label, Observed, Removal};

/// An address that a vault lets in.
#[derive(Debug)]
pub struct Exception {
    /// The vault.
    pub vault: ArmId,
    /// The operator's public address.
    pub address: String,
}

impl Exception {
    async fn read(&self, azure: &Azure) -> Result<Option<Value>> {
        Ok(azure.arm.get(&self.label(), &format!("{}?api-version={}", self.vault, vault::API)).await?)
    }

    fn is_in(&self, vault: &Value) -> bool {
        let rules = vault.pointer("/properties/networkAcls/ipRules").and_then(Value::as_array);
        let mut addresses = rules.into_iter().flatten().filter_map(|one| one.get("value")?.as_str());
        addresses.any(|address| rule(address) == rule(&self.address))
    }

    async fn replace_rules(&self, azure: &Azure, operation: &'static str, vault: &Value, add: bool) -> Result<Value> {
        let label = self.label();
        let mut acls = json!({"bypass": "AzureServices", "defaultAction": "Allow", "virtualNetworkRules": []});
        merge(&mut acls, vault.pointer("/properties/networkAcls").cloned().unwrap_or(Value::Null));
        let others = acls.get("ipRules").and_then(Value::as_array).cloned().unwrap_or_default().into_iter();
        let others = others
            .filter(|one| rule(one.get("value").and_then(Value::as_str).unwrap_or_default()) != rule(&self.address));
        let own = add.then(|| json!({"value": self.address}));
        let rules: Vec<_> = others.chain(own).collect();
        merge(&mut acls, json!({"ipRules": rules}));
        let path = format!("{}?api-version={}", self.vault, vault::API);
        let body = Some(json!({"properties": {"networkAcls": acls}}));
        let call = Call { body, ..Call::new(&label, operation, Method::Patch, path) };
        azure.arm.send(&call).await?;
        Ok(azure.arm.settled(&call.path, &call).await?)
    }
}

#[async_trait]
impl Item for Exception {
    fn label(&self) -> Label {
        Label { kind: "firewall exception", name: format!("{} on {}", self.address, self.vault.name()) }
    }

    async fn observe(&self, azure: &Azure, _known: &Known) -> Result<Observed> {
        let vault = self.read(azure).await?;
        Ok(match vault {
            Some(vault) if self.is_in(&vault) => Observed::present(Value::Null, false),
            _ => Observed::absent().with_note("it stays until it is taken out of the vault's rules"),
        })
    }

    async fn write(&self, azure: &Azure, _known: &Known, _observed: &Observed) -> Result<Value> {
        let vault = self.read(azure).await?.context("there is no vault to let anybody in")?;
        self.replace_rules(azure, "add", &vault, true).await
    }

    async fn remove(&self, _azure: &Azure, _known: &Known, _purge: bool) -> Result<Option<String>> {
        Ok(None)
    }

    /// A vault does not tell who added a rule, so none is taken from a vault that stays.
    fn removal(&self) -> Removal {
        Removal::OnlyWith(Key::Vault)
    }
}
