//! What an emulator must hold for a recording to happen again: read off the recording, written as a seed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use uuid::Uuid;

use crate::cassette::Recording;
use crate::json::Json;

/// The application that every replay signs in as.
pub(crate) const CLIENT_ID: &str = "0a7bdc5c-7b57-40be-9939-d4c5fc7cd417";
pub(crate) const OBJECT_ID: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const CLIENT_SECRET: &str = "replayed-client-secret";

/// The tenant where a recording blotted out its own: that of the other recordings.
pub(crate) const TENANT: Uuid = Uuid::from_u128(0x72f9_88bf_86f1_41af_91ab_2d7c_d011_db47);

/// How long deletions and recoveries take, in seconds of the emulator's clock. A replay moves that clock where the
/// recording shows one as complete; this is longer than all calls before that take together.
pub(crate) const CHANGES_TAKE_SECONDS: u64 = 120;

/// A seed file.
#[derive(Debug, Serialize)]
pub(crate) struct Seed {
    pub(crate) directory: Directory,
    pub(crate) vaults: Vec<Vault>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Directory {
    tenant: Uuid,
    applications: [Application; 1],
}

#[derive(Debug, Serialize)]
struct Application {
    app_id: &'static str,
    object_id: &'static str,
    secrets: [&'static str; 1],
}

/// A vault of a seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Vault {
    pub(crate) name: String,
    pub(crate) location: String,
    pub(crate) authorization: &'static str,
    pub(crate) soft_delete_days: u16,
    pub(crate) delete_takes: String,
    pub(crate) recover_takes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) firewall: Option<BTreeMap<&'static str, &'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) throttle: Option<Throttle>,
    pub(crate) role_assignments: Vec<RoleAssignment>,
    pub(crate) access_policies: Vec<AccessPolicy>,
    pub(crate) secrets: Vec<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Throttle {
    pub(crate) calls: u32,
    pub(crate) per: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RoleAssignment {
    principal: &'static str,
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AccessPolicy {
    principal: &'static str,
    secrets: [&'static str; 1],
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<BTreeMap<String, String>>,
}

impl Seed {
    pub(crate) fn new(tenant: Uuid, vaults: Vec<Vault>) -> Seed {
        let application = Application { app_id: CLIENT_ID, object_id: OBJECT_ID, secrets: [CLIENT_SECRET] };
        Seed { directory: Directory { tenant, applications: [application] }, vaults }
    }

    /// The seed from which `recording` can happen again.
    pub(crate) fn of(recording: &Recording) -> Result<Seed> {
        Ok(Seed::new(tenant(recording).unwrap_or(TENANT), vec![Vault::of(recording)?]))
    }

    pub(crate) fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("the seed cannot be written")
    }
}

impl Vault {
    /// A vault in which the test's application may do anything.
    pub(crate) fn open(name: &str, by_roles: bool) -> Vault {
        let changes_take = format!("{CHANGES_TAKE_SECONDS}s");
        let role = RoleAssignment { principal: OBJECT_ID, role: "Key Vault Secrets Officer" };
        let policy = AccessPolicy { principal: OBJECT_ID, secrets: ["all"] };
        Vault {
            name: name.to_owned(),
            location: "eastus".to_owned(),
            authorization: if by_roles { "rbac" } else { "access-policies" },
            soft_delete_days: 90,
            delete_takes: changes_take.clone(),
            recover_takes: changes_take,
            firewall: None,
            throttle: None,
            role_assignments: by_roles.then_some(role).into_iter().collect(),
            access_policies: (!by_roles).then_some(policy).into_iter().collect(),
            secrets: Vec::new(),
        }
    }

    fn of(recording: &Recording) -> Result<Vault> {
        let header = |name: &str| recording.exchanges.iter().find_map(|exchange| exchange.headers.get(name));
        let by_roles = header("x-ms-keyvault-rbac-assignment-id").is_some();
        Ok(Vault {
            location: header("x-ms-keyvault-region").context("no answer names a region")?.clone(),
            soft_delete_days: retention_days(recording).context("no answer shows a recovery level")?,
            secrets: secrets_before(recording),
            ..Vault::open(recording.vault()?, by_roles)
        })
    }
}

fn tenant(recording: &Recording) -> Option<Uuid> {
    let challenge = recording.exchanges.iter().find_map(|exchange| exchange.headers.get("www-authenticate"))?;
    let (_, authority) = challenge.split_once("authorization=\"")?;
    let tenant = Uuid::try_parse(authority.split('"').next()?.rsplit('/').next()?).ok()?;
    (!tenant.is_nil()).then_some(tenant)
}

/// How long the vault keeps what is deleted, as attributes show it; 0 for a vault without soft delete.
fn retention_days(recording: &Recording) -> Option<u16> {
    let attributes = recording.exchanges.iter().find_map(|exchange| {
        let body = exchange.body.as_ref()?;
        let first = body.member("value").and_then(|value| value.items().first());
        body.member("attributes").or(first.and_then(|item| item.member("attributes"))).cloned()
    })?;
    match attributes.member("recoveryLevel")?.text()? {
        "Purgeable" => Some(0),
        "Recoverable+Purgeable" => Some(90),
        _ => u16::try_from(attributes.member("recoverableDays")?.number()?).ok(),
    }
}

/// The secrets that the vault held before: those that a list shows, though the recording never wrote them.
fn secrets_before(recording: &Recording) -> Vec<Secret> {
    let is_list = |target: &str| target.starts_with("/secrets?");
    let listed = recording.exchanges.iter().filter(|exchange| is_list(&exchange.target));
    let items = listed.filter_map(|exchange| exchange.body.as_ref()?.member("value")).flat_map(Json::items);
    let written = |name: &str| {
        let path = format!("/secrets/{name}");
        recording.exchanges.iter().any(|exchange| exchange.method == "PUT" && exchange.path() == path)
    };
    items.filter_map(secret_before).filter(|secret| !written(&secret.name)).collect()
}

fn secret_before(item: &Json) -> Option<Secret> {
    let tags = item.member("tags").and_then(|tags| {
        let Json::Object(members) = tags else { return None };
        Some(members.iter().filter_map(|(name, value)| Some((name.clone(), value.text()?.to_owned()))).collect())
    });
    Some(Secret {
        name: item.member("id")?.text()?.rsplit('/').next()?.to_owned(),
        value: "not recorded".to_owned(),
        content_type: item.member("contentType").and_then(Json::text).map(str::to_owned),
        enabled: Some(item.member("attributes")?.member("enabled") == Some(&Json::Flag(true))),
        tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cassette;

    #[test]
    fn a_vault_is_read_off_its_recording() {
        let recordings = cassette::load().unwrap();
        let vault = |name: &str| {
            Vault::of(recordings.iter().find(|recording| recording.name.ends_with(name)).unwrap()).unwrap()
        };
        let rows = [
            ("client.test_recover", "vault458ad70cc7daf10d3a", "access-policies", 90, 0),
            ("client.test_secret_list", "vault458ad70cc713d40ee5", "access-policies", 0, 0),
            ("kv_secret_purge_2025-02", "tcac7e9c41ef52cec", "rbac", 7, 0),
            ("kv_secret_list_2025-02", "tcac7e9c41ef52cec", "rbac", 7, 5),
            ("kv_secret_crud_2026-05", "vaultname", "rbac", 90, 0),
        ];
        for (recording, name, authorization, days, secrets) in rows {
            let vault = vault(recording);
            assert_eq!((vault.name.as_str(), vault.authorization), (name, authorization), "{recording}");
            assert_eq!((vault.location.as_str(), vault.soft_delete_days), ("westus", days), "{recording}");
            assert_eq!(vault.secrets.len(), secrets, "{recording}");
        }
        let updated = vault("kv_secret_list_2025-02").secrets.pop().unwrap();
        assert_eq!((updated.name.as_str(), updated.content_type.as_deref()), ("update-secret", Some("text/plain")));
        assert_eq!(updated.tags.unwrap()["test-name"], "update_secret_properties");
    }

    #[test]
    fn a_blotted_out_tenant_is_that_of_the_other_recordings() {
        for recording in cassette::load().unwrap() {
            assert_eq!(Seed::of(&recording).unwrap().directory.tenant, TENANT, "{}", recording.name);
        }
    }
}
