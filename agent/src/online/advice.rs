//! What is to be made of a finding: the reason in words, whether time alone can help, and the commands that do.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::sign_in::log_in;
use crate::azure::cloud::VaultUrl;
use crate::azure::identity::Source;
use crate::azure::key_vault::{Refused, VaultResource};
use crate::azure::knock::KnockError;
use crate::azure::transport::TransportError;
use crate::causes::with_causes;
use crate::refresh::Wanted;
use crate::selection::Selection;
use crate::vault::FetchError;

/// How far the clocks may differ before it is told: a fifth of the five minutes that Microsoft's own services let
/// tokens differ by, so that somebody hears of it before sign-ins are refused.
/// Source: `TokenValidationParameters.DefaultClockSkew`,
/// <https://learn.microsoft.com/dotnet/api/microsoft.identitymodel.tokens.tokenvalidationparameters.defaultclockskew>.
const CLOCK_DIFFERENCE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// What to make of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    /// A stable word for programs.
    pub(super) code: &'static str,
    /// Whether it may pass without anybody doing anything.
    pub(super) transient: bool,
    /// The reason, and what to do.
    pub(super) message: String,
    /// Commands of the Azure CLI that do it, for a POSIX shell.
    pub(super) commands: Vec<String>,
}

/// Where a finding was made.
#[derive(Clone, Debug)]
pub(super) struct Scene<'a> {
    pub(super) vault: &'a VaultUrl,
    /// Whom Keyside is, as an object of the directory.
    pub(super) principal: Option<Uuid>,
    pub(super) is_user: bool,
    pub(super) source: Option<Source>,
    /// The directory that gave the token, and the one whose tokens the vault accepts.
    pub(super) token_tenant: Option<Uuid>,
    pub(super) vault_tenant: Option<Uuid>,
    /// The address that the vault sees.
    pub(super) seen_as: Option<IpAddr>,
    /// Where the vault is in Azure.
    pub(super) resource: Option<&'a VaultResource>,
    /// Whether rights seem to be given for single secrets here.
    pub(super) narrow: bool,
}

impl Advice {
    pub(super) fn lasting(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, transient: false, message: message.into(), commands: Vec::new() }
    }

    pub(super) fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Self { transient: true, ..Self::lasting(code, message) }
    }

    pub(super) fn by(self, commands: impl Into<Vec<String>>) -> Self {
        Self { commands: commands.into(), ..self }
    }
}

