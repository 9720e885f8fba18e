//! Why no source gives a token, and which commands make one of them give it.

use uuid::Uuid;

use super::advice::{Advice, Scene};
use crate::azure::identity::{Attempt, Source, TokenError};

/// What the metadata service says where the machine does not have the identity that is asked for.
/// Source: <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling>.
const UNASSIGNED: &str = "400: Identity not found";

/// What is to be done about it.
const ASSIGN: &str = "the machine has no managed identity, or not the one that client_id, object_id or AZURE_CLIENT_ID \
                      names, so assign it";

/// How `azure_identity` says that there is no Azure CLI.
const NO_PROGRAM: &str = "az not found on PATH";

/// What is to be done about that.
const INSTALL_CLI: &str = "on a machine of your own install the Azure CLI (https://aka.ms/azure-cli) and sign in by it";

impl Scene<'_> {
    /// Why no token could be had.
    pub(super) fn of_sign_in(&self, error: &TokenError) -> Advice {
        if let Some(passing) = error.attempts.iter().find(|attempt| attempt.passing) {
            return Advice::passing("no_token", format!("no token now: {passing}"));
        }
        let tried = &error.attempts[..];
        let (ways, commands) = self.ways_to_sign_in(tried);
        let head = match tried {
            [only] => format!("no token: {only}"),
            _ => format!("none of the {} sources of tokens gives one, each for its own reason", tried.len()),
        };
        let message = if ways.is_empty() { head } else { format!("{head}: {}", ways.join("; ")) };
        Advice::lasting("no_token", message).by(commands)
    }

    /// What would make one of the sources that were tried give a token, in words and by commands.
    fn ways_to_sign_in(&self, tried: &[Attempt]) -> (Vec<&'static str>, Vec<String>) {
        let (mut words, mut commands) = (Vec::new(), Vec::new());
        let alone = tried.len() == 1;
        match tried.iter().find(|attempt| attempt.source == Source::AzureCli) {
            Some(cli) if cli.reason.contains(NO_PROGRAM) => words.push(INSTALL_CLI),
            Some(_) => {
                words.extend((!alone).then_some("on a machine of your own sign in by the Azure CLI"));
                commands.push(log_in(self.vault_tenant));
            }
            None => {}
        }
        if tried.iter().any(|attempt| attempt.source == Source::Imds && attempt.reason.contains(UNASSIGNED)) {
            words.push(ASSIGN);
            commands.push("az vm identity assign --identities ID --name MACHINE --resource-group GROUP".to_owned());
        } else if !alone {
            words.push(if words.is_empty() {
                "give the machine or the job an identity"
            } else {
                "elsewhere give the machine or the job an identity"
            });
        }
        (words, commands)
    }
}

/// The command that signs a person in, to the directory where it is known.
pub(super) fn log_in(tenant: Option<Uuid>) -> String {
    tenant.map_or_else(|| "az login".to_owned(), |tenant| format!("az login --tenant {tenant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Uuid = Uuid::from_u128(1);

    fn advice(attempts: Vec<Attempt>) -> Advice {
        let vault = "https://ml-vault.vault.azure.net".parse().expect("a vault");
        let scene = Scene {
            vault: &vault,
            principal: None,
            is_user: false,
            source: None,
            token_tenant: None,
            vault_tenant: Some(OURS),
            seen_as: None,
            resource: None,
            narrow: false,
        };
        scene.of_sign_in(&TokenError { attempts })
    }

    #[test]
    fn a_sign_in_that_fails_by_one_source_is_told_in_its_words() {
        let attempt = |source| Attempt { source, reason: "Entra refuses the sign-in".to_owned(), passing: false };
        let of = |sources: &[Source]| advice(sources.iter().copied().map(attempt).collect());
        let one = of(&[Source::ClientSecret]);
        assert_eq!(one.message, "no token: client secret: Entra refuses the sign-in");
        assert_eq!(one.commands, Vec::<String>::new());
        assert_eq!(of(&[Source::AzureCli]).commands, [format!("az login --tenant {OURS}")]);
        assert!(of(&[Source::Imds, Source::AzureCli]).message.starts_with("none of the 2 sources"));
        let busy = Attempt { passing: true, ..attempt(Source::ClientSecret) };
        let advice = advice(vec![busy, attempt(Source::AzureCli)]);
        assert_eq!((advice.transient, advice.commands.len()), (true, 0), "{advice:?}");
    }

    #[test]
    fn a_command_is_advised_only_where_it_can_help() {
        let none = |source, reason: &str| Attempt { source, reason: reason.to_owned(), passing: false };
        let service = || none(Source::AppService, "IDENTITY_ENDPOINT is not set");
        let unassigned = || none(Source::Imds, "169.254.169.254 answers 400: Identity not found");
        let assign = "az vm identity assign --identities ID --name MACHINE --resource-group GROUP";

        let managed = advice(vec![service(), unassigned()]);
        assert_eq!(managed.commands, [assign]);
        assert!(managed.message.contains("the machine has no managed identity"), "{managed:?}");
        let nowhere = advice(vec![service(), none(Source::Imds, "could not connect to 169.254.169.254")]);
        assert_eq!(nowhere.commands, Vec::<String>::new(), "{nowhere:?}");

        let signed_out = advice(vec![unassigned(), none(Source::AzureCli, "Please run 'az login'")]);
        assert_eq!(signed_out.commands, [format!("az login --tenant {OURS}"), assign.to_owned()]);
        let without_cli = advice(vec![none(Source::AzureCli, "az not found on PATH")]);
        assert_eq!(without_cli.commands, Vec::<String>::new());
        assert!(without_cli.message.contains("install the Azure CLI (https://aka.ms/azure-cli)"), "{without_cli:?}");
    }
}
