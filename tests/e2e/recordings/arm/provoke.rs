//! What provokes each collected error of Resource Manager.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::prepare::HOST;
use crate::emulated::{Answer, Call, Emulated};
use crate::json::Json;
use crate::provoke::Provoked;
use crate::seed::{CLIENT_ID, CLIENT_SECRET, OBJECT_ID, TENANT};

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-4000-8000-000000000001";
const GROUP: &str = "rg";
const ASSIGNMENT: &str = "9854fdef-1eab-41c2-8b33-66ee14a387c1";
const OTHER_ASSIGNMENT: &str = "9854fdef-1eab-41c2-8b33-66ee14a387c2";
const NOBODY: &str = "0b5c0de0-0000-4000-8000-000000000009";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// An emulator for an owner, and one for somebody who may do everything but give roles.
#[derive(Debug)]
pub(crate) struct Stage {
    owner: Emulated,
    contributor: Emulated,
}

fn seed(role: &str) -> String {
    format!(
        r#"
        [directory]
        tenant = "{TENANT}"
        [[directory.applications]]
        app_id = "{CLIENT_ID}"
        object_id = "{OBJECT_ID}"
        secrets = ["{CLIENT_SECRET}"]
        [[vaults]]
        name = "elsewhere"
        subscription = "00000000-0000-4000-8000-00000000000f"
        [subscription]
        registered_providers = ["Microsoft.KeyVault", "Microsoft.Storage", "Microsoft.MachineLearningServices"]
        role_assignments = [{{ principal = "{OBJECT_ID}", role = "{role}" }}]
        resource_groups = [
            {{ name = "{GROUP}", location = "eastus" }},
            {{ name = "other", location = "eastus" }},
        ]
        "#
    )
}

type Ask = (&'static str, String, Value);

fn in_group(rest: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{rest}")
}

fn vault(method: &'static str, name: &str, create_mode: &str) -> Ask {
    let properties = json!({
        "tenantId": TENANT, "sku": { "family": "A", "name": "standard" }, "createMode": create_mode,
    });
    let body = json!({ "location": "eastus", "properties": properties });
    (method, in_group(&format!("Microsoft.KeyVault/vaults/{name}")), body)
}

fn account(group: &str) -> Ask {
    let path = in_group("Microsoft.Storage/storageAccounts/stname").replace("/rg/", &format!("/{group}/"));
    ("PUT", path, json!({ "location": "eastus", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } }))
}

fn assignment(name: &str, (role, principal): (&str, &str)) -> Ask {
    let path = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleAssignments/{name}");
    let role = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    ("PUT", path, json!({ "properties": { "roleDefinitionId": role, "principalId": principal } }))
}

fn workspace(body: Value) -> Ask {
    ("PUT", in_group("Microsoft.MachineLearningServices/workspaces/mlw"), body)
}

/// What must be asked, and granted, before the request that is refused; the latter is the last.
fn asked(code: &str) -> Result<Vec<Ask>> {
    let linked = json!({
        "keyVault": "https://kv.vault.azure.net/",
        "storageAccount": in_group("Microsoft.Storage/storageAccounts/st"),
        "applicationInsights": in_group("microsoft.insights/components/ai"),
    });
    let insights = in_group("microsoft.insights/components/ai");
    Ok(match code {
        "ResourceNotFound" => vec![vault("GET", "kv-absent", "default")],
        "ResourceGroupNotFound" => vec![("GET", format!("{SUBSCRIPTION}/resourceGroups/rg-absent"), Value::Null)],
        "VaultAlreadyExists" => vec![vault("PUT", "elsewhere", "default")],
        "ConflictError" => {
            vec![
                vault("PUT", "kv-deleted", "default"),
                vault("DELETE", "kv-deleted", "default"),
                vault("PUT", "kv-deleted", "default"),
            ]
        }
        "MissingSubscriptionRegistration" => vec![("PUT", insights, json!({ "location": "eastus" }))],
        "AuthorizationFailed" => vec![assignment(ASSIGNMENT, (READER, OBJECT_ID))],
        "RoleAssignmentExists" => {
            vec![assignment(ASSIGNMENT, (READER, OBJECT_ID)), assignment(OTHER_ASSIGNMENT, (READER, OBJECT_ID))]
        }
        "PrincipalNotFound" => vec![assignment(OTHER_ASSIGNMENT, (READER, NOBODY))],
        "RoleAssignmentUpdateNotPermitted" => {
            vec![assignment(ASSIGNMENT, (READER, OBJECT_ID)), assignment(ASSIGNMENT, (CONTRIBUTOR, OBJECT_ID))]
        }
        "ValidationError" => vec![workspace(json!({ "location": "eastus", "sku": { "name": "Basic" } }))],
        "StorageAccountAlreadyTaken" => vec![account("rg"), account("other")],
        "SoftDeletedVaultDoesNotExist" => vec![vault("PUT", "kv-absent", "recover")],
        "LinkedInvalidPropertyId" => vec![workspace(json!({ "location": "eastus", "properties": linked }))],
        _ => bail!("nobody wrote down what provokes it"),
    })
}

