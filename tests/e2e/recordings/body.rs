//! How the body of an answer is compared with its recording: member by member, in the order of the wire.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};

use crate::cassette::{Exchange, Recorder};
use crate::json::Json;
use crate::known::Known;
use crate::learnt::{Learnt, Times};
use crate::verdict::Verdict;

/// What the service's backups of secrets begin with: the length of a name, and the name.
const BACKUP_HEAD: usize = 42;

/// What an exchange is about, as far as its body is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Write,
    Versions,
    Backup,
    Other,
}

impl About {
    fn of(exchange: &Exchange) -> About {
        let path = exchange.path();
        match exchange.method.as_str() {
            "PUT" | "PATCH" => About::Write,
            "GET" if path.ends_with("/versions") => About::Versions,
            "POST" if path.ends_with("/backup") => About::Backup,
            _ => About::Other,
        }
    }
}

/// Compares the body of an answer, `live`, with that of `exchange`.
pub(crate) fn compare(
    verdict: &mut Verdict,
    (taken_by, exchange): (Recorder, &Exchange),
    live: Option<&Json>,
    learnt: &mut Learnt,
) {
    let about = About::of(exchange);
    let mut comparison = Comparison { verdict, recorder: taken_by, about, learnt };
    match (&exchange.body, live) {
        (None, None) => {}
        (Some(recorded), None) => comparison.verdict.differ(format!("body: recorded {recorded}, got none")),
        (None, Some(live)) => comparison.verdict.differ(format!("body: none recorded, got {live}")),
        (Some(recorded), Some(live)) => {
            comparison.verdict.members = recorded.count_members();
            comparison.compare("body", recorded, live);
            if about == About::Versions && live.member("nextLink") == Some(&Json::Null) {
                let name = exchange.path().trim_start_matches("/secrets/").trim_end_matches("/versions").to_owned();
                comparison.learnt.end_list(comparison.verdict, &name);
            }
        }
    }
}

struct Comparison<'a> {
    verdict: &'a mut Verdict,
    recorder: Recorder,
    about: About,
    learnt: &'a mut Learnt,
}

