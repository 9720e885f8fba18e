//! What a run is to do, from its flags and its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;
use thiserror::Error;

use crate::cli::RunArgs;
use crate::client::Search;
use crate::config::Config;
use crate::config::flags::Source;
use crate::secret::{InvalidName, SecretName};
use crate::socket;
use crate::variable::{InvalidVariable, VariableName};

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the agent is.
    pub(super) socket: PathBuf,
    /// The arguments that start one; none where only one of somebody else's can be joined.
    pub(super) agent: Option<Vec<OsString>>,
    /// The vault that the agent must serve; any where nothing is configured.
    pub(super) vault: Option<String>,
    /// The secret of each variable.
    pub(super) variables: BTreeMap<VariableName, SecretName>,
    /// What must be there before the command.
    pub(super) needed: BTreeSet<SecretName>,
    /// Where the files are, and each that must be there.
    pub(super) files: Option<Files>,
    pub(super) command: Vec<OsString>,
    pub(super) on_change: OnChange,
    pub(super) grace: Duration,
    pub(super) timeout: Duration,
    /// Who asks.
    pub(super) uid: u32,
}

/// The files that the agent writes.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) needed: Vec<PathBuf>,
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum NoPlan {
    /// Nothing is configured, and there is nobody to join.
    #[error("no configuration: name --config, or KEY_VAULT_URL and --secret")]
    Nothing,
    /// A private directory is not safe.
    #[error("the socket is not used")]
    Unsafe(#[source] io::Error),
    /// Two flags fill one variable.
    #[error("the variable {0} is asked for twice: name another with --env VAR={1}")]
    Twice(VariableName, SecretName),
    /// The file does not have it.
    #[error(
        "the configuration has no secret '{0}': add a [[secret]] with that name, or leave the file out and name --secret"
    )]
    NotConfigured(SecretName),
}

impl Plan {
    /// Makes a plan. `configured` is none where nothing says how to start an agent.
    ///
    /// # Errors
    /// [`NoPlan`], with the remedy.
    pub fn new(args: &RunArgs, configured: Option<(Source, Config)>, search: &Search) -> Result<Self, NoPlan> {
        let named = variables(args)?;
        let mut needed: BTreeSet<_> = named.values().chain(&args.source.secret).cloned().collect();
        let common = Self {
            socket: PathBuf::new(),
            agent: None,
            vault: None,
            variables: named,
            needed: BTreeSet::new(),
            files: None,
            command: args.command.clone(),
            on_change: args.on_change,
            grace: args.grace,
            timeout: args.timeout,
            uid: search.uid,
        };
        let Some((source, config)) = configured else {
            let socket = search.find(args.at.socket.as_deref()).map_err(NoPlan::Unsafe)?;
            return if socket.exists() { Ok(Self { socket, needed, ..common }) } else { Err(NoPlan::Nothing) };
        };
        if let Some(unknown) = needed.iter().find(|name| config.wanted.iter().all(|wanted| wanted.name != **name)) {
            return Err(NoPlan::NotConfigured(unknown.clone()));
        }
        needed.extend(config.wanted.iter().filter(|wanted| !wanted.optional).map(|wanted| wanted.name.clone()));
        let mut variables = config.variables;
        variables.extend(common.variables);
        Ok(Self {
            agent: Some(arguments(&source, &config.serve.socket)),
            vault: Some(config.vault.to_string()),
            files: config.files.map(|files| Files {
                needed: files
                    .targets
                    .iter()
                    .filter(|(name, _)| needed.contains(name))
                    .map(|(_, target)| files.directory.join(target.path.as_str()))
                    .collect(),
                directory: files.directory,
            }),
            socket: config.serve.socket,
            variables,
            needed,
            ..common
        })
    }

    /// Whether the socket is in this user's private directory, which is removed when nothing is in it.
    pub(super) fn is_private(&self) -> bool {
        self.socket == socket::private(Path::new(socket::SHARED_MEMORY), self.uid)
    }
}

