//! The operations on secrets, once a caller may do them.

use jiff::Timestamp;

use super::Vault;
use super::api_version::ApiVersion;
use super::bundle::{BackupBlob, Page, Show, Style};
use super::contents::Removal;
use super::data_plane::Answer;
use super::operation::Operation;
use super::page::PageRequest;
use super::refusal::Refusal;
use super::{backup, body, conversion};

/// The port that a link names where the caller's address named none.
const HTTPS_PORT: u16 = 443;

/// What an operation takes from its request.
pub(super) struct Task<'a> {
    pub(super) authority: &'a str,
    pub(super) body: &'a [u8],
    pub(super) page: Result<PageRequest, Refusal>,
    pub(super) out_content_type: Option<&'a str>,
    pub(super) api_version: ApiVersionName<'a>,
    pub(super) now: Timestamp,
}

/// An api-version with the name that the caller used for it.
#[derive(Clone, Copy)]
pub(super) struct ApiVersionName<'a> {
    pub(super) version: ApiVersion,
    pub(super) name: &'a str,
}

impl Vault {
    pub(super) fn perform(&mut self, operation: &Operation, task: Task<'_>) -> Result<Answer, Refusal> {
        let vault_url = self.url();
        let Vault { contents, lifecycle, .. } = self;
        let style = Style { vault_url: &vault_url, lifecycle, api_version: task.api_version.version };
        let now = task.now;
        Ok(match operation {
            Operation::Set { name } => {
                let secret = contents.set(name, body::draft(task.body)?, now)?;
                Answer::json(&style.bundle(secret, secret.latest(), Show::Value))
            }
            Operation::Get { name, version } => {
                let (secret, version) = contents.get(name, version.as_deref(), now)?;
                let version = conversion::convert(version, task.out_content_type)?;
                Answer::json(&style.bundle(secret, &version, Show::Value))
            }
            Operation::Update { name, version } => {
                let (secret, version) = contents.update(name, version.as_deref(), body::change(task.body)?, now)?;
                Answer::json(&style.bundle(secret, version, Show::VersionedId))
            }
            Operation::Delete { name } => match contents.delete(name, lifecycle, now)? {
                Removal::Kept(deleted) => Answer::json(&style.deleted(deleted, Show::VersionedId)),
                Removal::Final(secret) => Answer::json(&style.bundle(&secret, secret.latest(), Show::VersionedId)),
            },
            Operation::GetDeleted { name } => {
                Answer::json(&style.deleted(contents.get_deleted(name, now)?, Show::VersionedId))
            }
            Operation::Recover { name } => {
                let secret = contents.recover(name, lifecycle, now)?;
                Answer::json(&style.bundle(secret, secret.latest(), Show::VersionedId))
            }
            Operation::Purge { .. } if lifecycle.purge_protection => {
                return Err(Refusal::purge_protected(&self.name, &self.location));
            }
            Operation::Purge { name } => contents.purge(name, now).map(|()| Answer::empty())?,
            Operation::Backup { name } => {
                Answer::json(&BackupBlob { value: backup::write(contents.secret(name, now)?) })
            }
            Operation::Restore => {
                let secret = contents.restore(body::restored(task.body)?, now)?;
                Answer::json(&style.bundle(secret, secret.latest(), Show::VersionedId))
            }
            Operation::List | Operation::ListDeleted | Operation::ListVersions { .. } => self.list(operation, task)?,
        })
    }

    fn list(&self, operation: &Operation, task: Task<'_>) -> Result<Answer, Refusal> {
        let Task { authority, page, api_version, now, .. } = task;
        let page = page?;
        let vault_url = self.url();
        let style = Style { vault_url: &vault_url, lifecycle: &self.lifecycle, api_version: api_version.version };
        let link = |path: &str, token: Option<String>| {
            let token = token?;
            let length = page.length.map_or(String::new(), |length| format!("&maxresults={length}"));
            let (host, port) = split_port(authority);
            Some(format!("https://{host}:{port}/{path}?api-version={}&$skiptoken={token}{length}", api_version.name))
        };
        Ok(match operation {
            Operation::ListVersions { name } => {
                // A name that nobody has written has no versions: recorded traffic shows an empty list, no 404.
                let secret = self.contents.secret(name, now).ok();
                let mut versions: Vec<_> = secret
                    .iter()
                    .flat_map(|secret| secret.versions.iter().map(move |version| (*secret, version)))
                    .collect();
                versions.sort_by_key(|(_, version)| version.id.as_str());
                let items = versions
                    .into_iter()
                    .map(|(secret, version)| (version.id.as_str(), style.bundle(secret, version, Show::VersionedId)));
                let (value, token) = page.cut(items);
                Answer::json(&Page { value, next_link: link(&format!("secrets/{name}/versions"), token) })
            }
            Operation::ListDeleted => {
                let deleted = self.contents.deleted(now);
                let (value, token) =
                    page.cut(deleted.map(|(key, deleted)| (key, style.deleted(deleted, Show::PlainId))));
                Answer::json(&Page { value, next_link: link("deletedsecrets", token) })
            }
            _ => {
                let visible = self.contents.visible(now);
                let bundle = |(key, secret)| (key, style.bundle(secret, secret.latest(), Show::PlainId));
                let (value, token) = page.cut(visible.map(bundle));
                Answer::json(&Page { value, next_link: link("secrets", token) })
            }
        })
    }
}

/// An authority's host and port; IPv6 addresses are in brackets.
fn split_port(authority: &str) -> (&str, u16) {
    let split = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    split.unwrap_or((authority, HTTPS_PORT))
}
