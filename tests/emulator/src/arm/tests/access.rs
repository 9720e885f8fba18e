//! Tokens, rights, versions and providers: what is looked at before a resource is.

use super::*;

const GROUPS: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourcegroups?api-version=2021-04-01";

#[test]
fn a_request_without_a_token_is_challenged() {
    let azure = Azure::new();
    for authorization in [None, Some("Basic dTpw"), Some("Bearer")] {
        let reply = azure.send(("GET", GROUPS), authorization, b"").expect(401);
        assert_eq!(reply.code(), "AuthenticationFailed");
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer authorization_uri="));
    }
}

#[test]
fn every_audience_that_the_service_goes_by_is_accepted() {
    let azure = Azure::new();
    let rows = [
        ("https://management.azure.com", 200, ""),
        ("https://management.azure.com/", 200, ""),
        ("https://management.core.windows.net/", 200, ""),
        ("https://vault.azure.net", 401, "InvalidAuthenticationTokenAudience"),
    ];
    for (audience, status, code) in rows {
        let token = azure.directory.token_for(OWNER, audience, azure.now.get()).unwrap();
        let reply = azure.send(("GET", GROUPS), Some(&format!("Bearer {token}")), b"").expect(status);
        assert_eq!(reply.code(), code, "{audience}");
    }
    let token = azure.directory.token_for(OWNER, AUDIENCE, azure.now.get()).unwrap();
    azure.pass(7_200);
    let reply = azure.send(("GET", GROUPS), Some(&format!("Bearer {token}")), b"").expect(401);
    assert_eq!(reply.code(), "ExpiredAuthenticationToken");
    let reply = azure.send(("GET", GROUPS), Some("Bearer no.token.atall"), b"").expect(401);
    assert_eq!(reply.code(), "InvalidAuthenticationToken");
}

#[test]
fn a_role_grants_its_actions_and_nothing_else() {
    let azure = Azure::new();
    let group = azure.group();
    let rows = [
        (OWNER, "GET", 200),
        (OWNER, "PUT", 200),
        (READER, "GET", 200),
        (READER, "PUT", 403),
        (READER, "DELETE", 403),
        (STRANGER, "GET", 403),
    ];
    for (principal, method, status) in rows {
        let reply = azure.call_as(principal, (method, &group), &json!({ "location": "westeurope" }));
        assert_eq!(reply.status, status, "{principal} {method}: {reply:?}");
    }
    let refused = azure.call_as(STRANGER, ("PUT", &group), &Value::Null).expect(403);
    assert_eq!((refused.code(), refused.header("x-ms-failure-cause")), ("AuthorizationFailed", Some("gateway")));
    let text = format!(
        "The client '0736f41a-0425-4b46-bdb5-1563eff02385' with object id '{STRANGER}' does not have authorization to \
         perform action 'Microsoft.Resources/subscriptions/resourceGroups/write' over scope '{group}' or the scope is \
         invalid. If access was recently granted, please refresh your credentials."
    );
    assert_eq!(refused.message(), text);
}

#[test]
fn a_seed_that_names_nobody_lets_nobody_in() {
    let azure = Azure::of_seed("");
    azure.get(GROUPS).expect(403);
    let listed = azure.get("/subscriptions").expect(200);
    assert_eq!(listed.body["value"], json!([]), "what one has no role on is not listed");
    azure.get("/tenants").expect(200);
}

#[test]
fn what_cannot_be_asked_is_refused_in_azures_words() {
    let azure = Azure::new();
    let rows = [
        ("GET", "/subscriptions?api-version=".to_string(), 400, "InvalidApiVersionParameter"),
        ("GET", "/subscriptions?api-version=latest".into(), 400, "InvalidApiVersionParameter"),
        ("GET", format!("{SUBSCRIPTION}/spoons"), 404, "InvalidResourceType"),
        ("GET", "/subscriptions/00000000-0000-4000-8000-00000000000f".into(), 404, "SubscriptionNotFound"),
        ("POST", SUBSCRIPTION.into(), 405, "UnsupportedHttpMethod"),
        ("GET", format!("{SUBSCRIPTION}/resourceGroups/none"), 404, "ResourceGroupNotFound"),
    ];
    for (method, path, status, code) in rows {
        let reply = azure.call_as(OWNER, (method, &path), &Value::Null).expect(status);
        assert_eq!((reply.code(), reply.header("x-ms-failure-cause")), (code, Some("gateway")), "{path}");
    }
    let token = azure.directory.token_for(OWNER, AUDIENCE, azure.now.get()).unwrap();
    let bearer = format!("Bearer {token}");
    assert_eq!(azure.send(("GET", "/subscriptions"), Some(&bearer), b"").code(), "MissingApiVersionParameter");
    let body = b"{\"location\": hunter2";
    let reply = azure.send(
        ("PUT", "/subscriptions/00000000-0000-4000-8000-000000000001/resourcegroups/rg?API%2DVERSION=2021-04-01"),
        Some(&bearer),
        body,
    );
    assert_eq!(reply.expect(400).code(), "InvalidRequestContent");
}

