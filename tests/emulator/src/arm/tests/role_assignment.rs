//! Role assignments and role definitions.

use super::*;

const OFFICER: &str = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const NAME: &str = "9854fdef-1eab-41c2-8b33-66ee14a387c1";

fn vault() -> String {
    format!("{SUBSCRIPTION}/resourceGroups/old/providers/Microsoft.KeyVault/vaults/kv-seeded")
}

fn assignment(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}

fn body(role: &str, principal: Uuid) -> Value {
    let role = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    json!({ "properties": { "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal" } })
}

#[test]
fn an_assignment_is_made_once_and_only_the_first_answer_names_no_creator() {
    let azure = Azure::new();
    let path = assignment(&vault(), NAME);
    let made = azure.put(&path, &body(OFFICER, MACHINE)).expect(201);
    assert_eq!((&made.body["id"], &made.body["name"]), (&json!(path), &json!(NAME)));
    let properties = &made.body["properties"];
    assert_eq!(properties["createdBy"], Value::Null);
    assert_eq!(properties["updatedBy"], OWNER.to_string());
    assert_eq!(properties["scope"], vault());
    let again = azure.put(&path, &body(OFFICER, MACHINE)).expect(200);
    assert_eq!(again.body["properties"]["createdBy"], OWNER.to_string());
    assert_eq!(azure.get(&path).expect(200).body, again.body);
    assert_eq!(azure.delete(&path).expect(200).body, again.body);
    azure.delete(&path).expect(204);
    assert_eq!(azure.get(&path).expect(404).code(), "RoleAssignmentNotFound");
}

#[test]
fn what_an_assignment_cannot_be_is_refused() {
    let azure = Azure::new();
    let taken = assignment(&vault(), NAME);
    let other = assignment(&vault(), "00000000-1eab-41c2-8b33-66ee14a387c1");
    azure.put(&taken, &body(OFFICER, MACHINE)).expect(201);
    let mut mistaken = body(OFFICER, STRANGER);
    mistaken["properties"]["principalType"] = "Group".into();
    let nobody = Uuid::from_u128(0xdead);
    let none = vault().replace("kv-seeded", "kv-none");
    let no_group = SUBSCRIPTION.to_string() + "/resourceGroups/none";
    let rows = [
        (other.clone(), body(OFFICER, MACHINE), 409, "RoleAssignmentExists"),
        (taken.clone(), body(SECRETS_USER, MACHINE), 400, "RoleAssignmentUpdateNotPermitted"),
        (taken.clone(), body(OFFICER, READER), 400, "RoleAssignmentUpdateNotPermitted"),
        (assignment(SUBSCRIPTION, NAME), body(OFFICER, MACHINE), 400, "RoleAssignmentUpdateNotPermitted"),
        (assignment(&vault(), "first"), body(OFFICER, MACHINE), 400, "InvalidRoleAssignmentId"),
        (other.clone(), body(NAME, MACHINE), 404, "RoleDefinitionDoesNotExist"),
        (other.clone(), body(OFFICER, nobody), 400, "PrincipalNotFound"),
        (other.clone(), mistaken, 400, "UnmatchedPrincipalType"),
        (other.clone(), json!({ "properties": {} }), 400, "BadRequest"),
        (assignment(&none, "00000000-1eab-41c2-8b33-66ee14a387c1"), body(OFFICER, MACHINE), 404, "ResourceNotFound"),
        (
            assignment(&no_group, "00000000-1eab-41c2-8b33-66ee14a387c1"),
            body(OFFICER, MACHINE),
            404,
            "ResourceGroupNotFound",
        ),
    ];
    for (path, body, status, code) in rows {
        let reply = azure.put(&path, &body);
        assert_eq!((reply.status, reply.code()), (status, code), "{path} {body}");
    }
    let exists = azure.put(&other, &body(OFFICER, MACHINE));
    assert!(exists.message().ends_with("is 9854fdef1eab41c28b3366ee14a387c1."), "{exists:?}");
    let forbidden = azure.call_as(READER, ("PUT", &other), &body(OFFICER, MACHINE)).expect(403);
    assert!(forbidden.message().contains("Microsoft.Authorization/roleAssignments/write"), "{forbidden:?}");
}

