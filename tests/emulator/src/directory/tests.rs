//! What a seed may say, which tokens the directory makes and which it believes.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::fixture::{
    APP, APP_OBJECT, ASSIGNED, ASSIGNED_OBJECT, ASSIGNED_RESOURCE, CLUSTER, SEED, SUBJECT, SYSTEM, TENANT, USER_OBJECT,
    VAULT, directory,
};
use super::*;

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    noon() + SignedDuration::from_secs(seconds)
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap()
}

#[test]
fn a_token_is_believed_for_its_audience_until_it_expires() {
    let directory = directory(SEED);
    let token = directory.token_for(APP_OBJECT, VAULT, noon()).unwrap();
    let slashed = directory.token_for(APP_OBJECT, "https://vault.azure.net/", noon()).unwrap();
    let caller = Caller { object_id: APP_OBJECT, app_id: APP, tenant: TENANT };
    let elsewhere = TokenProblem::Audience { found: VAULT.into() };
    let rows = [
        ("at once", &token, VAULT, noon(), Ok(caller)),
        ("the audience with a slash", &token, "https://vault.azure.net/", noon(), Ok(caller)),
        ("the token with a slash", &slashed, VAULT, noon(), Ok(caller)),
        ("at its last second", &token, VAULT, after(3598), Ok(caller)),
        ("when it ends", &token, VAULT, after(3599), Err(TokenProblem::Expired)),
        ("by a clock that is late", &token, VAULT, after(-300), Ok(caller)),
        ("before it starts", &token, VAULT, after(-301), Err(TokenProblem::Expired)),
        ("elsewhere", &token, "https://management.azure.com", noon(), Err(elsewhere)),
    ];
    for (when, token, audience, now, expected) in rows {
        assert_eq!(directory.verify(token, audience, now), expected, "{when}");
    }
}

#[test]
fn a_token_of_someone_else_is_not_believed() {
    let directory = directory(SEED);
    let stranger = Directory::new(toml::from_str(SEED).unwrap(), None).unwrap();
    let other_tenant = fixture::directory(&SEED.replace("11111111-2222", "99999999-2222"));
    let of = |issuer: &Directory| issuer.token_for(APP_OBJECT, VAULT, noon()).unwrap();
    let found = "https://sts.windows.net/99999999-2222-3333-4444-555555555555/".to_owned();
    let unsigned = of(&directory).rsplit_once('.').unwrap().0.to_owned() + ".";
    let rows = [
        ("no token", "abc".to_owned(), TokenProblem::Malformed),
        ("nothing", String::new(), TokenProblem::Malformed),
        ("no signature", unsigned, TokenProblem::Malformed),
        ("another key", of(&stranger), TokenProblem::Malformed),
        ("another tenant", of(&other_tenant), TokenProblem::Issuer { found }),
    ];
    for (name, token, expected) in rows {
        assert_eq!(directory.verify(&token, VAULT, noon()), Err(expected), "{name}");
    }
}

#[test]
fn a_token_carries_the_claims_that_key_vault_reads() {
    let directory = directory(SEED);
    let rows = [
        (APP_OBJECT, json!({"appid": APP, "idtyp": "app", "exp": after(3599).as_second()})),
        (
            ASSIGNED_OBJECT,
            json!({"appid": ASSIGNED, "idtyp": "app", "xms_mirid": ASSIGNED_RESOURCE, "exp": after(86399).as_second()}),
        ),
        (
            USER_OBJECT,
            json!({"idtyp": "user", "upn": "ada@example.com", "scp": "user_impersonation", "exp": after(3599).as_second()}),
        ),
    ];
    for (object_id, own) in rows {
        let token = claims(&directory.token_for(object_id, VAULT, noon()).unwrap());
        let common = json!({
            "aud": VAULT, "iss": format!("https://sts.windows.net/{TENANT}/"), "tid": TENANT, "oid": object_id,
            "sub": object_id, "ver": "1.0", "iat": after(-300).as_second(), "nbf": after(-300).as_second(),
        });
        for (name, value) in common.as_object().unwrap().iter().chain(own.as_object().unwrap()) {
            assert_eq!(&token[name], value, "{name} of {object_id}");
        }
    }
    assert_eq!(directory.token_for(APP, VAULT, noon()), None);
}

#[test]
fn lifetimes_are_the_seeds() {
    let directory = directory(&format!("{SEED}[lifetimes]\nentra = '60s'\nmanaged_identity = '2m'\n"));
    for (object_id, seconds) in [(APP_OBJECT, 60), (USER_OBJECT, 60), (ASSIGNED_OBJECT, 120)] {
        let token = claims(&directory.token_for(object_id, VAULT, noon()).unwrap());
        assert_eq!(token["exp"], after(seconds).as_second(), "{object_id}");
    }
}

