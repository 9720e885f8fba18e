//! How an answer of Resource Manager is compared with its recording: by names, values and the form of what is generated.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cassette::{Exchange, Recorder};
use crate::json::Json;
use crate::known::Known;
use crate::verdict::Verdict;

/// Headers that every answer of Resource Manager itself has, with the same value each time.
const FIXED: [&str; 5] =
    ["cache-control", "pragma", "strict-transport-security", "x-content-type-options", "x-ms-failure-cause"];

/// Where an operation is followed.
const ADDRESSES: [&str; 2] = ["location", "azure-asyncoperation"];

/// Members that services have added since the older recordings were made.
const ADDED: [&str; 18] = [
    "enableSoftDelete",
    "systemData",
    "softDeleteRetentionInDays",
    "publicNetworkAccess",
    "condition",
    "conditionVersion",
    "delegatedManagedIdentityResourceId",
    "description",
    "allowBlobPublicAccess",
    "allowSharedKeyAccess",
    "minimumTlsVersion",
    "keyCreationTime",
    "keyType",
    "privateEndpointConnections",
    "dfs",
    "web",
    "accessTier",
    "percentComplete",
];

/// Compares the headers that Resource Manager itself is answerable for.
pub(crate) fn headers(verdict: &mut Verdict, exchange: &Exchange, live: &BTreeMap<String, String>) {
    for name in FIXED {
        verdict.headers += 1;
        let none = "none".to_owned();
        let [recorded, live] = [&exchange.headers, live].map(|headers| headers.get(name).unwrap_or(&none));
        verdict.expect(name, recorded, live);
    }
    verdict.headers += 1;
    let media = |headers: &BTreeMap<String, String>| {
        let whole = headers.get("content-type").map_or("none", String::as_str);
        whole.split(';').next().unwrap_or_default().to_owned()
    };
    // A recording keeps the type of the body that a HEAD has not.
    if exchange.method != "HEAD" {
        verdict.expect("content-type", &media(&exchange.headers), &media(live));
    }
    let without_addresses =
        exchange.status == 202 && ADDRESSES.iter().all(|name| !exchange.headers.contains_key(*name));
    for name in ADDRESSES.into_iter().filter(|_| !without_addresses) {
        verdict.headers += 1;
        verdict.expect(name, &address_form(&exchange.headers, name), &address_form(live, name));
    }
    for name in exchange.headers.keys().filter(|name| name.starts_with("x-ms-ratelimit-remaining-subscription-")) {
        verdict.headers += 1;
        verdict.require(live.contains_key(name), format!("{name}: recorded, got none"));
    }
}

/// Where an address leads: an operation's own segment and its signature are made anew each time.
fn address_form(headers: &BTreeMap<String, String>, name: &str) -> String {
    let Some(address) = headers.get(name) else { return "none".to_owned() };
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let lower = path.to_ascii_lowercase();
    if !lower.contains("operation") || lower.contains("operationalinsights") {
        return address.clone();
    }
    let kept = query.split('&').filter(|part| !["t=", "c=", "s=", "h="].iter().any(|key| part.starts_with(key)));
    let base = path.rsplit_once('/').map_or(path, |(base, _)| base);
    format!("{base}/OPERATION?{}", kept.collect::<Vec<_>>().join("&"))
}

/// Compares the bodies.
pub(crate) fn bodies(verdict: &mut Verdict, exchange: &Exchange, live: Option<&Json>) {
    match (&exchange.body, live) {
        (None, None) => {}
        (Some(recorded), None) => verdict.differ(format!("body: recorded {recorded}, got none")),
        (None, Some(live)) => verdict.differ(format!("body: none recorded, got {live}")),
        (Some(recorded), Some(live)) => {
            verdict.members = recorded.count_members();
            values(verdict, "body", (recorded, live));
        }
    }
}

type Members<'a> = &'a [(String, Json)];

fn values(verdict: &mut Verdict, path: &str, (recorded, live): (&Json, &Json)) {
    match (recorded, live) {
        (Json::Object(old), Json::Object(new)) => objects(verdict, path, (old, new)),
        (Json::List(old), Json::List(new)) if !path.ends_with("privateEndpointConnections") => {
            verdict.expect(&format!("{path}: items"), &old.len(), &new.len());
            for (index, pair) in old.iter().zip(new).enumerate() {
                values(verdict, &format!("{path}[{index}]"), pair);
            }
        }
        (Json::List(_), Json::List(_)) => {}
        (Json::Text(old), Json::Text(new)) => texts(verdict, path, (old, new)),
        (old, new) => {
            let same = old == new;
            verdict.require(same, format!("{path}: recorded {old}, got {new}"));
        }
    }
}

