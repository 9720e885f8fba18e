//! What provokes each collected error: the vaults that refuse, and the request that is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64ct::{Base64UrlUnpadded, Encoding};
use uuid::Uuid;

use crate::emulated::{AUTHORITY, Answer, Call, Emulated};
use crate::seed::{CHANGES_TAKE_SECONDS, CLIENT_ID, OBJECT_ID, Secret, Seed, TENANT, Throttle, Vault};

/// A tenant that no vault trusts.
const OTHER_TENANT: Uuid = Uuid::from_u128(0x0b5c_0de0_0000_4000_8000_0000_0000_0009);
/// Where the vaults are when a seed does not say: what resource ids are built from.
const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
const RESOURCE_GROUP: &str = "keyside";

const VAULT_SCOPE: &str = "https://vault.azure.net/.default";
const API_VERSION: &str = "api-version=2026-04-01";
/// The service account whose token is refused, as Azure's own documentation has it.
const ASSERTION: [(&str, &str); 3] = [
    ("iss", "https://oidc.prod-aks.azure.com/XXXXXX/"),
    ("sub", "system:serviceaccount:default:workload-identity-sa"),
    ("aud", "api://AzureADTokenExchange"),
];

/// An error that was provoked, and what its model's placeholders stand for.
#[derive(Debug)]
pub(crate) struct Provoked {
    pub(crate) request: String,
    pub(crate) answer: Answer,
    pub(crate) placeholders: Vec<(&'static str, String)>,
}

/// An emulator with one vault for each way of being refused.
#[derive(Debug)]
pub(crate) struct Stage {
    emulated: Emulated,
    /// Issues tokens of another tenant.
    elsewhere: Emulated,
}

impl Stage {
    pub(crate) async fn set() -> Result<Stage> {
        let elsewhere =
            Emulated::start(&Seed::new(OTHER_TENANT, vec![Vault::open("elsewhere", true)]).to_toml()?).await?;
        Ok(Stage { emulated: Emulated::start(&Seed::new(TENANT, vaults()).to_toml()?).await?, elsewhere })
    }

    /// Provokes the error that `label` tells from others.
    ///
    /// # Errors
    /// No request is known to provoke it.
    pub(crate) async fn provoke(&self, label: &str) -> Result<Provoked> {
        match label {
            "AADSTS7000215" => return self.ask_token(&[("client_secret", "not-the-secret")]).await,
            "AADSTS70021" => {
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let assertion = assertion()?;
                return self.ask_token(&[("client_assertion_type", kind), ("client_assertion", &assertion)]).await;
            }
            _ => {}
        }
        let token = match label {
            "Unauthorized AKV10000" => None,
            // The resource has a slash of its own at its end, and a token for it too.
            "Unauthorized AKV10022" => Some(self.emulated.token("https://management.azure.com//.default").await?),
            "Unauthorized AKV10032" => Some(self.elsewhere.token(VAULT_SCOPE).await?),
            _ => Some(self.emulated.token(VAULT_SCOPE).await?),
        };
        let (vault, method, path, body) = refused(label)?;
        let asking = Asking { emulated: &self.emulated, vault, token: token.as_deref() };
        for (method, path, body) in prepared(label) {
            let answer = asking.ask(method, path, body).await?;
            if answer.status != 200 {
                bail!("{method} {path} was to prepare, and was answered {}", answer.status);
            }
        }
        if label == "ObjectIsDeletedButRecoverable" {
            self.emulated.advance(Duration::from_secs(CHANGES_TAKE_SECONDS));
        }
        let answer = asking.ask(method, path, body).await?;
        let name = path.rsplit('/').next().unwrap_or_default();
        Ok(Provoked { request: format!("{method} {path}"), answer, placeholders: placeholders(vault, name) })
    }

    async fn ask_token(&self, credential: &[(&str, &str)]) -> Result<Provoked> {
        let mut credential = credential.to_vec();
        credential.push(("scope", VAULT_SCOPE));
        let answer = self.emulated.ask_token(&credential).await?;
        let request = format!("POST {AUTHORITY}/TENANT/oauth2/v2.0/token");
        Ok(Provoked { request, answer, placeholders: placeholders("", "") })
    }
}

/// A caller of one vault.
struct Asking<'a> {
    emulated: &'a Emulated,
    vault: &'a str,
    token: Option<&'a str>,
}

impl Asking<'_> {
    async fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Result<Answer> {
        let host = format!("{}.vault.azure.net", self.vault);
        let target = format!("{path}?{API_VERSION}");
        let content_type = body.map(|_| "application/json");
        self.emulated.call(&Call { method, host: &host, target: &target, token: self.token, content_type, body }).await
    }
}

