//! The resources of an estate, one file each.

pub mod attachment;
pub mod diagnostics;
pub mod federation;
pub mod firewall;
pub mod group;
pub mod identity;
pub mod insights;
pub mod logs;
pub mod policy;
pub mod provider;
pub mod role;
pub mod secret;
pub mod sibling;
pub mod storage;
pub mod vault;
pub mod workspace;

use crate::config::{Config, Place};
use crate::declaration::{Declaration, Mark, OWNER_TAG};
use crate::field::Field;
use crate::id::derived;

/// The number of an estate, which its resources carry as a tag: it follows from the subscription, the
/// group and the prefix, by which two in one group stay apart.
#[must_use]
pub fn estate(config: &Config) -> String {
    derived(&["estate", config.group_id().as_str(), config.prefix.as_str()]).to_string()
}

/// The name of what has no tags to carry that number: two estates on one vault, or one identity, each have their own.
fn numbered_name(config: &Config) -> String {
    format!("{OWNER_TAG}-{}", estate(config))
}

/// How what is at `place` is recognised. What already existed is compared by nothing.
fn mark(config: &Config, place: &Place) -> Mark {
    match place {
        Place::Named(_) => Mark::Tag(estate(config)),
        Place::Existing(_) => Mark::Foreign,
    }
}

fn tag_fields(config: &Config) -> impl Iterator<Item = Field> {
    config.tags.iter().map(|(name, value)| Field::tag(name, value))
}

/// A declaration that compares nothing where the resource is somebody else's.
fn only_ours(declaration: Declaration) -> Declaration {
    let fields = if declaration.mark == Mark::Foreign { Vec::new() } else { declaration.fields };
    Declaration { fields, ..declaration }
}
