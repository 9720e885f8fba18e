//! From findings to the document: what they are together, who lacks what, and whether an agent could be ready.

use jiff::Timestamp;

use super::advice::{Advice, Scene, of_clock, of_way};
use super::document::{Answer, Document, Finding, Identity, SecretState, Skipped, Token, Verdict, Way, Weight};
use super::findings::Findings;
use crate::azure::ConnectError;
use crate::azure::identity::{Attempt, Settings, SignedIn};
use crate::azure::key_vault::Refused;
use crate::azure::knock::Knock;
use crate::causes::with_causes;
use crate::config::Config;
use crate::refresh::Wanted;
use crate::secret::Metadata;
use crate::vault::FetchError;

impl Document {
    /// What the findings come down to at `now`.
    pub(super) fn of(config: &Config, found: &Findings, now: Timestamp) -> Self {
        let scene = scene(config, found);
        let mut findings = general(&scene, found);
        let mut secrets = Vec::new();
        for (wanted, outcome) in &found.secrets {
            let advice = outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
            let advice = advice.map(|refused| scene.of_secret(wanted, refused));
            let state = SecretState::of(wanted, outcome.as_ref(), advice.as_ref(), now);
            if let Some(advice) =
                advice.or_else(|| Some(scene.expired(wanted, state.expires.filter(|_| state.expired)?)))
            {
                let weight = if state.required && state.problem.is_some() { Weight::Problem } else { Weight::Warning };
                add(&mut findings, Finding::about(&state.name, weight, advice));
            }
            secrets.push(state);
        }
        Self {
            verdict: Verdict::of(&findings),
            vault: config.vault.to_string(),
            way: Some(Way::of(found)),
            identity: Identity::of(&config.identity, found),
            token: found.sign_in.as_ref().ok().map(Token::of),
            list: match &found.list {
                Some(Ok(())) => Answer::Allowed,
                Some(Err(Refused { error: FetchError::Denied { .. }, .. })) => Answer::Denied,
                Some(Err(_)) | None => Answer::Unknown,
            },
            secrets,
            findings,
        }
    }

    /// What there is to say where no connection can even be tried.
    pub(super) fn unconnected(config: &Config, error: &ConnectError) -> Self {
        let message = with_causes(error);
        let advice = Advice { code: "environment", transient: false, message, commands: Vec::new() };
        Self {
            verdict: Verdict::Misconfigured,
            vault: config.vault.to_string(),
            way: None,
            identity: Identity::none(&config.identity),
            token: None,
            list: Answer::Unknown,
            secrets: config.wanted.iter().map(SecretState::unasked).collect(),
            findings: vec![Finding::general(Weight::Problem, advice)],
        }
    }
}

fn scene<'a>(config: &'a Config, found: &'a Findings) -> Scene<'a> {
    let signed_in = found.sign_in.as_ref().ok();
    let claims = signed_in.map(|signed_in| &signed_in.claims);
    let knock = found.knock.as_ref().ok();
    let refusals = found.secrets.iter().filter_map(|(_, outcome)| outcome.as_ref()?.as_ref().err());
    let mut all = found.list.iter().filter_map(|list| list.as_ref().err()).chain(refusals);
    let denied = matches!(&found.list, Some(Err(Refused { error: FetchError::Denied { .. }, .. })));
    let some_readable = found.secrets.iter().any(|(_, outcome)| matches!(outcome, Some(Ok(_))));
    Scene {
        vault: &config.vault,
        principal: claims.and_then(|claims| claims.object_id),
        is_user: claims.is_some_and(|claims| claims.is_user),
        source: signed_in.map(|signed_in| signed_in.source),
        token_tenant: claims.and_then(|claims| claims.tenant_id),
        vault_tenant: knock.and_then(|knock| knock.tenant_id),
        seen_as: knock.and_then(|knock| knock.seen_as),
        resource: all.find_map(|refused| refused.evidence.resource.as_ref()),
        narrow: denied && some_readable,
    }
}

