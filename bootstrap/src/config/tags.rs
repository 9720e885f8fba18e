//! Names of tags: Azure's rule, and the one name by which this program knows what it made.

use std::collections::BTreeMap;

use keyside::config::document::Document;

use super::shape::Tags;
use crate::declaration::OWNER_TAG;

/// Longest name of a tag, in characters, and what it never has.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources>.
const NAME_MAX: usize = 512;
const NAME_NEVER: [char; 7] = ['<', '>', '%', '&', '\\', '?', '/'];

/// The tags of a file; what is wrong with a name is noted in the document.
pub(super) fn checked(document: &mut Document<'_>, tags: Tags) -> BTreeMap<String, String> {
    for name in tags.keys() {
        let text = name.get_ref();
        if text.eq_ignore_ascii_case(OWNER_TAG) {
            let message = format!("the tag {text} marks what this program made: choose another name");
            document.report(&name.span(), message);
        }
        if text.is_empty() || text.chars().count() > NAME_MAX || text.contains(NAME_NEVER) {
            let rule = "has 1 to 512 characters, and none of < > % & \\ ? /";
            document.report(&name.span(), format!("'{}' is no tag: its name {rule}", text.escape_debug()));
        }
    }
    tags.into_iter().map(|(name, value)| (name.into_inner(), value)).collect()
}
