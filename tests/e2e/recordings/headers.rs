//! Which headers of an answer matter, and how each is compared with its recording.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cassette::{Exchange, Recorder};
use crate::known::Known;
use crate::learnt::Learnt;
use crate::verdict::Verdict;

/// How a header is compared.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// The same value.
    Value,
    /// A value of the same form, because the value itself is made anew for each answer.
    Form(fn(&str) -> String),
    /// Its presence.
    Presence,
    /// Its presence, where the recorder kept it.
    PresenceIfKept,
    /// Not at all: it tells of the web server of 2019, and has been gone since 2025.
    OldServer,
}

const RULES: [(&str, Rule); 19] = [
    ("cache-control", Rule::Value),
    ("content-length", Rule::Presence),
    ("content-type", Rule::Value),
    ("date", Rule::PresenceIfKept),
    ("expires", Rule::Value),
    ("pragma", Rule::Value),
    ("retry-after", Rule::PresenceIfKept),
    ("server", Rule::OldServer),
    ("strict-transport-security", Rule::Value),
    ("www-authenticate", Rule::Value),
    ("x-aspnet-version", Rule::OldServer),
    ("x-content-type-options", Rule::Value),
    ("x-ms-client-request-id", Rule::PresenceIfKept),
    ("x-ms-keyvault-network-info", Rule::Form(without_address)),
    ("x-ms-keyvault-rbac-assignment-id", Rule::Form(as_assignment)),
    ("x-ms-keyvault-region", Rule::Value),
    ("x-ms-keyvault-service-version", Rule::Form(without_digits)),
    ("x-ms-request-id", Rule::PresenceIfKept),
    ("x-powered-by", Rule::OldServer),
];

/// Compares the headers of an answer, `live`, with those of `exchange`. Both directions count: a header that no
/// recording has would be one that a client of the real service never sees.
pub(crate) fn compare(
    verdict: &mut Verdict,
    (taken_by, exchange): (Recorder, &Exchange),
    live: &BTreeMap<String, String>,
    learnt: &mut Learnt,
) {
    for (name, rule) in RULES {
        let (recorded, live) = (exchange.headers.get(name), live.get(name));
        match rule {
            Rule::OldServer => {
                verdict.require(live.is_none(), format!("{name}: sent, which the service does no more"));
                continue;
            }
            Rule::PresenceIfKept if !kept(taken_by, name, exchange) => continue,
            _ => verdict.headers += 1,
        }
        match (recorded, live) {
            (None, None) => {}
            (Some(recorded), None) => verdict.differ(format!("{name}: recorded {recorded}, got none")),
            (None, Some(live)) => verdict.differ(format!("{name}: not recorded, got {live}")),
            (Some(recorded), Some(live)) => compare_values(verdict, (name, rule), recorded, live),
        }
    }
    for name in live.keys().filter(|name| !RULES.iter().any(|(known, _)| known == name)) {
        verdict.differ(format!("{name}: in no recording"));
    }
    if let Some(assignment) = live.get("x-ms-keyvault-rbac-assignment-id") {
        learnt.check_assignment(verdict, assignment);
    }
}

/// Whether the recorder left `name` in what it took down.
fn kept(recorder: Recorder, name: &str, exchange: &Exchange) -> bool {
    match name {
        "retry-after" => recorder == Recorder::TestProxy,
        // Some transcripts were made without them.
        "date" | "x-ms-request-id" => exchange.headers.contains_key(name),
        _ => false,
    }
}

fn compare_values(verdict: &mut Verdict, (name, rule): (&str, Rule), recorded: &str, live: &str) {
    match rule {
        Rule::Value if recorded == live => {}
        Rule::Value if name == "www-authenticate" => compare_challenges(verdict, recorded, live),
        Rule::Form(form) if name == "x-ms-keyvault-network-info" => {
            let (older, newer) = (form(recorded), form(live));
            if !older.starts_with("conn_type=") && format!("conn_type=Ipv4;{older}") == newer {
                verdict.known.insert(Known::ConnectionType);
            } else {
                verdict.expect(name, &older, &newer);
            }
        }
        Rule::Form(form) => verdict.expect(name, &form(recorded), &form(live)),
        Rule::Value => verdict.expect(name, recorded, live),
        Rule::Presence | Rule::PresenceIfKept | Rule::OldServer => {}
    }
}

/// The tenant is told by a recording or, where it was blotted out with zeros, is any.
fn compare_challenges(verdict: &mut Verdict, recorded: &str, live: &str) {
    let blotted = recorded.replace(&Uuid::nil().to_string(), &tenant_of(live).unwrap_or_default().to_string());
    let newer = blotted.replace("https://login.windows.net/", "https://login.microsoftonline.com/");
    verdict.expect("www-authenticate", newer.as_str(), live);
    if newer != blotted {
        verdict.known.insert(Known::ChallengeHost);
    }
}

