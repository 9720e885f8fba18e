//! A key vault: created, brought back from its deleted state, changed without touching what others put into it.

use anyhow::Result;
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Value, json};

use super::{mark, only_ours, tag_fields};
use crate::arm::Call;
use crate::azure::Azure;
use crate::config::{Authorization, Config, Network, Place};
use crate::declaration::{ChangedBy, Declaration, Mark, merge};
use crate::field::Field;
use crate::item::{Decision, Item, Key, Known, Label, Observed};

/// The type of vaults.
pub const KIND: &str = "Microsoft.KeyVault/vaults";

/// The version of their interface.
pub const API: &str = "2026-02-01";

/// A key vault.
#[derive(Debug)]
pub struct Vault {
    declaration: Declaration,
    deleted_path: String,
}

impl Vault {
    /// The vault that the agent reads from.
    #[must_use]
    pub fn of_application(config: &Config) -> Self {
        let vault = &config.vault;
        let rbac = vault.authorization == Authorization::Rbac;
        let address = config.operator.address.as_deref();
        let mut fields = vec![Field::new("properties.enableRbacAuthorization", rbac).absent(false)];
        fields.extend(vault.sku.map(|sku| Field::new("properties.sku.name", sku).ignoring_case().absent("standard")));
        fields.extend(
            vault
                .soft_delete_days
                .map(|days| Field::new("properties.softDeleteRetentionInDays", days).absent(90).fixed()),
        );
        fields.extend(match vault.purge_protection {
            Some(true) => Some(Field::new("properties.enablePurgeProtection", true).absent(false)),
            Some(false) => Some(Field::new("properties.enablePurgeProtection", false).absent(false).fixed()),
            None => None,
        });
        fields.extend(network_fields(&vault.network, address));
        let mut properties = json!({
            "sku": {"family": "A", "name": vault.sku.unwrap_or("standard")},
            "enableRbacAuthorization": rbac,
            "softDeleteRetentionInDays": vault.soft_delete_days.unwrap_or(90),
            "publicNetworkAccess": access(vault.network.public_access.unwrap_or(true)),
            "networkAcls": network_document(&vault.network),
        });
        if vault.purge_protection == Some(true) {
            // There is no way back from true, and Azure refuses false.
            merge(&mut properties, json!({"enablePurgeProtection": true}));
        }
        Self::new(config, (Key::Vault, &vault.place), &properties, fields)
    }

    /// The vault that only the workspace uses. Everybody's default will do, for nobody else reads from it.
    #[must_use]
    pub fn of_workspace(config: &Config, name: &str) -> Self {
        let properties = json!({
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": true,
            "softDeleteRetentionInDays": 90,
            "publicNetworkAccess": "Enabled",
            "networkAcls": network_document(&Network::default()),
        });
        let fields = vec![Field::new("properties.enableRbacAuthorization", true).absent(false)];
        Self::new(config, (Key::WorkspaceVault, &Place::Named(name.to_owned())), &properties, fields)
    }

    fn new(config: &Config, (key, place): (Key, &Place), properties: &Value, own_fields: Vec<Field>) -> Self {
        let id = config.id_of(KIND, place);
        let mut document = json!({"location": config.location, "tags": config.tags});
        merge(&mut document, json!({"properties": properties}));
        merge(
            &mut document,
            json!({"properties": {"tenantId": config.tenant, "accessPolicies": [], "enableSoftDelete": true}}),
        );
        let common = [
            Field::new("location", config.location.as_str()).region().fixed(),
            Field::new("properties.tenantId", config.tenant.to_string()).ignoring_case().fixed(),
        ];
        let deleted_path = format!(
            "/subscriptions/{}/providers/Microsoft.KeyVault/locations/{}/deletedVaults/{}",
            config.subscription,
            config.location,
            id.name()
        );
        let declaration = Declaration {
            key,
            kind: "key vault",
            id,
            api: API,
            mark: mark(config, place),
            document,
            fields: common.into_iter().chain(own_fields).chain(tag_fields(config)).collect(),
            changed_by: ChangedBy::Patch,
            purge_query: "",
        };
        Self { declaration: only_ours(declaration), deleted_path }
    }

    async fn in_deleted_state(&self, azure: &Azure) -> Result<Option<Value>> {
        let path = format!("{}?api-version={API}", self.deleted_path);
        match azure.arm.get(&self.declaration.label(), &path).await {
            // Who has rights on a group alone may not look; a creation then tells of the deleted vault.
            Err(error) if error.status() == Some(403) => Ok(None),
            outcome => Ok(outcome?),
        }
    }

