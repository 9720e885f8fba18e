//! The table: what can go wrong on the way to a secret, and what each of these things means.

use std::time::Duration;

use keyside_emulator::fault::Fault;
use keyside_tests::gateway::Mode;

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) strike: Strike,
    pub(crate) meaning: Meaning,
    /// The agent's word for it, in status and metrics.
    pub(crate) code: &'static str,
    /// How long one request may take in it.
    pub(crate) request_time: Duration,
    /// How many requests to the vault one look at a secret takes in it.
    pub(crate) requests: usize,
}

/// Where it goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Strike {
    /// In the vault's answers.
    Answer(Fault),
    /// In the way to the vault, whoever it is asked for.
    Tunnel(Fault),
    /// In the sign-in, once a token is needed.
    SignIn(Identity, Fault),
    /// On the direct way to the vault.
    Vault(Mode),
    /// On the way to the proxy.
    Proxy(Mode),
    /// In the name service.
    Names,
}

/// Who the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    ServicePrincipal,
    Machine,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The vault cannot be asked. What was good stays, marked.
    Outage,
    /// It wants to be left alone for so long, which is obeyed.
    Throttled(Duration),
    /// It wants to be left alone for longer than the test, and than is obeyed.
    LeftAlone,
    /// It gives what cannot be used. What was good stays, marked.
    Unusable,
    /// It takes the secret away.
    Taken,
}

/// Longest time that a connection, and the next piece of an answer, are waited for (agent/src/azure/transport.rs).
const CONNECT: Duration = Duration::from_secs(4);
const READ: Duration = Duration::from_secs(10);

/// When the agent meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Start,
    Steady,
    Rotation,
}

impl Phase {
    pub(crate) const ALL: [Self; 3] = [Self::Start, Self::Steady, Self::Rotation];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "at start",
            Self::Steady => "steady",
            Self::Rotation => "rotation",
        }
    }
}

impl Row {
    fn new(name: &'static str, strike: Strike, meaning: Meaning, code: &'static str) -> Self {
        Self { name, strike, meaning, code, request_time: Duration::ZERO, requests: 1 }
    }

    fn outage(name: &'static str, strike: Strike) -> Self {
        Self::new(name, strike, Meaning::Outage, "unavailable")
    }

    fn answer(name: &'static str, fault: Fault) -> Self {
        Self::outage(name, Strike::Answer(fault))
    }

    fn takes(self, request_time: Duration) -> Self {
        Self { request_time, ..self }
    }

    fn means(self, meaning: Meaning, code: &'static str) -> Self {
        Self { meaning, code, ..self }
    }
}

fn status(status: u16) -> Fault {
    Fault { status: Some(status), ..Fault::default() }
}

fn retry_after(status: u16, seconds: &str) -> Fault {
    Fault { status: Some(status), headers: vec![("Retry-After".into(), seconds.into())], ..Fault::default() }
}

