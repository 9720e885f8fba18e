//! One function per command: connects, has it done, prints what came of it.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, Result};
use keyside::environment::Environment;
use keyside::secret::SecretName;
use serde_json::{Value, json};

use crate::agent_config::{self, Written};
use crate::arm::Patience;
use crate::azure::{Azure, Wishes, vault_url};
use crate::cli::{EstateCommand, Exit, Output, SecretCommand};
use crate::config::{Config, Source};
use crate::failure::Failure;
use crate::item::{Key, Known, Label, Node, World};
use crate::output::Outputs;
use crate::plan::{self, Plan};
use crate::progress::{Form, Progress};
use crate::values::Input;
use crate::{apply, destroy, estate, preflight, secrets};

/// Longest wait for an operation that Azure has begun, and for a right to act.
const OPERATION: std::time::Duration = std::time::Duration::from_mins(45);
const PROPAGATION: std::time::Duration = std::time::Duration::from_mins(15);

/// Does what `command` says.
///
/// # Errors
/// Whatever kept it from being done; [`Failure::of`] says how the process ends then.
pub async fn run(command: &EstateCommand, environment: &Environment, out: &mut (dyn Write + Send)) -> Result<Exit> {
    let common = command.common();
    let uid = nix::unistd::geteuid().as_raw();
    let config = Config::load(&common.config, uid)?;
    let patience = Patience { request: common.patience, operation: OPERATION, propagation: PROPAGATION };
    let input = if command.only_looks() { Input::Later } else { Input::Own };
    let wishes = Wishes { patience, recover: command.recovers(), input };
    let azure = Azure::connect(&config, environment, wishes).await?;
    let run = Run { nodes: estate::nodes(&config), known: Known::default(), output: common.output, config, azure };
    match command {
        EstateCommand::Plan { detailed_exitcode, .. } => run.plan(*detailed_exitcode, out).await,
        EstateCommand::Apply { yes, .. } => run.apply(*yes, out).await,
        EstateCommand::Destroy { yes, purge, even_unseen, .. } => {
            let wish = Destruction { yes: *yes, purge: *purge, even_unseen: *even_unseen };
            run.destroy(wish, out).await
        }
        EstateCommand::Output { .. } => run.output(out).await,
        EstateCommand::Preflight { .. } => run.preflight(out).await,
        EstateCommand::Secret(command) => run.secret(command, out).await,
    }
}

/// Whether whoever read the output has seen enough, as `head` does.
#[must_use]
pub fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

struct Run {
    config: Config,
    azure: Azure,
    nodes: Vec<Node>,
    known: Known,
    output: Output,
}

/// What is wished of a destroy.
#[derive(Clone, Copy)]
struct Destruction {
    yes: bool,
    purge: bool,
    even_unseen: bool,
}

/// What is said of a vault whose secrets cannot be listed, and what can be done about it.
const UNSEEN: &str = "may hold secrets or keys of others, which cannot be listed";
const TO_SEE: &str = "give yourself the role Key Vault Reader on it, leave --purge out, or say --even-unseen";

/// How an estate names a secret without setting it.
const ADD_ONE: &str = "add a [[secret]], with from_others = true where somebody else sets its value";

type Out<'a> = &'a mut (dyn Write + Send);

impl Run {
    async fn observe(&self) -> Result<Plan> {
        plan::observe(&self.nodes, self.world()).await
    }

