//! User-assigned identities and their federated credentials.

use super::*;
use crate::directory::Selector;

fn identity(azure: &Azure) -> String {
    format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent", azure.group())
}

fn id(reply: &Reply, name: &str) -> Uuid {
    reply.body["properties"][name].as_str().unwrap().parse().unwrap()
}

#[test]
fn an_identity_keeps_its_principal_for_as_long_as_it_lives() {
    let azure = Azure::new();
    let path = identity(&azure);
    let made = azure.put(&path, &json!({ "location": "westeurope", "tags": { "a": "b" } })).expect(201);
    assert_eq!(made.body["properties"]["tenantId"], TENANT);
    let again = azure.put(&path, &json!({ "location": "westeurope" })).expect(200);
    assert_eq!(id(&again, "principalId"), id(&made, "principalId"));
    assert_eq!(again.body["tags"], json!({}));
    assert_eq!(azure.get(&path).expect(200).body, again.body);
    azure.delete(&path).expect(200);
    assert!(azure.directory.token_for(id(&made, "principalId"), AUDIENCE, azure.now.get()).is_none());
    let other = azure.put(&path, &json!({ "location": "westeurope" })).expect(201);
    assert_ne!(id(&other, "principalId"), id(&made, "principalId"));
}

#[test]
fn role_assignments_find_a_new_principal_after_a_while() {
    let azure = Azure::new();
    let made = azure.put(&identity(&azure), &json!({ "location": "westeurope" })).expect(201);
    let principal = id(&made, "principalId");
    let name = Uuid::from_u128(1);
    let path = format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", azure.group());
    let role = "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal" } });
    let early = azure.put(&path, &body).expect(400);
    assert_eq!(early.code(), "PrincipalNotFound");
    assert!(
        early
            .message()
            .starts_with(&format!("Principal {} does not exist in the directory {TENANT}.", principal.simple()))
    );
    azure.pass(90);
    azure.put(&path, &body).expect(201);
}

#[test]
fn a_federated_credential_lets_the_identity_sign_in() {
    let azure = Azure::new();
    let path = identity(&azure);
    let client = id(&azure.put(&path, &json!({ "location": "westeurope" })), "clientId");
    let credential = format!("{path}/federatedIdentityCredentials/aks");
    let body = json!({ "properties": { "issuer": "https://oidc/", "subject": "sub", "audiences": ["api://AzureADTokenExchange"] } });
    assert!(azure.directory.application(client).is_none());
    let made = azure.put(&credential, &body).expect(201);
    assert_eq!((&made.body["name"], &made.body["properties"]), (&json!("aks"), &body["properties"]));
    let registration = azure.directory.application(client).unwrap();
    let token = |subject: &str| {
        azure.directory.mint_federated("https://oidc/", subject, "api://AzureADTokenExchange", azure.now.get())
    };
    let check = |token: &str| azure.directory.check_assertion(&registration, (token, &[]), azure.now.get());
    assert_eq!(check(&token("sub")), Ok(()));
    assert!(check(&token("other")).is_err());
    assert_eq!(azure.put(&credential, &body).expect(200).body, made.body);
    assert_eq!(azure.put(&format!("{credential}2"), &body).expect(409).code(), "Conflict");
    let listed = azure.get(&format!("{path}/federatedIdentityCredentials")).expect(200);
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 1);
    azure.put(&credential, &json!({ "properties": { "issuer": "https://oidc/" } })).expect(400);
    azure.delete(&credential).expect(200);
    azure.delete(&credential).expect(204);
    assert!(azure.directory.application(client).is_none());
    azure.put(&format!("{path}2/federatedIdentityCredentials/aks"), &body).expect(404);
}

#[test]
fn a_new_identity_is_of_no_machine_yet() {
    let azure = Azure::new();
    let path = identity(&azure);
    azure.put(&path, &json!({ "location": "westeurope" })).expect(201);
    assert!(azure.directory.managed_identity(&Selector::ResourceId(path)).is_err());
}