impl Scene<'_> {
    /// Why a secret could not be read.
    pub(super) fn of_secret(&self, wanted: &Wanted, refused: &Refused) -> Advice {
        let told = refused.evidence.code.as_deref();
        match (&refused.error, told) {
            (FetchError::Denied { code: "ForbiddenByRbac", .. }, _) => self.missing_role(wanted, refused),
            (FetchError::Denied { .. }, _) => self.missing_policy(refused),
            (FetchError::NotFound, _) => self.not_found(wanted),
            (FetchError::Disabled, _) => self.disabled(wanted),
            (FetchError::Throttled { .. }, _) => {
                Advice::passing("throttled", "the vault gets too many requests now: ask again later")
            }
            (FetchError::Unavailable(_), Some("ForbiddenByFirewall")) => self.firewall(refused),
            (FetchError::Unavailable(_), Some("ForbiddenByConnection")) => self.private(),
            (FetchError::NoToken(_), Some(_)) => self.rejected(&refused.error),
            (error @ (FetchError::Unavailable(_) | FetchError::NoToken(_)), _) => {
                Advice::passing("unavailable", with_causes(error))
            }
            (error @ FetchError::Unusable(_), _) => Advice::lasting("unusable", with_causes(error)),
        }
    }

    fn missing_role(&self, wanted: &Wanted, refused: &Refused) -> Advice {
        let message = "the identity has no role that lets it read this: give it Key Vault Secrets User; a new role takes \
                       up to ten minutes to act, so after a recent change wait first";
        Advice::lasting("missing_role", message).by([format!(
            "az role assignment create --role 'Key Vault Secrets User' --assignee-object-id {} \
             --assignee-principal-type {} --scope {}",
            self.object_id(refused),
            if self.is_user { "User" } else { "ServicePrincipal" },
            self.scope(wanted, refused),
        )])
    }

    /// The whole vault, or one secret where roles are given like that. The vault says where it is in Azure, but not in
    /// every answer.
    fn scope(&self, wanted: &Wanted, refused: &Refused) -> String {
        let secret = if self.narrow { format!("/secrets/{}", wanted.vault_name) } else { String::new() };
        match refused.evidence.resource.as_ref().or(self.resource) {
            Some(resource) => quoted(&(resource.id() + &secret)),
            None => format!("\"$(az keyvault show --name {} --query id --output tsv){secret}\"", self.vault.name()),
        }
    }

    fn object_id(&self, refused: &Refused) -> String {
        match (self.principal.or(refused.evidence.object_id), self.source) {
            (Some(id), _) => id.to_string(),
            (None, Some(Source::AzureCli)) => "\"$(az ad signed-in-user show --query id --output tsv)\"".to_owned(),
            (None, _) => "OBJECT_ID".to_owned(),
        }
    }

    fn missing_policy(&self, refused: &Refused) -> Advice {
        let message = "the vault decides by access policies, and none lets the identity get secrets; the command sets all \
                       that the identity may do with secrets, so add what it may do already";
        Advice::lasting("missing_access_policy", message).by([format!(
            "az keyvault set-policy --name {} --object-id {} --secret-permissions get list",
            self.vault.name(),
            self.object_id(refused),
        )])
    }

    fn firewall(&self, refused: &Refused) -> Advice {
        let add = format!("az keyvault network-rule add --name {}", self.vault.name());
        let address = refused.evidence.client_address.or(self.seen_as);
        let seen = address.map_or_else(String::new, |address| format!(", which it sees as {address}"));
        let message = format!("the vault's firewall has no rule for this machine{seen}");
        let advice = |more: &str| Advice::lasting("firewall", message.clone() + more);
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) if address.is_private() => {
                advice(", an address of a virtual network: add its subnet").by([format!("{add} --subnet SUBNET_ID")])
            }
            Some(IpAddr::V4(address)) => advice("").by([format!("{add} --ip-address {address}/32")]),
            Some(IpAddr::V6(_)) => advice("; its rules know IPv4 addresses only"),
            None => advice("").by([format!("{add} --ip-address ADDRESS")]),
        }
    }

    fn private(&self) -> Advice {
        let message = "the vault answers on its private endpoints only, and this machine comes in from the public side: run \
                       where the vault's name leads to such an endpoint, without a proxy, or open the public side to its \
                       firewall's rules";
        Advice::lasting("private_endpoint_only", message)
            .by([format!("az keyvault update --name {} --public-network-access Enabled", self.vault.name())])
    }

    fn not_found(&self, wanted: &Wanted) -> Advice {
        let (kind, name) = (kind(wanted), &wanted.vault_name);
        if let Some(version) = &wanted.version {
            let message = format!("the vault has no version {version} of '{name}': take one of those that it has");
            let list = self.command("list-versions", wanted) + " --query '[].id'";
            return Advice::lasting("not_found", message).by([list]);
        }
        let message =
            format!("the vault has no {kind} '{name}': write it, recover it if it was deleted, or correct its name");
        Advice::lasting("not_found", message).by([self.writing(wanted), self.command("recover", wanted)])
    }

    fn disabled(&self, wanted: &Wanted) -> Advice {
        let version = wanted.version.as_ref().map(|version| format!(" --version {version}")).unwrap_or_default();
        let message = format!("the {}, or this version of it, is disabled", kind(wanted));
        let enable = self.command("set-attributes", wanted);
        Advice::lasting("disabled", message).by([format!("{enable}{version} --enabled true")])
    }

    /// What there is to say of a version that has expired.
    pub(super) fn expired(&self, wanted: &Wanted, expires: Timestamp) -> Advice {
        let message =
            format!("expired at {expires}; the vault and Keyside give it all the same, whoever checks it may not");
        Advice::lasting("expired", message).by([self.writing(wanted)])
    }

    /// The command that writes a new version.
    fn writing(&self, wanted: &Wanted) -> String {
        let verb = if is_certificate(wanted) { "import" } else { "set" };
        self.command(verb, wanted) + " --file FILE"
    }

    fn command(&self, verb: &str, wanted: &Wanted) -> String {
        let (kind, name) = (kind(wanted), &wanted.vault_name);
        format!("az keyvault {kind} {verb} --vault-name {} --name {name}", self.vault.name())
    }

    fn rejected(&self, error: &FetchError) -> Advice {
        match (self.vault_tenant, self.token_tenant) {
            (Some(vault), Some(token)) if vault != token => {
                let message = format!(
                    "the vault is in the directory {vault}, and the identity in {token}: use one of the vault's directory, \
                     by tenant_id in [identity] or AZURE_TENANT_ID"
                );
                let by_command = self.source == Some(Source::AzureCli);
                Advice::lasting("wrong_tenant", message).by(if by_command { vec![log_in(Some(vault))] } else { vec![] })
            }
            _ => Advice::lasting("token_rejected", with_causes(error)),
        }
    }
}

/// Whether the secret is that of a certificate, which the vault lets nobody change but through the certificate.
fn is_certificate(wanted: &Wanted) -> bool {
    matches!(wanted.selection, Selection::Pem(_))
}

fn kind(wanted: &Wanted) -> &'static str {
    if is_certificate(wanted) { "certificate" } else { "secret" }
}

/// Why the vault could not be reached.
pub(super) fn of_way(error: &KnockError) -> Advice {
    let message = with_causes(error);
    let error = match error {
        KnockError::Transport(error) => error,
        KnockError::Busy(_) => return Advice::passing("unavailable", message),
        KnockError::NoKeyVault(_) => return Advice::lasting("no_key_vault", message),
    };
    match error {
        TransportError::Resolve { .. } => {
            Advice::lasting("no_address", message + "; is the vault's name right, and is there a name server?")
        }
        TransportError::Untrusted { .. } => Advice::lasting("untrusted", message),
        TransportError::Tls { .. } => Advice::lasting("tls", message),
        TransportError::Proxy { .. } | TransportError::ProxyRefused { .. } => Advice::lasting("proxy", message),
        _ => Advice { transient: error.is_passing(), ..Advice::lasting("unreachable", message) },
    }
}

/// What a difference between the clocks does, where it is great enough to do something.
pub(super) fn of_clock(ahead: SignedDuration) -> Option<Advice> {
    if ahead.abs() <= CLOCK_DIFFERENCE_MAX {
        return None;
    }
    let direction = if ahead.is_positive() { "behind" } else { "ahead of" };
    let message = format!(
        "this machine's clock is {} s {direction} Azure's: sign-ins may be refused and tokens seem to expire at the wrong \
         time; set it by a time server",
        ahead.abs().as_secs()
    );
    Some(Advice::lasting("clock", message))
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