#[test]
fn every_answer_carries_the_headers_of_the_service() {
    let azure = Azure::new();
    let group = azure.group();
    let reply = azure.get(&group).expect(200);
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("x-cache", "CONFIG_NOCACHE"),
        ("content-type", "application/json; charset=utf-8"),
        ("x-ms-client-request-id", "call-1"),
        ("x-ms-ratelimit-remaining-subscription-reads", "249"),
        ("x-ms-ratelimit-remaining-subscription-global-reads", "249"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    assert_eq!(reply.header("x-ms-request-id"), reply.header("x-ms-correlation-request-id"));
    let routed = reply.header("x-ms-routing-request-id").unwrap();
    assert!(routed.starts_with("EASTUS:20260522T"), "{routed}");
    assert!(reply.header("x-ms-failure-cause").is_none());
    assert!(azure.delete(&group).header("x-ms-ratelimit-remaining-subscription-deletes").is_some());
}

#[test]
fn a_provider_is_usable_once_its_registration_is_complete() {
    let azure = Azure::of_seed(&SEED.replace("[subscription]", "[subscription]\nregistered_providers = []"));
    let group = azure.group();
    let account = format!("{group}/providers/Microsoft.Storage/storageAccounts/stone");
    let body = json!({ "location": "westeurope", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
    let refused = azure.put(&account, &body).expect(409);
    assert_eq!(refused.code(), "MissingSubscriptionRegistration");
    assert_eq!(refused.body["error"]["details"][0]["target"], "Microsoft.Storage");
    let provider = format!("{SUBSCRIPTION}/providers/microsoft.storage");
    let state = |reply: Reply| reply.expect(200).body["registrationState"].as_str().unwrap().to_string();
    assert_eq!(state(azure.get(&provider)), "NotRegistered");
    assert_eq!(state(azure.post(&format!("{provider}/register"), &Value::Null)), "Registering");
    assert_eq!(azure.put(&account, &body).expect(409).code(), "MissingSubscriptionRegistration");
    azure.pass(60);
    assert_eq!(state(azure.get(&provider)), "Registered");
    azure.put(&account, &body).expect(202);
    assert_eq!(state(azure.post(&format!("{provider}/unregister"), &Value::Null)), "NotRegistered");
    assert_eq!(
        azure.get(&format!("{SUBSCRIPTION}/providers/Micro.Soft")).expect(404).code(),
        "InvalidResourceNamespace"
    );
    let all = azure.get(&format!("{SUBSCRIPTION}/providers")).expect(200);
    assert!(all.body["value"].as_array().unwrap().len() > 6);
}

#[test]
fn what_a_client_asks_first_is_answered() {
    let azure = Azure::new();
    let endpoints = azure.send(("GET", "/metadata/endpoints?api-version=2022-09-01"), None, b"").expect(200);
    assert_eq!(endpoints.body["resourceManager"], "https://management.azure.com/");
    assert_eq!(endpoints.body["suffixes"]["keyVaultDns"], "vault.azure.net");
    let listed = azure.get("/subscriptions").expect(200);
    assert_eq!(listed.body["value"][0]["id"], SUBSCRIPTION);
    assert_eq!(azure.get(SUBSCRIPTION).expect(200).body["state"], "Enabled");
    assert_eq!(azure.get("/tenants").expect(200).body["value"][0]["tenantId"], TENANT);
    assert!(azure.get(&format!("{SUBSCRIPTION}/locations")).expect(200).body["value"][0]["name"].is_string());
}
