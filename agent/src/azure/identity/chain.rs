//! Which sources of tokens there are here, in which order, and what is missing for the others.

use std::path::PathBuf;

use azure_core::credentials::Secret;

use super::attempt::{Attempt, TokenError};
use super::platform::Selector;
use super::settings::{Kind, Settings};
use super::source::{ClientSecret, Plan, Source};
use super::{app_service, azure_ml, imds};
use crate::azure::transport::Timeouts;
use crate::environment::Environment;

/// A source and how to use it, or what is missing.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) source: Source,
    pub(super) plan: Result<Plan, String>,
}

/// The sources that `settings` allow, in the order in which they are asked. The order of `auto` is that of
/// `DefaultAzureCredential` in the other Azure SDKs
/// (<https://learn.microsoft.com/azure/developer/intro/azure-developer-default-credential>).
pub(super) fn candidates(settings: &Settings, environment: &Environment, timeouts: Timeouts) -> Vec<Candidate> {
    let sources_here = Sources { settings, environment, timeouts };
    let mut sources = match settings.kind {
        Kind::Auto => vec![
            Source::ClientSecret,
            Source::ClientCertificate,
            Source::WorkloadIdentity,
            Source::AppService,
            Source::AzureMl,
            Source::Imds,
            Source::AzureCli,
        ],
        Kind::ClientSecret => vec![Source::ClientSecret],
        Kind::ClientCertificate => vec![Source::ClientCertificate],
        Kind::WorkloadIdentity => vec![Source::WorkloadIdentity],
        Kind::ManagedIdentity => vec![Source::AppService, Source::Imds],
        Kind::AzureMl => vec![Source::AzureMl],
        Kind::AzureMlOnBehalfOf => vec![Source::AzureMlOnBehalfOf],
        Kind::AzureCli => vec![Source::AzureCli],
    };
    if settings.kind == Kind::ManagedIdentity && sources_here.plan(Source::AppService).is_ok() {
        // Where App Service offers the identity, there is no machine whose identity could be meant instead.
        sources.truncate(1);
    }
    sources.into_iter().map(|source| Candidate { source, plan: sources_here.plan(source) }).collect()
}

impl Settings {
    /// What is missing for each source that these settings allow, where it is missing for all of them, so that there
    /// can be no token before this process's environment or the settings change.
    #[must_use]
    pub fn ruled_out(&self, environment: &Environment) -> Option<TokenError> {
        let candidates = candidates(self, environment, Timeouts::default()).into_iter();
        let missing = candidates
            .map(|Candidate { source, plan }| plan.err().map(|reason| Attempt { source, reason, passing: false }));
        missing.collect::<Option<_>>().map(|attempts| TokenError { attempts })
    }
}

struct Sources<'a> {
    settings: &'a Settings,
    environment: &'a Environment,
    timeouts: Timeouts,
}