fn forbidden(inner: &str) -> Fault {
    let body = format!(r#"{{"error":{{"code":"Forbidden","message":"No.","innererror":{{"code":"{inner}"}}}}}}"#);
    Fault { body: Some(body), ..status(403) }
}

/// Every row, those that take long first.
pub(crate) fn rows() -> Vec<Row> {
    let parts = [slow(), ways(), answers(), refusals(), throttles(), sign_ins()];
    parts.into_iter().flatten().collect()
}

fn slow() -> Vec<Row> {
    let hang = Fault { hang: true, ..Fault::default() };
    vec![
        Row::answer("answer after 30 s", Fault { delay: READ * 3, ..Fault::default() }).takes(READ),
        Row::answer("no answer", hang.clone()).takes(READ),
        Row::answer("answer stops in the middle", Fault { cut: Some(20), ..hang }).takes(READ),
        Row::outage("packets dropped", Strike::Vault(Mode::Drop)).takes(CONNECT),
        Row::outage("accepts, never answers", Strike::Vault(Mode::Silent)).takes(CONNECT),
        Row::outage("proxy never answers", Strike::Proxy(Mode::Silent)).takes(CONNECT),
    ]
}

fn ways() -> Vec<Row> {
    let certificate = |wrong| Fault { wrong_certificate: wrong, expired_certificate: !wrong, ..Fault::default() };
    vec![
        Row::outage("connection refused", Strike::Vault(Mode::Refuse)),
        Row::outage("name service gone", Strike::Names),
        Row::outage("proxy gone", Strike::Proxy(Mode::Refuse)),
        Row::outage("proxy answers 502", Strike::Tunnel(Fault { method: Some("CONNECT".into()), ..status(502) })),
        Row::outage("wrong certificate", Strike::Tunnel(certificate(true))),
        Row::outage("expired certificate", Strike::Tunnel(certificate(false))),
    ]
}

fn answers() -> Vec<Row> {
    let garbage = Fault { body: Some("{\"value\": no JSON".into()), ..Fault::default() };
    let challenge = "Bearer authorization=\"https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111\", \
                     resource=\"https://vault.azure.net\"";
    let rejected = Fault { headers: vec![("WWW-Authenticate".into(), challenge.into())], ..status(401) };
    let unauthorized = Row::answer("401 again and again", rejected).means(Meaning::Outage, "no_token");
    vec![
        Row::answer("connection cut before the answer", Fault { cut: Some(0), ..Fault::default() }),
        Row::answer("answer cut in the middle", Fault { cut: Some(20), ..Fault::default() }),
        Row::answer("garbage instead of JSON", garbage).means(Meaning::Unusable, "unusable"),
        Row { requests: 2, ..unauthorized },
        Row::answer("404 of something else", status(404)),
        Row::answer("408", status(408)),
        Row::answer("409", status(409)),
        Row::answer("500", status(500)),
        Row::answer("503", status(503)),
    ]
}

fn refusals() -> Vec<Row> {
    let gone = r#"{"error":{"code":"SecretNotFound","message":"A secret with (name/id) x was not found"}}"#;
    let denied = |name, inner| Row::answer(name, forbidden(inner)).means(Meaning::Taken, "denied");
    vec![
        Row::answer("403 SecretDisabled", forbidden("SecretDisabled")).means(Meaning::Taken, "disabled"),
        Row::answer("404 SecretNotFound", Fault { body: Some(gone.into()), ..status(404) })
            .means(Meaning::Taken, "not_found"),
        denied("403 ForbiddenByRbac", "ForbiddenByRbac"),
        denied("403 AccessDenied", "AccessDenied"),
        denied("403 ForbiddenByPolicy", "ForbiddenByPolicy"),
        Row::answer("403 ForbiddenByFirewall", forbidden("ForbiddenByFirewall")),
        Row::answer("403 ForbiddenByConnection", forbidden("ForbiddenByConnection")),
        Row::answer("403 of an unknown kind", forbidden("SomethingNew")),
    ]
}

fn throttles() -> Vec<Row> {
    let asked = Duration::from_secs(2);
    vec![
        Row::answer("429", status(429)).means(Meaning::Outage, "throttled"),
        Row::answer("429, Retry-After: 2", retry_after(429, "2")).means(Meaning::Throttled(asked), "throttled"),
        Row::answer("503, Retry-After: 2", retry_after(503, "2")).means(Meaning::Throttled(asked), "throttled"),
        Row::answer("429, Retry-After: a day", retry_after(429, "86400")).means(Meaning::LeftAlone, "throttled"),
    ]
}

fn sign_ins() -> Vec<Row> {
    let row =
        |name, identity, fault| Row::outage(name, Strike::SignIn(identity, fault)).means(Meaning::Outage, "no_token");
    vec![
        row("IMDS answers 404", Identity::Machine, status(404)),
        row("IMDS answers 410", Identity::Machine, status(410)),
        row("IMDS answers 429", Identity::Machine, status(429)),
        row("token endpoint answers 503", Identity::ServicePrincipal, status(503)),
        row("token endpoint hangs up", Identity::ServicePrincipal, Fault { cut: Some(0), ..Fault::default() }),
    ]
}
