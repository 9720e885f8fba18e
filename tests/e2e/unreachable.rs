//! Every way in which Azure cannot be reached is told within five seconds, with its cause, and the agent stays up.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use keyside_tests::agent::Agent;
use keyside_tests::estate::Estate;
use keyside_tests::report::say;
use keyside_tests::wait;

/// How long an operator waits for the reason at most.
const PROMISE: Duration = Duration::from_secs(5);

const CONFIG: &str = "[[secret]]\nname = 'db-password'\n";

/// Starts an agent in a spoilt environment and waits for each of the words in its status.
fn told(estate: &Estate, config: &str, variables: &BTreeMap<String, String>, words: &[&str]) {
    let start = Instant::now();
    let agent = Agent::start(&estate.config(config), &estate.socket(), variables);
    wait::until("the agent's socket", || estate.socket().exists().then_some(()));
    let status = wait::until("the failure in the status", || {
        let status = agent.get("/v1/status").json().to_string();
        status.contains("no_token").then_some(()).or(status.contains("unavailable").then_some(()))?;
        Some(status)
    });
    let took = start.elapsed();
    say(&format!("{words:?} told after {took:?}"));
    assert!(took < PROMISE, "told after {took:?}: {status}");
    for word in words {
        assert!(status.contains(word), "'{word}' in {status}");
    }
    let ready = agent.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("db-password"), "readyz says what is awaited");
    assert_eq!(agent.get("/healthz").status, 200, "the process itself is well");
}

fn spoilt(estate: &Estate, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut variables = estate.variables();
    variables.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

#[test]
fn a_wrong_certificate_authority_is_named() {
    let (estate, other) = (Estate::start(&[]), Estate::start(&[]));
    let foreign = other.variables()["SSL_CERT_FILE"].clone();
    told(&estate, CONFIG, &spoilt(&estate, &[("SSL_CERT_FILE", &foreign)]), &["certificate"]);
}

#[test]
fn a_refused_port_is_named() {
    let estate = Estate::start(&[]);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    told(&estate, CONFIG, &spoilt(&estate, &[("HTTPS_PROXY", &format!("http://{free}"))]), &["refused"]);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let estate = Estate::start(&[]);
    let variables = spoilt(&estate, &[("HTTPS_PROXY", "http://no-such-host.invalid:3128")]);
    told(&estate, CONFIG, &variables, &["no-such-host.invalid"]);
}

#[test]
fn a_proxy_that_never_answers_is_named() {
    let estate = Estate::start(&[]);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address");
    told(
        &estate,
        CONFIG,
        &spoilt(&estate, &[("HTTPS_PROXY", &format!("http://{address}"))]),
        &["took longer than 4s", "proxy"],
    );
}

#[test]
fn a_metadata_service_that_never_answers_is_named() {
    let estate = Estate::start(&[]);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("its address"));
    let config = format!("[identity]\nkind = 'managed-identity'\n{CONFIG}");
    told(
        &estate,
        &config,
        &spoilt(&estate, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url)]),
        &["IMDS", "took longer than 3s"],
    );
}

#[test]
fn a_wrong_client_secret_is_told_in_entras_own_words() {
    let estate = Estate::start(&[]);
    told(&estate, CONFIG, &spoilt(&estate, &[("AZURE_CLIENT_SECRET", "wrong")]), &["AADSTS7000215"]);
}
