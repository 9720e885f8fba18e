//! Resource Manager over the wire: through the proxy, on the emulator's own address, under faults, over a restart.

use std::time::Duration;

use keyside_emulator::fault::Fault;
use keyside_emulator::seed::Seed;
use keyside_emulator::{Emulator, Options};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::{Uuid, uuid};

use crate::client::{self, Answer, ask, ask_trusting, request, tls, tunnel};

const ARM: &str = "management.azure.com";
const OWNER: Uuid = uuid!("11111111-1111-4111-8111-111111111111");
const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-4000-8000-000000000001";
const VAULT: &str = "/resourceGroups/keyside/providers/Microsoft.KeyVault/vaults";

/// The example's identities and vaults, with work that is only done when the clock is moved.
fn options() -> Options {
    let mut seed = Seed::example();
    let slow = Seed::parse("[arm]\nvault_takes = \"1h\"\ngroup_deletion_takes = \"1h\"\n").unwrap();
    seed.arm = slow.arm;
    Options { seed, ..Options::default() }
}

fn bearer(emulator: &Emulator, audience: &str) -> String {
    let token = emulator.directory().token_for(OWNER, audience, emulator.clock().now()).unwrap();
    format!("Authorization: Bearer {token}")
}

fn text(emulator: &Emulator, method: &str, path: &str, body: &Value) -> String {
    let target = if path.contains('?') { path.to_string() } else { format!("{path}?api-version=2025-05-01") };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let bearer = bearer(emulator, "https://management.azure.com");
    request(method, &target, ARM, (&["Content-Type: application/json", &bearer], &body))
}

async fn call(emulator: &Emulator, method: &str, path: &str, body: &Value) -> Answer {
    ask(emulator, ARM, &text(emulator, method, path, body)).await
}

fn vault() -> Value {
    let properties = json!({
        "tenantId": TENANT, "sku": { "family": "A", "name": "standard" }, "enableRbacAuthorization": true,
    });
    json!({ "location": "westeurope", "properties": properties })
}

#[tokio::test]
async fn a_vault_that_is_made_here_answers_once_its_name_resolves() {
    let emulator = Emulator::start(options()).await.unwrap();
    let made = call(&emulator, "PUT", &format!("{SUBSCRIPTION}{VAULT}/Kv-New"), &vault()).await;
    assert_eq!((made.status, &made.json()["properties"]["provisioningState"]), (Some(200), &json!("RegisteringDns")));
    assert_eq!(tunnel(&emulator, "kv-new.vault.azure.net").await.0, 502);
    emulator.clock().advance(Duration::from_hours(1));
    let bearer = bearer(&emulator, "https://vault.azure.net");
    let list = request("GET", "/secrets?api-version=7.4", "kv-new.vault.azure.net", (&[&bearer], ""));
    let refused = ask(&emulator, "kv-new.vault.azure.net", &list).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["innererror"]["code"]),
        (Some(403), &json!("ForbiddenByRbac"))
    );
}

#[tokio::test]
async fn it_answers_on_the_emulators_own_address_as_well() {
    let emulator = Emulator::start(options()).await.unwrap();
    let own = emulator.listen().to_string();
    let ask_own = async |path: &str, headers: &[&str]| {
        let stream = TcpStream::connect(emulator.listen()).await.unwrap();
        let stream = tls(stream, "127.0.0.1", emulator.ca_pem()).await.unwrap();
        client::exchange(stream, &request("GET", path, &own, (headers, ""))).await
    };
    let endpoints = ask_own("/metadata/endpoints?api-version=2022-09-01", &[]).await;
    assert_eq!(endpoints.json()["resourceManager"], format!("https://{own}/"));
    let bearer = bearer(&emulator, &format!("https://{own}"));
    let listed = ask_own("/Subscriptions?api-version=2022-12-01", &[&bearer]).await;
    assert_eq!(listed.json()["value"][0]["id"], SUBSCRIPTION);
    let made = text(&emulator, "DELETE", &format!("{SUBSCRIPTION}/resourceGroups/shared"), &Value::Null);
    let made = client::exchange(
        tls(TcpStream::connect(emulator.listen()).await.unwrap(), "127.0.0.1", emulator.ca_pem()).await.unwrap(),
        &made.replace(&format!("Host: {ARM}"), &format!("Host: {own}")),
    )
    .await;
    let poll = made.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(poll.starts_with(&format!("https://{own}/subscriptions/")), "{poll}");
}

