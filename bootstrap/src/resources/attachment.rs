//! The agent's identity on the machine that runs it, beside the identities that the machine has already.

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use azure_core::http::Method;
use serde_json::{Map, Value, json};

use super::workspace;
use crate::arm::{self, ArmError, Call, State};
use crate::azure::Azure;
use crate::declaration::OWNER_TAG;
use crate::id::ArmId;
use crate::item::{Decision, Item, Key, Known, Label, Observed};

/// What a machine is, which decides how its identities are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A virtual machine: a patch names the identity alone.
    Virtual,
    /// A compute of a workspace, of a type that the Azure CLI knows by this name: only the whole can be written.
    Compute(&'static str),
}

/// An identity on a machine.
#[derive(Debug)]
pub struct Attachment {
    /// The machine.
    pub machine: ArmId,
    /// What it is.
    pub kind: Machine,
    /// The identity.
    pub identity: ArmId,
    /// The estate's number, which the identity carries as a tag if this program made it.
    pub estate: String,
}

/// What a service answers about a compute and does not want to hear.
const READ_ONLY: [&str; 6] =
    ["provisioningState", "provisioningErrors", "createdOn", "modifiedOn", "isAttachedCompute", "computeLocation"];

impl Attachment {
    fn path(&self) -> String {
        let api = match self.kind {
            Machine::Virtual => "2024-07-01",
            Machine::Compute(_) => workspace::API,
        };
        format!("{}?api-version={api}", self.machine)
    }

    fn is_on(&self, machine: &Value) -> bool {
        assigned(machine).keys().any(|id| self.identity.same_as(id))
    }