fn objects(verdict: &mut Verdict, path: &str, (old, new): (Members<'_>, Members<'_>)) {
    for (name, recorded) in old {
        match new.iter().find(|(own, _)| own == name) {
            Some((_, live)) => values(verdict, &format!("{path}.{name}"), (recorded, live)),
            // The last page says so by its absence.
            None if name == "nextLink" => {}
            None => verdict.differ(format!("{path}.{name}: recorded {recorded}, got none")),
        }
    }
    for (name, live) in new.iter().filter(|(name, _)| !old.iter().any(|(own, _)| own == name)) {
        if ADDED.contains(&name.as_str()) {
            verdict.known.insert(Known::NewerMembers);
        } else {
            verdict.differ(format!("{path}.{name}: not recorded, got {live}"));
        }
    }
}

fn texts(verdict: &mut Verdict, path: &str, (old, new): (&str, &str)) {
    let name = path.rsplit('.').next().unwrap_or_default();
    if matches!(name, "createdBy" | "createdByType" | "lastModifiedBy" | "lastModifiedByType") {
        return;
    }
    if name == "message" && old != new {
        match Known::of_texts(Recorder::Vcr, old, new) {
            Some(known) => drop(verdict.known.insert(known)),
            None => verdict.expect(path, old, new),
        }
        return;
    }
    verdict.expect(path, &form(old), &form(new));
}

/// `text` with the kinds of what is generated in place of ids, times and etags.
fn form(text: &str) -> String {
    if Uuid::try_parse(text).is_ok() {
        return "UUID".to_owned();
    }
    if text.starts_with('"') && text.ends_with('"') {
        return "ETAG".to_owned();
    }
    let bytes = text.as_bytes();
    let dated = bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[13] == b':';
    if dated && bytes[bytes.len() - 1] == b'Z' && bytes[..4].iter().all(u8::is_ascii_digit) {
        return "TIME".to_owned();
    }
    let mut form = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let whole = rest.get(..36).is_some_and(|part| part.contains('-') && Uuid::try_parse(part).is_ok());
        let taken = if whole { 36 } else { first.len_utf8() };
        form.push_str(if whole { "UUID" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(recorded: &str, live: &str) -> usize {
        let mut verdict = Verdict::default();
        let parse = |text: &str| Json::parse(text.as_bytes()).unwrap();
        values(&mut verdict, "body", (&parse(recorded), &parse(live)));
        verdict.differences.len()
    }

    #[test]
    fn an_answer_may_differ_in_what_is_generated_and_in_what_was_added_alone() {
        let recorded = r#"{"id":"/subscriptions/00000000-0000-0000-0000-000000000000/x","at":"2021-04-19T05:32:42Z","on":true,"etag":"\"a\"","createdBy":"me"}"#;
        let rows = [
            (recorded.to_owned(), 0),
            (recorded.replace("00000000-0000-0000-0000-000000000000", "72f988bf-86f1-41af-91ab-2d7cd011db47"), 0),
            (recorded.replace("2021-04-19T05:32:42Z", "2026-11-24 09:00:00Z"), 0),
            (recorded.replace("2021-04-19T05:32:42Z", "yesterday"), 1),
            (recorded.replace("\\\"a\\\"", "\\\"b\\\""), 0),
            (recorded.replace("\"me\"", "\"you\""), 0),
            (recorded.replace("true", "false"), 1),
            (recorded.replace("/x", "/y"), 1),
            (recorded.replace("\"on\":true,", ""), 1),
            (recorded.replace("\"on\"", "\"systemData\":{},\"on\""), 0),
            (recorded.replace("\"on\"", "\"unheardOf\":{},\"on\""), 1),
        ];
        for (live, expected) in rows {
            assert_eq!(differences(recorded, &live), expected, "{live}");
        }
    }

    #[test]
    fn an_address_is_held_to_where_it_leads() {
        let form = |address: &str| address_form(&BTreeMap::from([("location".into(), address.into())]), "location");
        let recorded =
            form("https://h/subscriptions/s/providers/P/locations/l/asyncoperations/1?monitor=true&api-version=1");
        let signed = "https://h/subscriptions/s/providers/P/locations/l/asyncoperations/2?monitor=true&api-version=1&t=1&c=x&s=y&h=z";
        assert_eq!(recorded, form(signed));
        assert_ne!(recorded, form(&signed.replace("monitor=true&", "")));
        assert_ne!(recorded, form(&signed.replace("/locations/l/", "/locations/m/")));
    }
}
