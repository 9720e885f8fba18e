//! Which environment variable holds which secret, and that no two hold the same.

use std::collections::BTreeMap;

use toml::Spanned;

use super::assemble::{Assembly, Checked};
use super::shape::EnvKey;
use crate::secret::SecretName;
use crate::variable::VariableName;

impl Assembly<'_> {
    /// The variable that a secret asks for, with its place.
    pub(super) fn variable(&mut self, key: &Spanned<EnvKey>, name: &SecretName) -> Option<Spanned<VariableName>> {
        match key.get_ref().variable(name) {
            Ok(variable) => variable.map(|variable| Spanned::new(key.span(), variable)),
            Err(error) => {
                self.document.report(&key.span(), format!("env of '{name}': {error}"));
                None
            }
        }
    }

    /// Every variable with its secret. One that two secrets ask for is reported where the second does.
    pub(super) fn variables(&mut self, secrets: &[Checked]) -> BTreeMap<VariableName, SecretName> {
        let mut owners = BTreeMap::<VariableName, SecretName>::new();
        for secret in secrets {
            let Some(variable) = &secret.variable else { continue };
            let name = &secret.wanted.name;
            if let Some(first) = owners.get(variable.get_ref()) {
                let message = same_variable(first, name, variable.get_ref());
                self.document.report(&variable.span(), message);
            } else {
                owners.insert(variable.get_ref().clone(), name.clone());
            }
        }
        owners
    }
}

/// What is wrong where two secrets ask for one variable, and the remedy.
pub(super) fn same_variable(first: &SecretName, second: &SecretName, variable: &VariableName) -> String {
    let message = format!("the secrets '{first}' and '{second}' have the same variable {variable}");
    format!("{message}: name another for one of them with env = \"NAME\"")
}

#[cfg(test)]
mod tests {
    use crate::config::testing::parse;

    fn variables(secrets: &str) -> Result<Vec<String>, Vec<String>> {
        let config =
            parse(&format!("readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n{secrets}"))?;
        Ok(config.variables.iter().map(|(variable, secret)| format!("{variable} {secret}")).collect())
    }

    #[test]
    fn a_secret_has_the_variable_that_it_asks_for() {
        let rows = [
            ("", vec![]),
            ("env = false", vec![]),
            ("env = true", vec!["WANDB_API_KEY wandb-api-key"]),
            ("env = 'wandb'", vec!["wandb wandb-api-key"]),
        ];
        for (key, expected) in rows {
            let found = variables(&format!("[[secret]]\nname = 'wandb-api-key'\n{key}\n")).expect("it fits");
            assert_eq!(found, expected, "{key}");
        }
    }

    #[test]
    fn what_can_be_no_variable_is_refused_with_the_remedy() {
        let rows = [
            (
                "2fa",
                "true",
                "'2FA' is no name for a secret's variable: it starts with a digit; name another with env =",
            ),
            ("a", "'A=B'", "'A=B' is no name for a secret's variable: use letters, digits and underscores"),
            (
                "a",
                "'LD_PRELOAD'",
                "'LD_PRELOAD' is no name for a secret's variable: it decides what code programs load",
            ),
            ("a", "7", "write the name of a variable, or true"),
        ];
        for (name, key, expected) in rows {
            let problems = variables(&format!("[[secret]]\nname = '{name}'\nenv = {key}\n")).expect_err(key);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with("line 6: ") && problems[0].contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn two_secrets_of_one_variable_are_both_named() {
        let problems = variables(
            "[[secret]]\nname = 'db-key'\nenv = true\n[[secret]]\nname = 'DB-key'\nenv = true\n[[secret]]\nname = 'c'\nenv = 'db_key'\n",
        );
        assert_eq!(
            problems.expect_err("refused"),
            [
                "line 9: the secrets 'db-key' and 'DB-key' have the same variable DB_KEY: name another for one of them with \
              env = \"NAME\""
            ]
        );
    }
}
