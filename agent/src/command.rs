//! What each command does: it gathers what the command needs of the process and hands it to the module that does the work.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::agent::{self, Configured, Span};
use crate::causes::with_causes;
use crate::check::{self, Report};
use crate::cli::{self, AgentArgs, CheckArgs, Cli, ClientCommand, Command, Direct, Exit, Output, RunArgs, WipeArgs};
use crate::client::{self, Search};
use crate::config::flags::{NoSource, Source};
use crate::config::{Config, Defaults, Socket};
use crate::direct::Question;
use crate::environment::Environment;
use crate::online::Audience;
use crate::principal::{Principal, SystemAccounts};
use crate::reload::Reading;
use crate::secret::SecretName;
use crate::{files, hooks, logging, online, run, socket};

/// Carries a command out, and answers the code that the process is to end with.
///
/// # Errors
/// When something failed that should not; what people can mend is told by the command itself, and is an [`Exit`].
pub fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    let exit = match command {
        Command::Run(args) => return run_command(&args, environment),
        Command::Agent(args) => run_agent(&args, environment)?,
        Command::Check(args) => run_check(&args, environment, &mut out)?,
        Command::Wipe(args) => run_wipe(&args)?,
        Command::Client(ClientCommand::Get { name, direct, .. }) if direct.direct => {
            get_direct(name, &direct, environment)?
        }
        Command::Client(command) => client::run(&command, &Search::of_this_process(), &mut out, &mut io::stderr()),
        Command::HooksHelper => hooks::run_helper().map(|()| Exit::Success)?,
        Command::Completions { shell } => cli::print_completions::<Cli>(shell, &mut out).map(|()| Exit::Success)?,
        Command::Man { directory } => cli::write_manual::<Cli>(&directory).map(|()| Exit::Success)?,
    };
    Ok(exit.into())
}

