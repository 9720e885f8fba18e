//! The Application Insights component that the workspace demands, on top of Log Analytics.

use serde_json::json;

use super::{logs, mark, only_ours, tag_fields};
use crate::config::{Config, Logs, Workspace};
use crate::declaration::{ChangedBy, Declaration};
use crate::field::Field;
use crate::item::Key;

/// The type of Application Insights components.
pub const KIND: &str = "Microsoft.Insights/components";

/// The component of the workspace. One without Log Analytics is of a kind that Azure has given up.
#[must_use]
pub fn declare(config: &Config, workspace: &Workspace, logs: &Logs) -> Declaration {
    let logs = config.id_of(logs::KIND, &logs.place);
    let own_fields = [
        Field::new("location", config.location.as_str()).region().fixed(),
        Field::new("properties.WorkspaceResourceId", logs.as_str()).ignoring_case(),
    ];
    only_ours(Declaration {
        key: Key::Unnamed,
        kind: "application insights",
        id: config.id_of(KIND, &workspace.insights),
        api: "2020-02-02",
        mark: mark(config, &workspace.insights),
        document: json!({
            "location": config.location, "tags": config.tags, "kind": "web",
            "properties": {"Application_Type": "web", "WorkspaceResourceId": logs.as_str()},
        }),
        fields: own_fields.into_iter().chain(tag_fields(config)).collect(),
        // A patch can change tags only.
        changed_by: ChangedBy::Put,
        purge_query: "",
    })
}
