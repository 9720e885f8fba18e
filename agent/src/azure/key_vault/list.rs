//! What is in the vault, page by page: names and times, no values and no versions.

use std::collections::BTreeMap;

use azure_core::error::ErrorKind;
use azure_security_keyvault_secrets::ResourceExt as _;
use azure_security_keyvault_secrets::models::SecretProperties;
use futures::TryStreamExt as _;

use super::answer::refusal;
use super::{KeyVault, Refused, UnusableAnswer, timestamp, unusable};
use crate::schedule::Facts;
use crate::secret::SecretName;
use crate::vault::Listed;

impl KeyVault {
    /// Lists the vault, 25 secrets a request, in at most `calls_max` requests.
    ///
    /// # Errors
    /// [`Refused`], by the first request that fails.
    pub(super) async fn list_pages(&self, calls_max: usize) -> Result<Listed, Refused> {
        let failed = |error: azure_core::Error| match error.kind() {
            // The parser's error is dropped: it may quote what it could not parse.
            ErrorKind::DataConversion => unusable(UnusableAnswer::NotAList).into(),
            _ => refusal(error, self.url.name(), self.clock.now()),
        };
        let mut pages = self.client.list_secret_properties(None).map_err(failed)?.into_pages();
        let (mut facts, mut calls) = (BTreeMap::new(), 0);
        loop {
            let next = self.in_time(async { pages.try_next().await.map_err(failed) }).await?;
            let Some(page) = next else { return Ok(Listed::Whole { facts, calls }) };
            calls += 1;
            let page = page.into_model().map_err(|_| unusable(UnusableAnswer::NotAList))?;
            let is_last = page.next_link.as_deref().is_none_or(str::is_empty);
            for item in page.value {
                let (name, facts_of_one) = facts_of(&item).map_err(unusable)?;
                facts.insert(name, facts_of_one);
            }
            if is_last {
                return Ok(Listed::Whole { facts, calls });
            }
            if calls >= calls_max {
                return Ok(Listed::TooLong { calls });
            }
        }
    }
}

/// The folded name of an entry, and what the list says about it.
pub(super) fn facts_of(item: &SecretProperties) -> Result<(SecretName, Facts), UnusableAnswer> {
    let id = item.resource_id().map_err(|_| UnusableAnswer::NotAList)?;
    let name: SecretName = id.name.parse().map_err(|_| UnusableAnswer::NotAList)?;
    let attributes = item.attributes.clone().unwrap_or_default();
    let facts = Facts {
        // A secret that does not say is as its default: enabled.
        enabled: attributes.enabled.unwrap_or(true),
        updated: attributes.updated.and_then(timestamp),
        expires: attributes.expires.and_then(timestamp),
    };
    Ok((name.folded(), facts))
}
