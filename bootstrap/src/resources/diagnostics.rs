//! The vault's audit log: who read which secret when.

use serde_json::{Value, json};

use super::{logs, numbered_name, vault};
use crate::config::{Config, Logs};
use crate::declaration::{ChangedBy, Declaration, Mark};
use crate::field::Field;
use crate::item::Key;

/// Sends the vault's audit log to the Log Analytics workspace.
#[must_use]
pub fn declare(config: &Config, to: &Logs) -> Declaration {
    let to = config.id_of(logs::KIND, &to.place);
    let audit: Value = json!([{"categoryGroup": "audit", "enabled": true}]);
    let vault = config.id_of(vault::KIND, &config.vault.place);
    Declaration {
        key: Key::Unnamed,
        kind: "diagnostic setting",
        id: vault.child("providers/Microsoft.Insights/diagnosticSettings", &numbered_name(config)),
        // No version but a preview exists.
        api: "2021-05-01-preview",
        mark: Mark::Name,
        document: json!({"properties": {"workspaceId": to.as_str(), "logs": audit}}),
        fields: vec![
            Field::new("properties.workspaceId", to.as_str()).ignoring_case(),
            Field::new("properties.logs", audit).log_categories(),
        ],
        changed_by: ChangedBy::Put,
        purge_query: "",
    }
}