#[test]
fn a_managed_identity_is_chosen_by_any_of_its_ids() {
    let all = directory(SEED);
    let without_own = directory(&SEED.replace("kind = \"system-assigned\"", ""));
    let only = directory(
        "[[managed_identities]]\nclient_id = \"b0000000-0000-0000-0000-000000000002\"\nobject_id = \"b0000000-0000-0000-0000-0000000000fe\"\n",
    );
    let nobody = directory("");
    let upper = ASSIGNED.to_string().to_uppercase();
    let rows = [
        ("the machine's own", &all, Selector::Default, Ok(SYSTEM)),
        ("its client id", &all, Selector::ClientId(upper), Ok(ASSIGNED)),
        ("its object id", &all, Selector::ObjectId(ASSIGNED_OBJECT.to_string()), Ok(ASSIGNED)),
        ("its resource id", &all, Selector::ResourceId(ASSIGNED_RESOURCE.to_lowercase()), Ok(ASSIGNED)),
        (
            "an object id as client id",
            &all,
            Selector::ClientId(ASSIGNED_OBJECT.to_string()),
            Err(SelectionProblem::Unknown),
        ),
        ("no id at all", &all, Selector::ClientId("pipeline".into()), Err(SelectionProblem::Unknown)),
        ("another resource", &all, Selector::ResourceId("/subscriptions/s".into()), Err(SelectionProblem::Unknown)),
        ("one of several", &without_own, Selector::Default, Err(SelectionProblem::Ambiguous)),
        ("the only one", &only, Selector::Default, Ok(ASSIGNED)),
        ("none", &nobody, Selector::Default, Err(SelectionProblem::Unknown)),
    ];
    for (name, directory, selector, expected) in rows {
        let found = directory.managed_identity(&selector).map(|identity| identity.client_id);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_seed_that_contradicts_itself_is_refused_with_its_reason() {
    let with_key = |key: &str| SEED.replace(SUBJECT, &format!("{SUBJECT}\"\n{key}"));
    let issuer = "issuer https://cluster.example/ needs one of public_key (RSA, PEM) and jwks (a JSON key set)";
    let rows = [
        (
            SEED.replace(&ASSIGNED_OBJECT.to_string(), &APP_OBJECT.to_string()),
            "id a0000000-0000-0000-0000-0000000000ff is used by two identities",
        ),
        (
            SEED.replace("\"generate\"", "\"no certificate\""),
            "certificate of application a0000000-0000-0000-0000-000000000001 is no RSA certificate in PEM",
        ),
        (with_key("public_key = \"no key"), issuer),
        (with_key("jwks = \"no JSON"), issuer),
        (with_key("jwks = '{\"keys\": []}'\npublic_key = \"both"), issuer),
    ];
    for (seed, expected) in rows {
        let refused = Directory::new(toml::from_str(&seed).unwrap(), None).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
}

#[test]
fn unknown_keys_of_a_seed_are_refused_at_every_level() {
    for table in ["", "[lifetimes]\n", "[app_service]\n", "[azure_ml]\n", "[user]\n", "[[applications]]\n"] {
        let refused = toml::from_str::<DirectorySeed>(&format!("{table}tenent = \"x\"\n")).unwrap_err();
        assert!(refused.message().contains("tenent"), "{table:?}: {refused}");
    }
}

#[test]
fn a_directory_that_is_made_again_from_its_keys_believes_what_it_signed_before() {
    let first = Directory::new(toml::from_str(SEED).unwrap(), None).unwrap();
    let again = Directory::new(toml::from_str(SEED).unwrap(), Some(&first.keys_pem())).unwrap();
    let token = first.token_for(APP_OBJECT, VAULT, noon()).unwrap();
    assert!(again.verify(&token, VAULT, noon()).is_ok());
    assert_eq!(again.certificate_pem(APP), first.certificate_pem(APP));
    let projected = first.mint_federated(CLUSTER, SUBJECT, "api://AzureADTokenExchange", noon());
    let application = again.application(APP).unwrap();
    assert_eq!(again.check_assertion(&application, (&projected, &[]), noon()), Ok(()));
}

#[test]
fn only_a_generated_certificate_comes_with_a_key() {
    let directory = directory(SEED);
    let pem = directory.certificate_pem(APP).unwrap();
    for label in ["PRIVATE KEY", "CERTIFICATE"] {
        assert_eq!(pem.matches(&format!("-----BEGIN {label}-----")).count(), 1, "{label}");
    }
    assert_eq!(directory.certificate_pem(ASSIGNED), None);
}

#[test]
fn neither_seed_nor_directory_shows_a_secret() {
    let seed: DirectorySeed = toml::from_str(SEED).unwrap();
    let shown = format!("{seed:?} {:?}", Directory::new(seed.clone(), None).unwrap());
    for secret in ["first-secret", "header-value", "msi-secret", "PRIVATE KEY"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn what_the_seed_leaves_out_is_made_up_anew() {
    let (one, two) = (directory(""), directory(""));
    assert_eq!(one.identity_header().len(), 32);
    assert_ne!(one.identity_header(), two.identity_header());
    assert_ne!(one.msi_secret(), two.msi_secret());
    assert_eq!(one.tenant(), seed::DEFAULT_TENANT);
}

#[test]
fn a_resource_is_an_absolute_uri_or_an_application_id() {
    let rows = [
        ("https://vault.azure.net", true),
        ("https://management.core.windows.net/", true),
        ("https://127.0.0.1:8443", true),
        ("api://AzureADTokenExchange", true),
        ("cfa8b339-82a2-471a-a3c9-0fc0be7a4093", true),
        ("vault.azure.net", false),
        ("https://", false),
        ("https:///x", false),
        ("", false),
    ];
    for (text, expected) in rows {
        assert_eq!(is_resource(text), expected, "{text:?}");
    }
}