impl Comparison<'_> {
    fn compare(&mut self, path: &str, recorded: &Json, live: &Json) {
        match (recorded, live) {
            (Json::Object(old), Json::Object(new)) => {
                self.compare_objects(path, old, new);
                self.check_bundle(recorded, live);
            }
            (Json::List(old), Json::List(new)) => {
                self.verdict.expect(&format!("{path}: items"), &old.len(), &new.len());
                for (index, (old, new)) in old.iter().zip(new).enumerate() {
                    self.compare(&format!("{path}[{index}]"), old, new);
                }
            }
            (Json::Text(old), Json::Text(new)) => self.compare_texts(path, old, new),
            (Json::Number(_), Json::Number(_)) if is_time(path) => {}
            (old, new) => {
                let same = old == new;
                self.verdict.require(same, format!("{path}: recorded {old}, got {new}"));
            }
        }
    }

    fn compare_objects(&mut self, path: &str, recorded: &[(String, Json)], live: &[(String, Json)]) {
        let names = |members: &[(String, Json)]| members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (old, new) = (names(recorded), names(live));
        let swapped = old.first().map(String::as_str) == Some("id") && old.get(1).map(String::as_str) == Some("value");
        if old != new {
            let reordered =
                swapped && new.len() == old.len() && new[0] == "value" && new[1] == "id" && new[2..] == old[2..];
            if reordered && self.recorder == Recorder::TestProxy && self.about == About::Write {
                self.verdict.known.insert(Known::ValueAfterId);
            } else {
                self.verdict.differ(format!("{path}: recorded members {}, got {}", old.join(" "), new.join(" ")));
            }
        }
        for (name, recorded) in recorded {
            if let Some((_, live)) = live.iter().find(|(own, _)| own == name) {
                self.compare(&format!("{path}.{name}"), recorded, live);
            }
        }
    }

    fn compare_texts(&mut self, path: &str, recorded: &str, live: &str) {
        match path.rsplit('.').next().unwrap_or_default() {
            "id" | "recoveryId" => self.compare_ids(path, recorded, live),
            "nextLink" => self.compare_links(recorded, live),
            "value" if self.about == About::Backup => self.compare_backups(recorded, live),
            "message" if recorded != live => match Known::of_texts(self.recorder, recorded, live) {
                Some(known) => drop(self.verdict.known.insert(known)),
                None => self.verdict.expect(path, recorded, live),
            },
            _ => self.verdict.expect(path, recorded, live),
        }
    }

    /// An id is the same but for its version, which stands for the recorded one. In a list of versions it is any
    /// that was written: their order is that of ids, which are random.
    fn compare_ids(&mut self, path: &str, recorded: &str, live: &str) {
        let (old, new) = (Id::parse(recorded), Id::parse(live));
        let (Some(old), Some(new)) = (old, new) else {
            self.verdict.differ(format!("{path}: recorded {recorded}, got {live}, which is no id"));
            return;
        };
        self.verdict.expect(path, old.plain, new.plain);
        match (old.version, new.version) {
            (None, None) => {}
            (Some(old), Some(new)) => {
                self.verdict.require(is_version(new), format!("{path}: {new} is no version"));
                if self.about == About::Versions {
                    let name = Id::parse(live).map_or("", |id| id.name);
                    self.learnt.list(self.verdict, name, new);
                } else {
                    self.learnt.stands_for(self.verdict, path, (old, new));
                }
            }
            _ => self.verdict.differ(format!("{path}: recorded {recorded}, got {live}")),
        }
    }

    fn compare_links(&mut self, recorded: &str, live: &str) {
        let (old_base, old_query) = recorded.split_once('?').unwrap_or((recorded, ""));
        let (new_base, new_query) = live.split_once('?').unwrap_or((live, ""));
        self.verdict.expect("nextLink", old_base, new_base);
        let parameters = |query: &str| -> Vec<(String, String)> {
            let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            query.split('&').filter_map(pair).collect()
        };
        let (old, new) = (parameters(old_query), parameters(new_query));
        let names =
            |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
        self.verdict.expect("nextLink's parameters", &names(&old), &names(&new));
        for ((name, old), (_, new)) in old.iter().zip(&new) {
            if name != "$skiptoken" {
                self.verdict.expect(&format!("nextLink's {name}"), old, new);
                continue;
            }
            self.verdict.expect("$skiptoken", &token_form(old), &token_form(new));
            self.learnt.stands_for(self.verdict, "$skiptoken", (old, new));
        }
    }

    fn compare_backups(&mut self, recorded: &str, live: &str) {
        let head = |backup: &str| {
            let bytes = Base64UrlUnpadded::decode_vec(backup).ok()?;
            Some(String::from_utf8_lossy(bytes.get(..BACKUP_HEAD)?).into_owned())
        };
        let none = || "no unpadded base64url".to_owned();
        self.verdict.expect(
            "the backup's head",
            &head(recorded).unwrap_or_else(none),
            &head(live).unwrap_or_else(none),
        );
        self.learnt.stands_for(self.verdict, "the backup", (recorded, live));
    }

    /// Holds the times of a secret in an answer together.
    fn check_bundle(&mut self, recorded: &Json, live: &Json) {
        let number = |object: &Json, name: &str| object.member(name).and_then(Json::number);
        let retention = |object: &Json| Some(number(object, "scheduledPurgeDate")? - number(object, "deletedDate")?);
        let seconds = |object: &Json| retention(object).map_or("none".to_owned(), |seconds| format!("{seconds} s"));
        self.verdict.expect("time from deletion to purge", &seconds(recorded), &seconds(live));
        let Some(attributes) = live.member("attributes") else { return };
        let times = number(attributes, "created").zip(number(attributes, "updated"));
        let id = live.member("id").and_then(Json::text).and_then(Id::parse);
        if let (Some((created, updated)), Some(id)) = (times, id) {
            let written = self.about == About::Write;
            self.learnt.check_times(self.verdict, (id.name, id.version), Times { created, updated }, written);
        }
    }
}

/// The id of a secret: `https://VAULT/secrets/NAME` or with `/VERSION`; also one of a deleted secret.
struct Id<'a> {
    plain: &'a str,
    name: &'a str,
    version: Option<&'a str>,
}

impl Id<'_> {
    fn parse(id: &str) -> Option<Id<'_>> {
        let mut segments = id.strip_prefix("https://")?.split('/').skip(2);
        let (name, version) = (segments.next()?, segments.next());
        let plain = version.map_or(id, |version| id.trim_end_matches(version).trim_end_matches('/'));
        segments.next().is_none().then_some(Id { plain, name, version })
    }
}

fn is_time(path: &str) -> bool {
    ["created", "updated", "deletedDate", "scheduledPurgeDate"].contains(&path.rsplit('.').next().unwrap_or_default())
}

