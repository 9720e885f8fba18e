//! Whole requests to Resource Manager, on a clock that only moves when it is told to.

mod access;
mod group;
mod identity;
mod machine;
mod monitor;
mod role_assignment;
mod storage;
mod vault;
mod vault_life;
mod workspace;

use std::cell::Cell;
use std::time::Duration;

use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::{ArmRequest, ResourceManager, World};
use crate::directory::{Directory, fixture};
use crate::role::RoleAssignments;
use crate::seed::Seed;
use crate::vault::{Surroundings, VaultRequest, Vaults};

const OWNER: Uuid = uuid!("a0000000-0000-0000-0000-0000000000ff");
const MACHINE: Uuid = uuid!("b0000000-0000-0000-0000-0000000000ff");
const READER: Uuid = uuid!("b0000000-0000-0000-0000-0000000000fe");
const STRANGER: Uuid = uuid!("c0000000-0000-0000-0000-0000000000ff");
const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-4000-8000-000000000001";
const AUDIENCE: &str = "https://management.azure.com/";

/// Azure's own times, and everything that a test could want to find.
const SEED: &str = r#"
    [[vaults]]
    name = "kv-seeded"
    resource_group = "old"

    [[vaults]]
    name = "kv-policies"
    resource_group = "old"
    authorization = "access-policies"
    access_policies = [{ principal = "a0000000-0000-0000-0000-0000000000ff", secrets = ["get", "list"] }]

    [[vaults]]
    name = "kv-elsewhere"
    subscription = "00000000-0000-4000-8000-00000000000f"

    [subscription]
    role_assignments = [
        { principal = "a0000000-0000-0000-0000-0000000000ff", role = "Owner" },
        { principal = "b0000000-0000-0000-0000-0000000000fe", role = "Reader" },
    ]
    virtual_machines = [{ name = "vm", resource_group = "old", location = "westeurope" }]
    computes = [
        { name = "cluster", workspace = "mlw", resource_group = "rg", location = "westeurope" },
        { name = "instance", workspace = "mlw", resource_group = "rg", location = "westeurope", kind = "instance" },
    ]

    [arm]
    group_deletion_takes = "120s"
    vault_takes = "31s"
    vault_purge_takes = "65s"
    storage_takes = "17s"
    log_analytics_takes = "30s"
    workspace_takes = "32s"
    workspace_deletion_takes = "60s"
    machine_takes = "30s"
    registration_takes = "60s"
    principals_take = "90s"
    role_changes_take = "300s"
"#;

/// One Azure.
struct Azure {
    directory: Directory,
    vaults: Vaults,
    assignments: RoleAssignments,
    manager: ResourceManager,
    now: Cell<Timestamp>,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: hyper::HeaderMap,
    text: String,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("")
    }

    fn state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or("")
    }

    #[track_caller]
    fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Azure {
    fn new() -> Azure {
        Azure::of_seed(SEED)
    }

    fn of_seed(seed: &str) -> Azure {
        let seed = Seed::parse(seed).unwrap();
        let now = Timestamp::from_second(1_779_468_197).unwrap();
        let directory = fixture::directory(fixture::SEED);
        let assignments = RoleAssignments::default();
        let vaults = seed.vaults.into_iter().map(|vault| vault.build(&assignments, now)).collect();
        let vaults = Vaults::new(vaults, assignments.clone());
        let world = World { directory: &directory, vaults: &vaults, assignments: &assignments, now };
        let manager = ResourceManager::new((&seed.subscription, &seed.arm), None, &world);
        Azure { directory, vaults, assignments, manager, now: Cell::new(now) }
    }

    fn world(&self) -> World<'_> {
        let Azure { directory, vaults, assignments, now, .. } = self;
        World { directory, vaults, assignments, now: now.get() }
    }

    /// Lets time pass, and what it completes be complete.
    fn pass(&self, seconds: u64) {
        let by = SignedDuration::try_from(Duration::from_secs(seconds)).unwrap();
        self.now.set(self.now.get() + by);
        self.manager.settle(&self.world());
    }

    fn send(&self, (method, target): (&str, &str), authorization: Option<&str>, body: &[u8]) -> Reply {
        let target = target.strip_prefix("https://management.azure.com").unwrap_or(target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method: Method = method.parse().unwrap();
        let request = ArmRequest {
            method: &method,
            path,
            query,
            authority: "management.azure.com:443",
            authorization,
            client_request_id: Some("call-1"),
            body,
        };
        let response = self.manager.answer(&request, self.world());
        let (parts, bytes) = response.into_parts();
        let text = String::from_utf8(bytes).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status: parts.status.as_u16(), headers: parts.headers, text, body }
    }

    fn call_as(&self, principal: Uuid, (method, path): (&str, &str), body: &Value) -> Reply {
        let token = self.directory.token_for(principal, AUDIENCE, self.now.get()).unwrap();
        let target = match path {
            whole if whole.contains("api-version=") => whole.to_string(),
            path if path.contains('?') => format!("{path}&api-version=2025-04-01"),
            path => format!("{path}?api-version=2025-04-01"),
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send((method, &target), Some(&format!("Bearer {token}")), body.as_bytes())
    }

    fn get(&self, path: &str) -> Reply {
        self.call_as(OWNER, ("GET", path), &Value::Null)
    }

    fn put(&self, path: &str, body: &Value) -> Reply {
        self.call_as(OWNER, ("PUT", path), body)
    }

    fn patch(&self, path: &str, body: &Value) -> Reply {
        self.call_as(OWNER, ("PATCH", path), body)
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        self.call_as(OWNER, ("POST", path), body)
    }

    fn delete(&self, path: &str) -> Reply {
        self.call_as(OWNER, ("DELETE", path), &Value::Null)
    }

    /// What a vault's data plane answers to a GET of `path` by `principal`.
    fn vault_status(&self, vault: &str, principal: Uuid, path: &str) -> u16 {
        let token = self.directory.token_for(principal, "https://vault.azure.net", self.now.get()).unwrap();
        let request = VaultRequest {
            method: &Method::GET,
            path,
            query: "api-version=7.4",
            authority: vault,
            authorization: Some(&format!("Bearer {token}")),
            client_request_id: None,
            client: "203.0.113.9".parse().unwrap(),
            body: b"",
        };
        let surroundings = Surroundings { directory: &self.directory, now: self.now.get() };
        self.vaults.answer(vault, &request, &surroundings).unwrap().status().as_u16()
    }

    /// Makes the group `rg`, and answers its path.
    fn group(&self) -> String {
        let path = format!("{SUBSCRIPTION}/resourceGroups/rg");
        assert!(self.put(&path, &json!({ "location": "westeurope" })).status < 300);
        path
    }
}

/// A vault's body.
fn vault_body(properties: &Value) -> Value {
    let mut body = json!({
        "location": "westeurope",
        "properties": { "tenantId": TENANT, "sku": { "family": "A", "name": "standard" } },
    });
    for (name, value) in properties.as_object().unwrap() {
        body["properties"][name] = value.clone();
    }
    body
}