fn vaults() -> Vec<Vault> {
    let secret = |name: &str, enabled| Secret {
        name: name.into(),
        value: "x".into(),
        enabled: Some(enabled),
        ..Secret::default()
    };
    let names = ["stored", "deleting", "purging", "deleted"].map(|name| secret(name, true));
    let secrets = names.into_iter().chain([secret("disabled", false)]).collect();
    let firewall = |name, value| Some(BTreeMap::from([(name, value)]));
    let throttle = Some(Throttle { calls: 1, per: "1h" });
    vec![
        Vault { secrets, ..Vault::open("open", true) },
        Vault { role_assignments: Vec::new(), ..Vault::open("without-roles", true) },
        Vault { access_policies: Vec::new(), ..Vault::open("without-policies", false) },
        Vault { firewall: firewall("default_action", "deny"), ..Vault::open("walled", true) },
        Vault { firewall: firewall("public_network_access", "disabled"), ..Vault::open("private", true) },
        Vault { throttle, ..Vault::open("throttled", true) },
    ]
}

type Ask = (&'static str, &'static str, Option<&'static str>);

/// What must be asked, and granted, before the refused request.
fn prepared(label: &str) -> Vec<Ask> {
    match label {
        "SecretNotFound Deleted" => vec![("DELETE", "/secrets/deleting", None)],
        "ObjectIsBeingDeleted" => vec![("DELETE", "/secrets/purging", None)],
        "ObjectIsDeletedButRecoverable" => vec![("DELETE", "/secrets/deleted", None)],
        "Throttled Request" => vec![("GET", "/secrets", None)],
        _ => Vec::new(),
    }
}

/// The vault that refuses, and the request that it refuses.
fn refused(label: &str) -> Result<(&'static str, &'static str, &'static str, Option<&'static str>)> {
    let get = |vault, path| (vault, "GET", path, None);
    Ok(match label {
        "Unauthorized AKV10000" | "Unauthorized AKV10022" | "Unauthorized AKV10032" => get("open", "/secrets/stored"),
        "ForbiddenByRbac" => get("without-roles", "/secrets/stored"),
        "AccessDenied" => get("without-policies", "/secrets/stored"),
        "ForbiddenByFirewall" => get("walled", "/secrets/stored"),
        "ForbiddenByConnection" => get("private", "/secrets/stored"),
        "SecretDisabled" => get("open", "/secrets/disabled"),
        "SecretNotFound A" => get("open", "/secrets/absent"),
        "SecretNotFound Deleted" => get("open", "/deletedsecrets/deleting"),
        "ObjectIsBeingDeleted" => ("open", "DELETE", "/deletedsecrets/purging", None),
        "ObjectIsDeletedButRecoverable" => ("open", "PUT", "/secrets/deleted", Some(r#"{"value":"x"}"#)),
        "Throttled Request" => get("throttled", "/secrets"),
        "BadParameter Property" => ("open", "PUT", "/secrets/empty", Some(r#"{"value":""}"#)),
        _ => bail!("nobody wrote down what provokes it"),
    })
}

fn placeholders(vault: &str, name: &str) -> Vec<(&'static str, String)> {
    let (tenant, other_tenant) = (TENANT.to_string(), OTHER_TENANT.to_string());
    let meanings: [(&'static str, &str); 11] = [
        ("<tenant>", &tenant),
        ("<t>", &tenant),
        ("<other>", &other_tenant),
        ("<appid>", CLIENT_ID),
        ("<app>", CLIENT_ID),
        ("<oid>", OBJECT_ID),
        ("<s>", SUBSCRIPTION),
        ("<rg>", RESOURCE_GROUP),
        ("<v>", vault),
        ("<n>", name),
        ("<name>", name),
    ];
    meanings.map(|(placeholder, value)| (placeholder, value.to_owned())).to_vec()
}

/// The token of a service account that the application does not trust. No key is asked for its signature.
fn assertion() -> Result<String> {
    let claims: BTreeMap<&str, &str> = ASSERTION.into_iter().collect();
    let mut claims = serde_json::to_value(claims)?;
    let members = claims.as_object_mut().context("claims are an object")?;
    // From 2020 to 2100.
    members.insert("nbf".into(), 1_577_836_800.into());
    members.insert("exp".into(), 4_102_444_800_i64.into());
    let parts = [r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#.to_owned(), claims.to_string(), "no signature".to_owned()];
    Ok(parts.map(|part| Base64UrlUnpadded::encode_string(part.as_bytes())).join("."))
}
