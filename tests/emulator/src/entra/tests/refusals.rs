//! Every refusal of a token request, with its number, its words and its ids.

use axum::body::Body;
use axum::http::Request;
use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, RsaKeySize};
use serde_json::{Value, json};

use super::{EXCHANGE, Scene, assert_refused};
use crate::directory::fixture::{APP, Answer, CLUSTER, SEED, SUBJECT, TENANT, send};

#[tokio::test]
async fn a_projected_token_that_no_credential_covers_is_refused() {
    let scene = Scene::new(SEED);
    let (now, hour) = (scene.clock.now(), SignedDuration::from_hours(1));
    let mint = |issuer, subject, audience, now| scene.directory.mint_federated(issuer, subject, audience, now);
    let rows = [
        ("https://other.example/", SUBJECT, EXCHANGE),
        ("https://cluster.example", SUBJECT, EXCHANGE),
        (CLUSTER, "system:serviceaccount:default:other", EXCHANGE),
        (CLUSTER, "System:serviceaccount:default:pipeline", EXCHANGE),
        (CLUSTER, SUBJECT, "https://kubernetes.default.svc"),
    ];
    for (issuer, subject, audience) in rows {
        let answer = scene.assert_assertion(&mint(issuer, subject, audience, now)).await;
        let text = format!(
            "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. \
             Assertion Subject: '{subject}'. Assertion Audience: '{audience}'.\r\n"
        );
        assert_refused(&answer, 400, "invalid_request", (70021, &text), subject);
    }
    for (when, name) in [(now - hour, "it has ended"), (now + hour, "it has not begun")] {
        let answer = scene.assert_assertion(&mint(CLUSTER, SUBJECT, EXCHANGE, when)).await;
        let expected = (700_024, "Client assertion is not within its valid time range. Current time: 2");
        assert_refused(&answer, 401, "invalid_client", expected, name);
    }
}

#[tokio::test]
async fn an_assertion_that_no_certificate_backs_is_refused() {
    let scene = Scene::new(SEED);
    let unknown = "The certificate with identifier used to sign the client assertion is not registered on application.";
    let other = format!("{unknown} [Reason - The key was not found., Thumbprint of key used by client: 'ABCDEF12', ");
    let invalid = "Client assertion contains an invalid signature. [Reason - The provided signature value";
    let rows = [
        ("no thumbprint", scene.signed(|header, _| header.x5t_s256 = None), unknown),
        ("another thumbprint", scene.signed(|header, _| header.x5t_s256 = Some("q83vEg".into())), &other),
        ("another key", signed_by_another_key(&scene), invalid),
        ("another hash", scene.signed(|header, _| header.alg = Algorithm::RS512), invalid),
    ];
    for (why, assertion, text) in rows {
        let answer = scene.assert_assertion(&assertion).await;
        assert_refused(&answer, 401, "invalid_client", (700_027, text), why);
    }
}

#[tokio::test]
async fn a_certificates_assertion_is_for_its_client_this_endpoint_and_this_hour() {
    let scene = Scene::new(SEED);
    let now = scene.clock.now().as_second();
    let rows = [
        ("exp", json!(now), 700_024, "Client assertion is not within its valid time range."),
        ("nbf", json!(now + 600), 700_024, "Client assertion is not within its valid time range."),
        ("sub", json!(TENANT), 700_021, "Client assertion application identifier doesn't match"),
        ("aud", json!("https://x/"), 700_023, "Client assertion audience claim does not match"),
    ];
    for (name, value, code, text) in rows {
        let assertion = scene.signed(|_, claims| claims[name] = value);
        let answer = scene.assert_assertion(&assertion).await;
        assert_refused(&answer, 401, "invalid_client", (code, text), name);
    }
    let exp = |value: Value| scene.signed(|_, claims| claims["exp"] = value);
    for assertion in ["abc".to_owned(), exp(Value::Null), exp(json!("soon")), exp(json!(1e30))] {
        let answer = scene.assert_assertion(&assertion).await;
        let expected = (50027, "JWT token is invalid or malformed.");
        assert_refused(&answer, 400, "invalid_request", expected, &assertion);
    }
}

/// An assertion that names the registered certificate and is signed by another key.
fn signed_by_another_key(scene: &Scene) -> String {
    let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    let header = jsonwebtoken::decode_header(scene.signed(|_, _| ())).unwrap();
    jsonwebtoken::encode(&header, &scene.claims(), &key).unwrap()
}

