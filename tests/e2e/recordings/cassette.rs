//! Recorded traffic: reads the two forms in which it is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::json::Json;

/// What took the traffic down, and so what is missing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorder {
    /// VCR, in October 2019: without Authorization, Retry-After, x-ms-request-id and x-ms-client-request-id.
    Vcr,
    /// The Azure SDK test proxy, since 2025: without Authorization and x-ms-client-request-id, some of it without
    /// x-ms-request-id too.
    TestProxy,
}

/// A conversation with one vault, in the order in which it was held.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) recorder: Recorder,
    pub(crate) exchanges: Vec<Exchange>,
}

/// One request with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) host: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) content_type: Option<String>,
    pub(crate) request_body: Option<String>,
    pub(crate) status: u16,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Json>,
}

impl Exchange {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether `other` asks for the same thing.
    pub(crate) fn asks_as(&self, other: &Exchange) -> bool {
        self.method == other.method && self.target == other.target
    }
}

impl Recording {
    /// The vault's name, which is the same in every exchange.
    pub(crate) fn vault(&self) -> Result<&str> {
        let first = self.exchanges.first().context("the recording is empty")?;
        if let Some(other) = self.exchanges.iter().find(|exchange| exchange.host != first.host) {
            bail!("the recording talks to {} and to {}", first.host, other.host);
        }
        first.host.strip_suffix(".vault.azure.net").with_context(|| format!("{} is no vault", first.host))
    }
}

/// The folder of everything recorded.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

type Read = fn(&str) -> Result<(Recorder, Vec<Exchange>)>;

/// Reads every recording of a conversation with a vault, by folder and name.
pub(crate) fn load() -> Result<Vec<Recording>> {
    load_from(&[("azure-keyvault-secrets-4.0.0", read_vcr), ("transcribed", read_transcript)])
}

/// Reads every recording of a conversation with Resource Manager, by folder and name.
pub(crate) fn load_management() -> Result<Vec<Recording>> {
    load_from(&[
        ("azure-mgmt-authorization-1.0.0", read_vcr),
        ("azure-mgmt-keyvault-2.0.0", read_vcr),
        ("azure-mgmt-keyvault-9.0.0", read_vcr),
        ("azure-mgmt-monitor-1.0.0", read_vcr),
        ("azure-mgmt-resource-15.0.0", read_vcr),
        ("azure-mgmt-storage-16.0.0", read_vcr),
        ("transcribed-resource-manager", read_transcript),
    ])
}

fn load_from(folders: &[(&str, Read)]) -> Result<Vec<Recording>> {
    let mut recordings = Vec::new();
    for (folder_name, read) in folders {
        for path in files(&folder().join(folder_name))? {
            let problem = || format!("could not read {}", path.display());
            let text = fs::read_to_string(&path).with_context(problem)?;
            let (recorder, exchanges) = read(&text).with_context(problem)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            recordings.push(Recording { name, recorder, exchanges });
        }
    }
    Ok(recordings)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[derive(Deserialize)]
struct Cassette {
    interactions: Vec<Interaction>,
}

#[derive(Deserialize)]
struct Interaction {
    request: VcrRequest,
    response: VcrResponse,
}

#[derive(Deserialize)]
struct VcrRequest {
    body: Option<String>,
    headers: BTreeMap<String, OneOrMany>,
    method: String,
    uri: String,
}

#[derive(Deserialize)]
struct VcrResponse {
    body: VcrBody,
    headers: BTreeMap<String, OneOrMany>,
    status: VcrStatus,
}

/// A header's values: recordings of synchronous clients list them, those of asynchronous ones do not.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn joined(self) -> String {
        match self {
            OneOrMany::One(value) => value,
            OneOrMany::Many(values) => values.join(", "),
        }
    }
}

#[derive(Deserialize)]
struct VcrBody {
    string: String,
}

#[derive(Deserialize)]
struct VcrStatus {
    code: u16,
}