#[test]
fn an_assignment_acts_in_the_vault_after_a_while_wherever_above_it_was_made() {
    let group = format!("{SUBSCRIPTION}/resourceGroups/old");
    for scope in [group.as_str(), SUBSCRIPTION] {
        let azure = Azure::new();
        let path = assignment(scope, NAME);
        azure.put(&path, &body(SECRETS_USER, MACHINE)).expect(201);
        assert_eq!(azure.vault_status("kv-seeded", MACHINE, "/secrets"), 403, "{scope}");
        azure.pass(300);
        assert_eq!(azure.vault_status("kv-seeded", MACHINE, "/secrets"), 200, "{scope}");
        azure.delete(&path).expect(200);
        assert_eq!(azure.vault_status("kv-seeded", MACHINE, "/secrets"), 200, "it acts on for a while");
        azure.pass(300);
        assert_eq!(azure.vault_status("kv-seeded", MACHINE, "/secrets"), 403, "{scope}");
    }
}

#[test]
fn an_assignment_on_one_secret_reads_it_and_lists_nothing() {
    let azure = Azure::new();
    azure.put(&assignment(&format!("{}/secrets/db", vault()), NAME), &body(SECRETS_USER, MACHINE)).expect(201);
    azure.pass(300);
    let rows = [("/secrets/db", 404), ("/secrets/other", 403), ("/secrets", 403)];
    for (path, status) in rows {
        assert_eq!(azure.vault_status("kv-seeded", MACHINE, path), status, "{path}");
    }
}

#[test]
fn lists_show_what_acts_on_a_scope_and_what_lies_below() {
    let azure = Azure::new();
    azure.put(&assignment(&vault(), NAME), &body(OFFICER, MACHINE)).expect(201);
    let group = format!("{SUBSCRIPTION}/resourceGroups/old");
    let list = |scope: &str, filter: &str| {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments{filter}");
        let reply = azure.get(&path).expect(200);
        let principals = reply.body["value"].as_array().unwrap().iter();
        principals.map(|one| one["properties"]["principalId"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let [owner, reader, machine] = [OWNER, READER, MACHINE].map(|id| id.to_string());
    assert_eq!(list(&vault(), ""), [owner.clone(), reader.clone(), machine.clone()]);
    assert_eq!(list(&group, ""), [owner.clone(), reader.clone(), machine.clone()]);
    assert_eq!(list(&group, "?$filter=atScope()"), [owner.clone(), reader.clone()]);
    assert_eq!(list(SUBSCRIPTION, &format!("?$filter=principalId eq '{machine}'")), [machine]);
    assert_eq!(list(SUBSCRIPTION, &format!("?$filter=atScope() and assignedTo('{owner}')")), [owner]);
    let bad = format!("{group}/providers/Microsoft.Authorization/roleAssignments?$filter=colour eq 'red'");
    azure.get(&bad).expect(400);
}

#[test]
fn an_owner_that_is_made_later_may_manage_once_the_role_acts() {
    let azure = Azure::new();
    let group = azure.group();
    let contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c";
    let mut body_of_person = body(contributor, STRANGER);
    body_of_person["properties"]["principalType"] = "User".into();
    azure.put(&assignment(&group, NAME), &body_of_person).expect(201);
    azure.call_as(STRANGER, ("GET", &group), &Value::Null).expect(403);
    azure.pass(300);
    azure.call_as(STRANGER, ("GET", &group), &Value::Null).expect(200);
    let path = assignment(&group, "00000000-1eab-41c2-8b33-66ee14a387c1");
    azure.call_as(STRANGER, ("PUT", &path), &body(OFFICER, MACHINE)).expect(403);
    azure.call_as(STRANGER, ("GET", SUBSCRIPTION), &Value::Null).expect(403);
}

#[test]
fn built_in_roles_are_found_by_name_and_by_id() {
    let azure = Azure::new();
    let all = format!("{}/providers/Microsoft.Authorization/roleDefinitions", vault());
    let found = azure.get(&format!("{all}?$filter=roleName eq 'Key Vault Secrets User'")).expect(200);
    let id = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}");
    assert_eq!((&found.body["value"][0]["id"], &found.body["value"][1]), (&json!(id), &Value::Null));
    let one = azure.get(&id).expect(200);
    assert_eq!(one.body["properties"]["roleName"], "Key Vault Secrets User");
    let without_scope = format!("/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}");
    azure.call_as(STRANGER, ("GET", &without_scope), &Value::Null).expect(200);
    assert_eq!(azure.get(&format!("{all}/{NAME}")).expect(404).code(), "RoleDefinitionDoesNotExist");
    assert!(azure.get(&all).expect(200).body["value"].as_array().unwrap().len() > 20);
}