/// A good request with one parameter changed; an empty one counts as absent.
async fn ask_with(scene: &Scene, changed: &str, value: &str) -> Answer {
    let app = APP.to_string();
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", &app),
        ("scope", "https://vault.azure.net/.default"),
        ("client_secret", "first-secret"),
    ];
    let form = good.map(|(name, old)| (name, if name == changed { value } else { old }));
    scene.post(&TENANT.to_string(), &[], &form).await
}

#[tokio::test]
async fn a_request_that_lacks_a_parameter_is_told_its_name() {
    let scene = Scene::new(SEED);
    for name in ["grant_type", "client_id", "scope"] {
        let text = format!("The request body must contain the following parameter: '{name}'.\r\n");
        let answer = ask_with(&scene, name, "").await;
        assert_refused(&answer, 400, "invalid_request", (900_144, &text), name);
    }
    let proof = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.\r\n";
    let answer = ask_with(&scene, "client_secret", "").await;
    assert_refused(&answer, 401, "invalid_client", (7_000_218, proof), "no proof");
}

#[tokio::test]
async fn a_request_with_a_wrong_parameter_is_told_what_is_wrong() {
    let scene = Scene::new(SEED);
    let app = format!("Application with identifier 'x' was not found in the directory '{TENANT}'. This can happen");
    let rows = [
        ("client_id", "x", "unauthorized_client", 700_016, app.as_str()),
        ("grant_type", "x", "unsupported_grant_type", 70003, "The app requested an unsupported grant type 'x'."),
        ("scope", "https://x", "invalid_scope", 1_002_012, "The provided value for scope https://x is not valid."),
        ("scope", "a/.default b/.default", "invalid_scope", 1_002_012, "The provided value for scope a/.default b/"),
        ("scope", "x/.default", "invalid_resource", 500_011, "The resource principal named x was not found in the"),
    ];
    for (name, value, error, code, text) in rows {
        assert_refused(&ask_with(&scene, name, value).await, 400, error, (code, text), value);
    }
    let secret = format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
         the client secret ID, for a secret added to app '{APP}'.\r\n"
    );
    let answer = ask_with(&scene, "client_secret", "x").await;
    assert_refused(&answer, 401, "invalid_client", (7_000_215, &secret), "a wrong secret");
    let elsewhere = scene.post("contoso.example", &[], &[]).await;
    let text = "Tenant 'contoso.example' not found. Check to make sure you have the correct tenant ID";
    assert_refused(&elsewhere, 400, "invalid_request", (90002, text), "another tenant");
}

#[tokio::test]
async fn a_body_that_is_no_form_has_no_parameters() {
    let scene = Scene::new(SEED);
    let request = Request::post(format!("/{TENANT}/oauth2/v2.0/token")).header("content-type", "application/json");
    let answer = send(&scene.router, request.body(Body::from("grant_type=client_credentials")).unwrap()).await;
    let expected = (900_144, "The request body must contain the following parameter: 'grant_type'.");
    assert_refused(&answer, 400, "invalid_request", expected, "JSON");
}

#[tokio::test]
async fn a_refusal_carries_its_ids_and_time_in_every_place_that_the_real_one_does() {
    let scene = Scene::new(SEED);
    let id = "0f0e0d0c-0b0a-0908-0706-050403020100";
    let answer = scene.post(&TENANT.to_string(), &[("client-request-id", id)], &[]).await;
    let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
    let (trace, time) = (text("trace_id"), text("timestamp"));
    assert_eq!(text("correlation_id"), id);
    assert_eq!(text("error_uri"), "https://login.microsoftonline.com/error?code=900144");
    assert_eq!(answer.headers["x-ms-request-id"], trace.as_str());
    assert_eq!(answer.headers["cache-control"], "no-store, no-cache");
    let types: Vec<_> = answer.headers.get_all("content-type").iter().collect();
    assert_eq!(types, ["application/json; charset=utf-8"], "clients refuse a type that is said twice");
    let lines: Vec<_> = answer.body["error_description"].as_str().unwrap().split("\r\n").skip(1).collect();
    let expected = [format!("Trace ID: {trace}"), format!("Correlation ID: {id}"), format!("Timestamp: {time}")];
    assert_eq!(lines, expected);
    jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%SZ", &time).unwrap();
}
