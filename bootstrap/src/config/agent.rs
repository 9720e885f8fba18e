//! The table `[agent]`, by the rules of the agent that reads what comes of it.

use std::path::{Path, PathBuf};

use keyside::config::{Config as AgentConfig, Defaults};
use keyside::principal::{Accounts, Principal};
use keyside::socket;
use toml::Spanned;

use super::check::Check;
use super::shape::AgentTable;
use super::unused::Places;
use super::{Agent, RunsOn, Secret};
use crate::id::ArmId;
use crate::names::{self, Rule};

/// The accounts of the machine that the agent will run on, which need not be this one: any name may be one there.
struct OfAnotherMachine;

impl Accounts for OfAnotherMachine {
    fn user(&self, name: &str) -> Option<u32> {
        (!name.is_empty()).then_some(0)
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.user(name)
    }
}

impl Check<'_> {
    /// The agent's configuration to write; `uid` reads where the file names nobody.
    pub(super) fn agent(&mut self, table: AgentTable, uid: u32, (places, secrets): (&Places, &[Secret])) -> Agent {
        self.readers(&table);
        self.paths(&table, secrets);
        self.compute(&table, places);
        let texts = |readers: Vec<Spanned<String>>| readers.into_iter().map(Spanned::into_inner).collect();
        Agent {
            file: table.file.unwrap_or_else(|| PathBuf::from("agent.toml")),
            readers: table.readers.map_or_else(|| vec![format!("uid:{uid}")], |list| texts(list.into_inner())),
            socket: table.socket.map(Spanned::into_inner),
            files: table.files.map(Spanned::into_inner),
            runs_on: table.runs_on.map_or(RunsOn::Elsewhere, |name| name.0.0),
            compute: table.compute.map(Spanned::into_inner),
        }
    }

    fn readers(&mut self, table: &AgentTable) {
        let Some(readers) = &table.readers else { return };
        for reader in readers.get_ref() {
            if let Err(error) = Principal::parse(reader.get_ref(), &OfAnotherMachine) {
                self.document.report(&reader.span(), format!("[agent] readers: {error}"));
            }
        }
        if readers.get_ref().is_empty() {
            let remedy = "name somebody, or leave it out for the user who runs this";
            self.document.report(&readers.span(), format!("[agent] readers is empty, so nobody could read: {remedy}"));
        }
    }

    /// Has the agent judge the socket, and the files beside a socket that it takes.
    fn paths(&mut self, table: &AgentTable, secrets: &[Secret]) {
        let lines = |section: &str, key: &str, path: &Option<Spanned<PathBuf>>| {
            let line = |path: &Spanned<PathBuf>| {
                let quoted = toml::Value::from(path.get_ref().to_string_lossy().into_owned());
                format!("[{section}]\n{key} = {quoted}\n")
            };
            path.as_ref().map(line).unwrap_or_default()
        };
        let socket = lines("api", "socket", &table.socket);
        let against_socket = objections(&socket, secrets);
        let taken = if against_socket.is_empty() { socket.as_str() } else { "" };
        let against_files = objections(&format!("{taken}{}", lines("files", "directory", &table.files)), secrets);
        for (path, objections) in [(&table.socket, against_socket), (&table.files, against_files)] {
            let span = path.as_ref().map(Spanned::span).unwrap_or_default();
            for objection in objections {
                self.document.report(&span, format!("[agent] {objection}"));
            }
        }
    }

    fn compute(&mut self, table: &AgentTable, places: &Places) {
        let Some(compute) = &table.compute else { return };
        let runs_on = table.runs_on.as_ref().map_or(RunsOn::Elsewhere, |name| name.0.0);
        let of_a_workspace = matches!(runs_on, RunsOn::ComputeCluster | RunsOn::ComputeInstance);
        let message = match runs_on {
            RunsOn::Kubernetes | RunsOn::Elsewhere if places.is_left_out(&self.document, "agent", "runs_on") => None,
            RunsOn::Kubernetes | RunsOn::Elsewhere => Some(
                "nothing uses it: set runs_on to virtual-machine, compute-cluster or compute-instance, or remove it",
            ),
            _ if !places.has("agent_identity") => {
                Some("there is no identity to add to it: add the table [agent_identity], or remove it")
            }
            _ if of_a_workspace && !places.has("workspace") => {
                Some("it is a compute of a workspace, and there is none: add the table [workspace], or remove it")
            }
            _ => None,
        };
        if let Some(message) = message {
            self.document.report(&compute.span(), format!("[agent] compute: {message}"));
        }
        let name = compute.get_ref();
        let checked = if runs_on == RunsOn::VirtualMachine && name.starts_with('/') {
            name.parse::<ArmId>().map(drop).map_err(|error| error.to_string())
        } else {
            names::check(Rule::Compute, name).map_err(|error| error.to_string())
        };
        if let Err(error) = checked {
            self.document.report(&compute.span(), format!("[agent] compute: {error}"));
        }
    }
}

