//! A configuration from flags and variables, for those who have no file: checked as a file is.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;
use toml::{Table, Value};

use super::{Config, ConfigError, Defaults};
use crate::azure::cloud::{InvalidVaultUrl, VaultUrl};
use crate::azure::identity;
use crate::cli::{self, SourceArgs};
use crate::environment::Environment;
use crate::files::{InvalidPath, RelativePath};
use crate::principal::Accounts;
use crate::secret::{InvalidName, SecretName};

/// The variable that names the vault where no flag does, as in the samples of the Azure SDKs.
const VAULT_VARIABLE: &str = "KEY_VAULT_URL";

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Flags and variables.
    Flags(Flags),
}

/// What flags and variables say in the place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The vault.
    pub vault: VaultUrl,
    /// The secrets, each once.
    pub secrets: Vec<SecretName>,
    /// Their files.
    pub files: Vec<FileFlag>,
    /// How to sign in.
    pub identity: Option<identity::Kind>,
}

/// `PATH=SECRET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFlag {
    /// Below the directory of the files.
    pub path: RelativePath,
    /// Whose value it holds.
    pub secret: SecretName,
}

/// Says why a text is no [`FileFlag`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidFileFlag {
    /// There is no `=`.
    #[error("write PATH=SECRET")]
    Form,
    /// The path is none below the directory of the files.
    #[error("{0}; files are on tmpfs, below the directory that the command finds in KEYSIDE_SECRETS_DIR")]
    Path(#[from] InvalidPath),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for FileFlag {
    type Err = InvalidFileFlag;

    fn from_str(text: &str) -> Result<Self, InvalidFileFlag> {
        let (path, secret) = text.rsplit_once('=').ok_or(InvalidFileFlag::Form)?;
        Ok(Self { path: path.parse()?, secret: secret.parse()? })
    }
}

/// Why a source gave no configuration.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file did not.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// Something is wrong with the flags.
    #[error("the flags make no configuration: {}", problems.join("; "))]
    Flags {
        /// Everything that is wrong.
        problems: Vec<String>,
    },
}

/// Why there is no source of a configuration.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoSource {
    /// Nothing says where secrets come from.
    #[error("no configuration: name --config, or KEY_VAULT_URL and --secret")]
    Nothing,
    /// Secrets are named, and no vault.
    #[error("no vault for the secrets that are named: set KEY_VAULT_URL, or name --vault-url")]
    NoVault,
    /// The variable does not name one.
    #[error("KEY_VAULT_URL names no vault")]
    BadVault(#[from] InvalidVaultUrl),
}

impl Source {
    /// The source that the flags name: a file, or themselves; else the installed file; else the vault that a variable names.
    /// `needed` are secrets that are named for something else than to choose a source.
    ///
    /// # Errors
    /// [`NoSource`], with the remedy.
    pub fn choose(
        args: &SourceArgs,
        needed: impl IntoIterator<Item = SecretName>,
        environment: &Environment,
    ) -> Result<Self, NoSource> {
        Self::choose_beside(args, needed, environment, Path::new(cli::CONFIG))
    }

    fn choose_beside(
        args: &SourceArgs,
        needed: impl IntoIterator<Item = SecretName>,
        environment: &Environment,
        installed: &Path,
    ) -> Result<Self, NoSource> {
        if let Some(path) = &args.config {
            return Ok(Self::File(path.clone()));
        }
        let any_flag = args.vault_url.is_some() || !args.secret.is_empty() || !args.file.is_empty();
        if !any_flag && args.identity.is_none() && installed.exists() {
            return Ok(Self::File(installed.to_owned()));
        }
        let named = environment.get(VAULT_VARIABLE).filter(|_| args.vault_url.is_none());
        let vault = args.vault_url.clone().map_or_else(|| named.map(str::parse).transpose(), |url| Ok(Some(url)))?;
        let Some(vault) = vault else {
            return Err(if any_flag { NoSource::NoVault } else { NoSource::Nothing });
        };
        let mut secrets = args.secret.clone();
        secrets.extend(args.file.iter().map(|file| file.secret.clone()));
        secrets.extend(needed);
        secrets.sort();
        secrets.dedup();
        Ok(Self::Flags(Flags { vault, secrets, files: args.file.clone(), identity: args.identity }))
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// [`SourceError`], with every problem that can be found without looking at the machine beyond its accounts.
    pub fn load(&self, accounts: &dyn Accounts, defaults: Defaults<'_>) -> Result<Config, SourceError> {
        match self {
            Self::File(path) => Ok(Config::load(path, accounts, defaults)?),
            Self::Flags(flags) => flags.load(accounts, defaults),
        }
    }

    /// What reports call it.
    #[must_use]
    pub fn title(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Flags(_) => "the command line".into(),
        }
    }
}