/// What is not about single secrets.
fn general(scene: &Scene<'_>, found: &Findings) -> Vec<Finding> {
    let way = found.knock.as_ref().err().map(of_way);
    let sign_in = found.sign_in.as_ref().err().map(|error| scene.of_sign_in(error));
    let problems = way.into_iter().chain(sign_in).map(|advice| Finding::general(Weight::Problem, advice));
    let clock = found.knock.as_ref().ok().and_then(|knock| of_clock(knock.clock_ahead?));
    problems.chain(clock.map(|advice| Finding::general(Weight::Warning, advice))).collect()
}

/// Adds a finding, or its secrets to one that is the same but for them; it weighs what the gravest of them does.
fn add(findings: &mut Vec<Finding>, new: Finding) {
    let same =
        |known: &&mut Finding| known.code == new.code && known.message == new.message && known.commands == new.commands;
    match findings.iter_mut().find(same) {
        Some(known) => {
            known.secrets.extend(new.secrets);
            known.weight = known.weight.min(new.weight);
        }
        None => findings.push(new),
    }
}

impl Finding {
    fn general(weight: Weight, advice: Advice) -> Self {
        let Advice { code, transient, message, commands } = advice;
        Self { code, weight, transient, secrets: Vec::new(), message, commands }
    }

    fn about(secret: &str, weight: Weight, advice: Advice) -> Self {
        Self { secrets: vec![secret.to_owned()], ..Self::general(weight, advice) }
    }
}

impl Way {
    fn of(found: &Findings) -> Self {
        let knock: Option<&Knock> = found.knock.as_ref().ok();
        Self {
            reached: knock.is_some(),
            proxy: found.proxy.clone(),
            addresses: found.addresses.clone(),
            seen_as: knock.and_then(|knock| knock.seen_as),
            trusted_certificates: found.trust.certificates,
            trusted_from: found.trust.places.clone(),
            clock_ahead_seconds: knock.and_then(|knock| Some(knock.clock_ahead?.as_secs())),
            tenant_id: knock.and_then(|knock| knock.tenant_id),
        }
    }
}

impl Identity {
    fn none(settings: &Settings) -> Self {
        let kind = settings.kind.to_string();
        Self { kind, source: None, endpoint: None, endpoint_proxy: None, skipped: Vec::new() }
    }

    fn of(settings: &Settings, found: &Findings) -> Self {
        let (source, attempts) = match &found.sign_in {
            Ok(signed_in) => (Some(signed_in.source.to_string()), &signed_in.passed),
            Err(error) => (None, &error.attempts),
        };
        let (endpoint, endpoint_proxy) = found.token_endpoint.clone().unzip();
        Self {
            source,
            endpoint,
            endpoint_proxy: endpoint_proxy.flatten(),
            skipped: attempts.iter().map(Skipped::of).collect(),
            ..Self::none(settings)
        }
    }
}

impl Skipped {
    fn of(attempt: &Attempt) -> Self {
        Self { source: attempt.source.to_string(), reason: attempt.reason.clone() }
    }
}

impl Token {
    fn of(signed_in: &SignedIn) -> Self {
        let claims = &signed_in.claims;
        Self {
            audience: claims.audience.clone(),
            tenant_id: claims.tenant_id,
            object_id: claims.object_id,
            client_id: claims.client_id,
            holder: if claims.is_user { "user" } else { "application" },
            expires: signed_in.expires,
        }
    }
}

impl SecretState {
    fn unasked(wanted: &Wanted) -> Self {
        Self {
            name: wanted.name.to_string(),
            vault_name: wanted.vault_name.to_string(),
            required: !wanted.optional,
            readable: None,
            problem: None,
            version: wanted.version.as_ref().map(ToString::to_string),
            expires: None,
            expired: false,
        }
    }

    fn of(
        wanted: &Wanted,
        outcome: Option<&Result<Metadata, Refused>>,
        advice: Option<&Advice>,
        now: Timestamp,
    ) -> Self {
        let unasked = Self::unasked(wanted);
        match outcome {
            None => unasked,
            Some(Err(_)) => Self { readable: Some(false), problem: advice.map(|advice| advice.code), ..unasked },
            Some(Ok(metadata)) => Self {
                readable: Some(true),
                version: Some(metadata.version.to_string()),
                expires: metadata.expires,
                expired: metadata.expires.is_some_and(|expires| expires <= now),
                ..unasked
            },
        }
    }
}
