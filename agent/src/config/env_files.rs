//! Which secrets a file of environment variables holds, under which names, and for whom.

use std::ops::Range;

use toml::Spanned;

use super::assemble::{Assembly, Checked};
use super::shape::{EnvFileTable, FilesTable};
use super::variables::same_variable;
use crate::env_file::{Format, Line};
use crate::files::{EnvFile, Target};
use crate::principal::Principal;
use crate::secret::SecretName;
use crate::variable::{InvalidVariable, VariableName};

impl Assembly<'_> {
    /// Every file of variables. The secrets learn what their values have to fit.
    pub(super) fn env_files(
        &mut self,
        tables: Vec<(Range<usize>, EnvFileTable)>,
        files: Option<&FilesTable>,
        secrets: &mut [Checked],
    ) -> Vec<EnvFile> {
        if let Some((span, _)) = tables.first()
            && files.is_none()
        {
            self.document.report(span, "there is no file of variables without a [files] table: add one".to_owned());
        }
        tables.into_iter().map(|(_, table)| self.env_file(table, files, secrets)).collect()
    }

    fn env_file(&mut self, table: EnvFileTable, files: Option<&FilesTable>, secrets: &mut [Checked]) -> EnvFile {
        let format = table.format.map_or(Format::default(), |format| format.0);
        if table.secrets.get_ref().is_empty() {
            self.document.report(&table.secrets.span(), "name at least one secret".to_owned());
        }
        let mut lines: Vec<(Line, SecretName)> = Vec::new();
        let mut readers: Option<Vec<Principal>> = None;
        for text in table.secrets.get_ref() {
            let Some(secret) = secrets.iter_mut().find(|secret| secret.wanted.name.as_str() == text.get_ref()) else {
                let name = text.get_ref().escape_debug();
                self.document.report(&text.span(), format!("no [[secret]] has the name '{name}'"));
                continue;
            };
            let name = secret.wanted.name.clone();
            match variable_of(secret) {
                Ok(variable) => {
                    self.check_only(&variable, &lines, text, &name);
                    let line = Line { variable, format };
                    secret.wanted.lines.push(line.clone());
                    lines.push((line, name));
                }
                Err(error) => self.document.report(&text.span(), format!("'{name}' needs env: {error}")),
            }
            readers.get_or_insert_with(|| secret.readers.clone()).retain(|reader| secret.readers.contains(reader));
        }
        let path = table.path.get_ref().0.clone();
        let readers = readers
            .map(|of_all| self.readers_of_all(table.readers.as_ref(), &table.path.span(), of_all))
            .unwrap_or_default();
        let mode = self.mode(table.mode.as_ref(), files, &readers, path.as_str());
        EnvFile { target: Target { path, mode, readers }, lines }
    }

    fn check_only(
        &mut self,
        variable: &VariableName,
        lines: &[(Line, SecretName)],
        place: &Spanned<String>,
        name: &SecretName,
    ) {
        if let Some((_, first)) = lines.iter().find(|(line, _)| line.variable == *variable) {
            self.document.report(&place.span(), same_variable(first, name, variable));
        }
    }

    /// Those that the file is for: by default whoever may read all of its secrets, and nobody else.
    fn readers_of_all(
        &mut self,
        named: Option<&Spanned<Vec<Spanned<String>>>>,
        file: &Range<usize>,
        of_all: Vec<Principal>,
    ) -> Vec<Principal> {
        let Some(named) = named else {
            if of_all.is_empty() {
                self.document
                    .report(file, "nobody may read every secret of this file: give them a common reader".to_owned());
            }
            return of_all;
        };
        let Some(readers) = self.principals(named.get_ref()) else { return Vec::new() };
        for (reader, text) in readers.iter().zip(named.get_ref()) {
            if !of_all.contains(reader) {
                let remedy = "make it a reader of each of them, or leave it out here";
                let message =
                    format!("{} may not read every secret of this file: {remedy}", text.get_ref().escape_debug());
                self.document.report(&text.span(), message);
            }
        }
        readers
    }
}

