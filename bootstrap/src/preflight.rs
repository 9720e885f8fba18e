//! Whether an apply could succeed: the caller's rights, names that must be unique in the world, and providers.

mod rights;

use std::io::{self, Write};

use anyhow::Result;
use azure_core::http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use self::rights::Needed;
use crate::arm::{ArmError, Call};
use crate::azure::Azure;
use crate::config::{Config, Place};
use crate::estate;
use crate::id::ArmId;
use crate::item::Label;
use crate::resources::{provider, storage, vault};

/// What was looked at.
#[derive(Debug, Serialize)]
pub struct Findings {
    findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: String,
    passed: bool,
    detail: String,
}

/// Looks at everything. Writes nothing.
///
/// # Errors
/// When Azure does not answer.
pub async fn look(config: &Config, azure: &Azure) -> Result<Findings> {
    let (operator, kind) = azure.operator();
    let signed_in = format!("{kind} {operator} in tenant {}", config.tenant);
    let mut findings = vec![Finding { check: "sign-in".to_owned(), passed: true, detail: signed_in }];
    for name in names(config) {
        findings.extend(name_is_free(config, azure, &name).await?);
    }
    findings.extend(providers(config, azure).await?);
    findings.extend(rights(config, azure).await?);
    Ok(Findings { findings })
}

/// A name that must be unique in the world.
struct Name<'a> {
    text: &'a str,
    kind: &'static str,
    /// Namespace and type, and the version of their interface.
    of_type: &'static str,
    api: &'static str,
}

/// Every name that apply would need, if nobody has it.
fn names(config: &Config) -> Vec<Name<'_>> {
    fn named(place: &Place) -> Option<&str> {
        match place {
            Place::Named(name) => Some(name),
            Place::Existing(_) => None,
        }
    }
    let workspace = config.workspace.as_ref();
    let vaults = [named(&config.vault.place), workspace.and_then(|workspace| workspace.own_vault.as_deref())];
    let vault = |text| Name { text, kind: "key vault", of_type: vault::KIND, api: vault::API };
    let storage = workspace.and_then(|workspace| named(&workspace.storage));
    let storage = storage.map(|text| Name { text, kind: "storage account", of_type: storage::KIND, api: storage::API });
    vaults.into_iter().flatten().map(vault).chain(storage).collect()
}

/// Whether a name can be had; nothing where the resource is there already.
async fn name_is_free(config: &Config, azure: &Azure, name: &Name<'_>) -> Result<Option<Finding>> {
    let &Name { text: name, kind, of_type, api } = name;
    let namespace = of_type.split('/').next().unwrap_or_default();
    let label = Label { kind, name: name.to_owned() };
    let id = config.group_id().resource(of_type, name);
    let check = format!("name of {label}");
    match azure.arm.get(&label, &format!("{id}?api-version={api}")).await {
        Ok(Some(_)) => return Ok(None),
        Ok(None) => {}
        Err(error) if error.status() == Some(403) => {
            let detail = format!("this sign-in may not look: ask an owner of {} for Reader", config.group);
            return Ok(Some(Finding { check, passed: false, detail }));
        }
        Err(error) => return Err(error.into()),
    }
    let path =
        format!("/subscriptions/{}/providers/{namespace}/checkNameAvailability?api-version={api}", config.subscription);
    let body = Some(json!({"name": name, "type": of_type}));
    let call = Call { body, ..Call::new(&label, "look for the name of", Method::Post, path) };
    Ok(Some(match azure.arm.send(&call).await {
        Ok(answer) => {
            let passed = answer.body.get("nameAvailable") != Some(&Value::Bool(false));
            let message = answer.body.get("message").and_then(Value::as_str).unwrap_or("it is free");
            Finding { check, passed, detail: message.to_owned() }
        }
        // Nobody can tell before the registration, which apply does first.
        Err(error) if error.code() == "MissingSubscriptionRegistration" => {
            let detail = format!("not known before {namespace} is registered, which apply does");
            Finding { check, passed: true, detail }
        }
        // Names are a matter of the subscription, on which who has rights on a group alone may not ask.
        Err(error) if error.status() == Some(403) => {
            Finding { check, passed: true, detail: "this sign-in may not ask, so only apply can tell".to_owned() }
        }
        Err(error) => return Err(error.into()),
    }))
}