    /// What follows from a vault of that name in its deleted state.
    fn judge_deleted(&self, deleted: &Value, recover: bool) -> Observed {
        let text = |pointer| deleted.pointer(pointer).and_then(Value::as_str).unwrap_or("an unknown time");
        let elsewhere = deleted.pointer("/properties/vaultId").and_then(Value::as_str);
        let elsewhere = elsewhere.filter(|id| !self.declaration.id.same_as(id));
        let until = text("/properties/scheduledPurgeDate");
        match (recover, elsewhere) {
            (_, Some(id)) => Observed::refused(format!(
                "a deleted vault has this name, and it can only come back as {id}: name that resource group, choose \
                 another name, or purge it"
            )),
            (true, None) => Observed { decision: Decision::Recover, ..Observed::absent() }
                .with_note("it comes back with its secrets; the rights that others had on it do not"),
            (false, None) => Observed::refused(format!(
                "a deleted vault has this name and can be recovered until {until}: run this with --recover to bring it \
                 back, or purge it"
            )),
        }
    }

    /// Brings it back with what it had: what differs from the file then is for another plan to show.
    async fn recover(&self, azure: &Azure) -> Result<Value> {
        let deleted = self.in_deleted_state(azure).await?.unwrap_or_default();
        let mut document = json!({"location": self.declaration.document["location"], "tags": {}});
        merge(
            &mut document,
            json!({"tags": deleted.pointer("/properties/tags"), "properties": {"createMode": "recover"}}),
        );
        for demanded in ["tenantId", "sku"] {
            document["properties"][demanded] = self.declaration.document["properties"][demanded].clone();
        }
        let declaration = Declaration { document, mark: Mark::Name, ..self.declaration.clone() };
        self.declaration.as_shown(declaration.create(azure, Value::Null).await?)
    }

    /// The same with what others put into `actual`, which a whole document would take away: one is sent where Azure has
    /// given up.
    fn keeping(&self, actual: &Value) -> Declaration {
        let mut declaration = self.declaration.clone();
        for theirs in ["accessPolicies", "networkAcls"] {
            let kept = actual.pointer(&format!("/properties/{theirs}"));
            merge(&mut declaration.document, json!({"properties": {theirs: kept}}));
        }
        declaration
    }

    async fn purge(&self, azure: &Azure) -> Result<Option<String>> {
        let label = self.declaration.label();
        let Some(deleted) = self.in_deleted_state(azure).await? else { return Ok(None) };
        if deleted.pointer("/properties/purgeProtectionEnabled") == Some(&Value::Bool(true)) {
            let until = deleted.pointer("/properties/scheduledPurgeDate").and_then(Value::as_str).unwrap_or_default();
            return Ok(Some(format!(
                "it is deleted, and its purge protection keeps it from being purged before {until}"
            )));
        }
        let path = format!("{}/purge?api-version={API}", self.deleted_path);
        let call = Call::new(&label, "purge", Method::Post, path);
        azure.arm.remove(&call).await?;
        let path = format!("{}?api-version={API}", self.deleted_path);
        azure.arm.gone(&path, &call).await?;
        Ok(None)
    }
}

/// Azure's word for whether something can be reached from the internet.
pub(super) fn access(enabled: bool) -> &'static str {
    if enabled { "Enabled" } else { "Disabled" }
}

fn network_document(network: &Network) -> Value {
    json!({
        "bypass": network.bypass.unwrap_or("AzureServices"),
        "defaultAction": network.default_action.unwrap_or("Allow"),
        "ipRules": ip_rules(network.ip_rules.as_deref().unwrap_or_default()),
        "virtualNetworkRules": subnet_rules(network),
    })
}

fn ip_rules(addresses: &[String]) -> Value {
    addresses.iter().map(|address| json!({"value": address})).collect()
}

fn subnet_rules(network: &Network) -> Value {
    network.subnets.iter().flatten().map(|id| json!({"id": id.as_str()})).collect()
}

