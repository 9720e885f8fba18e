//! The guides, done block by block as they are written: files are written where they say, commands print what is shown.

use super::machine::Machine;
use super::vm::{Parts, Vm};

const MACHINE: &str = include_str!("../../../docs/guides/systemd.md");
pub(super) const BOOTSTRAP: &str = include_str!("../../../docs/guides/bootstrap-unit.md");

/// A block of a guide.
#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    /// A file whose first line names its path.
    File { path: &'a str, text: &'a str },
    /// Commands, each with what it prints.
    Commands(Vec<(&'a str, Vec<&'a str>)>),
    /// What only Azure itself can do.
    InAzure(&'a str),
    /// How to install, which the scenario has done.
    Install,
}

fn blocks(guide: &str) -> Vec<Block<'_>> {
    let parts = guide.split("\n```").skip(1).step_by(2);
    let block = |part| {
        let (language, text): (&str, &str) = str::split_once(part, '\n').expect("a language, and the block");
        match language {
            "toml" | "ini" => {
                let path = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a path comes first");
                Block::File { path, text }
            }
            "console" => Block::Commands(commands(text)),
            "azurecli" => Block::InAzure(text),
            "sh" => Block::Install,
            other => panic!("a block of {other}, which nothing runs"),
        }
    };
    parts.map(block).collect()
}

fn commands(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, printed))) => printed.push(line),
            (None, None) => panic!("{line} is printed before any command"),
        }
    }
    commands
}

/// Does what a guide says, in its order.
pub(super) fn follow(machine: &Machine, guide: &str) {
    for block in blocks(guide) {
        match block {
            Block::File { path, text } => machine.write(path, &format!("{text}\n")),
            Block::Commands(commands) => {
                for (command, shown) in commands {
                    let printed = machine.script(command);
                    assert_eq!(printed.lines().collect::<Vec<_>>(), shown, "{command}");
                }
            }
            Block::InAzure(text) => assert!(text.lines().all(|line| line.starts_with("az ")), "{text}"),
            Block::Install => {}
        }
    }
}

/// What of the guides only Azure can run.
pub(super) fn only_in_azure() -> String {
    let of_azure = [MACHINE, BOOTSTRAP].into_iter().flat_map(blocks).filter_map(|block| match block {
        Block::InAzure(text) => Some(text.lines().count()),
        _ => None,
    });
    format!(
        "{} commands of the guides that grant rights with the Azure CLI, which take Azure itself",
        of_azure.sum::<usize>()
    )
}

pub(crate) fn virtual_machine(parts: &Parts) {
    let vm = Vm::start(parts, &[("db-password", "hunter2-k9")]);
    follow(&vm, MACHINE);
    assert_eq!(vm.property("train.service", "Result"), "success");
}
