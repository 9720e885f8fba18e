//! Long-running operations: where they are asked for, and what their state and result look like.

use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::refusal::Refusal;
use super::store::Store;
use super::{compute, storage, virtual_machine, workspace};
use crate::vault::milliseconds_after;

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    GroupDeletion,
    VaultPurge,
    StorageCreation,
    WorkspaceChange,
    WorkspaceDeletion,
    ComputeChange,
    MachineChange,
}

impl Work {
    /// The seconds that the service asks its callers to wait between two looks; some ask for nothing.
    fn retry_after(self) -> Option<u64> {
        match self {
            Work::GroupDeletion => Some(15),
            Work::VaultPurge => Some(5),
            Work::StorageCreation => Some(17),
            Work::MachineChange => Some(10),
            Work::WorkspaceChange | Work::WorkspaceDeletion | Work::ComputeChange => None,
        }
    }

    /// The path between the subscription and the operation's own segment.
    fn segments(self, location: &str) -> String {
        let (namespace, word) = match self {
            Work::GroupDeletion => return "operationresults".into(),
            Work::VaultPurge => ("Microsoft.KeyVault", "operationResults"),
            Work::StorageCreation => ("Microsoft.Storage", "asyncoperations"),
            Work::WorkspaceChange | Work::WorkspaceDeletion => {
                ("Microsoft.MachineLearningServices", "workspaceOperationsStatus")
            }
            Work::ComputeChange => ("Microsoft.MachineLearningServices", "computeOperationsStatus"),
            Work::MachineChange => ("Microsoft.Compute", "operations"),
        };
        format!("providers/{namespace}/locations/{location}/{word}")
    }
}

/// One operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Operation {
    work: Work,
    location: String,
    /// The key of what it is about.
    about: String,
    made: Timestamp,
    takes: Duration,
}

/// Which of its two addresses an operation is asked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `Azure-AsyncOperation`: a state.
    State,
    /// `Location`: the result, once there is one.
    Result,
}

impl Form {
    fn parameter(self, work: Work) -> &'static str {
        match (self, work) {
            (_, Work::GroupDeletion | Work::VaultPurge)
            | (Form::State, Work::StorageCreation | Work::MachineChange) => "",
            (Form::Result, Work::StorageCreation | Work::MachineChange) => "monitor=true",
            (Form::State, _) => "type=async",
            (Form::Result, _) => "type=location",
        }
    }
}

impl Operation {
    fn is_complete(&self, now: Timestamp) -> bool {
        milliseconds_after(self.made, self.takes) <= now.as_millisecond()
    }

    /// What `Retry-After` says: as much as the service says, but no more than a shortened operation takes.
    fn retry_after(&self) -> Option<String> {
        let whole = self.takes.as_millis().div_ceil(1000).max(1);
        self.work.retry_after().map(|own| u128::from(own).min(whole).to_string())
    }

    fn address(&self, call: &Call<'_>, (subscription, id): (&str, &str), form: Form) -> String {
        let path = format!("/subscriptions/{subscription}/{}/{id}", self.work.segments(&self.location));
        let version = format!("api-version={}", call.api_version);
        let query = match form.parameter(self.work) {
            "" => version,
            // Storage writes its own parameter first, the others write theirs last.
            own @ "monitor=true" => format!("{own}&{version}"),
            own => format!("{version}&{own}"),
        };
        format!("{}{}", call.base, call.signer.sign(&path, &query, self.made))
    }
}

impl Store {
    /// Begins an operation on `about` and gives `answer` the addresses at which it is followed.
    pub(crate) fn begin(
        &mut self,
        call: &Call<'_>,
        (work, takes): (Work, Duration),
        (about, location): (&str, &str),
        answer: Answer,
    ) -> Answer {
        let id = Uuid::new_v4().simple().to_string();
        let operation = Operation { work, location: location.into(), about: about.into(), made: call.now(), takes };
        let subscription = self.subscription.to_string();
        let address = |form| operation.address(call, (&subscription, &id), form);
        let answer = match work {
            Work::GroupDeletion | Work::VaultPurge | Work::StorageCreation => {
                answer.with("location", address(Form::Result))
            }
            Work::ComputeChange => answer.with("azure-asyncoperation", address(Form::State)),
            Work::WorkspaceChange | Work::WorkspaceDeletion | Work::MachineChange => {
                answer.with("location", address(Form::Result)).with("azure-asyncoperation", address(Form::State))
            }
        };
        let answer = match operation.retry_after() {
            Some(seconds) => answer.with("retry-after", seconds),
            None => answer,
        };
        self.operations.insert(id, operation);
        answer
    }

    /// Answers who follows an operation at the address that it was given.
    pub(crate) fn poll(&self, call: &Call<'_>, id: &str, query: &str) -> Result<Answer, Refusal> {
        if !call.signer.signed(call.path, query) {
            return Err(Refusal::poll_address());
        }
        let operation = self.operations.get(id).ok_or_else(|| Refusal::no_such_path(call.path))?;
        let complete = operation.is_complete(call.now());
        let form = match (operation.work, call.query.value("type"), call.query.value("monitor")) {
            (Work::MachineChange, _, None) | (_, Some("async"), _) => Form::State,
            _ => Form::Result,
        };
        let answer = match (form, complete) {
            (Form::State, false) => Answer::ok(json!({ "status": "InProgress", "percentComplete": 0.0 })),
            (Form::State, true) => Answer::ok(json!({ "status": "Succeeded", "percentComplete": 100.0 })),
            (Form::Result, false) => self.unfinished(call, operation, id),
            (Form::Result, true) => return Ok(self.result(call, operation)),
        };
        Ok(match operation.retry_after() {
            Some(seconds) if !complete => answer.with("retry-after", seconds),
            _ => answer,
        })
    }

    fn unfinished(&self, call: &Call<'_>, operation: &Operation, id: &str) -> Answer {
        let answer = match operation.work {
            Work::VaultPurge => Answer::json(
                StatusCode::ACCEPTED,
                json!({
                    "createdDateTime": operation.made.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                    "status": "NotStarted",
                }),
            ),
            _ => Answer::empty(StatusCode::ACCEPTED),
        };
        let subscription = self.subscription.to_string();
        answer.with("location", operation.address(call, (&subscription, id), Form::Result))
    }

    fn result(&self, call: &Call<'_>, operation: &Operation) -> Answer {
        let resource = self.resources.get(&operation.about);
        let shown = |show: fn(&super::store::Record, Timestamp) -> serde_json::Value| {
            resource
                .map_or_else(|| Answer::empty(StatusCode::NO_CONTENT), |record| Answer::ok(show(record, call.now())))
        };
        match operation.work {
            Work::GroupDeletion => Answer::empty(StatusCode::OK),
            Work::WorkspaceDeletion => Answer::empty(StatusCode::NO_CONTENT),
            Work::VaultPurge => Answer::ok(json!({
                "createdDateTime": operation.made.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                "lastActionDateTime": call.now().strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                "status": "Succeeded",
            })),
            Work::StorageCreation => shown(storage::show),
            Work::WorkspaceChange => shown(workspace::show),
            Work::ComputeChange => shown(compute::show),
            Work::MachineChange => shown(virtual_machine::show),
        }
    }
}
