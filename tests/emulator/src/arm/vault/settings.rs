//! What a request says a vault should be like, checked by the service's rules.

use hyper::StatusCode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::call::{member, object_of, text};
use super::super::refusal::Refusal;
use super::policies;
use crate::vault::{Authorization, DefaultAction, Network, Range, Stamp, Switch, Vault};

/// Whether a request describes the whole vault or some of its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// PUT: what it does not say is reset.
    Whole,
    /// PATCH: what it does not say stays.
    Part,
}

/// The settings of one request. None is what it does not say.
#[derive(Debug)]
pub(super) struct Settings {
    tenant: Option<Uuid>,
    sku: Option<String>,
    tags: Option<Map<String, Value>>,
    policies: Option<Vec<Value>>,
    rbac: Option<bool>,
    soft_delete: Option<bool>,
    purge_protection: Option<bool>,
    pub(super) retention_days: Option<u16>,
    public_access: Option<Switch>,
    acls: Option<Acls>,
    enabled_for: Map<String, Value>,
}

#[derive(Debug, Default)]
struct Acls {
    default_action: Option<DefaultAction>,
    bypass: Option<String>,
    ip_rules: Vec<Range>,
    subnets: Vec<Value>,
}

/// The three purposes that a vault can be opened for.
const PURPOSES: [&str; 3] = ["enabledForDeployment", "enabledForDiskEncryption", "enabledForTemplateDeployment"];

impl Settings {
    /// Whether a PUT asks for a deleted vault back.
    pub(super) fn recovers(body: &Map<String, Value>) -> bool {
        text(&object_of(body, "properties"), "createMode").is_some_and(|mode| mode.eq_ignore_ascii_case("recover"))
    }

    pub(super) fn read(body: &Map<String, Value>, manner: Manner) -> Result<Settings, Refusal> {
        let properties = object_of(body, "properties");
        let switch = |name: &str| member(&properties, name).and_then(Value::as_bool);
        let settings = Settings {
            tenant: text(&properties, "tenantId").map(str::parse).transpose().map_err(|_| invalid("tenantId"))?,
            sku: text(&object_of(&properties, "sku"), "name").map(str::to_ascii_lowercase),
            tags: member(body, "tags").and_then(Value::as_object).cloned(),
            policies: member(&properties, "accessPolicies").map(policies::read).transpose()?,
            rbac: switch("enableRbacAuthorization"),
            soft_delete: switch("enableSoftDelete"),
            purge_protection: switch("enablePurgeProtection"),
            retention_days: member(&properties, "softDeleteRetentionInDays").map(days).transpose()?,
            public_access: text(&properties, "publicNetworkAccess").map(public_access).transpose()?,
            acls: member(&properties, "networkAcls").and_then(Value::as_object).map(Acls::read).transpose()?,
            enabled_for: PURPOSES.iter().filter_map(|name| Some(((*name).to_string(), switch(name)?.into()))).collect(),
        };
        settings.check(manner)?;
        Ok(settings)
    }

    fn check(&self, manner: Manner) -> Result<(), Refusal> {
        if manner == Manner::Whole && self.tenant.is_none() {
            return Err(missing("tenantId"));
        }
        match self.sku.as_deref() {
            None if manner == Manner::Whole => return Err(missing("sku")),
            Some("standard" | "premium") | None => {}
            Some(_) => return Err(invalid("sku")),
        }
        if self.purge_protection == Some(false) {
            return Err(Refusal::bad_request(
                "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault \
                 is an irreversible action.",
            ));
        }
        if self.soft_delete == Some(false) {
            return Err(Refusal::bad_request(
                "The property \"enableSoftDelete\" can be set to false only for creating new vault. Enabling the 'soft \
                 delete' functionality is an irreversible action.",
            ));
        }
        Ok(())
    }

    /// A vault of another tenant would be of no use here: no token is for it.
    pub(super) fn check_tenant(&self, tenant: Uuid) -> Result<(), Refusal> {
        match self.tenant {
            Some(given) if given != tenant => Err(invalid("tenantId")),
            _ => Ok(()),
        }
    }

