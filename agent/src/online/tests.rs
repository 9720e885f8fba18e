//! Tests of what is made of findings: the reason, the command that helps, and the verdict.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::advice::{Advice, Scene, of_clock, of_way};
use super::document::{Answer, Document, Verdict, Weight};
use super::findings::Findings;
use super::{Audience, text};
use crate::azure::cloud::VaultUrl;
use crate::azure::identity::{Attempt, Claims, SignedIn, Source, TokenError};
use crate::azure::key_vault::{Evidence, Refused, VaultResource};
use crate::azure::knock::{Knock, KnockError};
use crate::azure::transport::{Stage, TransportError, Trust};
use crate::cli::{Exit, Output};
use crate::config::{Config, Defaults};
use crate::principal::SystemAccounts;
use crate::refresh::Wanted;
use crate::testing::{metadata, new_year};
use crate::vault::FetchError;

const OBJECT: Uuid = Uuid::from_u128(0x3333_3333_3333_4333_8333_3333_3333_3333);
const OURS: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);
const VAULT_ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000007/resourceGroups/rg(1)/providers/Microsoft.KeyVault/vaults/ml-vault";

fn vault() -> VaultUrl {
    "https://ml-vault.vault.azure.net".parse().expect("a vault")
}

fn resource() -> VaultResource {
    VaultResource { subscription: Uuid::from_u128(7), group: "rg(1)".to_owned(), vault: "ml-vault".to_owned() }
}

fn scene(vault: &VaultUrl) -> Scene<'_> {
    Scene {
        vault,
        principal: Some(OBJECT),
        is_user: false,
        source: Some(Source::Imds),
        token_tenant: Some(OURS),
        vault_tenant: Some(OURS),
        seen_as: None,
        resource: None,
        narrow: false,
    }
}

fn wanted(version: Option<char>) -> Wanted {
    let config = config("[[secret]]\nname = 'db'\nvault_name = 'prod-db'\n");
    let version = version.map(|digit| digit.to_string().repeat(32).parse().expect("a version"));
    Wanted { version, ..config.wanted[0].clone() }
}

fn config(secrets: &str) -> Config {
    let text = format!("readers = ['uid:5']\n[vault]\nurl = 'https://ml-vault.vault.azure.net'\n{secrets}");
    let defaults = Defaults::of_service(5, std::path::Path::new("/run/x/agent.sock"));
    Config::parse(&text, &SystemAccounts, defaults).expect("it fits")
}

fn denied(code: &'static str) -> FetchError {
    FetchError::Denied { code, remedy: "" }
}

fn unavailable() -> FetchError {
    FetchError::Unavailable("broken".into())
}

fn refused(error: FetchError, code: &str) -> Refused {
    Refused { error, evidence: Box::new(Evidence { code: Some(code.to_owned()), ..Evidence::default() }) }
}

fn seen(address: &str) -> Refused {
    let evidence = Evidence { client_address: address.parse().ok(), ..Evidence::default() };
    let refused = refused(unavailable(), "ForbiddenByFirewall");
    Refused { evidence: Box::new(Evidence { code: refused.evidence.code.clone(), ..evidence }), ..refused }
}

fn told(refused: &Refused) -> Advice {
    scene(&vault()).of_secret(&wanted(None), refused)
}

