//! Replays recorded conversations with Resource Manager, as far as the emulator plays who was talked to.

mod compare;
mod prepare;
pub(crate) mod provoke;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use self::prepare::{HOST, TAKES_SECONDS};
use crate::cassette::{self, Exchange, Recording};
use crate::emulated::{Answer, Call, Emulated};
use crate::table::{NotApplicable, Row};
use crate::verdict::Verdict;

/// What the recordings hold that the emulator is not held to.
pub(crate) const NOT_APPLICABLE: [NotApplicable; 10] = [
    NotApplicable {
        what: "Microsoft.Network, Microsoft.EventHub, Microsoft.Logic and their diagnostic settings",
        reason: "providers that Keyside makes nothing of: the emulator does not play them",
    },
    NotApplicable {
        what: "what lies within a storage account, its keys and its private endpoints",
        reason: "the emulator has accounts, and nothing in them",
    },
    NotApplicable {
        what: "api-version 2015-11-01-preview of Microsoft.OperationalInsights",
        reason: "retired; it writes ids, times and SKUs otherwise than the recording of 2024, which is compared",
    },
    NotApplicable {
        what: "lists of a whole subscription, and the second page of a list of vaults",
        reason: "they show what others had in the recorded subscription; the emulator's lists have one page",
    },
    NotApplicable {
        what: "providerOperations, exportTemplate",
        reason: "catalogues of other services; nothing asks the emulator for them",
    },
    NotApplicable {
        what: "the addresses in the second 202 of arm_mlworkspace_create_2025-11",
        reason: "the transcript left them out; those of its first 202 are compared",
    },
    NotApplicable {
        what: "the order of members in Resource Manager's bodies",
        reason: "each provider has its own, and no client reads it; the names and values are compared",
    },
    NotApplicable {
        what: "headers of single providers, such as azureml-served-by-cluster or request-context",
        reason: "they tell of the machines that answered; those of Resource Manager itself are compared",
    },
    NotApplicable {
        what: "values of ids, times and etags, and who is named as an author",
        reason: "they are made anew each time; their form is compared",
    },
    NotApplicable {
        what: "deployments, event subscriptions, subnets, and role definitions of one's own",
        reason: "recordings of them exist and are not kept here: the emulator does not play them",
    },
];

/// Whether the emulator plays who `exchange` talks to.
fn applies(exchange: &Exchange) -> bool {
    const ELSEWHERE: [&str; 16] = [
        "/microsoft.network/",
        "/microsoft.eventhub/",
        "/microsoft.logic/",
        "microsoft.operationalinsights/workspaces/workspacex683f167c",
        "/fileservices",
        "/blobservices",
        "/encryptionscopes/",
        "/managementpolicies/",
        "/privateendpointconnections/",
        "/privatelinkresources",
        "/revokeuserdelegationkeys",
        "/regeneratekey",
        "/listkeys",
        "/provideroperations/",
        "/exporttemplate",
        "$skiptoken=",
    ];
    let target = exchange.target.to_ascii_lowercase();
    let path = target.split('?').next().unwrap_or_default();
    let of_all = path.ends_with("/resourcegroups") || path.matches('/').count() == 3 && path.ends_with("/resources");
    !of_all && !ELSEWHERE.iter().any(|part| target.contains(part))
}

/// Replays every recording, each against an emulator of its own.
pub(crate) async fn replay_all() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for recording in cassette::load_management()? {
        rows.extend(replay(&recording).await.with_context(|| recording.name.clone())?);
    }
    Ok(rows)
}

