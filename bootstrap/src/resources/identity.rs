//! The user-assigned identity that the agent has.

use serde_json::json;

use super::{mark, only_ours, tag_fields};
use crate::config::{AgentIdentity, Config};
use crate::declaration::{ChangedBy, Declaration};
use crate::field::Field;
use crate::item::Key;

/// The type of user-assigned identities.
pub const KIND: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

pub(super) const API: &str = "2023-01-31";

/// The identity that the configuration names.
#[must_use]
pub fn declare(config: &Config, identity: &AgentIdentity) -> Declaration {
    let location = [Field::new("location", config.location.as_str()).region().fixed()];
    only_ours(Declaration {
        key: Key::Identity,
        kind: "user-assigned identity",
        id: config.id_of(KIND, &identity.place),
        api: API,
        mark: mark(config, &identity.place),
        document: json!({"location": config.location, "tags": config.tags}),
        fields: location.into_iter().chain(tag_fields(config)).collect(),
        changed_by: ChangedBy::Patch,
        purge_query: "",
    })
}
