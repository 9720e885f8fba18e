//! What discovery says, and that its keys check a token.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{Scene, assert_refused};
use crate::directory::fixture::{APP, SEED, TENANT, VAULT, get};
use crate::entra::AUTHORITY;

#[tokio::test]
async fn discovery_names_addresses_on_the_host_that_was_asked() {
    let scene = Scene::new(SEED);
    let path = format!("/{TENANT}/v2.0/.well-known/openid-configuration");
    let rows = [
        (vec![], AUTHORITY),
        (vec![("host", AUTHORITY)], AUTHORITY),
        (vec![("host", "login.microsoftonline.com:443")], AUTHORITY),
        (vec![("host", "127.0.0.1:8443")], "127.0.0.1:8443"),
    ];
    for (headers, host) in rows {
        let answer = get(&scene.router, &path, &headers).await;
        let expected = [
            ("issuer", "v2.0"),
            ("authorization_endpoint", "oauth2/v2.0/authorize"),
            ("token_endpoint", "oauth2/v2.0/token"),
            ("jwks_uri", "discovery/v2.0/keys"),
        ];
        for (name, path) in expected {
            assert_eq!(answer.body[name], format!("https://{host}/{TENANT}/{path}"), "{name}");
        }
    }
}

#[tokio::test]
async fn an_unknown_tenant_has_neither_configuration_nor_keys() {
    let scene = Scene::new(SEED);
    for path in ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys"] {
        let answer = get(&scene.router, &format!("/{APP}/{path}"), &[]).await;
        let text = format!("Tenant '{APP}' not found.");
        assert_refused(&answer, 400, "invalid_tenant", (90002, &text), path);
    }
}

#[tokio::test]
async fn a_token_can_be_checked_with_the_published_keys_alone() {
    let scene = Scene::new(SEED);
    let keys = get(&scene.router, &format!("/{TENANT}/discovery/v2.0/keys"), &[]).await.body;
    let token = scene.ask(&[("client_secret", "first-secret")]).await.body["access_token"].clone();
    let token = token.as_str().unwrap();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.clone()).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(Algorithm::RS256);
    validation.set_audience(&[VAULT]);
    assert!(jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok());
    let names: Vec<_> = keys["keys"][0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"], "nothing private is published");
}

#[tokio::test]
async fn instance_discovery_knows_microsofts_hosts_and_the_one_that_was_asked() {
    let scene = Scene::new(SEED);
    for host in ["login.microsoftonline.com", "login.windows.net", "127.0.0.1:8443"] {
        let query = format!("api-version=1.1&authorization_endpoint=https://{host}/{TENANT}/oauth2/v2.0/authorize");
        let answer =
            get(&scene.router, &format!("/common/discovery/instance?{query}"), &[("host", "127.0.0.1:8443")]).await;
        let expected = format!("https://{host}/{TENANT}/v2.0/.well-known/openid-configuration");
        assert_eq!(answer.body["tenant_discovery_endpoint"], expected);
        assert_eq!(answer.body["metadata"][0]["preferred_network"], AUTHORITY);
    }
    for query in ["", "?authorization_endpoint=https://login.example.com/t/oauth2/v2.0/authorize"] {
        let answer = get(&scene.router, &format!("/common/discovery/instance{query}"), &[]).await;
        assert_refused(&answer, 400, "invalid_instance", (50049, "Unknown or invalid instance."), query);
    }
}
