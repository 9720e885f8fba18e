//! Tests of the identity: which source is kept to, when tokens are renewed, and what platforms are asked.

mod choice;

use std::collections::VecDeque;

use azure_core::time::OffsetDateTime;
use bytes::Bytes;
use hyper::Request;

use super::source::Plan;
use super::*;
use crate::azure::cloud::Cloud;
use crate::azure::testing::{FakeServer, Reply, TestCa};
use crate::azure::transport::Timeouts;
use crate::clock::SystemClock;
use crate::testing::{TimerClock, new_year};
use tokio::time::Instant;

const SCOPE: &str = "https://vault.azure.net/.default";
const HOUR: Duration = Duration::from_hours(1);

/// Gives tokens of one hour, numbered, except where the plan says otherwise.
#[derive(Clone)]
struct FakeMint {
    clock: TimerClock,
    log: Arc<Mutex<Vec<&'static str>>>,
    /// Answers to come, per request; afterwards all succeed.
    failures: Arc<Mutex<VecDeque<bool>>>,
    /// Whether a source that fails merely cannot serve now.
    passing: bool,
}

impl FakeMint {
    fn new(failures: &[bool]) -> Self {
        let failures = failures.iter().copied().collect::<VecDeque<_>>();
        let failures = Arc::new(Mutex::new(failures));
        Self { clock: TimerClock::start(), log: Arc::default(), failures, passing: false }
    }

    fn log(&self) -> Vec<&'static str> {
        self.log.lock().expect("no panic").clone()
    }

    fn identity(&self, kind: Kind, environment: &Environment) -> Arc<Identity> {
        let settings = Settings { kind, ..Settings::default() };
        let candidates = chain::candidates(&settings, environment, Timeouts::default());
        Arc::new(Identity::with(candidates, Box::new(self.clone()), Arc::new(self.clock.clone())))
    }
}