fn run_agent(args: &AgentArgs, environment: &Environment) -> Result<Exit> {
    let source = match Source::choose(&args.source, [], environment) {
        Ok(source) => source,
        Err(error) => return Ok(explain(&error)?),
    };
    let (socket, leased, from) = (args.socket.clone(), args.leased, source.clone());
    let read = move || {
        let examine = |defaults: Defaults<'_>| check::examine(&from, defaults, &SystemAccounts, Path::new("/"));
        with_defaults(&from, socket.as_deref(), leased, examine)
    };
    let reading = match &source {
        Source::File(path) if !args.leased && !args.once => Reading::of_file(path, read.clone()),
        _ => None,
    };
    let (config, report) = match read() {
        Ok(found) => found,
        Err(report) => return Ok(refuse(&report)?),
    };
    let (levels, lines) = logging::start(config.log, environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    for warning in report.warnings() {
        tracing::warn!("{warning}");
    }
    let span = match args {
        AgentArgs { once: true, .. } => Span::OneLook,
        AgentArgs { leased: true, .. } => Span::Leased,
        _ => Span::UntilStopped,
    };
    agent::run(Configured { config, reading, levels, lines }, environment, span)
}

/// Hands on the defaults of an agent. One that somebody starts for himself, by a lease or by flags, which name no readers, is
/// read by him; a leased one has a private socket, since there may be one for others at the common place.
fn with_defaults<T>(source: &Source, socket: Option<&Path>, leased: bool, work: impl FnOnce(Defaults<'_>) -> T) -> T {
    let uid = nix::unistd::geteuid().as_raw();
    let own = [Principal::User(uid)];
    let place = if leased { socket::private(Path::new(socket::SHARED_MEMORY), uid) } else { socket::default(uid) };
    work(Defaults {
        operator_uid: uid,
        socket: socket.map_or(Socket::Default(&place), Socket::Named),
        readers: if leased || matches!(source, Source::Flags(_)) { &own } else { &[] },
        log: if leased { logging::Settings::beside_a_command() } else { logging::Settings::default() },
    })
}

fn run_command(args: &RunArgs, environment: &Environment) -> Result<ExitCode> {
    let needed = args.env.iter().map(|flag| flag.secret.clone());
    let configured = match Source::choose(&args.source, needed, environment) {
        // The vault's variable alone asks for nothing.
        Ok(Source::Flags(flags)) if flags.secrets.is_empty() && args.source.vault_url.is_none() => None,
        Ok(source) => {
            // Whether it fits the machine the agent sees, where one has to be started.
            let read = |defaults: Defaults<'_>| check::read(&source, defaults, &SystemAccounts);
            match with_defaults(&source, args.at.socket.as_deref(), true, read) {
                Ok(config) => Some((source, config)),
                Err(report) => return Ok(refuse(&report)?.into()),
            }
        }
        // Without a configuration an agent that somebody else runs can be joined.
        Err(NoSource::Nothing) => None,
        Err(error) => return Ok(explain(&error)?.into()),
    };
    let plan = match run::Plan::new(args, configured, &Search::of_this_process()) {
        Ok(plan) => plan,
        Err(error) => return Ok(explain(&error)?.into()),
    };
    logging::start(logging::Settings::beside_a_command(), environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    run::run(&plan, environment)
}

/// Tells what people can mend about their configuration.
fn explain(error: &dyn std::error::Error) -> io::Result<Exit> {
    writeln!(io::stderr(), "keyside: {}", with_causes(error)).map(|()| Exit::Config)
}

fn refuse(report: &Report) -> io::Result<Exit> {
    report.write(Output::Text, &mut io::stderr()).map(|()| Exit::Config)
}

fn run_check(args: &CheckArgs, environment: &Environment, out: &mut impl Write) -> Result<Exit> {
    let source = match Source::choose(&args.source, [], environment) {
        Ok(source) => source,
        Err(error) => return Ok(Report::without_source(&error).write(args.output, out).map(|()| Exit::Config)?),
    };
    let examine = |defaults: Defaults<'_>| check::examine(&source, defaults, &SystemAccounts, Path::new("/"));
    match with_defaults(&source, None, false, examine) {
        Ok((config, report)) if args.online => {
            log_if_asked(environment)?;
            let mut terminal = io::stderr();
            let progress = terminal.is_terminal().then_some(&mut terminal as &mut dyn Write);
            let audience = Audience { out, progress, output: args.output };
            online::check(&config, &report, environment, audience)
        }
        Ok((_, report)) => Ok(report.write(args.output, out).map(|()| Exit::Success)?),
        Err(report) => Ok(report.write(args.output, out).map(|()| Exit::Config)?),
    }
}

fn get_direct(name: SecretName, direct: &Direct, environment: &Environment) -> Result<Exit> {
    let question = match question(name, direct, environment) {
        Ok(question) => question,
        Err(exit) => return Ok(exit?),
    };
    log_if_asked(environment)?;
    // The buffer of the standard library would keep a copy of the value.
    let mut unbuffered = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok(question.ask(environment, &mut unbuffered, &mut io::stderr()))
}

/// What to ask for: by a file or a vault that is named, else by the vault in the environment, else by the file that is
/// installed.
fn question(name: SecretName, direct: &Direct, environment: &Environment) -> Result<Question, io::Result<Exit>> {
    let usage = |message: String| writeln!(io::stderr(), "keyside: {message}").map(|()| Exit::Usage);
    let vault = match (&direct.vault_url, environment.get("KEY_VAULT_URL")) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(text)) if direct.config.is_none() => {
            Some(text.parse().map_err(|error| usage(format!("KEY_VAULT_URL: {error}")))?)
        }
        (None, _) => None,
    };
    if let Some(vault) = vault {
        return Ok(Question::of_vault(name, vault));
    }
    let path = direct.config.as_deref().unwrap_or(Path::new(cli::CONFIG));
    if direct.config.is_none() && !path.exists() {
        return Err(usage("name the vault by --vault-url or KEY_VAULT_URL, or a file by --config".to_owned()));
    }
    let config = read_file(path).map_err(|report| refuse(&report))?;
    Question::of_config(&name, config).ok_or_else(|| {
        writeln!(io::stderr(), "keyside: {} configures no secret '{name}'", path.display()).map(|()| Exit::Absent)
    })
}

/// Commands that do not stay are silent about what libraries do, unless somebody asks.
fn log_if_asked(environment: &Environment) -> Result<()> {
    match environment.get("RUST_LOG") {
        Some(filter) => {
            logging::start(logging::Settings::default(), Some(filter), io::stderr().is_terminal()).map(drop)
        }
        None => Ok(()),
    }
}

/// Reads a file as an agent that is there for others does.
fn read_file(path: &Path) -> Result<Config, Report> {
    let source = Source::File(path.to_owned());
    with_defaults(&source, None, false, |defaults| check::read(&source, defaults, &SystemAccounts))
}

fn run_wipe(args: &WipeArgs) -> Result<Exit> {
    // Root may wipe what another user's agent left, though it could not run an agent there.
    let config = match read_file(&args.config) {
        Ok(config) => config,
        Err(report) => return Ok(refuse(&report)?),
    };
    config.files.map_or(Ok(()), |files| files::wipe_all(&files.directory))?;
    Ok(Exit::Success)
}