async fn replay(recording: &Recording) -> Result<Vec<Row>> {
    let emulated = Emulated::start(&prepare::seed(recording)).await?;
    let mut session = Session { emulated, addresses: BTreeMap::new() };
    for (target, body) in prepare::calls(recording) {
        let answer = session.ask(("PUT", &target), Some(&body)).await?;
        anyhow::ensure!(answer.status < 300, "{target} was to prepare: {} {:?}", answer.status, answer.body);
        session.emulated.advance(Duration::from_secs(TAKES_SECONDS));
    }
    let mut rows = Vec::new();
    for (index, exchange) in recording.exchanges.iter().enumerate().filter(|(_, exchange)| applies(exchange)) {
        if is_complete(exchange) {
            session.emulated.advance(Duration::from_secs(TAKES_SECONDS));
        }
        let answer = session.repeat(exchange).await.with_context(|| format!("exchange {index}"))?;
        let mut verdict = Verdict::default();
        verdict.expect("status", &exchange.status, &answer.status);
        compare::headers(&mut verdict, exchange, &answer.headers);
        compare::bodies(&mut verdict, exchange, answer.body.as_ref());
        let path = exchange.path();
        let brief = if path.len() > 60 { &path[path.len() - 60..] } else { path };
        rows.push(Row {
            recording: recording.name.clone(),
            exchange: index,
            request: format!("{} {brief}", exchange.method),
            status: exchange.status,
            verdict,
        });
    }
    Ok(rows)
}

/// Whether the recording shows that time has passed: something made is complete, or an operation has ended.
fn is_complete(exchange: &Exchange) -> bool {
    let body = exchange.body.as_ref();
    let state = body.and_then(|body| body.member("properties")?.member("provisioningState")?.text());
    let status = body.and_then(|body| body.member("status")?.text());
    let polled = exchange.path().to_ascii_lowercase().contains("operationresults/") && exchange.status == 200;
    exchange.method == "GET" && (state == Some("Succeeded") || status == Some("Succeeded") || polled)
}

/// A client's state during a replay.
struct Session {
    emulated: Emulated,
    /// Recorded addresses of operations with those that stand for them.
    addresses: BTreeMap<String, String>,
}

impl Session {
    async fn repeat(&mut self, exchange: &Exchange) -> Result<Answer> {
        let target = self.addresses.get(&exchange.target).cloned().unwrap_or_else(|| exchange.target.clone());
        let body = exchange.request_body.as_deref().map(prepare::substituted);
        let answer = self.ask((&exchange.method, &target), body.as_deref()).await?;
        for name in ["location", "azure-asyncoperation"] {
            if let (Some(recorded), Some(live)) = (exchange.headers.get(name), answer.headers.get(name)) {
                let origin = format!("https://{HOST}");
                let [recorded, live] = [recorded, live].map(|address| address.trim_start_matches(&origin).to_owned());
                self.addresses.insert(recorded, live);
            }
        }
        Ok(answer)
    }

    /// Asks with a token of this moment, because the clock moves by hours.
    async fn ask(&self, (method, target): (&str, &str), body: Option<&str>) -> Result<Answer> {
        let token = self.emulated.token("https://management.azure.com/.default").await?;
        let content_type = body.map(|_| "application/json");
        self.emulated.call(&Call { method, host: HOST, target, token: Some(&token), content_type, body }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_recorded_exchanges_apply_and_every_recording_has_some() {
        let counts: Vec<(String, usize, usize)> = cassette::load_management()
            .unwrap()
            .iter()
            .map(|recording| {
                let applying = recording.exchanges.iter().filter(|exchange| applies(exchange)).count();
                (recording.name.clone(), applying, recording.exchanges.len())
            })
            .collect();
        let expected = [
            ("test_cli_mgmt_authorization.test_role_assignment", 3, 4),
            ("test_vaults.test_vaults_operations", 5, 7),
            ("test_cli_mgmt_keyvault.test_keyvault", 22, 22),
            ("test_cli_mgmt_monitor.test_monitor_diagnostic_settings", 2, 17),
            ("test_mgmt_resource.test_resource_groups", 10, 12),
            ("test_cli_mgmt_storage.test_storage", 7, 52),
            ("arm_loganalytics_create_2024-08", 2, 2),
            ("arm_mlworkspace_create_2025-11", 4, 4),
            ("arm_rg_and_vault_create_2023-11", 5, 5),
        ];
        assert_eq!(counts, expected.map(|(name, applying, all)| (name.to_owned(), applying, all)));
    }
}
