//! Every grant, by requests to the router; refusals and discovery are in files of their own.

mod discovery;
mod refusals;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64ct::{Base64, Base64Url, Base64UrlUnpadded, Encoding};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, RsaKeySize};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use url::form_urlencoded;

use super::*;
use crate::directory::fixture::{APP, APP_OBJECT, Answer, CLUSTER, SEED, SUBJECT, TENANT, VAULT, directory, send};

const EXCHANGE: &str = "api://AzureADTokenExchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Scene {
    directory: Arc<Directory>,
    clock: Clock,
    router: Router,
}

impl Scene {
    fn new(seed: &str) -> Self {
        let (directory, clock) = (Arc::new(directory(seed)), Clock::new());
        let router = router(Arc::clone(&directory), clock.clone());
        Self { directory, clock, router }
    }

    async fn post(&self, tenant: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(format!("/{tenant}/oauth2/v2.0/token"))
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(&self.router, request.body(Body::from(body)).unwrap()).await
    }

    /// Asks for a Key Vault token with the given proof.
    async fn ask(&self, proof: &[(&str, &str)]) -> Answer {
        let scope = [("grant_type", "client_credentials"), ("scope", "https://vault.azure.net/.default")];
        let app = APP.to_string();
        let form = [&[("client_id", app.as_str())], &scope[..], proof].concat();
        self.post(&TENANT.to_string(), &[], &form).await
    }

    async fn assert_assertion(&self, assertion: &str) -> Answer {
        self.ask(&[("client_assertion", assertion), ("client_assertion_type", JWT_BEARER)]).await
    }

    fn projected(&self) -> String {
        self.directory.mint_federated(CLUSTER, SUBJECT, EXCHANGE, self.clock.now())
    }

    /// An assertion by the application's generated certificate, in the form that MSAL for Python sends today.
    fn signed(&self, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let pem = self.directory.certificate_pem(APP).unwrap();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate);
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(Base64Url::encode_string(sha256.as_ref()));
        let mut claims = self.claims();
        change(&mut header, &mut claims);
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    fn claims(&self) -> Value {
        let now = self.clock.now().as_second();
        let audience = format!("https://{AUTHORITY}/{TENANT}/oauth2/v2.0/token");
        json!({"aud": audience, "iss": APP, "sub": APP, "nbf": now, "exp": now + 600})
    }
}

fn assert_granted(answer: &Answer, scene: &Scene, how: &str) {
    assert_eq!(answer.status, StatusCode::OK, "{how}: {answer:?}");
    assert_eq!(answer.body["token_type"], "Bearer", "{how}");
    assert_eq!(answer.body["expires_in"], 3599, "{how}");
    assert_eq!(answer.body["ext_expires_in"], 3599, "{how}");
    let token = answer.body["access_token"].as_str().unwrap();
    let caller = scene.directory.verify(token, VAULT, scene.clock.now()).unwrap();
    assert_eq!((caller.object_id, caller.app_id, caller.tenant), (APP_OBJECT, APP, TENANT), "{how}");
}

fn assert_refused(answer: &Answer, status: u16, error: &str, (code, text): (u32, &str), why: &str) {
    assert_eq!(answer.status, status, "{why}: {answer:?}");
    assert_eq!(answer.body["error"], error, "{why}: {answer:?}");
    assert_eq!(answer.body["error_codes"], json!([code]), "{why}");
    let description = answer.body["error_description"].as_str().unwrap();
    assert!(description.starts_with(&format!("AADSTS{code}: {text}")), "{why}: {description}");
}

#[tokio::test]
async fn every_way_to_prove_an_application_is_granted_a_token() {
    let scene = Scene::new(SEED);
    for secret in ["first-secret", "s%cond+s/cret:"] {
        assert_granted(&scene.ask(&[("client_secret", secret)]).await, &scene, secret);
    }
    let pem = scene.directory.certificate_pem(APP).unwrap();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate);
    let rs256 = |thumbprint: String| {
        scene.signed(|header, _| {
            *header = Header { x5t: Some(thumbprint), ..Header::new(Algorithm::RS256) };
        })
    };
    let aud = |audience: String| scene.signed(|_, claims| claims["aud"] = json!([audience]));
    let rows = [
        ("x5t#S256 and PS256", scene.signed(|_, _| ())),
        ("x5t and RS256", rs256(Base64UrlUnpadded::encode_string(sha1.as_ref()))),
        ("x5t in the other alphabet, padded", rs256(Base64::encode_string(sha1.as_ref()))),
        (
            "times with a fraction",
            scene.signed(|_, claims| claims["exp"] = json!(claims["exp"].as_f64().unwrap() + 0.25)),
        ),
        ("the issuer as audience", aud(format!("https://{AUTHORITY}/{TENANT}/v2.0"))),
        ("a slash at its end", aud(format!("https://{AUTHORITY}/{TENANT}/oauth2/token/"))),
        ("a token of the cluster", scene.projected()),
    ];
    for (how, assertion) in rows {
        assert_granted(&scene.assert_assertion(&assertion).await, &scene, how);
    }
}

#[tokio::test]
async fn a_secret_may_come_in_a_basic_header() {
    let scene = Scene::new(SEED);
    let form = [("grant_type", "client_credentials"), ("scope", "https://vault.azure.net/.default")];
    let header = format!("Basic {}", Base64::encode_string(format!("{APP}:s%25cond%2Bs%2Fcret%3A").as_bytes()));
    let tenant = TENANT.to_string().to_uppercase();
    let granted = scene.post(&tenant, &[("authorization", &header)], &form).await;
    assert_granted(&granted, &scene, "a tenant in capitals, an encoded secret");
}

#[tokio::test]
async fn an_issuers_key_may_be_given_as_pem_or_as_a_key_set() {
    let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    jwk.common.key_id = Some("cluster-key".into());
    let trust = |setting: String| SEED.replace(SUBJECT, &format!("{SUBJECT}\"\n{setting}#"));
    let seeds = [
        trust(format!("public_key = '''{}'''", pair.public_key_pem())),
        trust(format!("jwks = '{}'", json!({"keys": [jwk]}))),
    ];
    for seed in seeds {
        let scene = Scene::new(&seed);
        let claims =
            json!({"iss": CLUSTER, "sub": SUBJECT, "aud": EXCHANGE, "exp": scene.clock.now().as_second() + 60});
        let header = Header { kid: Some("cluster-key".into()), ..Header::new(Algorithm::RS256) };
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        assert_granted(&scene.assert_assertion(&token).await, &scene, &seed);
        let ours = scene.assert_assertion(&scene.projected()).await;
        let expected = (700_027, "Client assertion failed signature validation.");
        assert_refused(&ours, 401, "invalid_client", expected, "a token of another issuer's key");
    }
}
