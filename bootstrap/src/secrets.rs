//! Secrets after the first day: set, rotated, and what they replaced retired.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use keyside::clock::Clock as _;
use keyside::secret::{SecretName, Version};

use crate::azure::Azure;
use crate::config::{Config, Source};
use crate::resources::{estate, secret::Seed, vault};
use crate::vault_data::Listed;

/// Sets `name` to a value from `source`, with the content type and expiry of the file where it names the secret.
///
/// # Errors
/// When the value cannot be had, or the vault refuses it.
pub async fn set(config: &Config, azure: &Azure, name: &SecretName, source: Source) -> Result<Version> {
    let stated = config.secrets.iter().find(|secret| secret.name == *name);
    let seed = Seed {
        vault: config.id_of(vault::KIND, &config.vault.place),
        name: name.clone(),
        content_type: stated.and_then(|secret| secret.content_type.clone()),
        expires_in: stated.and_then(|secret| secret.expires_in),
        source,
        estate: estate(config),
    };
    let value = azure.values.take(&seed.source)?;
    Ok(azure.vault.set(name, &seed.version(azure, &value)).await?)
}

/// Sets `name` to a new generated value.
///
/// # Errors
/// When the file has no recipe for it, or the vault refuses it.
pub async fn rotate(config: &Config, azure: &Azure, name: &SecretName) -> Result<Version> {
    let stated = config.secrets.iter().find(|secret| secret.name == *name);
    let stated = stated.with_context(|| format!("the file has no [[secret]] with the name {name}"))?;
    let Source::Generated(_) = &stated.source else {
        bail!("the value of {name} is not generated: set the new one with `keyside-bootstrap secret set {name}`");
    };
    set(config, azure, name, stated.source.clone()).await
}

/// Disables the versions of `name` that were superseded more than `older_than` ago.
///
/// # Errors
/// When the vault refuses it.
pub async fn retire(azure: &Azure, name: &SecretName, older_than: Duration) -> Result<Vec<Version>> {
    let versions = azure.vault.versions(name).await?;
    if versions.is_empty() {
        bail!("the vault has no secret with the name {name}");
    }
    let retired = superseded(versions, azure.clock.now(), older_than);
    for version in &retired {
        azure.vault.disable(name, version).await?;
    }
    Ok(retired)
}

/// The enabled versions that another one took the place of more than `older_than` before `now`; oldest first. The newest
/// is never one of them, and as times are whole seconds, neither is any that was made in the same one.
fn superseded(mut versions: Vec<Listed>, now: Timestamp, older_than: Duration) -> Vec<Version> {
    versions.sort_by_key(|version| version.created);
    let limit = SignedDuration::try_from(older_than).ok().and_then(|span| now.checked_sub(span).ok());
    let newest = versions.last().and_then(|version| version.created);
    let followers: Vec<_> = versions.iter().skip(1).map(|next| next.created).collect();
    versions
        .into_iter()
        .zip(followers)
        .filter(|(version, superseded)| {
            version.enabled && version.created < newest && superseded.is_some() && *superseded <= limit
        })
        .filter_map(|(version, _)| version.version)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn version(digit: char, created: &str, enabled: bool) -> Listed {
        Listed {
            name: "db".to_owned(),
            version: digit.to_string().repeat(32).parse().ok(),
            enabled,
            created: Some(created.parse().expect("a time")),
            tags: BTreeMap::new(),
        }
    }

    #[test]
    fn what_counts_is_when_a_version_was_superseded_and_not_when_it_was_made() {
        let versions = vec![
            version('4', "2026-11-20T00:00:00Z", true),
            version('1', "2025-01-01T00:00:00Z", true),
            version('2', "2025-02-01T00:00:00Z", false),
            version('3', "2025-03-01T00:00:00Z", true),
        ];
        let now = "2026-11-24T00:00:00Z".parse().expect("a time");
        let days = |days: u64| Duration::from_hours(24 * days);
        let retired = |days| {
            superseded(versions.clone(), now, days).iter().map(|one| one.as_str()[..1].to_owned()).collect::<String>()
        };
        assert_eq!(retired(days(30)), "1", "3 was the newest until four days ago, and 2 is disabled");
        assert_eq!(retired(days(1)), "13");
        assert_eq!(retired(days(10_000)), "");
        assert_eq!(retired(Duration::ZERO), "13", "the newest stays");
        let twins = vec![version('1', "2026-11-20T00:00:00Z", true), version('2', "2026-11-20T00:00:00Z", true)];
        assert_eq!(superseded(twins, now, Duration::ZERO), [], "nobody can tell which of the two is served");
    }
}