/// What the agent has against a configuration with these sections.
fn objections(sections: &str, secrets: &[Secret]) -> Vec<String> {
    let names = secrets.iter().map(|secret| secret.name.as_str());
    // The agent wants one secret at least; which ones there are matters for the names of files alone.
    let names = names.chain(secrets.is_empty().then_some("any"));
    let tables: Vec<_> = names.map(|name| format!("[[secret]]\nname = '{name}'\n")).collect();
    let vault = "readers = ['uid:0']\n[vault]\nurl = 'https://any.vault.azure.net'\n";
    let text = format!("{vault}{sections}{}", tables.concat());
    let defaults = Defaults::of_service(0, Path::new(socket::DEFAULT));
    let judged = AgentConfig::parse(&text, &OfAnotherMachine, defaults);
    judged.err().into_iter().flatten().map(|problem| problem.message).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const BASE: &str = "subscription = '00000000-0000-4000-8000-000000000001'\n\
                        tenant = '00000000-0000-4000-8000-000000000002'\nlocation = 'westeurope'\nprefix = 'ml'\n[vault]\n\
                        [[secret]]\nname = 'db'\ngenerate = {}\n";

    fn problems(more: &str) -> Vec<String> {
        let found = Config::parse(&format!("{BASE}{more}\n"), 1000).map(|_| Vec::new());
        found.unwrap_or_else(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_the_agent_would_refuse_is_refused_here_with_its_line() {
        let long = format!("socket = '/{}'", "x".repeat(110));
        let rows = [
            ("readers = ['uid:1', 'trainer']", "line 10: [agent] readers: 'trainer' names no user or group"),
            ("readers = ['uid:-1']", "line 10: [agent] readers: 'uid:-1' names no user or group"),
            ("readers = ['user:']", "there is no user ''"),
            ("readers = []", "line 10: [agent] readers is empty"),
            ("socket = 'agent.sock'", "line 10: [agent] socket must be an absolute path"),
            (long.as_str(), "line 10: [agent] socket is too long: use at most 107 bytes"),
            ("files = 'secrets'", "line 10: [agent] "),
            (
                "socket = '/run/x/db'\nfiles = '/run/x'",
                "line 11: [agent] the file of 'db' takes the place of /run/x/db",
            ),
        ];
        for (agent, expected) in rows {
            let found = problems(&format!("[agent]\n{agent}"));
            assert!(found.len() == 1 && found[0].contains(expected), "{agent}: {found:#?}");
        }
    }

    #[test]
    fn users_and_groups_may_be_those_of_another_machine() {
        let agent =
            "[agent]\nreaders = ['user:nobody-here-x91', 'group:nobody-here-x91']\nsocket = '/run/x/agent.sock'";
        assert_eq!(problems(agent), Vec::<String>::new());
    }

    #[test]
    fn a_compute_that_nothing_would_use_is_refused_with_its_remedy() {
        let rows = [
            ("[agent]\nruns_on = 'virtual-machine'\ncompute = 'vm'", "add the table [agent_identity]"),
            ("[agent_identity]\n[agent]\nruns_on = 'compute-cluster'\ncompute = 'cpu'", "add the table [workspace]"),
            ("[agent_identity]\n[agent]\nruns_on = 'kubernetes'\ncompute = 'pod'", "[agent] compute: nothing uses it"),
            ("[agent_identity]\n[agent]\ncompute = 'vm'", "[agent] compute: nothing uses it"),
            ("[agent_identity]\n[agent]\nruns_on = 'moon'\ncompute = 'vm'", "[agent] runs_on: 'moon' is unknown"),
            ("[agent_identity]\n[agent]\nruns_on = 'virtual-machine'\ncompute = '/subscriptions'", "no resource id"),
        ];
        for (text, expected) in rows {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:#?}");
        }
    }
}