#[test]
fn every_refusal_has_its_code_and_the_command_that_helps() {
    let role = "az role assignment create --role 'Key Vault Secrets User' --assignee-object-id \
                33333333-3333-4333-8333-333333333333 --assignee-principal-type ServicePrincipal --scope \
                \"$(az keyvault show --name ml-vault --query id --output tsv)\"";
    let policy = "az keyvault set-policy --name ml-vault --object-id 33333333-3333-4333-8333-333333333333 \
                  --secret-permissions get list";
    let firewall = "az keyvault network-rule add --name ml-vault";
    let rows: Vec<(Refused, &str, bool, Vec<String>)> = vec![
        (refused(denied("ForbiddenByRbac"), "ForbiddenByRbac"), "missing_role", false, vec![role.to_owned()]),
        (refused(denied("AccessDenied"), "AccessDenied"), "missing_access_policy", false, vec![policy.to_owned()]),
        (refused(denied("ForbiddenByPolicy"), "x"), "missing_access_policy", false, vec![policy.to_owned()]),
        (seen("203.0.113.7"), "firewall", false, vec![format!("{firewall} --ip-address 203.0.113.7/32")]),
        (seen("::ffff:203.0.113.7"), "firewall", false, vec![format!("{firewall} --ip-address 203.0.113.7/32")]),
        (seen("10.1.2.3"), "firewall", false, vec![format!("{firewall} --subnet SUBNET_ID")]),
        (seen("2001:db8::1"), "firewall", false, vec![]),
        (seen(""), "firewall", false, vec![format!("{firewall} --ip-address ADDRESS")]),
        (
            refused(unavailable(), "ForbiddenByConnection"),
            "private_endpoint_only",
            false,
            vec!["az keyvault update --name ml-vault --public-network-access Enabled".to_owned()],
        ),
        (
            refused(FetchError::NotFound, "SecretNotFound"),
            "not_found",
            false,
            vec![
                "az keyvault secret set --vault-name ml-vault --name prod-db --file FILE".to_owned(),
                "az keyvault secret recover --vault-name ml-vault --name prod-db".to_owned(),
            ],
        ),
        (
            refused(FetchError::Disabled, "SecretDisabled"),
            "disabled",
            false,
            vec!["az keyvault secret set-attributes --vault-name ml-vault --name prod-db --enabled true".to_owned()],
        ),
        (refused(FetchError::Throttled { retry_after: None }, "Throttled"), "throttled", true, vec![]),
        (unavailable().into(), "unavailable", true, vec![]),
        (FetchError::NoToken("x".into()).into(), "unavailable", true, vec![]),
        (refused(FetchError::NoToken("x".into()), "Unauthorized"), "token_rejected", false, vec![]),
        (FetchError::Unusable("x".into()).into(), "unusable", false, vec![]),
    ];
    for (refused, code, transient, commands) in rows {
        let advice = told(&refused);
        assert_eq!((advice.code, advice.transient), (code, transient), "{refused:?}");
        assert_eq!(advice.commands, commands, "{refused:?}");
    }
}

#[test]
fn a_pinned_version_is_named_in_what_helps() {
    let vault = vault();
    let about = |error| scene(&vault).of_secret(&wanted(Some('a')), &Refused::from(error));
    let version = "a".repeat(32);
    let command = format!("--name prod-db --version {version} --enabled true");
    assert!(about(FetchError::Disabled).commands[0].contains(&command));
    let missing = about(FetchError::NotFound);
    assert!(missing.message.contains(&version));
    assert_eq!(missing.commands.len(), 1, "no new version would be that one: {missing:?}");
}

