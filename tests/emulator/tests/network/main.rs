//! A running emulator as its clients see it: proxy, certificates, faults, restarts.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what only tests call")]

mod client;
mod resource_manager;

use std::time::{Duration, Instant};

use keyside_emulator::fault::Fault;
use keyside_emulator::seed::Seed;
use keyside_emulator::vault::Draft;
use keyside_emulator::{Emulator, Options};
use tokio::net::TcpStream;

use client::{Answer, ask, ask_trusting, plain, request, through_proxy_plain, tls, tunnel};

const VAULT: &str = "kv-keyside.vault.azure.net";
const ENTRA: &str = "login.microsoftonline.com";
const TARGET: &str = "/secrets/db-password/?api-version=2025-07-01";
const SIGN_IN: &str = "client_id=0a7bdc5c-7b57-40be-9939-d4c5fc7cd417&client_secret=emulated-client-secret&grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default";

async fn start() -> Emulator {
    Emulator::start(Options::default()).await.unwrap()
}

async fn sign_in(emulator: &Emulator) -> String {
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let target = "/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token";
    let answer = ask(emulator, ENTRA, &request("POST", target, ENTRA, (&form, SIGN_IN))).await;
    assert_eq!(answer.status, Some(200), "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_string()
}

async fn get_secret(emulator: &Emulator, token: &str) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    ask(emulator, VAULT, &request("GET", TARGET, VAULT, (&[&bearer], ""))).await
}

#[tokio::test]
async fn an_unmodified_client_signs_in_and_reads_a_secret_through_the_proxy() {
    let emulator = start().await;
    let challenged = ask(&emulator, VAULT, &request("GET", TARGET, VAULT, (&[], ""))).await;
    assert_eq!(challenged.status, Some(401));
    let token = sign_in(&emulator).await;
    let answer = get_secret(&emulator, &token).await;
    assert_eq!((answer.status, &answer.json()["value"]), (Some(200), &"emulated-db-password".into()));
    emulator.stop().await.unwrap();
}

#[tokio::test]
async fn the_metadata_service_answers_in_plain_http_by_either_way() {
    let emulator = start().await;
    let path = "/metadata/identity/oauth2/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    let headers: (&[&str], &str) = (&["Metadata: true"], "");
    let absolute = format!("http://169.254.169.254{path}");
    let proxied = through_proxy_plain(&emulator, &request("GET", &absolute, "169.254.169.254", headers)).await;
    let own = emulator.listen().to_string();
    let direct = plain(&emulator, &request("GET", path, &own, headers)).await;
    for answer in [proxied, direct] {
        assert_eq!(answer.status, Some(200), "{answer:?}");
        let token = answer.json()["access_token"].as_str().unwrap().to_string();
        assert_eq!(get_secret(&emulator, &token).await.status, Some(200));
    }
}

#[tokio::test]
async fn the_first_vault_answers_on_the_emulators_own_address() {
    let emulator = start().await;
    let token = sign_in(&emulator).await;
    emulator.vaults().set_secret("kv-keyside", "another", Draft::plain("x"), emulator.clock().now()).unwrap();
    let own = emulator.listen().to_string();
    let bearer = format!("Authorization: Bearer {token}");
    let request = request("GET", "/secrets?api-version=7.4&maxresults=1", &own, (&[&bearer], ""));
    let stream = TcpStream::connect(emulator.listen()).await.unwrap();
    let answer = client::exchange(tls(stream, "127.0.0.1", emulator.ca_pem()).await.unwrap(), &request).await;
    let page = answer.json();
    assert_eq!(page["value"][0]["id"], "https://kv-keyside.vault.azure.net/secrets/another");
    assert!(page["nextLink"].as_str().unwrap().starts_with(&format!("https://{own}/secrets?")), "{page}");
}

#[tokio::test]
async fn the_certificate_names_every_host_and_no_other() {
    let emulator = start().await;
    let rows = [
        (VAULT, true),
        ("any.vault.azure.net", true),
        (ENTRA, true),
        ("management.azure.com", true),
        ("localhost", true),
        ("127.0.0.1", true),
        ("example.com", false),
        ("a.b.vault.azure.net", false),
    ];
    for (host, expected) in rows {
        let stream = TcpStream::connect(emulator.listen()).await.unwrap();
        let trusted = tls(stream, host, emulator.ca_pem()).await;
        assert_eq!(trusted.is_ok(), expected, "{host}: {trusted:?}");
    }
    let other = start().await;
    let stream = TcpStream::connect(emulator.listen()).await.unwrap();
    assert!(tls(stream, VAULT, other.ca_pem()).await.is_err(), "another emulator's authority");
}

