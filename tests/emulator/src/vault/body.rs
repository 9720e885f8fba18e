//! Request bodies, read within the service's limits.
//!
//! No parser's message is passed on, because it could quote a value.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::backup;
use super::refusal::Refusal;
use super::secret::{Attributes, Change, Draft, Secret, SecretText};

/// The service's documented limits, in bytes and in numbers.
const LONGEST_VALUE: usize = 25 * 1024;
const LONGEST_CONTENT_TYPE: usize = 255;
const LONGEST_TAG: usize = 512;
const MOST_TAGS: usize = 15;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretBody {
    value: Option<SecretText>,
    content_type: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    attributes: Option<Attributes>,
}

#[derive(Deserialize)]
struct RestoreBody {
    value: String,
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::invalid_property(""))
}

fn checked(body: &[u8]) -> Result<SecretBody, Refusal> {
    let parsed: SecretBody = parse(body)?;
    if parsed.content_type.as_ref().is_some_and(|text| text.len() > LONGEST_CONTENT_TYPE) {
        return Err(Refusal::invalid_property("contentType"));
    }
    let tags = parsed.tags.as_ref();
    let too_long = |(key, value): (&String, &String)| key.len() > LONGEST_TAG || value.len() > LONGEST_TAG;
    if tags.is_some_and(|tags| tags.len() > MOST_TAGS || tags.iter().any(too_long)) {
        return Err(Refusal::invalid_property("tags"));
    }
    Ok(parsed)
}

/// The new version that a set asks for.
pub(crate) fn draft(body: &[u8]) -> Result<Draft, Refusal> {
    let SecretBody { value, content_type, tags, attributes } = checked(body)?;
    let value = value.filter(|value| !value.expose().is_empty()).ok_or_else(|| Refusal::invalid_property(""))?;
    if value.expose().len() > LONGEST_VALUE {
        return Err(Refusal::invalid_property("value"));
    }
    Ok(Draft { value, content_type, tags, attributes: attributes.unwrap_or_default(), certificate_key: None })
}

/// The change that an update asks for.
pub(crate) fn change(body: &[u8]) -> Result<Change, Refusal> {
    let SecretBody { content_type, tags, attributes, .. } = checked(body)?;
    Ok(Change { content_type, tags, attributes: attributes.unwrap_or_default() })
}

/// The secret that a restore brings.
pub(crate) fn restored(body: &[u8]) -> Result<Secret, Refusal> {
    let RestoreBody { value } = parse(body)?;
    backup::read(&value).ok_or_else(|| Refusal::invalid_property("value"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(body: &serde_json::Value) -> u16 {
        draft(body.to_string().as_bytes()).map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
    }

    fn tags(count: usize, length: usize) -> serde_json::Value {
        let tags: BTreeMap<String, String> = (0..count).map(|n| (format!("tag{n}"), "v".repeat(length))).collect();
        json!({ "value": "x", "tags": tags })
    }

    #[test]
    fn limits_are_those_of_the_service() {
        let rows = [
            (json!({ "value": "x" }), 200),
            (json!({ "value": "x", "unknown": 1 }), 200),
            (json!({ "value": "" }), 400),
            (json!({}), 400),
            (json!({ "value": 5 }), 400),
            (json!({ "value": "v".repeat(LONGEST_VALUE) }), 200),
            (json!({ "value": "v".repeat(LONGEST_VALUE + 1) }), 400),
            (json!({ "value": "x", "contentType": "c".repeat(255) }), 200),
            (json!({ "value": "x", "contentType": "c".repeat(256) }), 400),
            (tags(15, 512), 200),
            (tags(16, 1), 400),
            (tags(1, 513), 400),
        ];
        for (body, expected) in rows {
            assert_eq!(status(&body), expected, "{:.60}", body.to_string());
        }
    }

    #[test]
    fn a_body_that_is_no_json_is_refused_without_being_quoted() {
        for body in [
            &b""[..],
            b"hunter2",
            br#"{"value":"hunter2"#,
            br#"{"value":"\ud800hunter2"}"#,
            b"{\"value\":\"hunter2\xff\"}",
        ] {
            let refusal = draft(body).unwrap_err();
            assert_eq!(refusal.status.as_u16(), 400);
            assert!(!refusal.message().contains("hunter2"));
        }
    }
}