fn network_fields(network: &Network, operator: Option<&str>) -> Vec<Field> {
    let acl = |name: &str, wanted: Value| Field::new(&format!("properties.networkAcls.{name}"), wanted).sent_with(2);
    let rules = network.ip_rules.as_ref().map(|rules| {
        let all: Vec<_> = rules.iter().cloned().chain(operator.map(str::to_owned)).collect();
        // Whether the operator is let in has an item of its own in the plan.
        let besides = operator.filter(|address| !rules.iter().any(|rule| rule == address));
        acl("ipRules", ip_rules(&all)).rules().besides(besides)
    });
    let public = network.public_access.map(access);
    [
        public.map(|word| Field::new("properties.publicNetworkAccess", word).ignoring_case().absent("Enabled")),
        network.default_action.map(|word| acl("defaultAction", word.into()).ignoring_case().absent("Allow")),
        network.bypass.map(|word| acl("bypass", word.into()).ignoring_case().absent("AzureServices")),
        rules,
        network.subnets.as_ref().map(|_| acl("virtualNetworkRules", subnet_rules(network)).rules()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[async_trait]
impl Item for Vault {
    fn label(&self) -> Label {
        self.declaration.label()
    }

    fn key(&self) -> Key {
        self.declaration.key
    }

    async fn observe(&self, azure: &Azure, _known: &Known) -> Result<Observed> {
        let actual = self.declaration.read(azure).await?;
        if actual.is_none()
            && self.declaration.mark != Mark::Foreign
            && let Some(deleted) = self.in_deleted_state(azure).await?
        {
            let ours = deleted.get("properties").is_some_and(|properties| self.declaration.is_ours(properties));
            return Ok(Observed { deleted: true, ours, ..self.judge_deleted(&deleted, azure.recover) });
        }
        let observed = self.declaration.judge(actual);
        Ok(annotate(observed, &self.declaration.document))
    }

    async fn write(&self, azure: &Azure, _known: &Known, observed: &Observed) -> Result<Value> {
        match (&observed.decision, &observed.document) {
            (Decision::Recover, _) => self.recover(azure).await,
            (Decision::Change(_), Some(actual)) => self.keeping(actual).perform(azure, observed).await,
            _ => self.declaration.perform(azure, observed).await,
        }
    }

    async fn remove(&self, azure: &Azure, _known: &Known, purge: bool) -> Result<Option<String>> {
        self.declaration.delete(azure, false).await?;
        if purge { self.purge(azure).await } else { Ok(None) }
    }
}

/// Adds what should be known before a decision is carried out.
fn annotate(observed: Observed, document: &Value) -> Observed {
    let protects = document.pointer("/properties/enablePurgeProtection").is_some();
    let changes = |field: &str| match &observed.decision {
        Decision::Change(differences) => differences.iter().any(|one| one.field == field),
        _ => false,
    };
    let new = matches!(observed.decision, Decision::Create);
    if (new && protects) || changes("properties.enablePurgeProtection") {
        return observed.with_note("purge protection cannot be turned off again");
    }
    if changes("properties.enableRbacAuthorization") {
        return observed.with_note("whoever had access by the way that is left loses it");
    }
    observed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    /// What Azure answers for a vault that was made with its defaults.
    fn plain() -> Value {
        json!({"id": "/x", "location": "westeurope", "tags": {}, "properties": {
            "tenantId": "00000000-0000-4000-8000-000000000002", "sku": {"family": "A", "name": "standard"},
            "accessPolicies": [], "enableRbacAuthorization": true, "enableSoftDelete": true,
            "softDeleteRetentionInDays": 90, "vaultUri": "https://kv1.vault.azure.net/",
            "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled"}})
    }

    fn decision(vault: &str, actual: Value) -> Decision {
        Vault::of_application(&config(vault)).declaration.judge(Some(actual)).decision
    }

    #[test]
    fn a_vault_with_azures_defaults_is_left_alone() {
        assert_eq!(decision("", plain()), Decision::Leave);
        assert_eq!(decision("purge_protection = false\nsoft_delete_days = 90", plain()), Decision::Leave);
        assert_eq!(decision("network.default_action = 'allow'\nnetwork.ip_rules = []", plain()), Decision::Leave);
    }

    #[test]
    fn what_cannot_change_is_refused_and_what_can_is_changed() {
        let mut protected = plain();
        merge(&mut protected, json!({"properties": {"enablePurgeProtection": true}}));
        let rows = [
            (decision("soft_delete_days = 7", plain()), "refuse"),
            (decision("purge_protection = false", protected), "refuse"),
            (decision("purge_protection = true", plain()), "change"),
            (decision("sku = 'premium'", plain()), "change"),
            (decision("authorization = 'access-policies'", plain()), "change"),
            (decision("network.default_action = 'deny'", plain()), "change"),
        ];
        for (found, expected) in rows {
            assert_eq!(found.word(), expected, "{found:?}");
        }
    }

    #[test]
    fn purge_protection_is_sent_only_when_asked_for_and_never_as_false() {
        let sent = |vault: &str| {
            let vault = Vault::of_application(&config(vault));
            vault.declaration.document.pointer("/properties/enablePurgeProtection").cloned()
        };
        assert_eq!(sent(""), None);
        assert_eq!(sent("purge_protection = false"), None);
        assert_eq!(sent("purge_protection = true"), Some(Value::Bool(true)));
    }

    #[test]
    fn the_exception_for_the_operator_is_no_difference_and_survives_a_change() {
        let text =
            "network.ip_rules = ['10.0.0.0/8']\nnetwork.default_action = 'deny'\n[operator]\naddress = '203.0.113.7'";
        let vault = Vault::of_application(&config(text));
        let mut open = plain();
        let with = |rules: Value| {
            json!({"properties": {"networkAcls": {"defaultAction": "Deny", "bypass": "AzureServices",
            "virtualNetworkRules": [], "ipRules": rules}}})
        };
        merge(&mut open, with(json!([{"value": "10.0.0.0/8"}, {"value": "203.0.113.7/32"}])));
        assert_eq!(vault.declaration.judge(Some(open.clone())).decision, Decision::Leave);
        merge(&mut open, with(json!([{"value": "10.0.0.0/8"}])));
        assert_eq!(vault.declaration.judge(Some(open.clone())).decision, Decision::Leave);
        merge(&mut open, with(json!([])));
        let patch = crate::field::patch(&vault.declaration.fields, &open);
        let expected = json!([{"value": "10.0.0.0/8"}, {"value": "203.0.113.7"}]);
        assert_eq!(patch.pointer("/properties/networkAcls/ipRules"), Some(&expected));
        assert_eq!(patch.pointer("/properties/accessPolicies"), None, "never sent in a change");
    }

    #[test]
    fn what_others_put_into_a_vault_that_was_there_stays_and_ours_is_as_the_file_says() {
        let vault =
            Vault::of_application(&config("network.ip_rules = ['192.0.2.0/24']\nnetwork.default_action = 'deny'"));
        let mut theirs = plain();
        let policy = json!({"objectId": "o", "permissions": {"secrets": ["get"]}});
        let acls = json!({"defaultAction": "Deny", "ipRules": [{"value": "203.0.113.0/24"}]});
        merge(&mut theirs, json!({"properties": {"networkAcls": acls, "accessPolicies": [policy]}}));
        let Decision::Change(found) = vault.declaration.judge(Some(theirs.clone())).decision else {
            panic!("a change")
        };
        let both = json!([{"value": "203.0.113.0/24"}, {"value": "192.0.2.0/24"}]);
        assert_eq!((found[0].field.as_str(), &found[0].new), ("properties.networkAcls.ipRules", &both));
        let whole = vault.keeping(&theirs).whole(&theirs);
        assert_eq!(whole.pointer("/properties/networkAcls/ipRules"), Some(&both));
        assert_eq!(whole.pointer("/properties/accessPolicies"), Some(&json!([policy])));
        let Mark::Tag(estate) = &vault.declaration.mark else { panic!("a tag") };
        theirs["tags"] = json!({"keyside-bootstrap": estate});
        let Decision::Change(found) = vault.declaration.judge(Some(theirs)).decision else { panic!("a change") };
        assert_eq!(found[0].new, json!([{"value": "192.0.2.0/24"}]));
    }

    #[test]
    fn a_deleted_vault_comes_back_only_when_asked_for() {
        let vault = Vault::of_application(&config(""));
        let deleted = |id: &str| json!({"properties": {"vaultId": id, "scheduledPurgeDate": "2026-12-24T00:00:00Z"}});
        let own = deleted(vault.declaration.id.as_str());
        assert_eq!(vault.judge_deleted(&own, true).decision, Decision::Recover);
        let Decision::Refuse(text) = vault.judge_deleted(&own, false).decision else { panic!("refused") };
        assert!(text.contains("--recover") && text.contains("2026-12-24"), "{text}");
        let other = deleted("/subscriptions/s/resourceGroups/other/providers/Microsoft.KeyVault/vaults/kv1");
        assert_eq!(vault.judge_deleted(&other, true).decision.word(), "refuse");
    }
}