/// Whether every provider is registered, or can be by the caller.
async fn providers(config: &Config, azure: &Azure) -> Result<Vec<Finding>, ArmError> {
    let subscription = format!("/subscriptions/{}", config.subscription);
    let permissions = permissions(azure, &subscription).await?.unwrap_or_default();
    let labels = estate::nodes(config).into_iter().map(|node| node.item.label());
    let mut findings = Vec::new();
    for label in labels.filter(|label| label.kind == provider::KIND) {
        let path = format!("{subscription}/providers/{}?api-version={}", label.name, provider::API);
        let (passed, detail) = match azure.arm.get(&label, &path).await {
            Ok(document) => registration(&label.name, document.as_ref(), &permissions),
            Err(error) if error.status() == Some(403) => {
                (true, "this sign-in may not see it: it is taken to be registered".to_owned())
            }
            Err(error) => return Err(error),
        };
        findings.push(Finding { check: format!("provider {}", label.name), passed, detail });
    }
    Ok(findings)
}

/// Whether the provider `namespace` is no hindrance, and why.
fn registration(namespace: &str, document: Option<&Value>, permissions: &[Value]) -> (bool, String) {
    let state = document.and_then(|document| document.get("registrationState")?.as_str());
    let right = format!("{namespace}/register/action");
    match state {
        Some("Registered" | "Registering") => (true, "registered".to_owned()),
        _ if rights::permits(permissions, &right) => (true, "not registered, which apply does".to_owned()),
        _ => (false, format!("not registered: ask an owner of the subscription to do it, or for {right}")),
    }
}

/// Whether the caller has each right where it is needed; on the subscription where the group is not there yet.
async fn rights(config: &Config, azure: &Azure) -> Result<Vec<Finding>, ArmError> {
    let (group, subscription) = (config.group_id(), format!("/subscriptions/{}", config.subscription));
    let mut asked: Vec<(ArmId, Granted)> = Vec::new();
    let mut findings = Vec::new();
    for Needed { action, scope, when } in rights::needed(config) {
        if !asked.iter().any(|(other, _)| *other == scope) {
            let granted = match permissions(azure, scope.as_str()).await? {
                None if scope == group => {
                    let list = permissions(azure, &subscription).await?.unwrap_or_default();
                    Granted { list, place: "the subscription".to_owned() }
                }
                list => Granted { list: list.unwrap_or_default(), place: scope.name().to_owned() },
            };
            asked.push((scope.clone(), granted));
        }
        let Some((_, Granted { list, place })) = asked.iter().find(|(other, _)| *other == scope) else { continue };
        let passed = rights::permits(list, action);
        let remedy = || format!("ask an owner of {place} for it (needed: {when})");
        let detail = if passed { "granted".to_owned() } else { remedy() };
        findings.push(Finding { check: format!("right {action} on {place}"), passed, detail });
    }
    Ok(findings)
}

/// What the caller may do somewhere.
struct Granted {
    list: Vec<Value>,
    place: String,
}

/// What the caller may do on `scope`: nothing where it may not even ask, and none where there is no such thing.
async fn permissions(azure: &Azure, scope: &str) -> Result<Option<Vec<Value>>, ArmError> {
    let label = Label { kind: "rights on", name: scope.rsplit('/').next().unwrap_or_default().to_owned() };
    let path = format!("{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01");
    match azure.arm.get(&label, &path).await {
        Ok(list) => Ok(list.map(|list| list.get("value").and_then(Value::as_array).cloned().unwrap_or_default())),
        Err(error) if error.status() == Some(403) => Ok(Some(Vec::new())),
        Err(error) => Err(error),
    }
}

impl Findings {
    /// Whether nothing is in the way.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.missing() == 0
    }

    /// How many are in the way.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.passed).count()
    }

    /// Shows them to people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for Finding { check, passed, detail } in &self.findings {
            writeln!(out, "{}  {check:width$}  {detail}", if *passed { "ok     " } else { "missing" })?;
        }
        Ok(())
    }
}