    /// The identities of `machine` with this one or without it; a patch takes one away by null.
    fn identities(&self, machine: &Value, attached: bool) -> Value {
        let had = machine.pointer("/identity/type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let mut others = assigned(machine);
        others.retain(|id, _| !self.identity.same_as(id));
        let (system, users) = (had.contains("systemassigned"), attached || !others.is_empty());
        let kind = match (system, users, self.kind) {
            (true, true, Machine::Virtual) => "SystemAssigned, UserAssigned",
            (true, true, Machine::Compute(_)) => "SystemAssigned,UserAssigned",
            (true, false, _) => "SystemAssigned",
            (false, true, _) => "UserAssigned",
            (false, false, _) => "None",
        };
        let mut all: Map<String, Value> = match self.kind {
            Machine::Virtual => Map::new(),
            // Of the identities that stay, only the names are the caller's to say.
            Machine::Compute(_) => others.into_iter().map(|(id, _)| (id, json!({}))).collect(),
        };
        match (attached, self.kind) {
            (true, _) => drop(all.insert(self.identity.to_string(), json!({}))),
            (false, Machine::Virtual) => drop(all.insert(self.identity.to_string(), Value::Null)),
            (false, Machine::Compute(_)) => {}
        }
        let mut identity = json!({"type": kind});
        if !all.is_empty() {
            identity["userAssignedIdentities"] = all.into();
        }
        identity
    }

    fn document(&self, machine: &Value, attached: bool) -> Value {
        let identity = self.identities(machine, attached);
        match self.kind {
            Machine::Virtual => json!({"identity": identity}),
            Machine::Compute(_) => {
                let mut properties = machine.get("properties").cloned().unwrap_or_default();
                if let Some(members) = properties.as_object_mut() {
                    members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
                }
                json!({"location": machine.get("location"), "tags": machine.get("tags"), "identity": identity,
                    "properties": properties})
            }
        }
    }

    /// What follows where there is no machine. A compute cannot be there before its workspace, and is not this program's
    /// to make: whoever makes it names the identity.
    fn without_machine(&self, workspace_exists: bool) -> Observed {
        let Machine::Compute(kind) = self.kind else {
            let reason = format!("{} does not exist: make it, or take compute out of [agent]", self.machine);
            return Observed::refused(reason);
        };
        let (group, name) = (self.machine.group_name(), self.machine.name());
        let workspace = self.machine.as_str().split('/').nth(8).unwrap_or_default();
        let note = format!(
            "there is no compute {name} yet: make it with `az ml compute create --type {kind} --resource-group {group} \
             --workspace-name {workspace} --name {name} --identity-type UserAssigned --user-assigned-identities {}`",
            self.identity
        );
        let decision = if workspace_exists { Decision::Leave } else { Decision::Create };
        Observed { decision, ..Observed::absent() }.with_note(note)
    }

    async fn read(&self, azure: &Azure) -> Result<Option<Value>> {
        Ok(azure.arm.get(&self.label(), &self.path()).await?)
    }

    async fn send(&self, azure: &Azure, (operation, attached): (&'static str, bool)) -> Result<Value, ArmError> {
        let label = self.label();
        let read = Call::new(&label, operation, Method::Get, self.path());
        let machine = azure.arm.settled(&self.path(), &read).await?;
        let method = match self.kind {
            Machine::Virtual => Method::Patch,
            Machine::Compute(_) => Method::Put,
        };
        let body = Some(self.document(&machine, attached));
        let call = Call { body, ..Call::new(&label, operation, method, self.path()) };
        let answer = azure.arm.send(&call).await?;
        azure.arm.finish(&answer, &call).await?;
        azure.arm.settled(&self.path(), &call).await
    }
}

fn assigned(machine: &Value) -> Map<String, Value> {
    let identities = machine.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
    identities.cloned().unwrap_or_default()
}

#[async_trait]
impl Item for Attachment {
    fn label(&self) -> Label {
        let name = format!("{} on {}", self.identity.name(), self.machine.name());
        Label { kind: "identity attachment", name }
    }

    async fn observe(&self, azure: &Azure, known: &Known) -> Result<Observed> {
        let Some(machine) = self.read(azure).await? else { return Ok(self.without_machine(known.has(Key::Workspace))) };
        let made = known.text(Key::Identity, &format!("/tags/{OWNER_TAG}"));
        let ours = made.as_ref() == Some(&self.estate);
        Ok(match arm::state(&machine) {
            _ if self.is_on(&machine) => Observed::present(Value::Null, ours),
            State::UnderWay(word) => Observed { decision: Decision::Await(word), ..Observed::absent() },
            State::Ready | State::Failed(_) => Observed::absent(),
        })
    }

    async fn write(&self, azure: &Azure, _known: &Known, _observed: &Observed) -> Result<Value> {
        Ok(self.send(azure, ("make", true)).await?)
    }

    /// A machine that refers to an identity that is gone cannot be changed any more.
    async fn remove(&self, azure: &Azure, _known: &Known, _purge: bool) -> Result<Option<String>> {
        match self.send(azure, ("undo", false)).await {
            Err(error) if !error.is_absence() => Err(error).context("the identity is still on the machine"),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agent";

    fn attachment(kind: Machine) -> Attachment {
        let machine = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";
        let (machine, identity) = (machine.parse().expect("an id"), IDENTITY.parse().expect("an id"));
        Attachment { machine, kind, identity, estate: "e".to_owned() }
    }

    #[test]
    fn the_identities_that_a_machine_has_stay() {
        let other = IDENTITY.replace("agent", "other");
        let machine = json!({"location": "westeurope", "identity": {"type": "SystemAssigned, UserAssigned",
            "principalId": "p", "userAssignedIdentities": {other.as_str(): {"clientId": "c"}}},
            "properties": {"computeType": "AmlCompute", "provisioningState": "Succeeded"}});
        let virtual_machine = attachment(Machine::Virtual).document(&machine, true);
        assert_eq!(
            virtual_machine,
            json!({"identity": {"type": "SystemAssigned, UserAssigned",
            "userAssignedIdentities": {IDENTITY: {}}}})
        );
        let compute = attachment(Machine::Compute("amlcompute")).document(&machine, true);
        assert_eq!(
            compute["identity"],
            json!({"type": "SystemAssigned,UserAssigned",
            "userAssignedIdentities": {IDENTITY: {}, other.as_str(): {}}})
        );
        assert_eq!(compute["properties"], json!({"computeType": "AmlCompute"}));
    }

    #[test]
    fn an_identity_is_recognised_in_another_case_and_taken_away_again() {
        let recased = IDENTITY.replace("resourceGroups", "resourcegroups");
        let machine = json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": {recased.as_str(): {}}}});
        let one = attachment(Machine::Virtual);
        assert!(one.is_on(&machine) && !one.is_on(&json!({})));
        let undone = one.document(&machine, false);
        assert_eq!(undone, json!({"identity": {"type": "None", "userAssignedIdentities": {IDENTITY: null}}}));
        let undone = attachment(Machine::Compute("amlcompute")).document(&machine, false);
        assert_eq!(undone["identity"], json!({"type": "None"}));
    }

    #[test]
    fn a_compute_that_is_yet_to_be_made_is_told_with_the_command_that_makes_it() {
        let mut compute = attachment(Machine::Compute("amlcompute"));
        let workspace = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/ws";
        compute.machine = workspace.parse::<ArmId>().expect("an id").child("computes", "cpu");
        let observed = compute.without_machine(true);
        assert_eq!(observed.decision, Decision::Leave);
        let command = "az ml compute create --type amlcompute --resource-group g --workspace-name ws --name cpu";
        assert!(observed.notes[0].contains(command), "{:?}", observed.notes);
        assert_eq!(compute.without_machine(false).decision, Decision::Create, "it may be there by then");
        assert_eq!(attachment(Machine::Virtual).without_machine(true).decision.word(), "refuse");
    }
}