#[test]
fn a_role_is_given_to_whom_and_where_it_is_missing() {
    let (vault, place) = (vault(), resource());
    let evidence = Evidence { object_id: Some(OTHER), resource: Some(resource()), ..Evidence::default() };
    let told = Refused { error: denied("ForbiddenByRbac"), evidence: Box::new(evidence) };
    let silent = Refused::from(denied("ForbiddenByRbac"));
    let base = scene(&vault);
    let of_vault = format!("--scope '{VAULT_ID}'");
    let of_secret = format!("--scope '{VAULT_ID}/secrets/prod-db'");
    let looked_up = "--scope \"$(az keyvault show --name ml-vault --query id --output tsv)/secrets/prod-db\"";
    let nobody = Scene { principal: None, ..base.clone() };
    let rows: [(Scene<'_>, &Refused, &str); 8] = [
        (base.clone(), &told, &of_vault),
        (Scene { resource: Some(&place), ..base.clone() }, &silent, &of_vault),
        (Scene { narrow: true, ..base.clone() }, &told, &of_secret),
        (Scene { narrow: true, ..base.clone() }, &silent, looked_up),
        (Scene { is_user: true, ..base }, &silent, "--assignee-principal-type User"),
        (nobody.clone(), &told, "--assignee-object-id 00000000-0000-0000-0000-000000000002 "),
        (nobody.clone(), &silent, "--assignee-object-id OBJECT_ID "),
        (
            Scene { source: Some(Source::AzureCli), ..nobody },
            &silent,
            "--assignee-object-id \"$(az ad signed-in-user show --query id --output tsv)\" ",
        ),
    ];
    for (scene, refused, part) in rows {
        let command = scene.of_secret(&wanted(None), refused).commands.remove(0);
        assert!(command.contains(part), "{part} in {command}");
    }
}

#[test]
fn a_token_of_another_directory_is_told_from_one_that_is_merely_bad() {
    let vault = vault();
    let rejected = refused(FetchError::NoToken("AKV10032".into()), "Unauthorized");
    let elsewhere = Scene { token_tenant: Some(OTHER), ..scene(&vault) };
    let advice = elsewhere.of_secret(&wanted(None), &rejected);
    assert_eq!((advice.code, advice.commands.len()), ("wrong_tenant", 0));
    let person = Scene { source: Some(Source::AzureCli), ..elsewhere };
    let advice = person.of_secret(&wanted(None), &rejected);
    assert_eq!(advice.commands, [format!("az login --tenant {OURS}")]);
}

#[test]
fn every_way_that_leads_nowhere_has_its_code() {
    let host = || "ml-vault.vault.azure.net".to_owned();
    let cause = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let limit = std::time::Duration::from_secs(4);
    let rows = [
        (TransportError::Resolve { host: host(), cause: cause() }, "no_address", false),
        (TransportError::Untrusted { host: host(), cause: cause() }, "untrusted", false),
        (TransportError::Tls { host: host(), cause: cause() }, "tls", false),
        (TransportError::Proxy { proxy: "p:1".to_owned(), cause: Box::new(TransportError::Address) }, "proxy", false),
        (TransportError::TimedOut { host: host(), stage: Stage::Connect, limit }, "unreachable", true),
        (TransportError::Connect { address: host(), cause: cause() }, "unreachable", true),
    ];
    for (error, code, transient) in rows {
        let advice = of_way(&KnockError::Transport(error));
        assert_eq!((advice.code, advice.transient), (code, transient), "{advice:?}");
    }
    assert_eq!(of_way(&KnockError::NoKeyVault(hyper::StatusCode::OK)).code, "no_key_vault");
    let busy = of_way(&KnockError::Busy(hyper::StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!((busy.code, busy.transient), ("unavailable", true));
}

#[test]
fn clocks_are_told_about_when_they_differ_by_more_than_a_minute() {
    let told = |seconds| of_clock(SignedDuration::from_secs(seconds)).map(|advice| advice.message);
    assert_eq!((told(0), told(60), told(-60)), (None, None, None));
    assert!(told(61).expect("told").starts_with("this machine's clock is 61 s behind Azure's"));
    assert!(told(-90).expect("told").starts_with("this machine's clock is 90 s ahead of Azure's"));
}

/// When a secret expires, or why it cannot be read.
type Outcome = Result<Option<Timestamp>, Refused>;

/// What is found where everything is well but the secrets, of which these are the outcomes.
fn findings(config: &Config, outcomes: Vec<Outcome>) -> Findings {
    let claims = Claims { tenant_id: Some(OURS), object_id: Some(OBJECT), ..Claims::default() };
    let known = |expires| crate::secret::Metadata { expires, ..metadata('a') };
    let outcomes = outcomes.into_iter().map(|outcome| Some(outcome.map(known)));
    Findings {
        proxy: None,
        addresses: Vec::new(),
        trust: Trust { places: "/ca.pem".to_owned(), certificates: 1 },
        knock: Ok(Knock { clock_ahead: Some(SignedDuration::ZERO), seen_as: None, tenant_id: Some(OURS) }),
        sign_in: Ok(SignedIn { source: Source::Imds, passed: Vec::new(), claims, expires: new_year(), platform: None }),
        token_endpoint: None,
        list: Some(Ok(())),
        secrets: config.wanted.iter().cloned().zip(outcomes).collect(),
    }
}

const THREE: &str = "[[secret]]\nname = 'one'\n[[secret]]\nname = 'two'\n[[secret]]\nname = 'three'\noptional = true\n";

const READABLE: Outcome = Ok(None);

fn failing(error: FetchError) -> Outcome {
    Err(error.into())
}

#[test]
fn the_verdict_follows_from_what_is_required_and_what_lasts() {
    let config = config(THREE);
    let rows = [
        (vec![READABLE, READABLE, READABLE], Verdict::Ready, Exit::Success),
        (vec![READABLE, READABLE, failing(FetchError::NotFound)], Verdict::Ready, Exit::Success),
        (vec![READABLE, failing(unavailable()), READABLE], Verdict::NotYet, Exit::NotYet),
        (vec![failing(FetchError::NotFound), failing(unavailable()), READABLE], Verdict::Blocked, Exit::Unavailable),
        (vec![failing(unavailable()), READABLE, failing(FetchError::NotFound)], Verdict::NotYet, Exit::NotYet),
    ];
    for (outcomes, verdict, exit) in rows {
        let shown = format!("{outcomes:?}");
        let document = Document::of(&config, &findings(&config, outcomes), new_year());
        assert_eq!((document.verdict, document.verdict.exit()), (verdict, exit), "{shown}");
    }
}

#[test]
fn without_a_way_or_a_token_no_secret_is_asked_for_and_none_is_called_unreadable() {
    let config = config(THREE);
    let mut found = findings(&config, vec![READABLE, READABLE, READABLE]);
    found.secrets.iter_mut().for_each(|(_, outcome)| *outcome = None);
    found.list = None;
    found.knock = Err(KnockError::NoKeyVault(hyper::StatusCode::FOUND));
    let document = Document::of(&config, &found, new_year());
    assert_eq!((document.verdict, document.list), (Verdict::Blocked, Answer::Unknown));
    assert!(document.secrets.iter().all(|secret| secret.readable.is_none()));
    assert!(text::page(&document).contains("0 of 2 required secret(s) can be read"));
}

#[test]
fn secrets_that_lack_the_same_are_told_of_together() {
    let config = config(THREE);
    let outcomes = vec![READABLE, failing(denied("ForbiddenByRbac")), failing(denied("ForbiddenByRbac"))];
    let mut found = findings(&config, outcomes);
    let document = Document::of(&config, &found, new_year());
    assert_eq!(document.findings.len(), 1, "one role on the vault is enough: {:?}", document.findings);
    assert_eq!(document.findings[0].secrets, ["two", "three"]);
    assert_eq!(document.findings[0].weight, Weight::Problem);

    found.list = Some(Err(denied("ForbiddenByRbac").into()));
    let document = Document::of(&config, &found, new_year());
    assert_eq!(document.list, Answer::Denied);
    let scopes: BTreeSet<_> = document.findings.iter().map(|finding| finding.commands[0].clone()).collect();
    assert_eq!(scopes.len(), 2, "where roles are for single secrets, each has its own: {scopes:?}");
}

#[test]
fn what_belongs_to_a_certificate_is_changed_through_the_certificate() {
    let config = config("[[secret]]\nname = 'key'\nvault_name = 'tls'\npem = 'private-key'\n");
    let (vault, wanted) = (vault(), config.wanted[0].clone());
    let scene = scene(&vault);
    let missing = scene.of_secret(&wanted, &refused(FetchError::NotFound, "SecretNotFound"));
    assert!(missing.message.starts_with("the vault has no certificate 'tls'"), "{}", missing.message);
    let disabled = scene.of_secret(&wanted, &refused(FetchError::Disabled, "SecretDisabled"));
    let expired = scene.expired(&wanted, new_year());
    let at = "--vault-name ml-vault --name tls";
    let expected = [
        format!("az keyvault certificate import {at} --file FILE"),
        format!("az keyvault certificate recover {at}"),
        format!("az keyvault certificate set-attributes {at} --enabled true"),
        format!("az keyvault certificate import {at} --file FILE"),
    ];
    assert_eq!([missing.commands, disabled.commands, expired.commands].concat(), expected);
}

#[test]
fn an_expired_secret_is_readable_and_warned_of() {
    let config = config("[[secret]]\nname = 'one'\n");
    let document = Document::of(&config, &findings(&config, vec![Ok(Some(new_year()))]), new_year());
    assert_eq!(document.verdict, Verdict::Ready);
    assert_eq!((document.findings[0].code, document.findings[0].weight), ("expired", Weight::Warning));
    let page = text::page(&document);
    assert!(page.contains("one     yes       yes       expired\n"), "{page}");
    assert!(page.contains("\nwarning: one: expired at 2026-01-01T00:00:00Z"), "{page}");
}

#[test]
fn the_way_is_told_in_words() {
    let config = config("[[secret]]\nname = 'one'\n");
    let page = |change: &dyn Fn(&mut Findings)| {
        let mut found = findings(&config, vec![READABLE]);
        change(&mut found);
        text::page(&Document::of(&config, &found, new_year()))
    };
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
    let private = page(&|found| found.addresses = addresses(&["10.0.0.4"]));
    assert!(private.contains("found at   10.0.0.4, a private endpoint\n"), "{private}");
    let public = page(&|found| found.addresses = addresses(&["203.0.113.7", "10.0.0.4"]));
    assert!(public.contains("found at   203.0.113.7, 10.0.0.4\n"), "{public}");
    let none = page(&|_| {});
    assert!(none.contains("found at   no address\n") && none.contains("proxy      none\n"), "{none}");
    let proxy = page(&|found| found.proxy = Some("p:1".to_owned()));
    assert!(proxy.contains("found at   the proxy looks for its address\n"), "{proxy}");
    for (seconds, words) in [(0, "agrees with Azure's"), (3, "3 s behind Azure's"), (-3, "3 s ahead of Azure's")] {
        let clock_ahead = Some(SignedDuration::from_secs(seconds));
        let page = page(&|found| found.knock = Ok(Knock { clock_ahead, seen_as: None, tenant_id: None }));
        assert!(page.contains(&format!("clock      {words}\n")), "{page}");
    }
}

#[test]
fn what_may_pass_says_so_and_what_lasts_does_not() {
    let config = config("[[secret]]\nname = 'one'\n");
    let page = |error| text::page(&Document::of(&config, &findings(&config, vec![failing(error)]), new_year()));
    assert!(page(unavailable()).contains("one: the vault cannot be reached: broken; it may pass by itself\n"));
    assert!(!page(FetchError::NotFound).contains("it may pass"));
}

#[test]
fn who_watches_is_told_what_is_being_done_and_the_output_is_not() {
    let (mut out, mut seen) = (Vec::new(), Vec::new());
    let mut audience = Audience { out: &mut out, progress: Some(&mut seen), output: Output::Json };
    audience.tell("signing in");
    Audience { progress: None, ..audience }.tell("unseen");
    assert_eq!((out, seen), (vec![], "signing in …\n".as_bytes().to_vec()));
}

#[test]
fn what_a_server_says_cannot_steer_the_terminal() {
    let config = config("[[secret]]\nname = 'one'\n");
    let outcome = failing(FetchError::Unavailable("\u{1b}]0;owned\u{7}".into()));
    let mut found = findings(&config, vec![outcome]);
    found.sign_in = Err(TokenError {
        attempts: vec![Attempt { source: Source::Imds, reason: "\u{1b}[2J\nforged line".to_owned(), passing: false }],
    });
    let page = text::page(&Document::of(&config, &found, new_year()));
    assert!(!page.contains('\u{1b}') && !page.contains("\nforged"), "{page}");
}
