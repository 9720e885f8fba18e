//! What a resource has several of, told apart by their names, where Azure does not take two that say the same.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;

use crate::azure::Azure;
use crate::declaration::Declaration;
use crate::item::{Item, Known, Label, Observed};

/// One of several: an equal one under another name is left alone, and does for this estate as well.
#[derive(Debug)]
pub struct Sibling(pub Declaration);

#[async_trait]
impl Item for Sibling {
    fn label(&self) -> Label {
        self.0.label()
    }

    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed> {
        let observed = self.0.observe(azure, known).await?;
        if observed.document.is_some() {
            return Ok(observed);
        }
        let path = format!("{}?api-version={}", self.0.id.collection(), self.0.api);
        let mut others = azure.arm.list(&self.label(), &path).await?.into_iter();
        let equal = others.find(|one| self.0.differences(one).is_empty());
        Ok(equal.map_or(observed, |document| Observed::present(document, false)))
    }

    async fn write(&self, azure: &Azure, known: &Known, observed: &Observed) -> Result<Value> {
        self.0.write(azure, known, observed).await
    }

    async fn remove(&self, azure: &Azure, known: &Known, purge: bool) -> Result<Option<String>> {
        self.0.remove(azure, known, purge).await
    }
}