impl Stage {
    pub(crate) async fn set() -> Result<Stage> {
        let owner = Emulated::start(&seed("Owner")).await?;
        Ok(Stage { owner, contributor: Emulated::start(&seed("Contributor")).await? })
    }

    /// Provokes the error whose label begins with its code.
    ///
    /// # Errors
    /// No request is known to provoke it.
    pub(crate) async fn provoke(&self, label: &str) -> Result<Provoked> {
        let code = label.split(' ').next().unwrap_or_default();
        let emulated = if code == "AuthorizationFailed" { &self.contributor } else { &self.owner };
        let asked = asked(code)?;
        let (last, before) = asked.split_last().context("something is asked")?;
        for ask in before {
            let answer = send(emulated, ask).await?;
            ensure!(answer.status < 300, "{} {} was to prepare, and was answered {}", ask.0, ask.1, answer.status);
        }
        let answer = send(emulated, last).await?;
        let error = answer.body.as_ref().and_then(|body| body.member("error"));
        let unseen = error.and_then(|error| error.member("message").and_then(Json::text)).unwrap_or_default();
        let placeholders = placeholders(&last.1, unseen);
        Ok(Provoked { request: format!("{} {}", last.0, brief(&last.1)), answer, placeholders })
    }
}

fn brief(path: &str) -> &str {
    path.trim_start_matches(SUBSCRIPTION)
}

async fn send(emulated: &Emulated, (method, path, body): &Ask) -> Result<Answer> {
    let token = emulated.token("https://management.azure.com/.default").await?;
    let target = format!("{path}?api-version=2022-04-01");
    let body = (!body.is_null()).then(|| body.to_string());
    let content_type = body.as_ref().map(|_| "application/json");
    let call = Call { method, host: HOST, target: &target, token: Some(&token), content_type, body: body.as_deref() };
    emulated.call(&call).await
}

/// What the models' placeholders stand for; `unseen` is the live text, where no source quotes one.
fn placeholders(path: &str, unseen: &str) -> Vec<(&'static str, String)> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let scope = path.split("/providers/Microsoft.Authorization").next().unwrap_or_default();
    let group = if name == "rg-absent" { name } else { GROUP };
    [
        ("<v>", name),
        ("<name>", name),
        ("<rg>", group),
        ("<appid>", CLIENT_ID),
        ("<oid>", OBJECT_ID),
        ("<tenant>", &TENANT.to_string()),
        ("<scope>", scope),
        ("<32 hex>", &ASSIGNMENT.replace('-', "")),
        ("<principal>", &NOBODY.replace('-', "")),
        ("<value>", "https://kv.vault.azure.net/"),
        ("<path>", "properties.keyVault"),
        ("<text not seen>", unseen),
    ]
    .map(|(placeholder, value)| (placeholder, value.to_owned()))
    .into()
}
