//! What people see of a document: facts, secrets, then what to do.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::document::{Answer, Document, Finding, Identity, SecretState, Token, Verdict, Way, Weight};
use crate::client::text::{Row, columns, legible, row};

/// The whole page.
#[must_use]
pub(super) fn page(document: &Document) -> String {
    let mut facts = vec![row(["vault", &document.vault])];
    facts.extend(document.way.iter().flat_map(way));
    facts.extend(identity(&document.identity));
    facts.extend(document.token.iter().flat_map(token));
    facts.push(row(["listing", listing(document.list)]));
    let mut page = format!("\n{}\n{}", columns(&facts), secrets(&document.secrets));
    for finding in &document.findings {
        page.push_str(&paragraph(finding));
    }
    page + "\n" + &verdict(document) + "\n"
}

fn way(way: &Way) -> Vec<Row> {
    let addresses: Vec<_> = way.addresses.iter().map(ToString::to_string).collect();
    let found_at = match &way.proxy {
        Some(_) => "the proxy looks for its address".to_owned(),
        None if addresses.is_empty() => "no address".to_owned(),
        None if way.addresses.iter().all(is_private) => addresses.join(", ") + ", a private endpoint",
        None => addresses.join(", "),
    };
    let clock = way.clock_ahead_seconds.map(|seconds| match seconds {
        0 => "agrees with Azure's".to_owned(),
        1.. => format!("{seconds} s behind Azure's"),
        _ => format!("{} s ahead of Azure's", seconds.unsigned_abs()),
    });
    let seen_as = way.seen_as.map(|address| row(["  seen as", &address.to_string()]));
    let tls = if way.reached { "agreed, by a certificate that is trusted" } else { "no Key Vault answered" };
    let rows = [
        row(["  found at", &found_at]),
        row(["  proxy", way.proxy.as_deref().unwrap_or("none")]),
        row(["  trusted", &format!("{} CA certificate(s) from {}", way.trusted_certificates, way.trusted_from)]),
        row(["  TLS", tls]),
    ];
    rows.into_iter().chain(seen_as).chain(clock.map(|text| row(["  clock", &text]))).collect()
}

fn is_private(address: &IpAddr) -> bool {
    matches!(address.to_canonical(), IpAddr::V4(address) if address.is_private())
}

fn identity(identity: &Identity) -> Vec<Row> {
    let source = identity.source.as_deref().unwrap_or("none");
    let chosen = row(["identity", &format!("{source} (kind {})", identity.kind)]);
    let skipped = identity.skipped.iter();
    let skipped = skipped.map(|skipped| row(["  skipped", &format!("{}: {}", skipped.source, skipped.reason)]));
    let asked = identity.endpoint.iter().map(|endpoint| {
        let way = identity.endpoint_proxy.as_ref();
        let way = way.map_or_else(|| "without a proxy".to_owned(), |proxy| format!("through the proxy {proxy}"));
        row(["  asked at", &format!("{endpoint}, {way}")])
    });
    std::iter::once(chosen).chain(skipped).chain(asked).collect()
}

fn token(token: &Token) -> Vec<Row> {
    let audience = token.audience.as_deref().unwrap_or("an audience that it does not show");
    let ids = [("  directory", token.tenant_id), ("  object", token.object_id), ("  client", token.client_id)];
    let ids = ids.into_iter().filter_map(|(name, id)| Some(row([name, &id?.to_string()])));
    let head = row(["token", &format!("of {} for {audience}, until {:.0}", holder(token), token.expires)]);
    std::iter::once(head).chain(ids).collect()
}

fn holder(token: &Token) -> &'static str {
    if token.holder == "user" { "a user" } else { "an application" }
}

fn listing(answer: Answer) -> &'static str {
    match answer {
        Answer::Allowed => "allowed",
        Answer::Denied => "not allowed: each secret is asked for by itself",
        Answer::Unknown => "not known",
    }
}

fn secrets(secrets: &[SecretState]) -> String {
    let mut rows = vec![row(["SECRET", "READABLE", "REQUIRED", "REMARK"])];
    rows.extend(secrets.iter().map(|secret| {
        let readable = match secret.readable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not asked",
        };
        let remark = secret.problem.unwrap_or(if secret.expired { "expired" } else { "-" });
        row([&secret.name, readable, if secret.required { "yes" } else { "no" }, remark])
    }));
    columns(&rows)
}

fn paragraph(finding: &Finding) -> String {
    let warning = if finding.weight == Weight::Warning { "warning: " } else { "" };
    let about = if finding.secrets.is_empty() { String::new() } else { finding.secrets.join(", ") + ": " };
    let hope = if finding.transient { "; it may pass by itself" } else { "" };
    let mut text = format!("\n{warning}{about}{}{hope}\n", legible(&finding.message));
    for command in &finding.commands {
        // Writing to a text does not fail.
        let _ = writeln!(text, "  $ {command}");
    }
    text
}

fn verdict(document: &Document) -> String {
    let required = || document.secrets.iter().filter(|secret| secret.required);
    let readable = required().filter(|secret| secret.readable == Some(true)).count();
    let meaning = match document.verdict {
        Verdict::Ready => "an agent will be ready",
        Verdict::NotYet => "not yet, try again",
        Verdict::Blocked => "an agent will not be ready until this is changed",
        Verdict::Misconfigured => "no connection can be tried in this environment",
    };
    format!("{readable} of {} required secret(s) can be read: {meaning}", required().count())
}