fn read_vcr(text: &str) -> Result<(Recorder, Vec<Exchange>)> {
    let cassette: Cassette = serde_saphyr::from_str(text)?;
    let exchanges = cassette.interactions.into_iter().map(|interaction| {
        let Interaction { request, response } = interaction;
        let (host, target) = split(&request.uri)?;
        let body = response.body.string;
        let mut sent = by_name(request.headers);
        Ok(Exchange {
            method: request.method,
            host,
            target,
            content_type: sent.remove("content-type"),
            request_body: request.body,
            status: response.status.code,
            headers: by_name(response.headers),
            body: if body.is_empty() { None } else { Some(Json::parse(body.as_bytes())?) },
        })
    });
    Ok((Recorder::Vcr, exchanges.collect::<Result<_>>()?))
}

fn by_name(headers: BTreeMap<String, OneOrMany>) -> BTreeMap<String, String> {
    headers.into_iter().map(|(name, values)| (name.to_ascii_lowercase(), values.joined())).collect()
}

#[derive(Deserialize)]
struct Transcript {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    method: String,
    url: String,
    request_headers: BTreeMap<String, String>,
    request_body: Option<serde_json::Value>,
    status: u16,
    headers: BTreeMap<String, String>,
    body: Option<Json>,
}

fn read_transcript(text: &str) -> Result<(Recorder, Vec<Exchange>)> {
    let transcript: Transcript = serde_json::from_str(text)?;
    let exchanges = transcript.entries.into_iter().map(|entry| {
        let (host, target) = split(&entry.url)?;
        let request_body = entry.request_body.map(|body| body.to_string());
        let content_type = entry.request_headers.get("Content-Type").cloned();
        Ok(Exchange {
            method: entry.method,
            host,
            target,
            content_type: content_type.or(request_body.as_ref().map(|_| "application/json".to_owned())),
            request_body,
            status: entry.status,
            headers: entry.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect(),
            body: entry.body,
        })
    });
    Ok((Recorder::TestProxy, exchanges.collect::<Result<_>>()?))
}

fn split(url: &str) -> Result<(String, String)> {
    let rest = url.strip_prefix("https://").with_context(|| format!("{url} is not https"))?;
    let at = rest.find('/').with_context(|| format!("{url} has no path"))?;
    Ok((rest[..at].to_owned(), rest[at..].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recording_is_read_whole() {
        let recordings = load().unwrap();
        let counts: Vec<_> =
            recordings.iter().map(|recording| (recording.name.as_str(), recording.exchanges.len())).collect();
        assert_eq!(
            counts,
            [
                ("test_samples_secrets.test_example_secret_crud_operations", 12),
                ("test_samples_secrets.test_example_secret_list_operations", 10),
                ("test_samples_secrets.test_example_secrets_backup_restore", 5),
                ("test_samples_secrets.test_example_secrets_recover", 14),
                ("test_samples_secrets_async.test_example_secret_list_operations", 11),
                ("test_secrets_client.test_backup_restore", 5),
                ("test_secrets_client.test_list_deleted_secrets", 47),
                ("test_secrets_client.test_list_versions", 12),
                ("test_secrets_client.test_logging_disabled", 2),
                ("test_secrets_client.test_logging_enabled", 2),
                ("test_secrets_client.test_purge", 66),
                ("test_secrets_client.test_recover", 86),
                ("test_secrets_client.test_secret_crud_operations", 7),
                ("test_secrets_client.test_secret_list", 9),
                ("kv_secret_crud_2026-05", 9),
                ("kv_secret_list_2025-02", 1),
                ("kv_secret_purge_2025-02", 5),
                ("kv_secret_recover_2026-05", 9),
            ]
        );
    }

    #[test]
    fn a_folded_challenge_and_an_empty_answer_are_read_as_they_were_sent() {
        let recordings = load().unwrap();
        let purge = recordings.iter().find(|recording| recording.name.ends_with("test_purge")).unwrap();
        assert_eq!(
            purge.exchanges[0].headers["www-authenticate"],
            r#"Bearer authorization="https://login.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47", resource="https://vault.azure.net""#
        );
        let purged = purge.exchanges.iter().find(|exchange| exchange.status == 204).unwrap();
        assert_eq!((purged.method.as_str(), &purged.body), ("DELETE", &None));
        assert_eq!(purge.vault().unwrap(), "vault458ad70cc7c1310c67");
    }
}
