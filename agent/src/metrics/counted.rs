//! A vault whose requests are counted and timed.

use std::sync::Arc;

use tokio::time::Instant;

use super::Metrics;
use crate::secret::Secret;
use crate::vault::{FetchError, Listed, Source, Vault};

/// Counts and times every request to a vault.
#[derive(Debug)]
pub struct Counted<V> {
    vault: V,
    metrics: Arc<Metrics>,
}

impl<V> Counted<V> {
    /// Counts what `vault` does in `metrics`.
    pub fn new(vault: V, metrics: Arc<Metrics>) -> Self {
        Self { vault, metrics }
    }
}

impl<V: Vault> Vault for Counted<V> {
    async fn fetch(&self, source: &Source) -> Result<Secret, FetchError> {
        let start = Instant::now();
        let fetched = self.vault.fetch(source).await;
        self.metrics.asked("get", outcome(&fetched), 1, start.elapsed());
        fetched
    }

    async fn list(&self, calls_max: usize) -> Result<Listed, FetchError> {
        let start = Instant::now();
        let listed = self.vault.list(calls_max).await;
        // Of a list that failed on the way, only the request that failed counts.
        let calls = listed.as_ref().map_or(1, Listed::calls);
        self.metrics.asked("list", outcome(&listed), calls, start.elapsed());
        listed
    }
}

fn outcome<T>(result: &Result<T, FetchError>) -> &'static str {
    result.as_ref().map_or_else(FetchError::code, |_| "ok")
}
