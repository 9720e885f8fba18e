//! The Log Analytics workspace that metrics and audit lines go to.

use serde_json::json;

use super::{mark, only_ours, tag_fields};
use crate::config::{Config, Logs};
use crate::declaration::{ChangedBy, Declaration};
use crate::field::Field;
use crate::item::Key;

/// The type of Log Analytics workspaces.
pub const KIND: &str = "Microsoft.OperationalInsights/workspaces";

/// How long lines are kept unless the file says otherwise, in days: what is included in the price.
const RETENTION_DAYS: u32 = 30;

/// The workspace that the configuration names.
#[must_use]
pub fn declare(config: &Config, logs: &Logs) -> Declaration {
    let mut fields = vec![Field::new("location", config.location.as_str()).region().fixed()];
    fields.extend(logs.retention_days.map(|days| Field::new("properties.retentionInDays", days)));
    fields.extend(tag_fields(config));
    only_ours(Declaration {
        key: Key::Unnamed,
        kind: "log analytics workspace",
        id: config.id_of(KIND, &logs.place),
        api: "2023-09-01",
        mark: mark(config, &logs.place),
        document: json!({
            "location": config.location, "tags": config.tags,
            "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": logs.retention_days.unwrap_or(RETENTION_DAYS)},
        }),
        fields,
        changed_by: ChangedBy::Patch,
        purge_query: "&force=true",
    })
}
