//! Error answers that were collected one by one: each is provoked, and compared with its model.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::arm;
use crate::cassette;
use crate::form::{fill, form};
use crate::json::Json;
use crate::provoke::{Provoked, Stage};
use crate::table::Row;
use crate::verdict::Verdict;

/// The collection: what each service was seen to answer.
#[derive(Debug, Deserialize)]
struct Collection {
    keyvault_data_plane: Vec<Model>,
    resource_manager: Vec<Model>,
    entra: Vec<Model>,
}

/// One error answer. Its texts have placeholders such as `<tenant>`.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    status: u16,
    /// None stands for a header that is absent.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    body: Json,
}

impl Model {
    /// Its line in the table, where it is the `index`th of `section`.
    fn row(&self, (section, index): (&str, usize), provoked: &Provoked) -> Row {
        Row {
            recording: format!("errors.json, {section}"),
            exchange: index,
            request: format!("{} ({})", provoked.request, self.label()),
            status: self.status,
            verdict: compare(self, provoked),
        }
    }

    /// What tells it from the others: its inner code, or else its code with the first word of its message.
    pub(crate) fn label(&self) -> String {
        let text = |json: &Json, name: &str| json.member(name).and_then(Json::text).unwrap_or_default().to_owned();
        let Some(error) = self.body.member("error").filter(|error| error.text().is_none()) else {
            return first_word(&text(&self.body, "error_description"));
        };
        match error.member("innererror") {
            Some(inner) => text(inner, "code"),
            None => format!("{} {}", text(error, "code"), first_word(&text(error, "message"))),
        }
    }
}

fn first_word(text: &str) -> String {
    text.split([' ', ':']).next().unwrap_or_default().to_owned()
}

/// Provokes every error of the collection.
///
/// # Errors
/// The collection cannot be read, or has an error for which nobody wrote down what provokes it.
pub(crate) async fn provoke_all() -> Result<Vec<Row>> {
    let path = cassette::folder().join("errors.json");
    let collection: Collection = serde_json::from_slice(&fs::read(&path)?)?;
    let stage = Stage::set().await?;
    let management = arm::provoke::Stage::set().await?;
    let mut rows = Vec::new();
    for (index, model) in collection.resource_manager.iter().enumerate() {
        let label = model.label();
        let problem = || format!("resource manager {index}, {label}");
        let provoked = management.provoke(&label).await.with_context(problem)?;
        rows.push(model.row(("resource manager", index), &provoked));
    }
    for (section, models) in [("key vault", collection.keyvault_data_plane), ("entra", collection.entra)] {
        for (index, model) in models.iter().enumerate() {
            let label = model.label();
            let provoked = stage.provoke(&label).await.with_context(|| format!("{section} {index}, {label}"))?;
            rows.push(model.row((section, index), &provoked));
        }
    }
    Ok(rows)
}

fn compare(model: &Model, provoked: &Provoked) -> Verdict {
    let Provoked { answer, placeholders, .. } = provoked;
    let mut verdict =
        Verdict { headers: model.headers.len(), members: model.body.count_members(), ..Verdict::default() };
    verdict.expect("status", &model.status, &answer.status);
    for (name, expected) in &model.headers {
        let none = || "none".to_owned();
        let expected = expected.as_deref().map_or_else(none, |value| fill(value, placeholders));
        let live = answer.headers.get(&name.to_ascii_lowercase()).cloned().unwrap_or_else(none);
        verdict.expect(name, &expected, &live);
    }
    match &answer.body {
        None => verdict.differ("body: none"),
        Some(live) => {
            compare_forms(&mut verdict, "body", (&model.body, live), placeholders);
            check_trace(&mut verdict, live);
        }
    }
    verdict
}

fn compare_forms(verdict: &mut Verdict, path: &str, (model, live): (&Json, &Json), placeholders: &[(&str, String)]) {
    match (model, live) {
        (Json::Object(old), Json::Object(new)) => {
            let names = |members: &[(String, Json)]| {
                members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
            };
            verdict.expect(&format!("{path}: members"), &names(old), &names(new));
            for (name, old) in old {
                if let Some(new) = live.member(name) {
                    compare_forms(verdict, &format!("{path}.{name}"), (old, new), placeholders);
                }
            }
        }
        (Json::List(old), Json::List(new)) if old.len() == new.len() => {
            for pair in old.iter().zip(new) {
                compare_forms(verdict, path, pair, placeholders);
            }
        }
        (Json::Text(old), Json::Text(new)) => verdict.expect(path, &form(&fill(old, placeholders)), &form(new)),
        (old, new) => verdict.require(old == new, format!("{path}: recorded {old:?}, got {new:?}")),
    }
}

/// Holds that Entra's text repeats the ids and the time beside it.
fn check_trace(verdict: &mut Verdict, live: &Json) {
    let Some(description) = live.member("error_description").and_then(Json::text) else { return };
    for name in ["trace_id", "correlation_id", "timestamp"] {
        let repeated = live.member(name).and_then(Json::text).is_some_and(|text| description.contains(text));
        verdict.require(repeated, format!("error_description does not repeat {name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulated::Answer;

    const MODEL: &str = r#"{"status":404,"headers":{"Retry-After":null,"X":"<t>"},"body":{"error":{"code":"SecretNotFound","message":"no <n>"}}}"#;

    fn verdict(headers: &[(&str, &str)], status: u16, body: &str) -> Verdict {
        let model: Model = serde_json::from_str(MODEL).unwrap();
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = Answer { status, headers, body: Some(Json::parse(body.as_bytes()).unwrap()) };
        let placeholders = vec![("<n>", "db".to_owned()), ("<t>", "here".to_owned())];
        compare(&model, &Provoked { request: String::new(), answer, placeholders })
    }

    #[test]
    fn an_error_is_held_to_its_model() {
        let same = r#"{"error":{"code":"SecretNotFound","message":"no db"}}"#;
        let rows = [
            (vec![("x", "here")], 404, same, 0),
            (vec![("x", "here")], 403, same, 1),
            (vec![("x", "there")], 404, same, 1),
            (vec![], 404, same, 1),
            (vec![("x", "here"), ("retry-after", "1")], 404, same, 1),
            (vec![("x", "here")], 404, r#"{"error":{"message":"no db","code":"SecretNotFound"}}"#, 1),
            (vec![("x", "here")], 404, r#"{"error":{"code":"SecretNotFound","message":"no dc"}}"#, 1),
            (vec![("x", "here")], 404, r#"{"error":"SecretNotFound"}"#, 1),
        ];
        for (headers, status, body, expected) in rows {
            let verdict = verdict(&headers, status, body);
            assert_eq!(verdict.differences.len(), expected, "{headers:?} {status} {body}: {verdict}");
        }
    }

    #[test]
    fn labels_tell_errors_apart() {
        let label =
            |body: &str| serde_json::from_str::<Model>(&format!(r#"{{"status":400,"body":{body}}}"#)).unwrap().label();
        assert_eq!(
            label(r#"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"AccessDenied"}}}"#),
            "AccessDenied"
        );
        assert_eq!(
            label(r#"{"error":{"code":"Unauthorized","message":"AKV10022: Invalid"}}"#),
            "Unauthorized AKV10022"
        );
        assert_eq!(label(r#"{"error":"invalid_client","error_description":"AADSTS7000215: x"}"#), "AADSTS7000215");
    }
}