#[tokio::test]
async fn a_tunnel_to_a_vault_that_does_not_exist_is_refused() {
    let emulator = start().await;
    assert_eq!(tunnel(&emulator, "no-such-vault.vault.azure.net").await.0, 502);
    let refuse = Fault { method: Some("CONNECT".into()), status: Some(403), count: Some(1), ..Fault::default() };
    emulator.faults().add(refuse).unwrap();
    let delay =
        Fault { method: Some("connect".into()), delay: Duration::from_millis(50), count: Some(1), ..Fault::default() };
    emulator.faults().add(delay).unwrap();
    assert_eq!(tunnel(&emulator, VAULT).await.0, 403);
    let before = Instant::now();
    assert_eq!(tunnel(&emulator, VAULT).await.0, 200);
    assert!(before.elapsed() >= Duration::from_millis(50));
    assert_eq!(tunnel(&emulator, VAULT).await.0, 200);
}

#[tokio::test]
async fn faults_strike_over_the_wire_as_scripted() {
    let emulator = start().await;
    let token = sign_in(&emulator).await;
    let whole = get_secret(&emulator, &token).await;
    let once = |fault: Fault| {
        let fault = Fault { host: "*.vault.azure.net".into(), count: Some(1), ..fault };
        emulator.faults().add(fault).unwrap();
    };
    once(Fault { status: Some(429), ..Fault::default() });
    let answer = get_secret(&emulator, &token).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (Some(429), &"Throttled".into()));
    assert!(!answer.head.to_lowercase().contains("retry-after"));

    let headers = vec![("Retry-After".to_string(), "7".to_string())];
    once(Fault { status: Some(503), headers, body: Some("busy".into()), ..Fault::default() });
    let answer = get_secret(&emulator, &token).await;
    assert_eq!((answer.status, answer.body.as_str()), (Some(503), "busy"));
    assert!(answer.head.to_lowercase().contains("retry-after: 7"), "{}", answer.head);

    once(Fault { cut: Some(10), ..Fault::default() });
    let answer = get_secret(&emulator, &token).await;
    assert_eq!((answer.status, answer.body.as_str()), (Some(200), &whole.body[..10]));
    assert!(answer.head.contains(&format!("content-length: {}", whole.body.len())), "{}", answer.head);

    once(Fault { cut: Some(0), ..Fault::default() });
    assert_eq!(get_secret(&emulator, &token).await.status, None);

    once(Fault { delay: Duration::from_millis(120), ..Fault::default() });
    let before = Instant::now();
    assert_eq!(get_secret(&emulator, &token).await.status, Some(200));
    assert!(before.elapsed() >= Duration::from_millis(120));

    once(Fault { wrong_certificate: true, ..Fault::default() });
    let (_, stream) = tunnel(&emulator, VAULT).await;
    assert!(tls(stream, VAULT, emulator.ca_pem()).await.is_err());
    once(Fault { expired_certificate: true, ..Fault::default() });
    let (_, stream) = tunnel(&emulator, VAULT).await;
    let error = tls(stream, VAULT, emulator.ca_pem()).await.err().map(|error| error.to_string());
    assert!(error.as_ref().is_some_and(|error| error.contains("expired")), "{error:?}");
    assert_eq!(get_secret(&emulator, &token).await.status, Some(200));
    assert!(emulator.faults().list().is_empty());
}