impl Flags {
    /// They are written as a file is, and read as one, so that there is one set of rules.
    fn load(&self, accounts: &dyn Accounts, defaults: Defaults<'_>) -> Result<Config, SourceError> {
        if self.secrets.is_empty() {
            return Err(SourceError::Flags { problems: vec!["no secret is named: add --secret NAME".to_owned()] });
        }
        let second = |(number, file): (usize, &FileFlag)| {
            let first = self.files[..number].iter().find(|one| one.secret == file.secret && one.path != file.path)?;
            let (name, one, other) = (&file.secret, first.path.as_str(), file.path.as_str());
            Some(format!("'{name}' is asked for in two files, {one} and {other}: a secret has one; make a link to it"))
        };
        let problems: Vec<_> = self.files.iter().enumerate().filter_map(second).collect();
        if !problems.is_empty() {
            return Err(SourceError::Flags { problems });
        }
        let message = |problem: &super::Problem| problem.message.clone();
        Config::parse(&self.document().to_string(), accounts, defaults)
            .map_err(|problems| SourceError::Flags { problems: problems.iter().map(message).collect() })
    }

    fn document(&self) -> Table {
        let text = |value: &dyn ToString| Value::String(value.to_string());
        let mut document = Table::from_iter([("vault".to_owned(), table([("url", text(&self.vault))]))]);
        if let Some(kind) = self.identity {
            document.insert("identity".to_owned(), table([("kind", text(&kind.name()))]));
        }
        if !self.files.is_empty() {
            document.insert("files".to_owned(), table([]));
        }
        let secrets = self.secrets.iter().map(|name| {
            let path = self.files.iter().find(|file| file.secret == *name).map(|file| text(&file.path.as_str()));
            table([("name", text(name)), ("file", path.unwrap_or(Value::Boolean(false)))])
        });
        document.insert("secret".to_owned(), Value::Array(secrets.collect()));
        document
    }

    /// The arguments that make the same configuration of another process of this program.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--vault-url".to_owned(), self.vault.to_string()];
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        self.secrets.iter().for_each(|name| add("--secret", name.to_string()));
        self.files.iter().for_each(|file| add("--file", format!("{}={}", file.path.as_str(), file.secret)));
        if let Some(kind) = self.identity {
            add("--identity", kind.name().to_owned());
        }
        arguments
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::principal::{Principal, SystemAccounts};
    use crate::testing::name;

    const URL: &str = "https://my-vault.vault.azure.net";

    const OWN: [Principal; 1] = [Principal::User(1001)];