/// The variable that the secret asks for, or that of its own name.
fn variable_of(secret: &Checked) -> Result<VariableName, InvalidVariable> {
    match &secret.variable {
        Some(variable) => Ok(variable.get_ref().clone()),
        None => VariableName::of(&secret.wanted.name),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::parse;

    /// A file in which three secrets have different readers, and what is on its lines from 16 on.
    fn config(env_file: &str) -> Result<crate::config::Config, Vec<String>> {
        let secrets = "[[secret]]\nname = 'wandb-api-key'\n[[secret]]\nname = 'db'\nenv = 'PGPASSWORD'\nreaders = ['uid:5', 'uid:6']\n\
             [[secret]]\nname = '2fa'\nreaders = ['uid:7']\n[files]\ndirectory = '/run/x'\n";
        parse(&format!(
            "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n{secrets}[[env_file]]\n{env_file}\n"
        ))
    }

    #[test]
    fn a_file_of_variables_is_for_those_who_read_all_of_its_secrets() {
        let config = config("path = '.env'\nsecrets = ['db', 'wandb-api-key']\nformat = 'dotenv'").expect("it fits");
        let files = config.files.expect("asked for");
        let [file] = &files.env_files[..] else { panic!("one file") };
        let lines: Vec<_> =
            file.lines.iter().map(|(line, name)| format!("{} {name} {}", line.variable, line.format)).collect();
        assert_eq!(lines, ["PGPASSWORD db dotenv", "WANDB_API_KEY wandb-api-key dotenv"]);
        assert_eq!(
            (file.target.path.as_str(), &file.target.readers[..]),
            (".env", &[crate::principal::Principal::User(5)][..])
        );
        let checked: Vec<_> = config.wanted.iter().map(|wanted| wanted.lines.len()).collect();
        assert_eq!(checked, [1, 1, 0], "the secrets know what their values must fit");
    }

    #[test]
    fn what_does_not_fit_together_is_told_with_its_line() {
        let rows = [
            ("path = 'e'\nsecrets = []", "line 17: name at least one secret"),
            ("path = 'e'\nsecrets = ['x']", "line 17: no [[secret]] has the name 'x'"),
            ("path = 'e'\nsecrets = ['2fa']", "line 17: '2fa' needs env: '2FA' is no name for a secret's variable"),
            (
                "path = 'e'\nsecrets = ['db', 'db']",
                "line 17: the secrets 'db' and 'db' have the same variable PGPASSWORD",
            ),
            (
                "path = 'e'\nsecrets = ['db']\nreaders = ['uid:7']",
                "line 18: uid:7 may not read every secret of this file",
            ),
            ("path = 'e'\nsecrets = ['db']\nmode = '0444'", "line 18: mode 0444 lets everyone read it"),
            ("path = 'db'\nsecrets = ['db']", "the file of variables 'db' and the file 'db' cannot both be"),
            ("path = '../e'\nsecrets = ['db']", "line 16: [env_file] path: '../e' is no path for a secret's file"),
            (
                "path = 'e'\nsecrets = ['db']\nformat = 'yaml'",
                "line 18: [env_file] format: 'yaml' is unknown: use shell, dotenv",
            ),
        ];
        for (keys, expected) in rows {
            let problems = config(keys).expect_err(expected);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{keys}: {problems:?}");
        }
        let two = config("path = 'e'\nsecrets = ['wandb-api-key', '2fa']").expect_err("refused");
        assert!(two.iter().any(|problem| problem.contains("nobody may read every secret of this file")), "{two:?}");
    }

    #[test]
    fn without_files_there_is_no_file_of_variables() {
        let text = "readers = ['uid:5']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'a'\n[[env_file]]\n";
        let problems = parse(&format!("{text}path = 'e'\nsecrets = ['a']\n")).expect_err("refused");
        assert_eq!(problems, ["line 6: there is no file of variables without a [files] table: add one"]);
    }
}