#[async_trait]
impl Mint for FakeMint {
    async fn mint(&self, plan: &Plan, _scope: &str) -> Result<AccessToken, Obstacle> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let name = match plan {
            Plan::ClientSecret { .. } => "client secret",
            Plan::ClientCertificate { .. } => "certificate",
            Plan::WorkloadIdentity { .. } => "workload",
            Plan::Platform(_) => "platform",
            Plan::AzureCli { .. } => "cli",
        };
        let number = {
            let mut log = self.log.lock().expect("no panic");
            log.push(name);
            log.len()
        };
        if self.failures.lock().expect("no panic").pop_front().unwrap_or(false) {
            return Err(Obstacle { reason: "down".to_owned(), passing: self.passing });
        }
        // By the time that it really is, whatever the machine's clock was set to.
        let expires = new_year() + jiff::SignedDuration::try_from(self.clock.uptime() + HOUR).expect("in range");
        let expires = OffsetDateTime::from_unix_timestamp(expires.as_second()).expect("in range");
        Ok(AccessToken::new(format!("token-{number}"), expires))
    }
}

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what is logged until the answer is dropped.
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone());
        tracing::subscriber::set_default(lines.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn token(identity: &Identity) -> Result<String, TokenError> {
    identity.token(SCOPE).await.map(|token| token.token.secret().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_by_a_day_makes_no_token_old_and_no_request_sign_in() {
    let mint = FakeMint::new(&[]);
    let identity = mint.identity(Kind::AzureCli, &Environment::default());
    assert_eq!(token(&identity).await.expect("a token"), "token-1");
    mint.clock.set(86_400);
    assert_eq!(token(&identity).await.expect("a token"), "token-1", "by its life it is young");
    identity.reject("token-1");
    for _ in 0..100 {
        assert_eq!(token(&identity).await.expect("a token"), "token-2");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_wait_for_one_token() {
    let mint = FakeMint::new(&[]);
    let identity = mint.identity(Kind::ManagedIdentity, &Environment::default());
    let tokens = futures::future::join_all((0..10).map(|_| token(&identity))).await;
    assert!(tokens.into_iter().all(|token| token.is_ok_and(|token| token == "token-1")));
    assert_eq!(mint.log().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_waited_through_a_refusal_share_it() {
    let mint = FakeMint::new(&[true]);
    let identity = mint.identity(Kind::ManagedIdentity, &Environment::default());
    let tokens = futures::future::join_all((0..10).map(|_| token(&identity))).await;
    assert!(tokens.iter().all(Result::is_err));
    let tries = mint.log().len();
    tokio::time::sleep(Duration::from_millis(1)).await;
    token(&identity).await.expect("whoever asks later is not refused by what was");
    assert_eq!((tries, mint.log().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_rejected_twice_is_replaced_once() {
    let mint = FakeMint::new(&[]);
    let identity = mint.identity(Kind::ManagedIdentity, &Environment::default());
    token(&identity).await.expect("a token");
    identity.reject("token-1");
    assert_eq!(token(&identity).await.expect("a token"), "token-2");
    identity.reject("token-1");
    assert_eq!(token(&identity).await.expect("a token"), "token-2");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_renewed_ahead_so_that_nobody_waits() {
    // The second and third requests fail: the token holds on, and the fourth renews it.
    let mint = FakeMint::new(&[false, true, true]);
    let identity = mint.identity(Kind::ManagedIdentity, &Environment::default());
    let stop = CancellationToken::new();
    let renewing = Arc::clone(&identity).refresh_ahead(stop.clone());
    let using = async {
        token(&identity).await.expect("the first is waited for");
        let start = Instant::now();
        for quarter in 1..=12 {
            tokio::time::sleep_until(start + HOUR / 4 * quarter).await;
            let asked = Instant::now();
            token(&identity).await.expect("a token");
            assert_eq!(asked.elapsed(), Duration::ZERO, "quarter {quarter}");
        }
        stop.cancel();
    };
    tokio::join!(renewing, using);
    assert!(
        (7..=9).contains(&mint.log().len()),
        "a renewal each half hour of three, two of them thrice: {:?}",
        mint.log()
    );
}

#[tokio::test(start_paused = true)]
async fn without_renewal_an_expired_token_is_not_given_out() {
    let mint = FakeMint::new(&[]);
    let identity = mint.identity(Kind::ManagedIdentity, &Environment::default());
    token(&identity).await.expect("a token");
    tokio::time::sleep(HOUR).await;
    assert_eq!(token(&identity).await.expect("a token"), "token-2");
}

#[test]
fn renewal_comes_at_half_of_the_lifetime() {
    let rows = [(86_400, 43_200), (3_600, 1_800), (600, 300), (120, 60), (10, 30), (0, 30)];
    for (lifetime, expected) in rows {
        assert_eq!(renew_after(Duration::from_secs(lifetime)), Duration::from_secs(expected), "{lifetime} s");
    }
}

#[tokio::test(start_paused = true)]
async fn no_way_of_formatting_shows_a_token() {
    let mint = FakeMint::new(&[]);
    let identity = mint.identity(Kind::ManagedIdentity, &Environment::default());
    token(&identity).await.expect("a token");
    assert!(!format!("{identity:?}").contains("token-1"));
}

/// Signs in against one fake endpoint that is each platform's, and shows what was asked of it.
async fn platform_request(settings: Settings, variables: &[(&str, &str)]) -> (String, Option<Source>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&seen);
    let server = FakeServer::plain(move |request: &Request<Bytes>| {
        let header = ["metadata", "x-identity-header", "secret"].into_iter().find_map(|name| {
            let value = request.headers().get(name)?;
            Some(format!("{name}={}", value.to_str().expect("text")))
        });
        *log.lock().expect("no panic") = format!("{} {}", request.uri(), header.unwrap_or_default());
        Reply::ok(r#"{"access_token":"t","expires_on":"32503680000","resource":"r","token_type":"Bearer"}"#)
    })
    .await;
    let ca = TestCa::new();
    // A proxy that leads nowhere: none of these endpoints may be asked through one.
    let own = ca.environment([("HTTP_PROXY", "http://127.0.0.1:1"), ("ALL_PROXY", "http://127.0.0.1:1")]);
    let transport = Arc::new(Transport::new(&own, Timeouts::default()).expect("a transport"));
    let variables =
        variables.iter().map(|&(name, value)| (name.into(), value.replace("SERVER", &server.url("")).into()));
    let environment: Environment = variables.collect();
    let authority = Authority::new(&environment, Cloud::Public).expect("an authority");
    let identity = Identity::new(&settings, &environment, SignIn { transport, authority }, Arc::new(SystemClock));
    identity.get_token(&[SCOPE], None).await.expect("a token");
    let request = seen.lock().expect("no panic").clone();
    (request, identity.source())
}

const RESOURCE: &str = "resource=https%3A%2F%2Fvault.azure.net";
const IMDS: (&str, &str) = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "SERVER");
const APP_SERVICE: [(&str, &str); 2] = [("IDENTITY_ENDPOINT", "SERVER/app"), ("IDENTITY_HEADER", "h")];
const AZURE_ML: [(&str, &str); 2] = [("MSI_ENDPOINT", "SERVER/ml"), ("MSI_SECRET", "s")];

fn of_kind(kind: Kind) -> Settings {
    Settings { kind, ..Settings::default() }
}

#[tokio::test]
async fn imds_is_asked_for_the_identity_that_is_meant() {
    type Row<'a> = (Settings, &'a [(&'a str, &'a str)], &'a str);
    let with_client = Settings { client_id: Some("mine".to_owned()), ..of_kind(Kind::ManagedIdentity) };
    let with_object = Settings { object_id: Some("thing".to_owned()), ..of_kind(Kind::ManagedIdentity) };
    let client = ("AZURE_CLIENT_ID", "c");
    let rows: &[Row<'_>] = &[
        (of_kind(Kind::Auto), &[IMDS], ""),
        (of_kind(Kind::ManagedIdentity), &[IMDS, client], "client_id=c&"),
        (with_client, &[IMDS, client], "client_id=mine&"),
        (with_object, &[IMDS, client], "object_id=thing&"),
    ];
    for (settings, variables, who) in rows {
        let seen = platform_request(settings.clone(), variables).await;
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01";
        let expected = (format!("{path}&{who}{RESOURCE} metadata=true"), Some(Source::Imds));
        assert_eq!(seen, expected, "{settings:?} {variables:?}");
    }
}

#[tokio::test]
async fn each_platform_is_asked_in_its_own_way() {
    type Row<'a> = (Kind, &'a [(&'a str, &'a str)], &'a str, Source);
    let both = [APP_SERVICE[0], APP_SERVICE[1], AZURE_ML[0], AZURE_ML[1], IMDS];
    let cluster = [AZURE_ML[0], AZURE_ML[1], ("DEFAULT_IDENTITY_CLIENT_ID", "cluster")];
    let app_service = format!("/app?api-version=2019-08-01&{RESOURCE} x-identity-header=h");
    let azure_ml = format!("/ml?api-version=2017-09-01&{RESOURCE} secret=s");
    let of_cluster = format!("/ml?api-version=2017-09-01&clientid=cluster&{RESOURCE} secret=s");
    let of_user = format!("/obo?{RESOURCE} ");
    let rows: &[Row<'_>] = &[
        (Kind::Auto, &APP_SERVICE, &app_service, Source::AppService),
        (Kind::Auto, &both, &app_service, Source::AppService),
        (Kind::ManagedIdentity, &both, &app_service, Source::AppService),
        (Kind::Auto, &AZURE_ML, &azure_ml, Source::AzureMl),
        (Kind::AzureMl, &both, &azure_ml, Source::AzureMl),
        (Kind::AzureMl, &cluster, &of_cluster, Source::AzureMl),
        (Kind::AzureMlOnBehalfOf, &[("OBO_ENDPOINT", "SERVER/obo")], &of_user, Source::AzureMlOnBehalfOf),
    ];
    for (kind, variables, request, source) in rows {
        let seen = platform_request(of_kind(*kind), variables).await;
        assert_eq!(seen, ((*request).to_owned(), Some(*source)), "{kind} {variables:?}");
    }
}

fn by_imds(server: &FakeServer) -> Arc<Identity> {
    let ca = TestCa::new();
    let transport = Arc::new(Transport::new(&ca.environment([]), Timeouts::default()).expect("a transport"));
    let environment = Environment::from([("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url("/").as_str())]);
    let settings = Settings { kind: Kind::ManagedIdentity, ..Settings::default() };
    let authority = Authority::new(&environment, Cloud::Public).expect("an authority");
    Identity::new(&settings, &environment, SignIn { transport, authority }, Arc::new(SystemClock))
}

async fn refused(server: &FakeServer) -> String {
    token(&by_imds(server)).await.expect_err("no token").to_string()
}

#[tokio::test]
async fn an_imds_that_refuses_or_is_silent_is_reported_within_five_seconds() {
    let refusing = FakeServer::plain(|_| {
        Reply::status(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#)
    })
    .await;
    assert!(refused(&refusing).await.contains("answers 400: Identity not found"));

    let started = std::time::Instant::now();
    let silent = FakeServer::plain(|_| Reply::hang()).await;
    let error = refused(&silent).await;
    assert!(error.contains("took longer than"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_token_that_no_request_can_carry_is_refused_and_not_held() {
    for bad in ["abc\\r\\nX: y", "a b", "pässword", "\\u0000"] {
        let answers = Mutex::new(VecDeque::from([bad, "good"]));
        let server = FakeServer::plain(move |_| {
            let token = answers.lock().expect("no panic").pop_front().unwrap_or_default();
            Reply::ok(&format!(r#"{{"access_token":"{token}","expires_on":"32503680000"}}"#))
        })
        .await;
        let identity = by_imds(&server);
        let error = token(&identity).await.expect_err("refused").to_string();
        assert!(error.contains("characters that no request can carry"), "{error}");
        assert!(!error.contains(bad), "{error}");
        assert_eq!(token(&identity).await.expect("asked again"), "good");
    }
}

#[tokio::test]
async fn a_federated_token_is_sent_without_the_line_break_of_its_file() {
    let ca = TestCa::new();
    let sent = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&sent);
    let entra = FakeServer::tls(&ca, move |request: &Request<Bytes>| {
        *log.lock().expect("no panic") = String::from_utf8(request.body().to_vec()).expect("text");
        Reply::ok(r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t"}"#)
    })
    .await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "federated\r\n").expect("written");
    let authority = format!("https://{}", entra.authority());
    let environment = ca.environment([
        ("AZURE_AUTHORITY_HOST", &authority),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().expect("text")),
    ]);
    let transport = Arc::new(Transport::new(&environment, Timeouts::default()).expect("a transport"));
    let authority = Authority::new(&environment, Cloud::Public).expect("an authority");
    let settings = Settings { kind: Kind::WorkloadIdentity, ..Settings::default() };
    let identity = Identity::new(&settings, &environment, SignIn { transport, authority }, Arc::new(SystemClock));
    assert_eq!(token(&identity).await.expect("a token"), "t");
    let body = sent.lock().expect("no panic").clone();
    assert!(body.contains("client_assertion=federated&"), "{body}");
    assert!(body.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default"), "{body}");
}