    fn world(&self) -> World<'_> {
        World { azure: &self.azure, known: &self.known }
    }

    /// The same with what keeps the agent's configuration from being written.
    async fn observe_to_apply(&self) -> Result<Plan> {
        let mut plan = self.observe().await?;
        let file = &self.config.agent.file;
        if let Err(error) = agent_config::look(file) {
            let label = Label { kind: "agent configuration", name: file.display().to_string() };
            plan.refuse(label, format!("{error:#}"));
        }
        Ok(plan)
    }

    async fn plan(&self, detailed: bool, out: Out<'_>) -> Result<Exit> {
        let plan = self.observe_to_apply().await?;
        if self.output == Output::Text {
            plan.write_table(out)?;
        }
        if plan.is_refused() {
            return self.fail(&Failure::in_the_way(plan.summary().refuse), plan.to_json(), out);
        }
        if self.output == Output::Json {
            print_json(out, &plan.to_json())?;
        }
        Ok(if plan.has_work() && detailed { Exit::Changes } else { Exit::Success })
    }

    async fn apply(&self, yes: bool, out: Out<'_>) -> Result<Exit> {
        let plan = self.observe_to_apply().await?;
        if self.output == Output::Text {
            plan.write_table(out)?;
        }
        let planned = json!({"plan": plan.to_json()});
        if plan.is_refused() {
            return self.fail(&Failure::in_the_way(plan.summary().refuse), planned, out);
        }
        if plan.has_work() {
            if !yes && !self.confirmed("Do this? Type yes: ", "yes")? {
                return self.fail(&Failure::not_confirmed(), planned, out);
            }
            apply::carry_out(&plan, &self.nodes, self.world(), &self.progress()).await?;
        }
        let vault = vault_url(&self.config)?;
        let text = agent_config::text(&self.config, &vault, &self.known);
        let file = &self.config.agent.file;
        let written = agent_config::write(file, &text)?;
        let outputs = Outputs::of(&self.config, &vault.to_string(), &self.known).with_unset(&self.config, &plan);
        self.note_no_secret()?;
        match self.output {
            Output::Json => print_json(out, &json!({"plan": plan.to_json(), "outputs": outputs.to_json()}))?,
            Output::Text => {
                if written == Written::Anew {
                    writeln!(out, "\nWrote {}.", file.display())?;
                }
                writeln!(out)?;
                outputs.write_table(out)?;
            }
        }
        Ok(Exit::Success)
    }

    async fn destroy(&self, wish: Destruction, out: Out<'_>) -> Result<Exit> {
        let mut plan = self.observe().await?;
        let contents = destroy::look_into_vaults(&mut plan, &self.nodes, &self.config, &self.azure).await?;
        let removals = destroy::decide(&plan, &self.nodes, wish.purge);
        if self.output == Output::Text {
            removals.write_table(out)?;
            for (label, names) in contents.lost.iter().filter(|(_, names)| !names.is_empty()) {
                writeln!(out, "Secrets that are lost with {label}: {}", names.join(", "))?;
            }
        }
        let mut notes = contents.notes;
        let unseen = contents.unseen.iter().filter(|label| removals.removes(label));
        let unseen: Vec<_> = unseen.map(ToString::to_string).collect();
        if !unseen.is_empty() {
            let unseen = unseen.join(" and ");
            if wish.purge && !wish.even_unseen {
                let failure =
                    Failure::unseen(format!("nothing was done: {unseen} {UNSEEN}, and a purge is for good: {TO_SEE}"));
                failure.write(&mut io::stderr())?;
                return self.fail(&failure, json!({"steps": removals.to_json(), "stays": notes}), out);
            }
            notes.push(format!("{unseen} {UNSEEN}"));
        }
        notes.extend(removals.unmarked(&self.nodes));
        if removals.has_work() {
            notes.iter().try_for_each(|note| writeln!(io::stderr(), "{note}"))?;
            if !wish.yes && !self.confirmed(&self.question(wish), &self.config.group)? {
                let steps = json!({"steps": removals.to_json(), "stays": notes});
                return self.fail(&Failure::not_confirmed(), steps, out);
            }
            notes.extend(destroy::carry_out(&removals, &self.nodes, self.world(), &self.progress()).await?);
        }
        match self.output {
            Output::Json => print_json(out, &json!({"steps": removals.to_json(), "stays": notes}))?,
            Output::Text => notes.iter().try_for_each(|line| writeln!(out, "{line}"))?,
        }
        Ok(Exit::Success)
    }

    fn question(&self, wish: Destruction) -> String {
        let how = if wish.purge { " for good, purged" } else { "; the vault can be recovered for a while" };
        format!("All of this is lost{how}. Type the name of the resource group, {}, to destroy it: ", self.config.group)
    }

    async fn output(&self, out: Out<'_>) -> Result<Exit> {
        let plan = self.observe().await?;
        if !self.known.has(Key::Vault) {
            let failure = Failure::no_estate(&self.config.group);
            failure.write(&mut io::stderr())?;
            return self.fail(&failure, json!({}), out);
        }
        let outputs = Outputs::of(&self.config, &vault_url(&self.config)?.to_string(), &self.known)
            .with_unset(&self.config, &plan);
        self.note_no_secret()?;
        match self.output {
            Output::Text => outputs.write_table(out)?,
            Output::Json => print_json(out, &outputs.to_json())?,
        }
        if plan.has_work() {
            writeln!(io::stderr(), "not all of this is there, or as it should be: see `keyside-bootstrap plan`")?;
        }
        Ok(Exit::Success)
    }

    /// Says what the agent would say about a configuration without a secret.
    fn note_no_secret(&self) -> io::Result<()> {
        if self.config.secrets.is_empty() {
            let file = self.config.agent.file.display();
            writeln!(io::stderr(), "{file} names no secret, so the agent refuses it: {ADD_ONE}")?;
        }
        Ok(())
    }

    /// Says that a secret, though it is set now, is none of those that the agent is to fetch.
    fn note_unnamed(&self, name: &SecretName) -> io::Result<()> {
        if self.config.secrets.iter().all(|secret| secret.name != *name) {
            let file = self.config.agent.file.display();
            writeln!(io::stderr(), "{file} will not name {name} until the estate does: {ADD_ONE}, and apply")?;
        }
        Ok(())
    }

    async fn preflight(&self, out: Out<'_>) -> Result<Exit> {
        let findings = preflight::look(&self.config, &self.azure).await?;
        if self.output == Output::Text {
            findings.write_table(out)?;
        }
        if !findings.passed() {
            return self.fail(&Failure::in_the_way(findings.missing()), serde_json::to_value(&findings)?, out);
        }
        if self.output == Output::Json {
            print_json(out, &serde_json::to_value(&findings)?)?;
        }
        Ok(Exit::Success)
    }

    async fn secret(&self, command: &SecretCommand, out: Out<'_>) -> Result<Exit> {
        let (name, result) = match command {
            SecretCommand::Set { name, from_file, from_env, .. } => {
                let file = from_file.clone().map(Source::File);
                let source = file.or(from_env.clone().map(Source::Variable)).unwrap_or(Source::Stdin);
                let version = secrets::set(&self.config, &self.azure, name, source).await?;
                self.note_unnamed(name)?;
                (name, json!({"version": version.as_str()}))
            }
            SecretCommand::Rotate { name, .. } => {
                (name, json!({"version": secrets::rotate(&self.config, &self.azure, name).await?.as_str()}))
            }
            SecretCommand::Retire { name, older_than, .. } => {
                let retired = secrets::retire(&self.azure, name, *older_than).await?;
                (name, json!({"disabled": retired.iter().map(ToString::to_string).collect::<Vec<_>>()}))
            }
        };
        match (self.output, result.get("version").and_then(Value::as_str)) {
            (Output::Json, _) => {
                let mut whole = json!({"name": name.as_str()});
                crate::document::merge(&mut whole, result);
                print_json(out, &whole)?;
            }
            (Output::Text, Some(version)) => writeln!(out, "{name} has the new version {version}")?,
            (Output::Text, None) => {
                let count = result.get("disabled").and_then(Value::as_array).map_or(0, Vec::len);
                writeln!(out, "{count} superseded versions of {name} disabled")?;
            }
        }
        Ok(Exit::Success)
    }

    /// Asks, but not where what it asks about was not shown.
    fn confirmed(&self, question: &str, expected: &str) -> Result<bool> {
        if self.output == Output::Json {
            Failure::not_confirmed().write(&mut io::stderr())?;
            return Ok(false);
        }
        confirmed(question, expected)
    }

    /// Tells programs why it ends, beside what was found out; people have read it by now.
    fn fail(&self, failure: &Failure, found: Value, out: Out<'_>) -> Result<Exit> {
        if self.output == Output::Json {
            print_json(out, &failure.in_document(found))?;
        }
        Ok(failure.exit())
    }

    fn progress(&self) -> Progress {
        Progress::new(match self.output {
            Output::Json => Form::Silent,
            Output::Text => Form::Shown,
        })
    }
}

fn print_json(out: Out<'_>, value: &Value) -> io::Result<()> {
    writeln!(out, "{value:#}")
}

/// Asks on the terminal. Without one there is nobody to ask.
fn confirmed(question: &str, expected: &str) -> Result<bool> {
    let mut errors = io::stderr().lock();
    if !io::stdin().is_terminal() {
        writeln!(errors, "nothing was done: there is no terminal to ask on, so say --yes")?;
        return Ok(false);
    }
    write!(errors, "\n{question}")?;
    errors.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("no answer could be read")?;
    let confirmed = answer.trim() == expected;
    if !confirmed {
        writeln!(errors, "nothing was done")?;
    }
    Ok(confirmed)
}