impl Sources<'_> {
    fn plan(&self, source: Source) -> Result<Plan, String> {
        let Settings { client_id, object_id, .. } = self.settings;
        let managed = || {
            let client_id = client_id.as_deref().or(self.environment.get("AZURE_CLIENT_ID"));
            object_id.as_deref().map(Selector::Object).or(client_id.map(Selector::Client))
        };
        match source {
            Source::ClientSecret => self.client_secret(),
            Source::ClientCertificate => self.client_certificate(),
            Source::WorkloadIdentity => self.workload_identity(),
            Source::AppService => app_service::endpoint(self.environment, managed()).map(Plan::Platform),
            Source::AzureMl => azure_ml::endpoint(self.environment, client_id.as_deref()).map(Plan::Platform),
            Source::AzureMlOnBehalfOf => azure_ml::on_behalf_of(self.environment).map(Plan::Platform),
            Source::Imds => imds::endpoint(self.environment, managed(), self.timeouts).map(Plan::Platform),
            Source::AzureCli => Ok(Plan::AzureCli { tenant_id: self.settings.tenant_id.clone() }),
        }
    }

    fn client_secret(&self) -> Result<Plan, String> {
        let secret = match &self.settings.client_secret_file {
            Some(path) => ClientSecret::File(path.clone()),
            None => ClientSecret::Text(Secret::new(self.variable("AZURE_CLIENT_SECRET")?.to_owned())),
        };
        Ok(Plan::ClientSecret { tenant_id: self.tenant_id()?, client_id: self.client_id()?, secret })
    }

    fn client_certificate(&self) -> Result<Plan, String> {
        let path = self.path(self.settings.certificate_path.as_ref(), "AZURE_CLIENT_CERTIFICATE_PATH")?;
        Ok(Plan::ClientCertificate { tenant_id: self.tenant_id()?, client_id: self.client_id()?, path })
    }

    fn workload_identity(&self) -> Result<Plan, String> {
        let token_file = self.path(self.settings.token_file.as_ref(), "AZURE_FEDERATED_TOKEN_FILE")?;
        Ok(Plan::WorkloadIdentity { tenant_id: self.tenant_id()?, client_id: self.client_id()?, token_file })
    }

    fn tenant_id(&self) -> Result<String, String> {
        self.settings.tenant_id.clone().map_or_else(|| self.variable("AZURE_TENANT_ID").map(str::to_owned), Ok)
    }

    fn client_id(&self) -> Result<String, String> {
        self.settings.client_id.clone().map_or_else(|| self.variable("AZURE_CLIENT_ID").map(str::to_owned), Ok)
    }

    fn path(&self, configured: Option<&PathBuf>, variable: &str) -> Result<PathBuf, String> {
        configured.cloned().map_or_else(|| self.variable(variable).map(PathBuf::from), Ok)
    }

    fn variable(&self, name: &str) -> Result<&str, String> {
        self.environment.get(name).ok_or_else(|| format!("{name} is not set"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[(&str, &str)] = &[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s")];
    const CERTIFICATE: &[(&str, &str)] =
        &[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem")];
    const WORKLOAD: &[(&str, &str)] =
        &[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/t")];
    const APP_SERVICE: &[(&str, &str)] = &[("IDENTITY_ENDPOINT", "http://127.0.0.1:1/x"), ("IDENTITY_HEADER", "h")];
    const AZURE_ML: &[(&str, &str)] = &[("MSI_ENDPOINT", "http://127.0.0.1:1/x"), ("MSI_SECRET", "s")];
    const ON_BEHALF_OF: &[(&str, &str)] = &[("OBO_ENDPOINT", "http://127.0.0.1:1/x")];

    fn ready(kind: Kind, environments: &[&[(&str, &str)]]) -> Vec<Source> {
        let variables = environments.iter().flat_map(|part| part.iter());
        let environment = variables.map(|&(name, value)| (name.into(), value.into())).collect();
        let settings = Settings { kind, ..Settings::default() };
        let candidates = candidates(&settings, &environment, Timeouts::default());
        candidates.into_iter().filter(|candidate| candidate.plan.is_ok()).map(|candidate| candidate.source).collect()
    }

    #[test]
    fn every_source_has_its_place_in_the_order() {
        use Source::{
            AppService, AzureCli, AzureMl, AzureMlOnBehalfOf, ClientCertificate, ClientSecret, Imds, WorkloadIdentity,
        };
        type Row<'a> = (Kind, &'a [&'a [(&'a str, &'a str)]], &'a [Source]);
        let all: &[&[_]] = &[AZURE_ML, APP_SERVICE, WORKLOAD, CERTIFICATE, SECRET, ON_BEHALF_OF];
        let rows: &[Row<'_>] = &[
            (Kind::Auto, &[], &[Imds, AzureCli]),
            (Kind::Auto, &[SECRET], &[ClientSecret, Imds, AzureCli]),
            (Kind::Auto, &[CERTIFICATE], &[ClientCertificate, Imds, AzureCli]),
            (Kind::Auto, &[WORKLOAD], &[WorkloadIdentity, Imds, AzureCli]),
            (Kind::Auto, &[APP_SERVICE], &[AppService, Imds, AzureCli]),
            (Kind::Auto, &[AZURE_ML], &[AzureMl, Imds, AzureCli]),
            (Kind::Auto, &[AZURE_ML, APP_SERVICE], &[AppService, AzureMl, Imds, AzureCli]),
            (Kind::Auto, &[WORKLOAD, SECRET], &[ClientSecret, WorkloadIdentity, Imds, AzureCli]),
            (Kind::Auto, &[ON_BEHALF_OF], &[Imds, AzureCli]),
            (
                Kind::Auto,
                all,
                &[ClientSecret, ClientCertificate, WorkloadIdentity, AppService, AzureMl, Imds, AzureCli],
            ),
            (Kind::ManagedIdentity, &[], &[Imds]),
            (Kind::ManagedIdentity, &[AZURE_ML], &[Imds]),
            (Kind::ManagedIdentity, &[APP_SERVICE, AZURE_ML], &[AppService]),
            (Kind::ClientSecret, all, &[ClientSecret]),
            (Kind::ClientSecret, &[CERTIFICATE], &[]),
            (Kind::ClientCertificate, all, &[ClientCertificate]),
            (Kind::WorkloadIdentity, all, &[WorkloadIdentity]),
            (Kind::AzureMl, all, &[AzureMl]),
            (Kind::AzureMl, &[APP_SERVICE], &[]),
            (Kind::AzureMlOnBehalfOf, all, &[AzureMlOnBehalfOf]),
            (Kind::AzureCli, all, &[AzureCli]),
        ];
        for (kind, environments, expected) in rows {
            assert_eq!(ready(*kind, environments), *expected, "{kind} {environments:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let settings = Settings { kind: Kind::ClientSecret, ..Settings::default() };
        let environment = Environment::from([("AZURE_CLIENT_SECRET", "hunter2"), ("AZURE_TENANT_ID", "t")]);
        let candidates = candidates(&settings, &environment, Timeouts::default());
        assert_eq!(candidates[0].plan.as_ref().err().map(String::as_str), Some("AZURE_CLIENT_ID is not set"));
        assert!(!format!("{candidates:?}").contains("hunter2"));
    }

    #[test]
    fn only_what_lacks_every_source_is_ruled_out() {
        let rows = [
            (Kind::AzureMlOnBehalfOf, Some("no sign-in: Azure ML user: OBO_ENDPOINT is not set")),
            (Kind::ClientSecret, Some("no sign-in: client secret: AZURE_CLIENT_SECRET is not set")),
            (Kind::ManagedIdentity, None),
            (Kind::AzureCli, None),
            (Kind::Auto, None),
        ];
        for (kind, expected) in rows {
            let settings = Settings { kind, ..Settings::default() };
            let error = settings.ruled_out(&Environment::from([("IDENTITY_HEADER", "h")]));
            assert_eq!(error.map(|error| error.to_string()).as_deref(), expected, "{kind}");
        }
        let settings = Settings { kind: Kind::ClientSecret, ..Settings::default() };
        let whole = SECRET.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        assert!(settings.ruled_out(&whole).is_none());
    }

    #[test]
    fn settings_come_before_variables() {
        let settings = Settings {
            kind: Kind::WorkloadIdentity,
            tenant_id: Some("mine".to_owned()),
            token_file: Some("/mine".into()),
            ..Settings::default()
        };
        let environment = WORKLOAD.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let candidates = candidates(&settings, &environment, Timeouts::default());
        let Ok(Plan::WorkloadIdentity { tenant_id, client_id, token_file }) = &candidates[0].plan else {
            panic!("{candidates:?}");
        };
        assert_eq!((tenant_id.as_str(), client_id.as_str(), token_file.to_str()), ("mine", "c", Some("/mine")));
    }
}
