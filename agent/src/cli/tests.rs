//! What is a command line, what ends with which code, and that the manual knows every command.

use super::*;

#[test]
fn the_definition_of_the_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn command_lines_are_understood_or_end_with_the_code_for_it() {
    let rows = [
        ("keyside agent --config a.toml", None),
        ("keyside agent --config a.toml --once", None),
        ("keyside check --config a.toml --output json", None),
        ("keyside wipe --config a.toml", None),
        ("keyside get db", None),
        ("keyside get db --socket /tmp/s", None),
        ("keyside check --online", None),
        ("keyside check --online --vault-url https://v12.vault.azure.net --secret db", None),
        ("keyside get db --direct", None),
        ("keyside get db --direct --vault-url https://my-vault.vault.azure.net", None),
        ("keyside get db --direct --config a.toml", None),
        ("keyside get db --vault-url https://my-vault.vault.azure.net", Some(Exit::Usage)),
        ("keyside get db --direct --vault-url https://example.org", Some(Exit::Usage)),
        ("keyside get db --direct --vault-url https://my-vault.vault.azure.net --config a.toml", Some(Exit::Usage)),
        ("keyside list --output json", None),
        ("keyside wait db --change --timeout 90s", None),
        ("keyside status", None),
        ("keyside health --ready", None),
        ("keyside completions bash", None),
        ("keyside hooks-helper", None),
        ("keyside man /tmp", None),
        ("keyside --version", Some(Exit::Success)),
        ("keyside get --help", Some(Exit::Success)),
        ("keyside", Some(Exit::Usage)),
        ("keyside agent", None),
        (
            "keyside agent --leased --socket /s --vault-url https://my-vault.vault.azure.net --secret db --file a/b=db",
            None,
        ),
        ("keyside agent --leased --once", Some(Exit::Usage)),
        ("keyside agent --config a.toml --secret db", Some(Exit::Usage)),
        ("keyside run --env WANDB_API_KEY=wandb-api-key -- python3 train.py --epochs 3", None),
        ("keyside run --env wandb-api-key --on-change signal:HUP --grace 5s -- true", None),
        ("keyside run --config a.toml --on-change restart -- true", None),
        ("keyside run --identity azure-ml-on-behalf-of --secret db -- true", None),
        ("keyside run", Some(Exit::Usage)),
        ("keyside run --", Some(Exit::Usage)),
        ("keyside run true", Some(Exit::Usage)),
        ("keyside run --env PATH=db -- true", Some(Exit::Usage)),
        ("keyside run --env A=b_c -- true", Some(Exit::Usage)),
        ("keyside run --file ../up=db -- true", Some(Exit::Usage)),
        ("keyside run --on-change signal:NONE -- true", Some(Exit::Usage)),
        ("keyside run --config a.toml --vault-url https://my-vault.vault.azure.net -- true", Some(Exit::Usage)),
        ("keyside get", Some(Exit::Usage)),
        ("keyside get ../etc/passwd", Some(Exit::Usage)),
        ("keyside get db token", Some(Exit::Usage)),
        ("keyside list --output yaml", Some(Exit::Usage)),
        ("keyside wait db --timeout soon", Some(Exit::Usage)),
        ("keyside fetch db", Some(Exit::Usage)),
    ];
    for (line, expected) in rows {
        let understood = Cli::try_parse_from(line.split(' '));
        assert_eq!(understood.err().as_ref().map(exit), expected, "{line}");
    }
}

#[test]
fn every_command_says_what_it_does_and_not_where_its_flags_come_from() {
    for command in Cli::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains("Where the agent is found"), "{}: {about}", command.get_name());
    }
}

#[test]
fn completions_and_manual_name_every_command() {
    let mut script = Vec::new();
    print_completions::<Cli>(Shell::Bash, &mut script).expect("written");
    let base = tempfile::tempdir().expect("a directory");
    let directory = base.path().join("share/man1");
    write_manual::<Cli>(&directory).expect("written where there was no directory");
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let command = command.get_name();
        assert!(String::from_utf8_lossy(&script).contains(command), "{command} is completed");
        assert!(directory.join(format!("keyside-{command}.1")).exists(), "{command} has a page");
    }
}
