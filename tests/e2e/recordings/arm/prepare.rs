//! What must exist for a recorded conversation with Resource Manager to happen again.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cassette::{Exchange, Recording};
use crate::seed::{CLIENT_ID, CLIENT_SECRET, OBJECT_ID};

pub(crate) const HOST: &str = "management.azure.com";

/// How long every operation takes, in seconds of the emulator's clock. A replay moves that clock where the recording
/// shows one as complete.
pub(crate) const TAKES_SECONDS: u64 = 120;

/// Recorded principals and roles that exist nowhere else, with those that stand for them.
const SUBSTITUTES: [(&str, &str); 2] = [
    ("123743cc-88ef-49ee-920e-13958fe5697d", OBJECT_ID),
    ("e078ab98-ef3a-4c9a-aba7-12f5172b45d0", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
];

/// `body` with everything replaced that must exist.
pub(crate) fn substituted(body: &str) -> String {
    SUBSTITUTES.iter().fold(body.to_owned(), |body, (recorded, live)| body.replace(recorded, live))
}

/// The seed from which `recording` can happen again: its tenant, its subscription, and an owner.
pub(crate) fn seed(recording: &Recording) -> String {
    let subscription = subscription(recording);
    let tenant = tenant(recording);
    let takes = format!(" = \"{TAKES_SECONDS}s\"\n");
    let takes: String = [
        "group_deletion_takes",
        "vault_takes",
        "vault_purge_takes",
        "storage_takes",
        "log_analytics_takes",
        "workspace_takes",
    ]
    .iter()
    .flat_map(|name| [name, takes.as_str()])
    .collect();
    format!(
        r#"
        [directory]
        tenant = "{tenant}"
        [[directory.applications]]
        app_id = "{CLIENT_ID}"
        object_id = "{OBJECT_ID}"
        secrets = ["{CLIENT_SECRET}"]
        [[vaults]]
        name = "sample-vault"
        subscription = "00000000-0000-4000-8000-00000000000f"
        [subscription]
        id = "{subscription}"
        [[subscription.role_assignments]]
        principal = "{OBJECT_ID}"
        role = "Owner"
        [arm]
        {takes}
        "#
    )
}

fn subscription(recording: &Recording) -> String {
    let path = recording.exchanges.iter().map(Exchange::path);
    let mut named = path.filter_map(|path| path.strip_prefix("/subscriptions/")?.split('/').next());
    named.next().unwrap_or_default().to_owned()
}

fn tenant(recording: &Recording) -> String {
    let bodies = recording.exchanges.iter().filter_map(|exchange| exchange.body.as_ref());
    let mut named = bodies.filter_map(|body| body.member("properties")?.member("tenantId")?.text());
    named.next().unwrap_or("72f988bf-86f1-41af-91ab-2d7cd011db47").to_owned()
}

/// The calls that make what the recording found: its groups, and what a workspace is linked to.
pub(crate) fn calls(recording: &Recording) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = groups_before(recording)
        .into_iter()
        .map(|group| (format!("{group}?api-version=2021-04-01"), json!({ "location": "eastus" }).to_string()))
        .collect();
    if recording.name.starts_with("arm_mlworkspace") {
        calls.extend(linked_before(recording));
    }
    calls
}

/// The groups that the recording uses without having made them, and those of what it links to.
fn groups_before(recording: &Recording) -> Vec<String> {
    let mut groups = BTreeMap::new();
    for exchange in &recording.exchanges {
        let linked = exchange.request_body.as_deref().unwrap_or_default();
        for text in linked.split('"').chain([exchange.path()]) {
            let segments: Vec<&str> = text.split('/').take(5).collect();
            if segments.len() == 5 && segments[3].eq_ignore_ascii_case("resourcegroups") {
                let made = exchange.method == "PUT" && exchange.path().split('/').count() == 5;
                groups.entry(segments.join("/").to_ascii_lowercase()).or_insert((segments.join("/"), made));
            }
        }
    }
    groups.into_values().filter(|(path, made)| !made && !path.ends_with("unknowngroup")).map(|(path, _)| path).collect()
}

fn linked_before(recording: &Recording) -> Vec<(String, String)> {
    let body = recording.exchanges[0].request_body.as_deref().unwrap_or_default();
    let ids = |part: &str| body.split('"').find(|text| text.contains(part)).unwrap_or_default().to_owned();
    let (vault, storage, component) = (ids("/vaults/"), ids("/storageAccounts/"), ids("/components/"));
    let logs = format!(
        "{}/providers/Microsoft.OperationalInsights/workspaces/logs",
        vault.split("/providers/").next().unwrap_or_default()
    );
    let account = json!({ "location": "eastus2", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
    let properties = json!({ "tenantId": tenant(recording), "sku": { "family": "A", "name": "standard" } });
    let insights = json!({ "Application_Type": "web", "WorkspaceResourceId": logs });
    [
        (vault, "2023-07-01", json!({ "location": "eastus2", "properties": properties })),
        (storage, "2023-05-01", account),
        (logs, "2023-09-01", json!({ "location": "eastus2", "properties": {} })),
        (component, "2020-02-02", json!({ "location": "eastus2", "kind": "web", "properties": insights })),
    ]
    .map(|(id, version, body)| (format!("{id}?api-version={version}"), body.to_string()))
    .into()
}
