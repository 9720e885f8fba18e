//! A secret as a vault keeps it: its versions, and what a deletion adds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A secret's text, which shows itself in no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for SecretText {
    fn from(text: T) -> SecretText {
        SecretText(text.into())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretText(..)")
    }
}

/// What a caller may say about a version. Times are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Attributes {
    /// Whether its value can be read.
    pub enabled: Option<bool>,
    /// Informational: the service hands the value out earlier too.
    pub nbf: Option<i64>,
    /// Informational: the service hands the value out later too.
    pub exp: Option<i64>,
}

/// What a caller writes: a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The value.
    pub value: SecretText,
    /// What kind of value it is, in the writer's words.
    pub content_type: Option<String>,
    /// The writer's own marks.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether it is enabled, and from when until when it is meant to be used.
    pub attributes: Attributes,
    /// The certificate's key, where the secret belongs to a certificate.
    pub certificate_key: Option<String>,
}

impl Draft {
    /// A version that says nothing beyond its value.
    #[must_use]
    pub fn plain(value: impl Into<SecretText>) -> Draft {
        Draft {
            value: value.into(),
            content_type: None,
            tags: None,
            attributes: Attributes::default(),
            certificate_key: None,
        }
    }
}

/// What a caller changes about an existing version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) content_type: Option<String>,
    pub(crate) tags: Option<BTreeMap<String, String>>,
    pub(crate) attributes: Attributes,
}

/// One version of a secret. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) value: SecretText,
    pub(crate) content_type: Option<String>,
    pub(crate) tags: Option<BTreeMap<String, String>>,
    pub(crate) enabled: bool,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires: Option<i64>,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) previous: Option<String>,
    pub(crate) certificate_key: Option<String>,
}

impl Version {
    fn new(draft: Draft, previous: Option<String>, now_seconds: i64) -> Version {
        Version {
            id: Uuid::new_v4().simple().to_string(),
            value: draft.value,
            content_type: draft.content_type,
            tags: draft.tags,
            enabled: draft.attributes.enabled.unwrap_or(true),
            not_before: draft.attributes.nbf,
            expires: draft.attributes.exp,
            created: now_seconds,
            updated: now_seconds,
            previous,
            certificate_key: draft.certificate_key,
        }
    }

    pub(crate) fn apply(&mut self, change: Change, now_seconds: i64) {
        self.content_type = change.content_type.or(self.content_type.take());
        self.tags = change.tags.or(self.tags.take());
        self.enabled = change.attributes.enabled.unwrap_or(self.enabled);
        self.not_before = change.attributes.nbf.or(self.not_before);
        self.expires = change.attributes.exp.or(self.expires);
        self.updated = now_seconds;
    }
}

/// A name with its versions, oldest first; never without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
    /// Unix milliseconds before which nobody sees it, because its recovery is under way.
    pub(crate) visible_from: i64,
}

impl Secret {
    pub(crate) fn first(name: &str, draft: Draft, now_seconds: i64) -> Secret {
        let version = Version::new(draft, None, now_seconds);
        Secret { name: name.into(), versions: vec![version], visible_from: 0 }
    }

    pub(crate) fn add(&mut self, draft: Draft, now_seconds: i64) {
        let previous = self.latest().id.clone();
        self.versions.push(Version::new(draft, Some(previous), now_seconds));
    }

    pub(crate) fn latest(&self) -> &Version {
        self.versions.last().expect("a secret is never without a version")
    }

    /// The version called `id`; the latest where none is named.
    pub(crate) fn version(&self, id: Option<&str>) -> Option<&Version> {
        match id {
            None => self.versions.last(),
            Some(id) => self.versions.iter().find(|version| version.id == id),
        }
    }

    pub(crate) fn version_mut(&mut self, id: Option<&str>) -> Option<&mut Version> {
        match id {
            None => self.versions.last_mut(),
            Some(id) => self.versions.iter_mut().find(|version| version.id == id),
        }
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.latest().certificate_key.is_some()
    }
}

/// A secret after its deletion, until it is recovered or purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletedSecret {
    pub(crate) secret: Secret,
    /// Unix seconds.
    pub(crate) deleted: i64,
    /// Unix seconds.
    pub(crate) scheduled_purge: i64,
    /// Unix milliseconds before which the deletion is still under way.
    pub(crate) complete_from: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_shows_itself_in_no_debug_text() {
        let secret = Secret::first("db", Draft::plain("hunter2"), 1);
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!format!("{:?}", Draft::plain("hunter2")).contains("hunter2"));
    }

    #[test]
    fn every_version_but_the_first_names_the_one_before() {
        let mut secret = Secret::first("db", Draft::plain("1"), 1);
        let first = secret.latest().id.clone();
        secret.add(Draft::plain("2"), 2);
        assert_eq!(secret.versions[0].previous, None);
        assert_eq!(secret.latest().previous, Some(first));
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let mut draft = Draft::plain("1");
        draft.content_type = Some("text/plain".into());
        draft.attributes.exp = Some(9);
        let mut secret = Secret::first("db", draft, 1);
        let attributes = Attributes { enabled: Some(false), ..Attributes::default() };
        secret.version_mut(None).unwrap().apply(Change { attributes, ..Change::default() }, 5);
        let version = secret.latest();
        assert_eq!((version.content_type.as_deref(), version.expires), (Some("text/plain"), Some(9)));
        assert_eq!((version.enabled, version.created, version.updated), (false, 1, 5));
    }
}