fn is_version(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The form of a page token: base64 of a JSON object whose marker has a kind, its length, and a text of that length.
fn token_form(token: &str) -> String {
    let bytes = Base64UrlUnpadded::decode_vec(token).or_else(|_| Base64Unpadded::decode_vec(token));
    let Some(Json::Object(members)) = bytes.ok().and_then(|bytes| Json::parse(&bytes).ok()) else {
        return "no base64 of a JSON object".to_owned();
    };
    let form = |(name, value): &(String, Json)| match value.text().and_then(marker_form) {
        Some(marker) => format!("{name}={marker}"),
        None => format!("{name}={value}"),
    };
    members.iter().map(form).collect::<Vec<_>>().join(" ")
}

fn marker_form(marker: &str) -> Option<String> {
    let [kind, length, text] = marker.splitn(3, '!').collect::<Vec<_>>().try_into().ok()?;
    (length.parse() == Ok(text.len())).then(|| format!("{kind}!LENGTH!TEXT"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64ct::{Base64UrlUnpadded, Encoding};

    use super::*;

    const OLD: &str = "91fc30d3987d4f5b8fb1e6b9051c01c6";
    const NEW: &str = "dd8fc1bc9ac8434893bd41c0485af678";

    fn exchange(method: &str, target: &str, body: &str) -> Exchange {
        Exchange {
            method: method.into(),
            host: "v.vault.azure.net".into(),
            target: target.into(),
            content_type: None,
            request_body: None,
            status: 200,
            headers: BTreeMap::new(),
            body: Some(Json::parse(body.as_bytes()).unwrap()),
        }
    }

    fn compared(recorder: Recorder, exchange: &Exchange, live: &str, learnt: &mut Learnt) -> Verdict {
        let mut verdict = Verdict::default();
        let live = Json::parse(live.as_bytes()).unwrap();
        compare(&mut verdict, (recorder, exchange), Some(&live), learnt);
        verdict
    }

    fn bundle(version: &str, created: i64, updated: i64) -> String {
        format!(
            r#"{{"value":"x","id":"https://v.vault.azure.net/secrets/db/{version}","attributes":{{"enabled":true,"created":{created},"updated":{updated},"recoveryLevel":"Purgeable"}}}}"#
        )
    }

    #[test]
    fn an_answer_may_differ_in_what_is_generated_alone() {
        let recorded = bundle(OLD, 100, 100);
        let live = bundle(NEW, 900, 901);
        let rows = [
            (live.clone(), 0),
            (live.replace("\"x\"", "\"y\""), 1),
            (live.replace("true", "false"), 1),
            (live.replace("true", "\"true\""), 1),
            (live.replace("900", "\"900\""), 1),
            (live.replace("Purgeable", "Recoverable"), 1),
            (live.replace("secrets/db", "secrets/dc"), 1),
            (live.replace("v.vault", "w.vault"), 1),
            (live.replace(NEW, &NEW.to_uppercase()), 1),
            (live.replace(NEW, "1"), 1),
            (live.replace(&format!("/{NEW}"), ""), 1),
            (live.replace("\"value\":\"x\",", ""), 1),
            (live.replace("\"enabled\":true,", "").replace("901", "901,\"enabled\":true"), 1),
            (live.replace("\"attributes\"", "\"tags\":{},\"attributes\""), 1),
            (bundle(NEW, 902, 901), 1),
        ];
        for (live, expected) in rows {
            let exchange = exchange("PUT", "/secrets/db?api-version=7.0", &recorded);
            let verdict = compared(Recorder::Vcr, &exchange, &live, &mut Learnt::default());
            assert_eq!(verdict.differences.len(), expected, "{live}: {verdict}");
        }
    }

    #[test]
    fn a_version_stays_what_it_was_and_as_it_was() {
        let put = exchange("PUT", "/secrets/db", &bundle(OLD, 100, 100));
        let get = exchange("GET", "/secrets/db/", &bundle(OLD, 100, 100));
        let patch = exchange("PATCH", "/secrets/db/", &bundle(OLD, 100, 101));
        let rows = [
            (&get, bundle(NEW, 900, 900), 0),
            (&get, bundle(OLD, 900, 900), 1),
            (&get, bundle(NEW, 899, 900), 1),
            (&get, bundle(NEW, 900, 901), 1),
            (&patch, bundle(NEW, 900, 903), 0),
        ];
        for (second, live, expected) in rows {
            let mut learnt = Learnt::default();
            let first = compared(Recorder::Vcr, &put, &bundle(NEW, 900, 900), &mut learnt);
            assert_eq!(first.to_string(), "same");
            let verdict = compared(Recorder::Vcr, second, &live, &mut learnt);
            assert_eq!(verdict.differences.len(), expected, "{live}: {verdict}");
        }
    }

    #[test]
    fn a_deletion_is_kept_for_as_long_as_it_was() {
        let body = |deleted: i64, purge: i64| format!(r#"{{"deletedDate":{deleted},"scheduledPurgeDate":{purge}}}"#);
        let exchange = exchange("DELETE", "/secrets/db", &body(100, 700));
        for (live, expected) in [(body(1000, 1600), 0), (body(1000, 1601), 1)] {
            let verdict = compared(Recorder::Vcr, &exchange, &live, &mut Learnt::default());
            assert_eq!(verdict.differences.len(), expected, "{live}");
        }
    }

    #[test]
    fn a_link_has_the_same_form_and_its_token_is_learnt() {
        let token = |marker: &str| {
            Base64UrlUnpadded::encode_string(format!(r#"{{"NextMarker":"{marker}","TargetLocation":0}}"#).as_bytes())
        };
        let link = |port: &str, query: &str| {
            format!(r#"{{"value":[],"nextLink":"https://v.vault.azure.net{port}/secrets?{query}"}}"#)
        };
        let (old, new, broken) = (token("2!3!abc"), token("2!1!d"), token("2!9!d"));
        let exchange =
            exchange("GET", "/secrets", &link(":443", &format!("api-version=7.0&$skiptoken={old}&maxresults=2")));
        let rows = [
            (link(":443", &format!("api-version=7.0&$skiptoken={new}&maxresults=2")), 0),
            (link("", &format!("api-version=7.0&$skiptoken={new}&maxresults=2")), 1),
            (link(":443", &format!("$skiptoken={new}&api-version=7.0&maxresults=2")), 3),
            (link(":443", &format!("api-version=7.0&%24skiptoken={new}&maxresults=2")), 1),
            (link(":443", &format!("api-version=7.0&$skiptoken={broken}&maxresults=2")), 1),
            (link(":443", "api-version=7.0&$skiptoken=x&maxresults=2"), 1),
            (r#"{"value":[],"nextLink":null}"#.to_owned(), 1),
            (r#"{"value":[{}],"nextLink":null}"#.to_owned(), 2),
        ];
        for (live, expected) in rows {
            let mut learnt = Learnt::default();
            let verdict = compared(Recorder::Vcr, &exchange, &live, &mut learnt);
            assert_eq!(verdict.differences.len(), expected, "{live}: {verdict}");
            assert_eq!(expected == 0, learnt.translate(&old) == new && verdict.differences.is_empty());
        }
    }

    #[test]
    fn only_the_rust_recordings_may_have_the_value_after_the_id() {
        let value_first = bundle(NEW, 900, 900);
        let id_first = r#"{"id":"https://v.vault.azure.net/secrets/db/ID","value":"x","attributes":{"enabled":true,"created":1,"updated":1,"recoveryLevel":"Purgeable"}}"#.replace("ID", OLD);
        let exchange = exchange("PUT", "/secrets/db", &id_first);
        for (recorder, expected) in [(Recorder::TestProxy, 0), (Recorder::Vcr, 1)] {
            let verdict = compared(recorder, &exchange, &value_first, &mut Learnt::default());
            assert_eq!(verdict.differences.len(), expected, "{recorder:?}: {verdict}");
        }
    }

    #[test]
    fn a_backup_begins_as_the_services_own() {
        let body = |text: &str| format!(r#"{{"value":"{}"}}"#, Base64UrlUnpadded::encode_string(text.as_bytes()));
        let exchange = exchange("POST", "/secrets/db/backup", &body(")AzureKeyVaultSecretBackupV1.microsoft.comABC"));
        let rows = [
            (body(")AzureKeyVaultSecretBackupV1.microsoft.comXYZ"), 0),
            (body("(AzureKeyVaultSecretBackupV1.microsoft.comXYZ"), 1),
            (r#"{"value":"a+b="}"#.to_owned(), 1),
        ];
        for (live, expected) in rows {
            let verdict = compared(Recorder::Vcr, &exchange, &live, &mut Learnt::default());
            assert_eq!(verdict.differences.len(), expected, "{live}: {verdict}");
        }
    }
}