fn variables(args: &RunArgs) -> Result<BTreeMap<VariableName, SecretName>, NoPlan> {
    let mut variables = BTreeMap::new();
    for EnvFlag { variable, secret } in &args.env {
        let before = variables.insert(variable.clone(), secret.clone());
        if before.is_some_and(|before| before != *secret) {
            return Err(NoPlan::Twice(variable.clone(), secret.clone()));
        }
    }
    Ok(variables)
}

fn arguments(source: &Source, socket: &Path) -> Vec<OsString> {
    let mut arguments = vec!["agent".into(), "--leased".into(), "--socket".into(), socket.into()];
    match source {
        Source::File(path) => arguments.extend(["--config".into(), path.into()]),
        Source::Flags(flags) => arguments.extend(flags.arguments().into_iter().map(OsString::from)),
    }
    arguments
}

/// `VAR=SECRET`, or `SECRET` for the variable of its own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFlag {
    /// What the command finds it as.
    pub variable: VariableName,
    /// Whose value it holds.
    pub secret: SecretName,
}

/// Says why a text is no [`EnvFlag`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidEnvFlag {
    /// The variable cannot be had.
    #[error("{0}; write VAR=SECRET")]
    Variable(#[from] InvalidVariable),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for EnvFlag {
    type Err = InvalidEnvFlag;

    fn from_str(text: &str) -> Result<Self, InvalidEnvFlag> {
        if let Some((variable, secret)) = text.split_once('=') {
            return Ok(Self { variable: variable.parse()?, secret: secret.parse()? });
        }
        let secret = text.parse()?;
        Ok(Self { variable: VariableName::of(&secret)?, secret })
    }
}

/// What becomes of the command when a secret of its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// It goes on with what it was given.
    #[default]
    Nothing,
    /// It is sent this signal.
    Signal(Signal),
    /// It is ended, and started again with the new values.
    Restart,
}

