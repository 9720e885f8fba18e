//! Tests of the transport against small servers on this machine.

use std::error::Error as _;

use super::*;
use crate::azure::testing::{FakeProxy, FakeServer, Reply, TestCa};

const QUICK: Timeouts =
    Timeouts { connect: Duration::from_secs(4), read: Duration::from_millis(300), total: Duration::from_millis(600) };

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a request")
}

async fn fetch(environment: &Environment, url: &str) -> Result<Answer, TransportError> {
    let transport = Transport::new(environment, QUICK).expect("a transport");
    transport.send(get(url), Reach::ByEnvironment, QUICK).await
}

#[tokio::test]
async fn a_request_reaches_the_server_in_origin_form_on_a_connection_of_its_own() {
    let server = FakeServer::plain(|request| Reply::ok(&format!("{} {:?}", request.uri(), request.headers()))).await;
    let ca = TestCa::new();
    let answer = fetch(&ca.environment([]), &server.url("/a?b=c")).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, format!("/a?b=c {{\"host\": \"{}\", \"connection\": \"close\"}}", server.authority()));
    fetch(&ca.environment([]), &server.url("/")).await.expect("an answer");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn https_goes_through_the_proxy_with_its_password_and_the_servers_name_is_checked() {
    let ca = TestCa::new();
    let server = FakeServer::tls(&ca, |request| Reply::ok(request.headers()["host"].to_str().expect("text"))).await;
    let proxy = FakeProxy::to(&server).await;
    let url = format!("http://user:p%40ss@{}", proxy.authority());
    let environment = ca.environment([("HTTPS_PROXY", &url)]);
    let answer = fetch(&environment, "https://x.vault.azure.net/secrets").await.expect("an answer");
    assert_eq!(answer.body, "x.vault.azure.net");
    assert_eq!(proxy.requests(), ["CONNECT x.vault.azure.net:443 Basic dXNlcjpwQHNz"]);
    let error = fetch(&environment, "https://other.example/").await.err().expect("another name");
    assert!(matches!(&error, TransportError::Tls { host, .. } if host == "other.example"), "{error:?}");
}

#[tokio::test]
async fn plain_http_is_sent_to_the_proxy_in_absolute_form() {
    let ca = TestCa::new();
    let proxy = FakeServer::plain(|request| Reply::ok(&request.uri().to_string())).await;
    let environment = ca.environment([("HTTP_PROXY", &proxy.url("/"))]);
    let answer = fetch(&environment, "http://far.example/x").await.expect("an answer");
    assert_eq!(answer.body, "http://far.example/x");
}

#[tokio::test]
async fn each_obstacle_is_named_with_its_cause() {
    let (ca, other_ca) = (TestCa::new(), TestCa::new());
    let server = FakeServer::tls(&ca, |_| Reply::ok("")).await;
    let proxy = FakeProxy::to(&server).await;
    let refusing = FakeServer::plain(|_| Reply::status(403, "")).await;
    let url = |authority: &str| format!("http://{authority}");
    let closed = format!("127.0.0.1:{}", FakeServer::closed_port());

    let error =
        fetch(&other_ca.environment([("HTTPS_PROXY", &url(&proxy.authority()))]), "https://x.vault.azure.net/").await;
    let error = error.err().expect("a wrong CA");
    assert!(matches!(error, TransportError::Untrusted { .. }), "{error:?}");
    assert!(error.source().expect("a cause").to_string().contains("UnknownIssuer"), "{error:?}");

    let error =
        fetch(&ca.environment([("HTTPS_PROXY", &url(&refusing.authority()))]), "https://x.vault.azure.net/").await;
    let error = error.err().expect("refused");
    assert!(matches!(&error, TransportError::ProxyRefused { status, .. } if status.as_u16() == 403), "{error:?}");

    let error = fetch(&ca.environment([]), &url(&closed)).await.err().expect("a closed port");
    assert!(error.to_string().contains(&closed), "{error}");
    assert!(error.source().expect("a cause").to_string().contains("refused"), "{error:?}");

    let error = fetch(&ca.environment([]), "http://no-such-host.invalid/").await.err().expect("no such host");
    // A name server that does not answer is as good as one that knows no such host.
    let slow = matches!(error, TransportError::TimedOut { stage: Stage::Resolve, .. });
    assert!(slow || matches!(error, TransportError::Resolve { .. }), "{error:?}");
}

#[tokio::test]
async fn silence_a_cut_and_a_flood_end_the_request() {
    let ca = TestCa::new();
    let environment = ca.environment([]);
    let silent = FakeServer::plain(|_| Reply::hang()).await;
    let error = fetch(&environment, &silent.url("/")).await.err().expect("silence");
    assert!(matches!(error, TransportError::TimedOut { stage: Stage::Answer, .. }), "{error:?}");

    let cut = FakeServer::plain(|_| Reply::ok("{\"value\":\"hunter2").cut()).await;
    let error = fetch(&environment, &cut.url("/")).await.err().expect("a cut");
    assert!(matches!(error, TransportError::Broken { .. }) && !format!("{error:?}").contains("hunter2"), "{error:?}");

    let flood = FakeServer::plain(|_| Reply::ok(&"x".repeat(ANSWER_BYTES_MAX + 1))).await;
    let error = fetch(&environment, &flood.url("/")).await.err().expect("a flood");
    assert!(matches!(error, TransportError::TooLong { .. }), "{error:?}");

    let drip = FakeServer::plain(|_| Reply::drip()).await;
    let error = fetch(&environment, &drip.url("/")).await.err().expect("a drip");
    assert!(matches!(error, TransportError::TimedOut { stage: Stage::Whole, .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up_at_the_limit() {
    let ca = TestCa::new();
    let silent = FakeServer::plain(|_| Reply::hang()).await;
    let limits = Timeouts { connect: Duration::from_millis(200), ..QUICK };
    let transport = Transport::new(&ca.environment([("HTTPS_PROXY", &silent.url(""))]), limits).expect("a transport");
    let error = transport.send(get("https://x.vault.azure.net/"), Reach::ByEnvironment, limits).await.err();
    assert!(matches!(error, Some(TransportError::TimedOut { stage: Stage::Proxy, .. })), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_handed_up_and_not_followed() {
    let server = FakeServer::plain(|_| Reply::status(302, "").with("location", "http://elsewhere.invalid/")).await;
    let ca = TestCa::new();
    let answer = fetch(&ca.environment([]), &server.url("/")).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::FOUND);
}
