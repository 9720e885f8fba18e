//! The registration of a resource provider, without which a subscription knows nothing of its resources.

use anyhow::{Result, bail};
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::arm::{ArmError, Call};
use crate::azure::Azure;
use crate::item::{Decision, Item, Known, Label, Observed, Removal};

/// What a registration is called.
pub const KIND: &str = "provider registration";

/// The version of the interface of registrations.
pub const API: &str = "2021-04-01";

/// Pause between two looks at a registration, which takes from seconds to minutes.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// A resource provider.
#[derive(Debug)]
pub struct Provider {
    subscription: Uuid,
    namespace: &'static str,
}

impl Provider {
    /// The provider `namespace` of `subscription`.
    #[must_use]
    pub fn new(subscription: Uuid, namespace: &'static str) -> Self {
        Self { subscription, namespace }
    }

    fn path(&self, more: &str) -> String {
        format!("/subscriptions/{}/providers/{}{more}?api-version={API}", self.subscription, self.namespace)
    }

    async fn read(&self, azure: &Azure) -> Result<Value, ArmError> {
        Ok(azure.arm.get(&self.label(), &self.path("")).await?.unwrap_or_default())
    }
}

fn decide(document: &Value) -> Decision {
    match document.get("registrationState").and_then(Value::as_str) {
        Some("Registered") => Decision::Leave,
        Some(word @ ("Registering" | "Unregistering")) => Decision::Await(word.to_owned()),
        _ => Decision::Create,
    }
}

#[async_trait]
impl Item for Provider {
    fn label(&self) -> Label {
        Label { kind: KIND, name: self.namespace.to_owned() }
    }

    async fn observe(&self, azure: &Azure, _known: &Known) -> Result<Observed> {
        let document = match self.read(azure).await {
            // Who has rights on a group alone may not look, and somebody else has to have registered it.
            Err(error) if error.status() == Some(403) => {
                return Ok(Observed::present(Value::Null, false)
                    .with_note("this sign-in may not see it: it is taken to be there"));
            }
            outcome => outcome?,
        };
        // Others in the subscription may rely on it by now: it is nobody's to remove.
        Ok(Observed {
            decision: decide(&document),
            document: Some(document),
            ours: false,
            deleted: false,
            notes: Vec::new(),
        })
    }

    async fn write(&self, azure: &Azure, _known: &Known, observed: &Observed) -> Result<Value> {
        let label = self.label();
        if observed.decision != Decision::Await("Registering".to_owned()) {
            let call = Call::new(&label, "register", Method::Post, self.path("/register"));
            azure.arm.send(&call).await?;
        }
        let start = tokio::time::Instant::now();
        loop {
            let document = self.read(azure).await?;
            if decide(&document) == Decision::Leave {
                return Ok(document);
            }
            let patience = azure.arm.patience().operation;
            if start.elapsed() > patience {
                bail!("{label} was not registered within {patience:?}: run this again, which goes on waiting");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn remove(&self, _azure: &Azure, _known: &Known, _purge: bool) -> Result<Option<String>> {
        Ok(None)
    }

    fn removal(&self) -> Removal {
        Removal::Never
    }
}
