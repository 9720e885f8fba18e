//! Files of variables, read back by the programs that they are for.

use std::path::Path;
use std::process::Command;

use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::python::interpreter;
use keyside_tests::wait;

/// What a value must survive: quotes of every kind, what shells and python-dotenv expand, spaces, comments.
const HARD: &str = r#" it's "a" \\ back\slash $HOME `id` $(id) #no-comment !! * ~ \' \n ü 秘密 "#;
const LINES: &str = "-----BEGIN X-----\nline 'two'\n$\\three\n";

const CONFIG: &str = "[[secret]]\nname = 'wandb-api-key'\n[[secret]]\nname = 'hard'\nenv = 'PGPASSWORD'\n\
     [[secret]]\nname = 'pem-text'\n[[secret]]\nname = 'absent'\noptional = true\n\
     [[env_file]]\npath = '.env'\nformat = 'dotenv'\nsecrets = ['wandb-api-key', 'hard', 'pem-text', 'absent']\n\
     [[env_file]]\npath = 'app/shell.env'\nsecrets = ['wandb-api-key', 'hard', 'pem-text', 'absent']\n\
     [[env_file]]\npath = 'docker.env'\nformat = 'docker'\nmode = '0400'\nsecrets = ['wandb-api-key', 'hard', 'absent']\n";

fn by_shell(file: &Path, variable: &str) -> String {
    let script = "set -eu; set -a; . \"$1\"; set +a; exec printenv -- \"$2\"";
    printed(Command::new("sh").args(["-c", script, "sh"]).arg(file).arg(variable).env_clear())
}

fn by_dotenv(file: &Path, variable: &str) -> String {
    let script = "import sys, dotenv; print(dotenv.dotenv_values(sys.argv[1])[sys.argv[2]])";
    printed(Command::new(interpreter()).args(["-c", script]).arg(file).arg(variable).env("PYTHONUTF8", "1"))
}

/// What docker's command line makes of a line: all that is behind the first equals sign.
fn by_docker(file: &Path, variable: &str) -> String {
    let text = std::fs::read_to_string(file).expect("a file");
    let line = text.lines().find_map(|line| line.split_once('=').filter(|(name, _)| *name == variable));
    line.expect("a line of that variable").1.to_owned()
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.strip_suffix('\n').expect("a line break behind the value").to_owned()
}

#[test]
fn each_program_reads_back_what_the_vault_holds() {
    let estate = Estate::start(&[("wandb-api-key", "abc123"), ("hard", HARD), ("pem-text", LINES)]);
    let agent = estate.agent(CONFIG);
    let file = |path: &str| estate.secrets_folder().join(path);
    for (variable, value) in [("WANDB_API_KEY", "abc123"), ("PGPASSWORD", HARD), ("PEM_TEXT", LINES)] {
        assert_eq!(by_shell(&file("app/shell.env"), variable), value, "{variable} by a shell");
        assert_eq!(by_dotenv(&file(".env"), variable), value, "{variable} by python-dotenv");
    }
    assert_eq!(by_docker(&file("docker.env"), "PGPASSWORD"), HARD);
    assert!(std::fs::read_to_string(file("docker.env")).expect("a file").starts_with("WANDB_API_KEY=abc123\n"));

    estate.emulator.set_secret(VAULT, "wandb-api-key", "def456");
    agent.refresh();
    wait::until("the new files", || (by_docker(&file("docker.env"), "WANDB_API_KEY") == "def456").then_some(()));
    let data = std::fs::canonicalize(file("..data")).expect("a generation");
    assert_eq!(std::fs::read(data.join("wandb-api-key")).expect("a file"), b"def456", "one generation");
}

#[test]
fn a_value_that_a_program_would_read_differently_is_refused_and_the_last_good_one_stays() {
    let estate = Estate::start(&[("wandb-api-key", "abc123"), ("hard", "soft"), ("pem-text", "x")]);
    let agent = estate.agent(CONFIG);
    let rows = [
        ("hard", "unseen\nline", "its value has a line break, which the format docker cannot write"),
        ("hard", "unseen${HOME}", "its value has '${', which the format dotenv takes for a variable"),
        ("pem-text", "unseen\r\n", "its value has a control character, which the format dotenv cannot write"),
    ];
    for (name, value, expected) in rows {
        let before = agent.value(name);
        estate.emulator.set_secret(VAULT, name, value);
        agent.refresh();
        assert_eq!(agent.value(name), before, "{expected}");
        let status = agent.get("/v1/status").json();
        let failures = status["failures"].as_array().expect("a list");
        let said = failures.iter().find(|failure| failure["name"] == name).expect("a failure of that name");
        assert!(said["message"].as_str().expect("text").contains(expected), "{said}");
        assert_eq!(agent.get("/readyz").status, 200, "the last good value is still served");
    }
    let file = estate.secrets_folder().join("docker.env");
    assert_eq!(std::fs::read_to_string(file).expect("a file"), "WANDB_API_KEY=abc123\nPGPASSWORD=soft\n");
    assert!(!agent.log().contains("unseen"), "no part of a value is logged: {}", agent.log());
}
