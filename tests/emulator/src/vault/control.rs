//! What Resource Manager keeps about a vault beside what the vault itself decides by.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Who did something when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    /// The application; none for what a seed declares.
    pub(crate) by: Option<Uuid>,
}

/// The management side of one vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Control {
    /// `standard` or `premium`.
    pub(crate) sku: String,
    pub(crate) tags: Map<String, Value>,
    /// Every access policy whole, also while roles decide: with keys and certificates, which the vault has not.
    pub(crate) access_policies: Vec<Value>,
    /// As it was given; the vault itself says which of the two decides.
    pub(crate) rbac: Option<bool>,
    /// Whether a firewall was ever given: Azure shows none before.
    pub(crate) shows_network: bool,
    pub(crate) bypass: String,
    /// `virtualNetworkRules`.
    pub(crate) subnets: Vec<Value>,
    /// `enabledForDeployment` and its two sisters, as they were given.
    pub(crate) enabled_for: Map<String, Value>,
    pub(crate) made: Stamp,
    pub(crate) changed: Stamp,
    /// Unix milliseconds from which its name resolves.
    pub(crate) resolves_from: i64,
}

impl Control {
    /// What a vault has that was never managed: the service's defaults.
    pub(crate) fn seeded(now: Timestamp) -> Control {
        let stamp = Stamp { at: now, by: None };
        Control {
            sku: "standard".into(),
            tags: Map::new(),
            access_policies: Vec::new(),
            rbac: None,
            shows_network: true,
            bypass: "AzureServices".into(),
            subnets: Vec::new(),
            enabled_for: Map::new(),
            made: stamp,
            changed: stamp,
            resolves_from: i64::MIN,
        }
    }
}