    /// Refuses what cannot be changed on `vault`.
    pub(super) fn check_change(&self, vault: &Vault) -> Result<(), Refusal> {
        match (self.retention_days, vault.lifecycle.retention_days) {
            (Some(asked), Some(is)) if asked != is => Err(Refusal::bad_request(
                "The property \"softDeleteRetentionInDays\" has been set already and it can't be modified.",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn apply(self, vault: &mut Vault, manner: Manner, changed: Stamp) {
        let whole = manner == Manner::Whole;
        let control = &mut vault.control;
        control.changed = changed;
        control.sku = self.sku.unwrap_or_else(|| control.sku.clone());
        control.tags = self.tags.unwrap_or_else(|| if whole { Map::new() } else { control.tags.clone() });
        control.rbac = self.rbac.or(control.rbac);
        if whole {
            control.enabled_for.clear();
        }
        control.enabled_for.extend(self.enabled_for);
        if let Some(policies) = self.policies {
            control.access_policies = policies;
        } else if whole {
            control.access_policies.clear();
        }
        vault.lifecycle.purge_protection |= self.purge_protection == Some(true);
        vault.lifecycle.retention_days = vault.lifecycle.retention_days.or(self.retention_days);
        match self.acls {
            Some(acls) => acls.apply(vault),
            None if whole => {
                vault.network =
                    Network { public_network_access: vault.network.public_network_access, ..Network::default() };
                vault.control.shows_network = false;
            }
            None => {}
        }
        match self.public_access {
            Some(access) => vault.network.public_network_access = access,
            None if whole => vault.network.public_network_access = Switch::Enabled,
            None => {}
        }
        decide_by(vault);
    }
}

/// Makes the vault decide as its management side says.
pub(super) fn decide_by(vault: &mut Vault) {
    vault.authorization = if vault.control.rbac == Some(true) {
        Authorization::Rbac
    } else {
        Authorization::AccessPolicies(policies::on_secrets(&vault.control.access_policies))
    };
}

impl Acls {
    fn read(given: &Map<String, Value>) -> Result<Acls, Refusal> {
        let rules = |name: &str| member(given, name).and_then(Value::as_array).cloned().unwrap_or_default();
        let range = |rule: &Value| {
            let value = rule.as_object().and_then(|rule| text(rule, "value"));
            value.and_then(|value| value.parse().ok()).ok_or_else(|| invalid("networkAcls.ipRules"))
        };
        Ok(Acls {
            default_action: match text(given, "defaultAction").map(str::to_ascii_lowercase).as_deref() {
                None => None,
                Some("allow") => Some(DefaultAction::Allow),
                Some("deny") => Some(DefaultAction::Deny),
                Some(_) => return Err(invalid("networkAcls.defaultAction")),
            },
            bypass: text(given, "bypass").map(str::to_string),
            ip_rules: rules("ipRules").iter().map(range).collect::<Result<_, _>>()?,
            subnets: rules("virtualNetworkRules"),
        })
    }

    fn apply(self, vault: &mut Vault) {
        vault.network.default_action = self.default_action.unwrap_or(DefaultAction::Allow);
        vault.network.ip_rules = self.ip_rules;
        vault.control.bypass = self.bypass.unwrap_or_else(|| "AzureServices".into());
        vault.control.subnets = self.subnets;
        vault.control.shows_network = true;
    }
}

fn public_access(text: &str) -> Result<Switch, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "enabled" => Ok(Switch::Enabled),
        "disabled" => Ok(Switch::Disabled),
        _ => Err(invalid("publicNetworkAccess")),
    }
}

fn days(value: &Value) -> Result<u16, Refusal> {
    let days = value.as_u64().and_then(|days| u16::try_from(days).ok()).filter(|days| (7..=90).contains(days));
    days.ok_or_else(|| {
        Refusal::bad_request(
            "The parameter softDeleteRetentionInDays has an incorrect value. The value should be between 7 and 90 days.",
        )
    })
}

fn missing(name: &str) -> Refusal {
    Refusal::bad_request(format!("The parameter {name} is not specified."))
}

pub(super) fn invalid(name: &str) -> Refusal {
    Refusal::provider(StatusCode::BAD_REQUEST, "BadRequest", format!("The parameter {name} has an invalid value."))
}