/// The tenant that a challenge names.
fn tenant_of(challenge: &str) -> Option<Uuid> {
    let (_, authority) = challenge.split_once("authorization=\"")?;
    let tenant = authority.split('"').next()?.rsplit('/').next()?;
    Uuid::try_parse(tenant).ok()
}

fn without_address(network: &str) -> String {
    let parts = network.split(';').map(|part| if part.starts_with("addr=") { "addr=ADDRESS" } else { part });
    parts.collect::<Vec<_>>().join(";")
}

fn as_assignment(id: &str) -> String {
    let digits = id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    format!("{} {}", id.len(), if digits { "lower-case hexadecimal digits" } else { "characters" })
}

/// Every run of digits is one: a build has as many parts as another, however long each is.
fn without_digits(version: &str) -> String {
    let mut form = version.replace(|character: char| character.is_ascii_digit(), "0");
    while form.contains("00") {
        form = form.replace("00", "0");
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(headers: &[(&str, &str)]) -> Exchange {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Exchange {
            method: "GET".into(),
            host: "v.vault.azure.net".into(),
            target: "/secrets".into(),
            content_type: None,
            request_body: None,
            status: 200,
            headers,
            body: None,
        }
    }

    fn differences(taken_by: Recorder, name: &str, recorded: Option<&str>, live: Option<&str>) -> usize {
        let exchange = exchange(&recorded.map(|value| (name, value)).into_iter().collect::<Vec<_>>());
        let live = live.map(|value| (name.to_owned(), value.to_owned())).into_iter().collect();
        let mut verdict = Verdict::default();
        compare(&mut verdict, (taken_by, &exchange), &live, &mut Learnt::default());
        verdict.differences.len()
    }

    #[test]
    fn each_header_is_held_to_its_rule() {
        let challenge = |host: &str, tenant: &str| {
            format!("Bearer authorization=\"https://{host}/{tenant}\", resource=\"https://vault.azure.net\"")
        };
        let (zeros, tenant) = ("00000000-0000-0000-0000-000000000000", "72f988bf-86f1-41af-91ab-2d7cd011db47");
        let old = challenge("login.windows.net", tenant);
        let new = challenge("login.microsoftonline.com", tenant);
        let blotted = challenge("login.microsoftonline.com", zeros);
        let elsewhere = challenge("login.microsoftonline.us", tenant);
        let rows = [
            ("cache-control", Some("no-cache"), Some("no-cache"), 0),
            ("cache-control", Some("no-cache"), Some("no-store"), 1),
            ("cache-control", Some("no-cache"), None, 1),
            ("content-length", Some("108"), Some("90"), 0),
            ("content-length", None, Some("0"), 1),
            ("content-type", None, Some("text/plain"), 1),
            ("date", Some("x"), None, 1),
            ("date", None, Some("x"), 0),
            ("server", Some("Microsoft-IIS/10.0"), None, 0),
            ("server", Some("Microsoft-IIS/10.0"), Some("Microsoft-IIS/10.0"), 1),
            ("x-unheard-of", None, Some("1"), 1),
            ("x-ms-request-id", None, Some("1"), 0),
            ("x-ms-request-id", Some("Sanitized"), None, 1),
            ("x-ms-keyvault-service-version", Some("1.1.0.879"), Some("1.9.3347.1"), 0),
            ("x-ms-keyvault-service-version", Some("1.1.0.879"), Some("1.9"), 1),
            (
                "x-ms-keyvault-network-info",
                Some("addr=1.2.3.4;act_addr_fam=InterNetwork;"),
                Some("conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;"),
                0,
            ),
            (
                "x-ms-keyvault-network-info",
                Some("conn_type=Ipv4;addr=1.2.3.4;act_addr_fam=InterNetwork;"),
                Some("addr=127.0.0.1;act_addr_fam=InterNetwork;"),
                1,
            ),
            (
                "x-ms-keyvault-rbac-assignment-id",
                Some("a23f453234404614922b8884bafd194b"),
                Some("50fa9d94c02a577db66d0fefcba498a7"),
                0,
            ),
            ("x-ms-keyvault-rbac-assignment-id", Some("a23f453234404614922b8884bafd194b"), Some(tenant), 1),
            ("x-ms-keyvault-rbac-assignment-id", None, Some("50fa9d94c02a577db66d0fefcba498a7"), 1),
            ("www-authenticate", Some(old.as_str()), Some(new.as_str()), 0),
            ("www-authenticate", Some(blotted.as_str()), Some(new.as_str()), 0),
            ("www-authenticate", Some(new.as_str()), Some(old.as_str()), 1),
            ("www-authenticate", Some(old.as_str()), Some(elsewhere.as_str()), 1),
        ];
        for (name, recorded, live, expected) in rows {
            let found = differences(Recorder::TestProxy, name, recorded, live);
            assert_eq!(found, expected, "{name}: {recorded:?} against {live:?}");
        }
        assert_eq!(differences(Recorder::TestProxy, "retry-after", None, Some("1")), 1);
        assert_eq!(differences(Recorder::Vcr, "retry-after", None, Some("1")), 0, "VCR strips it");
    }
}
