//! Entity tags and the header `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1.2).

use std::fmt::Write as _;

use hyper::HeaderMap;
use hyper::header::IF_NONE_MATCH;
use sha2::{Digest as _, Sha256};

use super::request::Form;
use crate::encoding::Encoding;
use crate::secret::{Metadata, Secret, SecretName};
use crate::selection::Selection;
use crate::store::{Published, Snapshot};

/// The tag of one representation, as it is written in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ETag(String);

impl ETag {
    /// The tag of a secret in one form.
    #[must_use]
    pub(super) fn of(published: &Published, form: Form) -> Self {
        match form {
            Form::Value => Self::of_value(published),
            Form::Document => Self::of_document(published),
        }
    }

    /// The tag of a value's bytes: its version, which never changes its text. Bytes that were taken out of the text or decoded
    /// from it have another tag, so that a reader who knows the text notices that the agent was told to do so.
    fn of_value(published: &Published) -> Self {
        let version = &published.secret.metadata.version;
        match making(&published.secret) {
            making if making.is_empty() => Self(["\"", version.as_str(), "\""].concat()),
            making => Self(format!("\"{}\"", digest([format!("{version}{making}")]))),
        }
    }

    /// The tag of a secret's JSON: version, metadata and encoding. It is weak, because the time of the latest look is not in it.
    fn of_document(published: &Published) -> Self {
        Self(format!("W/\"{}\"", digest([facts(&published.secret)])))
    }

    /// The tag of a list: the names and the metadata of what is in it. Weak for the same reason.
    #[must_use]
    pub(super) fn of_list(snapshot: &Snapshot, visible: impl Fn(&SecretName) -> bool) -> Self {
        let listed = snapshot.slots.iter().filter(|(name, _)| visible(name));
        let facts = listed.map(|(name, slot)| {
            let published = slot.published.as_ref().map(|published| facts(&published.secret));
            let withdrawn = slot.withdrawn.map(|withdrawn| format!("{:?}", withdrawn.why));
            format!("{name} {}", published.or(withdrawn).unwrap_or_default())
        });
        Self(format!("W/\"{}\"", digest(facts)))
    }

    /// As the header has it.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between the quotes.
    #[must_use]
    pub(super) fn opaque(&self) -> &str {
        opaque(&self.0)
    }
}

fn facts(secret: &Secret) -> String {
    let Metadata { version, content_type, created, updated, expires } = &secret.metadata;
    format!("{version} {created:?} {updated:?} {expires:?} {content_type:?}{}", making(secret))
}

/// How the bytes were made from the vault's text; empty where they are the text.
fn making(secret: &Secret) -> String {
    let selected = match &secret.selection {
        Selection::Whole => String::new(),
        part => format!(" {part}"),
    };
    let decoded = match secret.encoding {
        Encoding::Text => "",
        Encoding::Base64 => " base64",
    };
    format!("{selected}{decoded}")
}

/// Sixteen hexadecimal digits: enough that two states of one agent do not meet by chance.
fn digest(lines: impl IntoIterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What the caller has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum IfNoneMatch {
    /// The caller does not say.
    #[default]
    Nothing,
    /// Anything that exists.
    Any,
    /// One of these representations.
    OneOf(Vec<String>),
}

impl IfNoneMatch {
    /// Reads the header. What is no list of tags is no condition, as RFC 9110 has it for fields that make no sense.
    #[must_use]
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut tags = Vec::new();
        for field in headers.get_all(IF_NONE_MATCH) {
            let Ok(field) = field.to_str() else { return Self::Nothing };
            if field.trim() == "*" {
                return Self::Any;
            }
            let Some(more) = list(field) else { return Self::Nothing };
            tags.extend(more);
        }
        if tags.is_empty() { Self::Nothing } else { Self::OneOf(tags) }
    }

    /// Whether the caller has this representation already, by the weak comparison that the header asks for.
    #[must_use]
    pub(super) fn has(&self, tag: &ETag) -> bool {
        match self {
            Self::Nothing => false,
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|known| known == tag.opaque()),
        }
    }
}

/// The opaque parts of a list of tags. A comma may stand inside a tag, so the list cannot be split at commas.
fn list(field: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = field.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let (tag, after) = quoted.split_once('"')?;
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        tags.push(tag.to_owned());
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Some(tags)
}

fn opaque(tag: &str) -> &str {
    tag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hyper::header::HeaderValue;

    use super::*;
    use crate::selection::Part;
    use crate::testing::{moment, origin, secret};

    #[test]
    fn a_value_has_the_tag_of_its_version_unless_it_was_made_of_the_text() {
        let field = |text: &str| Selection::Field(text.parse().expect("a pointer"));
        let made = [
            (Selection::Whole, Encoding::Text),
            (Selection::Whole, Encoding::Base64),
            (field("/a"), Encoding::Text),
            (field("/b"), Encoding::Text),
            (field("/a"), Encoding::Base64),
            (field("/a base64"), Encoding::Text),
            (Selection::Pem(Part::PrivateKey), Encoding::Text),
            (Selection::Pem(Part::Certificate), Encoding::Text),
        ];
        let published = made.map(|(selection, encoding)| {
            Published::new(Secret { selection, encoding, ..secret('a', b"b25l") }, moment(0), origin())
        });
        assert_eq!(ETag::of(&published[0], Form::Value).opaque(), "a".repeat(32));
        for form in [Form::Value, Form::Document] {
            let tags: BTreeSet<_> = published.iter().map(|one| ETag::of(one, form).0).collect();
            assert_eq!(tags.len(), published.len(), "{tags:?}");
        }
    }

    fn header(fields: &[&str]) -> IfNoneMatch {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(IF_NONE_MATCH, HeaderValue::from_str(field).expect("a header"));
        }
        IfNoneMatch::of(&headers)
    }

    #[test]
    fn a_tag_is_found_in_every_form_of_the_header() {
        let tag = ETag("\"abc\"".to_owned());
        let rows: &[(&[&str], bool)] = &[
            (&["\"abc\""], true),
            (&["W/\"abc\""], true),
            (&["\"x\", W/\"y\",\"abc\""], true),
            (&["\"x,y\" , \"abc\""], true),
            (&["\"x\"", "\"abc\""], true),
            (&[", ,\"abc\","], true),
            (&["*"], true),
            (&[" * "], true),
            (&["\"ab\""], false),
            (&["\"x\""], false),
            (&["abc"], false),
            (&["\"abc"], false),
            (&["\"x\"\"abc\""], false),
            (&["w/\"abc\""], false),
            (&[""], false),
            (&[], false),
        ];
        for (fields, expected) in rows {
            assert_eq!(header(fields).has(&tag), *expected, "{fields:?}");
        }
    }

    #[test]
    fn a_header_that_is_no_text_is_no_condition() {
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_bytes(b"\"\xff\"").expect("a header"));
        assert_eq!(IfNoneMatch::of(&headers), IfNoneMatch::Nothing);
    }
}