    fn own() -> Defaults<'static> {
        Defaults { readers: &OWN, ..Defaults::of_service(1001, Path::new("/dev/shm/k/agent.sock")) }
    }

    fn args(line: &str) -> SourceArgs {
        let whole = format!("keyside agent {line}");
        match Cli::try_parse_from(whole.split_whitespace()).expect("it is understood").command {
            Command::Agent(args) => args.source,
            other => panic!("{other:?}"),
        }
    }

    fn choose(line: &str, variables: &[(&str, &str); 1], installed: &str) -> Result<Source, NoSource> {
        Source::choose_beside(&args(line), [], &Environment::from(*variables), Path::new(installed))
    }

    #[test]
    fn a_named_file_goes_before_flags_before_the_installed_file_before_the_variable() {
        let (set, unset) = ([(VAULT_VARIABLE, URL)], [("OTHER", "x")]);
        let file = |path: &str| Ok(Source::File(path.into()));
        let flags = |names: &[&str]| {
            let secrets = names.iter().map(|text| name(text)).collect();
            Ok(Source::Flags(Flags { vault: URL.parse().expect("a URL"), secrets, files: vec![], identity: None }))
        };
        let rows = [
            ("--config a.toml", &set, "/", file("a.toml")),
            ("--secret db", &set, "/", flags(&["db"])),
            ("--secret db --secret db --secret a", &set, "/", flags(&["a", "db"])),
            ("", &set, "/", file("/")),
            ("", &set, "/nonexistent/agent.toml", flags(&[])),
            ("", &unset, "/nonexistent/agent.toml", Err(NoSource::Nothing)),
            ("--secret db", &unset, "/", Err(NoSource::NoVault)),
        ];
        for (line, variables, installed, expected) in rows {
            assert_eq!(choose(line, variables, installed), expected, "{line}");
        }
        let bad = choose("--secret db", &[(VAULT_VARIABLE, "http://x")], "/").expect_err("no vault");
        let told = crate::causes::with_causes(&bad);
        assert!(told.starts_with("KEY_VAULT_URL names no vault: 'http://x"), "{told}");
        assert_eq!(told.matches("is no Key Vault URL").count(), 1, "{told}");
    }

    #[test]
    fn flags_make_what_a_file_would() {
        let line = "--vault-url https://my-vault.vault.azure.net --secret a --file tls/key=b --identity azure-ml";
        let source = choose(line, &[("OTHER", "x")], "/").expect("flags");
        let config = source.load(&SystemAccounts, own()).expect("it fits");
        assert_eq!(config.vault.to_string(), URL);
        assert_eq!(config.identity.kind, identity::Kind::AzureMl);
        assert_eq!(config.wanted.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config.serve.access.readers[&name("a")], OWN);
        let files = config.files.expect("files");
        assert_eq!(files.directory, Path::new("/dev/shm/k/secrets"));
        assert_eq!(files.targets.keys().collect::<Vec<_>>(), [&name("b")], "no file that nobody asked for");
        let Source::Flags(flags) = source else { panic!("flags") };
        assert_eq!(choose(&flags.arguments().join(" "), &[("OTHER", "x")], "/"), Ok(Source::Flags(flags)));
    }

    #[test]
    fn what_is_wrong_with_flags_is_told_without_lines_of_a_file() {
        let source = choose("--secret a --file x=b --file x=a", &[(VAULT_VARIABLE, URL)], "/").expect("flags");
        let error = source.load(&SystemAccounts, own()).expect_err("two secrets in one file");
        assert!(matches!(&error, SourceError::Flags { problems } if problems.len() == 1), "{error}");
        assert!(!error.to_string().contains("line "), "{error}");
    }

    #[test]
    fn a_secret_in_two_files_is_refused_and_the_same_file_twice_is_one() {
        let load =
            |line: &str| choose(line, &[(VAULT_VARIABLE, URL)], "/").expect("flags").load(&SystemAccounts, own());
        let error = load("--file x=a --file y=a").expect_err("only one would be written");
        assert!(error.to_string().contains("'a' is asked for in two files, x and y"), "{error}");
        assert_eq!(load("--file x=a --file x=a").expect("one").files.expect("files").targets.len(), 1);
    }

    #[test]
    fn a_file_flag_names_a_path_below_the_directory_and_a_secret() {
        let rows = [
            ("tls/key=db", true),
            ("a=b=db", true),
            ("db", false),
            ("/etc/x=db", false),
            ("../x=db", false),
            ("x=a_b", false),
        ];
        for (text, valid) in rows {
            assert_eq!(text.parse::<FileFlag>().is_ok(), valid, "{text}");
        }
        let told = "/etc/x=db".parse::<FileFlag>().expect_err("absolute").to_string();
        assert!(told.contains("KEYSIDE_SECRETS_DIR"), "{told}");
    }
}