#[tokio::test]
async fn what_the_seed_has_is_there_to_be_managed() {
    let emulator = Emulator::start(options()).await.unwrap();
    let keyside = format!("{SUBSCRIPTION}/resourceGroups/keyside/providers");
    let agent = format!("{keyside}/Microsoft.ManagedIdentity/userAssignedIdentities/keyside-agent");
    let agent = call(&emulator, "GET", &agent, &Value::Null).await.json();
    assert_eq!(agent["properties"]["clientId"], "33333333-3333-4333-8333-333333333301");
    let machine =
        format!("{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.Compute/virtualMachines/pipeline-vm");
    assert_eq!(call(&emulator, "GET", &machine, &Value::Null).await.status, Some(200));
    let assignments =
        format!("{keyside}/Microsoft.KeyVault/vaults/kv-keyside/providers/Microsoft.Authorization/roleAssignments");
    let assignments = call(&emulator, "GET", &assignments, &Value::Null).await.json();
    let scopes: Vec<&str> = assignments["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["properties"]["scope"].as_str().unwrap())
        .collect();
    assert_eq!(scopes.iter().filter(|scope| scope.contains("/vaults/kv-keyside")).count(), 3, "{scopes:?}");
    assert!(scopes.contains(&SUBSCRIPTION), "{scopes:?}");
}

#[tokio::test]
async fn faults_strike_it_in_its_own_words_and_its_writes_are_counted() {
    let emulator = Emulator::start(options()).await.unwrap();
    let group = format!("{SUBSCRIPTION}/resourceGroups/new");
    let throttled = Fault {
        method: Some("PUT".into()),
        host: ARM.into(),
        status: Some(429),
        headers: vec![("Retry-After".into(), "3".into())],
        count: Some(1),
        ..Fault::default()
    };
    emulator.faults().add(throttled).unwrap();
    let body = json!({ "location": "westeurope" });
    let answer = call(&emulator, "PUT", &group, &body).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (Some(429), &json!("SubscriptionRequestsThrottled")));
    assert!(answer.head.to_lowercase().contains("retry-after: 3"), "{}", answer.head);
    assert_eq!(emulator.requests().writes(), 0);
    assert_eq!(call(&emulator, "PUT", &group, &body).await.status, Some(201));
    assert_eq!(call(&emulator, "GET", &group, &Value::Null).await.status, Some(200));
    assert_eq!(emulator.requests().writes(), 1);
}

#[tokio::test]
async fn what_is_made_here_is_there_after_a_restart_and_what_is_deleted_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options { state: Some(directory.path().join("state.json")), ..options() };
    let first = Emulator::start(options()).await.unwrap();
    let ca_pem = first.ca_pem().to_string();
    let identity =
        format!("{SUBSCRIPTION}/resourceGroups/keyside/providers/Microsoft.ManagedIdentity/userAssignedIdentities/new");
    let made = call(&first, "PUT", &identity, &json!({ "location": "westeurope" })).await;
    let principal = made.json()["properties"]["principalId"].as_str().unwrap().to_string();
    let role = json!({
        "properties": {
            "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6",
            "principalId": principal,
        },
    });
    let scope = format!("{SUBSCRIPTION}{VAULT}/kv-keyside");
    let assignment = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::from_u128(1));
    assert_eq!(call(&first, "PUT", &assignment, &role).await.status, Some(201));
    assert_eq!(call(&first, "PUT", &format!("{SUBSCRIPTION}{VAULT}/kv-new"), &vault()).await.status, Some(200));
    assert_eq!(
        call(&first, "DELETE", &format!("{SUBSCRIPTION}{VAULT}/kv-policies"), &Value::Null).await.status,
        Some(200)
    );
    let accepted = call(&first, "DELETE", &format!("{SUBSCRIPTION}/resourceGroups/shared"), &Value::Null).await;
    let poll = accepted.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_string();
    let poll = poll.trim_start_matches("https://management.azure.com").trim().to_string();
    first.stop().await.unwrap();

    let second = Emulator::start(options()).await.unwrap();
    let get = async |path: &str| ask_trusting(&second, ARM, (&ca_pem, &text(&second, "GET", path, &Value::Null))).await;
    assert_eq!(get(&identity).await.json()["properties"]["principalId"], principal.as_str());
    assert_eq!(get(&assignment).await.status, Some(200));
    assert_eq!(get(&format!("{SUBSCRIPTION}{VAULT}/kv-new")).await.status, Some(200));
    assert_eq!(get(&format!("{SUBSCRIPTION}{VAULT}/kv-policies")).await.status, Some(404));
    assert!(!second.vaults().exists("kv-policies"), "the seed does not bring back what was deleted");
    assert_eq!(get(&poll).await.status, Some(202));
    second.clock().advance(Duration::from_hours(1));
    assert_eq!(get(&poll).await.status, Some(200));
    let audience = "https://vault.azure.net";
    let token = second.directory().token_for(principal.parse().unwrap(), audience, second.clock().now()).unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    let read = request("GET", "/secrets/db-password?api-version=7.4", "kv-keyside.vault.azure.net", (&[&bearer], ""));
    assert_eq!(ask_trusting(&second, "kv-keyside.vault.azure.net", (&ca_pem, &read)).await.status, Some(200));
}