/// The signals that ask a program for something, as those of hooks do.
const ASKING: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Says that a text is no [`OnChange`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is none of nothing, restart and signal:NAME with HUP, INT, QUIT, TERM, USR1, USR2 or WINCH")]
pub struct InvalidOnChange(String);

impl FromStr for OnChange {
    type Err = InvalidOnChange;

    fn from_str(text: &str) -> Result<Self, InvalidOnChange> {
        let invalid = || InvalidOnChange(text.escape_debug().take(100).collect());
        match text.split_once(':') {
            None if text == "nothing" => Ok(Self::Nothing),
            None if text == "restart" => Ok(Self::Restart),
            Some(("signal", name)) => {
                let name = name.strip_prefix("SIG").unwrap_or(name);
                let signal = Signal::from_str(&format!("SIG{name}")).map_err(|_| invalid())?;
                let tells = ASKING.contains(&signal);
                tells.then_some(Self::Signal(signal)).ok_or_else(invalid)
            }
            _ => Err(invalid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::Defaults;
    use crate::environment::Environment;
    use crate::principal::{Principal, SystemAccounts};
    use crate::testing::name;

    fn args(line: &str) -> RunArgs {
        match Cli::try_parse_from(format!("keyside run {line} -- true").split_whitespace()).expect("understood").command
        {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn search(base: &Path) -> Search {
        Search { uid: 1001, common: base.join("agent.sock"), shared_memory: base.to_owned() }
    }

    fn plan(line: &str, file: Option<&str>) -> Result<Plan, NoPlan> {
        let base = tempfile::tempdir().expect("a directory");
        let args = args(line);
        let source = if let Some(text) = file {
            let path = base.path().join("agent.toml");
            std::fs::write(&path, text).expect("written");
            Source::File(path)
        } else {
            let environment = Environment::from([("KEY_VAULT_URL", "https://my-vault.vault.azure.net")]);
            let needed = args.env.iter().map(|flag| flag.secret.clone());
            Source::choose(&args.source, needed, &environment).expect("a source")
        };
        let readers = [Principal::User(1001)];
        let socket = Path::new("/dev/shm/keyside-1001/agent.sock");
        let defaults = Defaults { readers: &readers, ..Defaults::of_service(1001, socket) };
        let config = source.load(&SystemAccounts, defaults).expect("it fits");
        Plan::new(&args, Some((source, config)), &search(base.path()))
    }

    #[test]
    fn flags_alone_make_a_plan_with_all_that_they_name() {
        let plan = plan("--env TOKEN=a --env b-c --file tls/d=d --secret e", None).expect("a plan");
        assert_eq!(plan.needed, ["a", "b-c", "d", "e"].map(name).into());
        let variables: Vec<_> =
            plan.variables.iter().map(|(variable, secret)| format!("{variable} {secret}")).collect();
        assert_eq!(variables, ["B_C b-c", "TOKEN a"]);
        let files = plan.files.as_ref().expect("files");
        assert_eq!(files.needed, [Path::new("/dev/shm/keyside-1001/secrets/tls/d")]);
        assert!(plan.is_private());
        let agent: Vec<_> =
            plan.agent.expect("one can be started").iter().map(|one| one.display().to_string()).collect();
        assert_eq!(
            agent.join(" "),
            "agent --leased --socket /dev/shm/keyside-1001/agent.sock --vault-url https://my-vault.vault.azure.net \
             --secret a --secret b-c --secret d --secret e --file tls/d=d"
        );
    }

    const FILE: &str = "[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'a'\nenv = true\n\
                        [[secret]]\nname = 'b'\noptional = true\nenv = 'TOKEN'\n[[secret]]\nname = 'c'\n";

    #[test]
    fn a_file_says_what_is_needed_and_flags_add_variables() {
        let plan = plan("--config FILE --env TOKEN=c", Some(FILE)).expect("a plan");
        assert_eq!(plan.needed, ["a", "c"].map(name).into());
        let variables: Vec<_> =
            plan.variables.iter().map(|(variable, secret)| format!("{variable} {secret}")).collect();
        assert_eq!(variables, ["A a", "TOKEN c"]);
        assert!(plan.files.is_none());
    }

    #[test]
    fn what_cannot_be_planned_is_told() {
        let twice = plan("--env A=x --env A=y", None).expect_err("one variable for two");
        assert!(twice.to_string().starts_with("the variable A is asked for twice"), "{twice}");
        let unknown = plan("--config FILE --env d", Some(FILE)).expect_err("not in the file");
        assert!(unknown.to_string().contains("has no secret 'd'"), "{unknown}");
        let base = tempfile::tempdir().expect("a directory");
        let nothing = Plan::new(&args("--env a"), None, &search(base.path())).expect_err("nobody to join");
        assert!(nothing.to_string().starts_with("no configuration: name --config, or KEY_VAULT_URL"), "{nothing}");
        std::fs::write(base.path().join("agent.sock"), "").expect("as if somebody listened");
        let joins = Plan::new(&args("--env a"), None, &search(base.path())).expect("joins");
        assert!(joins.agent.is_none() && joins.vault.is_none());
    }

    #[test]
    fn changes_bring_nothing_a_signal_or_a_restart() {
        let rows = [
            ("nothing", Some(OnChange::Nothing)),
            ("restart", Some(OnChange::Restart)),
            ("signal:HUP", Some(OnChange::Signal(Signal::SIGHUP))),
            ("signal:SIGUSR1", Some(OnChange::Signal(Signal::SIGUSR1))),
            ("signal:KILL", None),
            ("signal:STOP", None),
            ("signal:SEGV", None),
            ("signal:", None),
            ("signal:hup", None),
            ("signal", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse::<OnChange>().ok(), expected, "{text}");
        }
    }
}
