//! The resource group: made first, and removed last if nothing of anybody else is in it.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{estate, tag_fields};
use crate::azure::Azure;
use crate::config::Config;
use crate::declaration::{ChangedBy, Declaration, Mark};
use crate::field::Field;
use crate::item::{Item, Key, Known, Label, Observed};

const API: &str = "2021-04-01";

/// A resource group.
#[derive(Debug)]
pub struct Group(Declaration);

impl Group {
    /// The resource group that the configuration names.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let fields = [Field::new("location", config.location.as_str()).region().fixed()];
        Self(Declaration {
            key: Key::Unnamed,
            kind: "resource group",
            id: config.group_id(),
            api: API,
            mark: Mark::Tag(estate(config)),
            document: json!({"location": config.location, "tags": config.tags}),
            fields: fields.into_iter().chain(tag_fields(config)).collect(),
            changed_by: ChangedBy::Patch,
            purge_query: "",
        })
    }

    /// What is in the group, by id.
    async fn resources(&self, azure: &Azure) -> Result<Vec<String>> {
        let path = format!("{}/resources?api-version={API}", self.0.id);
        let resources = azure.arm.list(&self.0.label(), &path).await?;
        let id = |one: &Value| one.get("id").and_then(Value::as_str).map(str::to_owned);
        Ok(resources.iter().filter_map(id).filter(|id| !is_companion(id)).collect())
    }
}

/// Azure makes these beside an Application Insights component, and nobody would call them their own.
fn is_companion(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    id.contains("/microsoft.alertsmanagement/smartdetectoralertrules/")
        || id.ends_with("/microsoft.insights/actiongroups/application insights smart detection")
}

#[async_trait]
impl Item for Group {
    fn label(&self) -> Label {
        self.0.label()
    }

    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed> {
        self.0.observe(azure, known).await
    }

    async fn write(&self, azure: &Azure, known: &Known, observed: &Observed) -> Result<Value> {
        self.0.write(azure, known, observed).await
    }

    async fn remove(&self, azure: &Azure, _known: &Known, purge: bool) -> Result<Option<String>> {
        let left = self.resources(azure).await?;
        if !left.is_empty() {
            return Ok(Some(format!("it still holds what this program did not make: {}", left.join(", "))));
        }
        self.0.delete(azure, purge).await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_azure_adds_by_itself_is_told_from_what_people_add() {
        let group = "/subscriptions/s/resourceGroups/g/providers";
        let rows = [
            ("microsoft.alertsManagement/smartDetectorAlertRules/failure anomalies - i", true),
            ("microsoft.insights/actiongroups/Application Insights Smart Detection", true),
            ("microsoft.insights/actiongroups/on-call", false),
            ("Microsoft.Storage/storageAccounts/theirs", false),
        ];
        for (rest, companion) in rows {
            assert_eq!(is_companion(&format!("{group}/{rest}")), companion, "{rest}");
        }
    }
}