#[tokio::test]
async fn a_request_that_hangs_does_not_keep_the_emulator_from_stopping() {
    for (cut, status) in [(None, None), (Some(0), None), (Some(10), Some(401))] {
        let emulator = start().await;
        emulator.faults().add(Fault { hang: true, cut, ..Fault::default() }).unwrap();
        let request = request("GET", TARGET, VAULT, (&[], ""));
        let hanging = ask(&emulator, VAULT, &request);
        let noticed = async {
            loop {
                let struck = emulator.requests().entries().into_iter().find(|entry| entry.fault.is_some());
                match struck {
                    Some(entry) => return entry.status,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        tokio::select! {
            answer = hanging => panic!("answered: {answer:?}"),
            answered = noticed => assert_eq!(answered, status, "{cut:?}"),
        }
        emulator.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_request_whose_client_does_not_wait_is_remembered_as_unanswered() {
    let emulator = start().await;
    let delay = Duration::from_hours(1);
    emulator.faults().add(Fault { delay, host: VAULT.into(), ..Fault::default() }).unwrap();
    let request = request("GET", TARGET, VAULT, (&[], ""));
    let impatient = tokio::time::timeout(Duration::from_millis(300), ask(&emulator, VAULT, &request)).await;
    assert!(impatient.is_err());
    let remembered = async {
        loop {
            match emulator.requests().entries().into_iter().find(|entry| entry.method == "GET") {
                Some(entry) => return entry,
                None => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(remembered.await.status, None);
}

#[tokio::test]
async fn the_request_log_tells_everything_but_tokens_and_values() {
    let emulator = start().await;
    let token = sign_in(&emulator).await;
    get_secret(&emulator, &token).await;
    let entries = emulator.requests().entries();
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.method.as_str(), entry.host.as_str(), entry.path.as_str(), entry.status))
        .collect();
    let expected = [
        ("CONNECT", ENTRA, "", Some(200)),
        ("POST", ENTRA, "/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token", Some(200)),
        ("CONNECT", VAULT, "", Some(200)),
        ("GET", VAULT, "/secrets/db-password/", Some(200)),
    ];
    assert_eq!(seen, expected);
    let all = serde_json::to_string(&entries).unwrap();
    for hidden in [token.as_str(), "emulated-client-secret", "emulated-db-password"] {
        assert!(!all.contains(hidden));
    }
}

#[tokio::test]
async fn a_restart_from_the_state_file_is_unnoticed_by_clients() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options { state: Some(directory.path().join("state.json")), ..Options::default() };
    let first = Emulator::start(options()).await.unwrap();
    let (ca_pem, token) = (first.ca_pem().to_string(), sign_in(&first).await);
    first.clock().advance(Duration::from_mins(30));
    first.vaults().set_secret("kv-keyside", "db-password", Draft::plain("rotated"), first.clock().now()).unwrap();
    let time = first.clock().now();
    first.stop().await.unwrap();

    let mut seed = Seed::example();
    seed.vaults.extend(Seed::parse("[[vaults]]\nname = \"kv-new\"").unwrap().vaults);
    let second = Emulator::start(Options { seed, ..options() }).await.unwrap();
    assert!(second.vaults().exists("kv-new"), "the seed adds what the state does not know");
    assert_eq!(second.vaults().first(), Some("kv-keyside"));
    let bearer = format!("Authorization: Bearer {token}");
    let request = request("GET", TARGET, VAULT, (&[&bearer], ""));
    let answer = ask_trusting(&second, VAULT, (&ca_pem, &request)).await;
    assert_eq!((answer.status, &answer.json()["value"]), (Some(200), &"rotated".into()));
    assert!(second.clock().now() >= time, "time never runs backwards");
}

#[tokio::test]
async fn what_is_no_state_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    std::fs::write(&state, "hunter2").unwrap();
    let options = Options { state: Some(state.clone()), ..Options::default() };
    let error = Emulator::start(options).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(std::fs::read_to_string(state).unwrap(), "hunter2");
}

#[tokio::test]
async fn a_host_that_is_not_played_is_told_so() {
    let emulator = start().await;
    let answer = plain(&emulator, &request("GET", "/", "example.com", (&[], ""))).await;
    assert_eq!(answer.status, Some(421));
    let stream = TcpStream::connect(emulator.listen()).await.unwrap();
    let stream = tls(stream, "no-such.vault.azure.net", emulator.ca_pem()).await.unwrap();
    let request = request("GET", TARGET, "no-such.vault.azure.net", (&[], ""));
    assert_eq!(client::exchange(stream, &request).await.status, Some(421));
}

#[tokio::test]
async fn azures_services_do_not_answer_in_plain_http() {
    let emulator = start().await;
    for host in [VAULT, ENTRA] {
        let absolute = format!("http://{host}{TARGET}");
        let answer = through_proxy_plain(&emulator, &request("GET", &absolute, host, (&[], ""))).await;
        assert_eq!(answer.status, Some(502), "{host}");
    }
}

#[tokio::test]
async fn administration_needs_its_token() {
    let emulator = start().await;
    let own = emulator.listen().to_string();
    for headers in
        [&["Content-Type: application/json"][..], &["Content-Type: application/json", "Authorization: Bearer guess"]]
    {
        let answer =
            plain(&emulator, &request("POST", "/emulator/command", &own, (headers, r#"{"command":"list-requests"}"#)))
                .await;
        assert_eq!(answer.status, Some(401));
    }
}
