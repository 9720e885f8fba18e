//! Tests of a whole fetch: sign-in, challenge, vault and value, through a proxy and TLS as in production.

mod list;

use std::error::Error as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hyper::Request;

use super::*;
use crate::azure::testing::{FakeProxy, FakeServer, Reply, TestCa};
use crate::azure::transport::Timeouts;
use crate::azure::{Settings, connect, identity};
use crate::clock::SystemClock;
use crate::testing::name;

const CHALLENGE: &str =
    r#"Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net""#;
const VERSION: &str = "d673228733a64a7c98d997c0b8a1c769";

fn newest() -> Source {
    Source { name: name("db-password"), version: None, delivery: Delivery::AsStored }
}

/// A tenant and a vault in one server, which hosts tell apart.
struct FakeAzure {
    ca: TestCa,
    server: FakeServer,
    proxy: FakeProxy,
    tokens: Arc<AtomicUsize>,
    /// Tokens up to this number are no longer accepted.
    rejected: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeAzure {
    /// Signs everybody in and answers authorised requests by `vault`.
    async fn start(vault: impl Fn(&Request<Bytes>) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_sign_in(token, vault).await
    }

    async fn with_sign_in(
        sign_in: impl Fn(usize) -> Reply + Send + Sync + 'static,
        vault: impl Fn(&Request<Bytes>) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let ca = TestCa::new();
        let (tokens, rejected, seen) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let server = {
            let (tokens, rejected, seen): (_, _, Arc<Mutex<Vec<String>>>) =
                (Arc::clone(&tokens), Arc::clone(&rejected), Arc::clone(&seen));
            FakeServer::tls(&ca, move |request| {
                let host = request.headers()["host"].to_str().expect("text").to_owned();
                seen.lock().expect("no panic").push(format!("{} {host}{}", request.method(), request.uri()));
                if host == "login.microsoftonline.com" {
                    return sign_in(tokens.fetch_add(1, Ordering::Relaxed) + 1);
                }
                let bearer = request.headers().get("authorization").map(|value| value.to_str().expect("text"));
                let number = bearer.and_then(|text| text.strip_prefix("Bearer token-")?.parse::<usize>().ok());
                match number {
                    Some(number) if number > rejected.load(Ordering::Relaxed) => vault(request),
                    _ => Reply::status(401, r#"{"error":{"code":"Unauthorized","message":"AKV10000: no token"}}"#)
                        .with("www-authenticate", CHALLENGE),
                }
            })
            .await
        };
        let proxy = FakeProxy::to(&server).await;
        Self { ca, server, proxy, tokens, rejected, seen }
    }

    fn vault_in(&self, arena: Arena) -> (KeyVault, Arc<Identity>) {
        vault_by(&self.ca, &self.proxy.url(), arena)
    }

    async fn fetch(&self) -> Result<Secret, FetchError> {
        self.vault_in(Arena::unlocked()).0.fetch(&newest()).await
    }
}

fn vault_by(ca: &TestCa, proxy: &str, arena: Arena) -> (KeyVault, Arc<Identity>) {
    let environment = ca.environment([
        ("HTTPS_PROXY", proxy),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_CLIENT_SECRET", "hunter2"),
    ]);
    let settings = Settings {
        vault_url: "https://my-vault.vault.azure.net".parse().expect("a vault"),
        fallback: Vec::new(),
        identity: identity::Settings { kind: identity::Kind::ClientSecret, ..identity::Settings::default() },
        timeouts: Timeouts { read: Duration::from_secs(1), ..Timeouts::default() },
    };
    let connection = connect(settings, &environment, arena, Arc::new(SystemClock)).expect("a connection");
    (connection.vault, connection.identity)
}

fn token(number: usize) -> Reply {
    Reply::ok(&format!(
        r#"{{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"token-{number}"}}"#
    ))
}

fn bundle(id: &str) -> String {
    format!(
        r#"{{"value":"hunter2\n\u00e9\ud83d\udd11","contentType":"text/plain","id":"{id}","attributes":{{"enabled":true,"nbf":1,"exp":2527401600,"created":1779468197,"updated":1779468198,"recoveryLevel":"Recoverable+Purgeable"}},"tags":{{"value":"inner"}}}}"#
    )
}

fn good() -> Reply {
    Reply::ok(&bundle(&format!("https://my-vault.vault.azure.net/secrets/db-password/{VERSION}")))
}

#[tokio::test]
async fn a_secret_arrives_with_its_value_and_metadata() {
    let azure = FakeAzure::start(|_| good()).await;
    let secret = azure.fetch().await.expect("a secret");
    assert_eq!(secret.value.as_bytes(), "hunter2\né🔑".as_bytes());
    let second = |seconds| Some(Timestamp::from_second(seconds).expect("in range"));
    let expected = Metadata {
        version: VERSION.parse().expect("a version"),
        content_type: Some("text/plain".to_owned()),
        created: second(1_779_468_197),
        updated: second(1_779_468_198),
        expires: second(2_527_401_600),
    };
    assert_eq!(secret.metadata, expected);
}

#[tokio::test]
async fn challenge_and_token_are_got_once_for_many_fetches() {
    let azure = FakeAzure::start(|_| good()).await;
    let (vault, _identity) = azure.vault_in(Arena::unlocked());
    let version = VERSION.parse().expect("a version");
    vault.fetch(&newest()).await.expect("a secret");
    vault.fetch(&Source { version: Some(version), ..newest() }).await.expect("a secret");
    let seen = azure.seen.lock().expect("no panic").clone();
    let vault = "GET my-vault.vault.azure.net/secrets/db-password/";
    let expected = [
        format!("{vault}?api-version=2025-07-01"),
        "POST login.microsoftonline.com/tenant/oauth2/v2.0/token".to_owned(),
        format!("{vault}?api-version=2025-07-01"),
        format!("{vault}{VERSION}?api-version=2025-07-01"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(azure.server.connections(), 4, "each on a connection of its own");
}

#[tokio::test]
async fn nothing_is_tried_again_here() {
    for status in [408, 429, 500, 503] {
        let azure = FakeAzure::start(move |_| Reply::status(status, "").with("retry-after", "0")).await;
        azure.fetch().await.expect_err("it fails");
        let seen = azure.seen.lock().expect("no panic").clone();
        let asked = seen.iter().filter(|line| line.contains("/secrets/")).count();
        assert_eq!(asked, 2, "the challenge, and one try: {seen:?}");
    }
}

#[tokio::test]
async fn a_rejected_token_is_replaced_within_the_same_fetch() {
    let azure = FakeAzure::start(|_| good()).await;
    let (vault, identity) = azure.vault_in(Arena::unlocked());
    vault.fetch(&newest()).await.expect("a secret");
    azure.rejected.store(1, Ordering::Relaxed);
    vault.fetch(&newest()).await.expect("a secret with a fresh token");
    assert_eq!(azure.tokens.load(Ordering::Relaxed), 2);
    assert_eq!(identity.source(), Some(identity::Source::ClientSecret));
}

#[tokio::test]
async fn a_token_that_is_never_accepted_is_no_token() {
    let azure = FakeAzure::start(|_| good()).await;
    azure.rejected.store(usize::MAX, Ordering::Relaxed);
    let error = azure.fetch().await.expect_err("rejected");
    assert!(matches!(error, FetchError::NoToken(_)), "{error:?}");
    assert!(error.source().expect("a cause").to_string().contains("AKV10000"), "{error:?}");
}

#[tokio::test]
async fn a_refused_sign_in_is_told_in_the_words_of_entra() {
    let refusal = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1\r\nTimestamp: now","error_codes":[7000215]}"#;
    let azure = FakeAzure::with_sign_in(move |_| Reply::status(401, refusal), |_| good()).await;
    let error = azure.fetch().await.expect_err("refused");
    assert!(matches!(error, FetchError::NoToken(_)), "{error:?}");
    assert_eq!(
        error.source().expect("a cause").to_string(),
        "no sign-in: client secret: Entra refuses the sign-in (401 invalid_client): AADSTS7000215: Invalid client secret provided."
    );
}

#[tokio::test]
async fn answers_that_are_no_secret_are_unusable_and_quote_nothing() {
    let vault = "https://my-vault.vault.azure.net/secrets";
    let rows = [
        Reply::ok(&bundle(&format!("{vault}/other/{VERSION}"))),
        Reply::ok(&bundle(&format!("https://your-vault.vault.azure.net/secrets/db-password/{VERSION}"))),
        Reply::ok(&bundle(&format!("{vault}/db-password/../other"))),
        Reply::ok(&bundle(&format!("{vault}/db-password"))),
        Reply::ok(&bundle("no URL")),
        Reply::ok(r#"{"value":"hunter2"}"#),
        Reply::ok(r#"{"value":"hunter2","id":42}"#),
        Reply::ok(r#"{"value":"hunter2"x}"#),
        Reply::ok(r#"{"value":"hunter2\ud83d","id":""}"#),
        Reply::ok(r#"{"id":"hunter2"}"#),
        Reply::ok("<html>hunter2</html>"),
    ];
    for (index, reply) in rows.into_iter().enumerate() {
        let reply = Mutex::new(Some(reply));
        let azure = FakeAzure::start(move |_| reply.lock().expect("no panic").take().expect("one request")).await;
        let error = azure.fetch().await.expect_err("unusable");
        assert!(matches!(error, FetchError::Unusable(_)), "row {index}: {error:?}");
        let shown = format!("{error} {error:?} {}", error.source().expect("a cause"));
        assert!(!shown.contains("hunter2"), "row {index}: {shown}");
    }
}

#[tokio::test]
async fn the_list_is_tried_with_one_name_and_a_refusal_tells_where_the_vault_is() {
    let azure = FakeAzure::start(|_| Reply::ok(r#"{"value":[],"nextLink":null}"#)).await;
    azure.vault_in(Arena::unlocked()).0.try_list().await.expect("allowed");
    let asked = azure.seen.lock().expect("no panic").last().cloned().expect("a request");
    assert!(asked.starts_with("GET my-vault.vault.azure.net/secrets?") && asked.contains("maxresults=1"), "{asked}");

    let id = "/subscriptions/00000000-0000-4000-8000-000000000001/resourcegroups/rg/providers/microsoft.keyvault/vaults/my-vault";
    let refusal = format!(
        r#"{{"error":{{"code":"Forbidden","message":"No.\r\nResource: '{id}'\r\n","innererror":{{"code":"ForbiddenByRbac"}}}}}}"#
    );
    let azure = FakeAzure::start(move |_| Reply::status(403, &refusal)).await;
    let refused = azure.vault_in(Arena::unlocked()).0.try_list().await.expect_err("denied");
    assert!(matches!(refused.error, FetchError::Denied { code: "ForbiddenByRbac", .. }), "{refused:?}");
    let group = refused.evidence.resource.as_ref().map(|resource| resource.group.as_str());
    assert_eq!((refused.evidence.code.as_deref(), group), (Some("ForbiddenByRbac"), Some("rg")));
}

#[tokio::test]
async fn a_pinned_version_is_not_replaced_by_another() {
    let azure = FakeAzure::start(|_| good()).await;
    let (vault, _identity) = azure.vault_in(Arena::unlocked());
    let other = "00000000000000000000000000000000".parse().expect("a version");
    let error = vault.fetch(&Source { version: Some(other), ..newest() }).await.expect_err("another version");
    assert!(matches!(error, FetchError::Unusable(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_outage() {
    let azure = FakeAzure::start(|_| Reply::ok(r#"{"value":"hun"#).cut()).await;
    let error = azure.fetch().await.expect_err("cut off");
    assert!(matches!(error, FetchError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn without_locked_memory_the_new_value_is_refused() {
    let azure = FakeAzure::start(|_| good()).await;
    let best = crate::memory::Protection::Unprotected;
    let arena = Arena::new(crate::memory::Settings { best, require_locked: true });
    let error = azure.vault_in(arena).0.fetch(&newest()).await.expect_err("no memory");
    assert!(matches!(error, FetchError::Unusable(_)), "{error:?}");
    assert!(format!("{error:?}").contains("MemoryExhausted"), "{error:?}");
}

#[tokio::test]
async fn a_challenge_for_another_domain_gets_no_token() {
    let ca = TestCa::new();
    let foreign = CHALLENGE.replace("https://vault.azure.net", "https://vault.evil.example");
    let server = FakeServer::tls(&ca, move |_| Reply::status(401, "{}").with("www-authenticate", &foreign)).await;
    let proxy = FakeProxy::to(&server).await;
    let azure = FakeAzure { ca, server, proxy, tokens: Arc::default(), rejected: Arc::default(), seen: Arc::default() };
    let error = azure.fetch().await.expect_err("refused");
    assert!(error.source().expect("a cause").to_string().contains("vault.evil.example"), "{error:?}");
    assert_eq!(azure.proxy.requests(), ["CONNECT my-vault.vault.azure.net:443"], "nobody was asked for a token");
}

#[tokio::test]
async fn an_obstacle_is_reported_within_five_seconds_with_its_cause() {
    let azure = FakeAzure::start(|_| good()).await;
    let closed = format!("http://127.0.0.1:{}", FakeServer::closed_port());
    let rows = [
        (vault_by(&TestCa::new(), &azure.proxy.url(), Arena::unlocked()), "signed by none of the trusted roots"),
        (vault_by(&azure.ca, &closed, Arena::unlocked()), "could not connect to 127.0.0.1"),
        (vault_by(&azure.ca, "http://no-such-proxy.invalid:1", Arena::unlocked()), "no-such-proxy.invalid"),
    ];
    for ((vault, _identity), expected) in rows {
        let started = std::time::Instant::now();
        let error = vault.fetch(&newest()).await.expect_err(expected);
        assert!(started.elapsed() < Duration::from_secs(5), "{expected}: {:?}", started.elapsed());
        assert!(matches!(error, FetchError::Unavailable(_)), "{error:?}");
        assert!(crate::causes::with_causes(&error).contains(expected), "{error:?}");
    }
}
