//! The storage account of the workspace: plain blobs, as Azure Machine Learning wants its default one.

use serde_json::json;

use super::{mark, only_ours, tag_fields};
use crate::config::{Config, Workspace};
use crate::declaration::{ChangedBy, Declaration};
use crate::field::Field;
use crate::item::Key;

/// The type of storage accounts.
pub const KIND: &str = "Microsoft.Storage/storageAccounts";

/// The version of their interface.
pub const API: &str = "2023-05-01";

/// Without a hierarchical namespace and not premium: the default account of a workspace may be neither.
/// Source: <https://learn.microsoft.com/azure/machine-learning/concept-workspace>.
#[must_use]
pub fn declare(config: &Config, workspace: &Workspace) -> Declaration {
    let sku = workspace.storage_sku.unwrap_or("Standard_LRS");
    let mut fields = vec![
        Field::new("location", config.location.as_str()).region().fixed(),
        Field::new("properties.isHnsEnabled", false).absent(false).fixed(),
    ];
    fields.extend(workspace.storage_sku.map(|sku| Field::new("sku.name", sku).ignoring_case().sent_with(1)));
    fields.extend(tag_fields(config));
    only_ours(Declaration {
        key: Key::Unnamed,
        kind: "storage account",
        id: config.id_of(KIND, &workspace.storage),
        api: API,
        mark: mark(config, &workspace.storage),
        document: json!({
            "location": config.location, "tags": config.tags, "kind": "StorageV2", "sku": {"name": sku},
            "properties": {"supportsHttpsTrafficOnly": true, "minimumTlsVersion": "TLS1_2",
                "allowBlobPublicAccess": false, "isHnsEnabled": false},
        }),
        fields,
        changed_by: ChangedBy::Patch,
        purge_query: "",
    })
}
