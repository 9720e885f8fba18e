//! How a run ends: with its command's code, or with one that says why there was no command.

use keyside_tests::binaries;
use keyside_tests::estate::{Estate, VAULT};

use super::wrapper::{self, SECRETS, Wrapper, command};

#[test]
fn the_code_is_the_commands_own_or_says_why_there_is_none() {
    let estate = Estate::start(SECRETS);
    let broken = estate.folder().join("no-program");
    std::fs::write(&broken, "no program\n").expect("written");
    let broken = [broken.to_str().expect("text")];
    let rows: Vec<(&[&str], Option<i32>)> = vec![
        (&["true"], Some(0)),
        (&["sh", "-c", "exit 42"], Some(42)),
        (&["sh", "-c", "exit 255"], Some(255)),
        (&["sh", "-c", "kill -TERM $$"], Some(143)),
        (&["sh", "-c", "kill -KILL $$"], Some(137)),
        (&["sh", "-c", "kill -SEGV $$"], Some(139)),
        (&["/nonexistent/program"], Some(127)),
        (&["no-such-program-anywhere"], Some(127)),
        (&broken, Some(126)),
        (&["/"], Some(126)),
    ];
    for (line, code) in rows {
        let mut wrapper = Wrapper::of(&estate, command(&estate, &["--env", "db-password"], line));
        assert_eq!(wrapper.end(), code, "{line:?}: {}", wrapper.log());
    }
    assert_eq!(wrapper::leftovers(&estate), [] as [&std::path::Path; 0]);
}

#[test]
fn what_cannot_be_mended_by_waiting_is_told_at_once() {
    let estate = Estate::start(SECRETS);
    let config = estate.config("[[secret]]\nname = 'db-password'\n").display().to_string();
    let disk = estate.folder().join("disk.toml");
    let table = format!("[files]\ndirectory = '{}/files'\n", env!("CARGO_TARGET_TMPDIR"));
    let url = format!("[vault]\nurl = 'https://{VAULT}.vault.azure.net'\n");
    std::fs::write(&disk, format!("{url}{table}[[secret]]\nname = 'db-password'\n")).expect("written");
    let on_disk = ["--config", disk.to_str().expect("text")];
    let unknown = ["--config", config.as_str(), "--env", "api-token"];
    let rows: Vec<(&[&str], i32, &str)> = vec![
        (&["--env", "no-such"], 66, "'no-such': the vault has no such secret"),
        (&["--env", "A=db-password", "--env", "A=api-token"], 78, "the variable A is asked for twice"),
        (&on_disk, 78, "tmpfs"),
        (&unknown, 78, "the configuration has no secret 'api-token'"),
        (&["--config", "/nonexistent/agent.toml"], 78, "could not read the configuration"),
        (&["--identity", "azure-ml-on-behalf-of", "--env", "db-password"], 78, "OBO_ENDPOINT is not set"),
        (&["--env", "PATH=db-password"], 64, "decides what code programs load"),
        (&["--file", "/etc/x=db-password"], 64, "KEYSIDE_SECRETS_DIR"),
        (&["--file", "x=db-password", "--file", "y=db-password"], 78, "is asked for in two files, x and y"),
    ];
    for (flags, code, words) in rows {
        let mut wrapper = Wrapper::start(&estate, flags, "echo started.");
        assert_eq!(wrapper.end(), Some(code), "{flags:?}: {}", wrapper.log());
        assert!(wrapper.log().contains(words), "{flags:?}: {}", wrapper.log());
        assert_eq!(wrapper.said(), "");
    }
}

#[test]
fn without_any_configuration_the_message_says_what_to_name() {
    let estate = Estate::start(&[]);
    let mut bare = binaries::command("keyside");
    bare.args(["run", "--socket"]).arg(estate.socket()).args(["--env", "db-password", "--", "true"]);
    let mut wrapper = Wrapper::of(&estate, bare);
    assert_eq!(wrapper.end(), Some(78));
    assert_eq!(wrapper.log().trim(), "keyside: no configuration: name --config, or KEY_VAULT_URL and --secret");
}

#[test]
fn a_run_that_names_nothing_joins_the_agent_that_answers() {
    let estate = Estate::start(SECRETS);
    let keyside = binaries::path("keyside").display().to_string();
    let inner = format!("{keyside} run -- {keyside} get db-password");
    let mut wrapper = Wrapper::start(&estate, &["--secret", "db-password"], &inner);
    assert_eq!(wrapper.end(), Some(0), "{}", wrapper.log());
    assert_eq!(wrapper.said().trim(), "first-7fKq2mWz", "KEY_VAULT_URL is set, and the socket named");
    let mut alone = Wrapper::of(&estate, command(&estate, &[], &["true"]));
    assert_eq!(alone.end(), Some(78));
    assert!(alone.log().contains("name --config, or KEY_VAULT_URL and --secret"), "{}", alone.log());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let estate = Estate::start(&[]);
    let mut line = binaries::command("keyside");
    line.envs(wrapper::variables(&estate));
    line.args(["run", "--socket", "/proc/x/agent.sock", "--env", "db-password", "--", "true"]);
    let mut wrapper = Wrapper::of(&estate, line);
    assert_eq!(wrapper.end(), Some(69));
    assert!(wrapper.log().contains("the directory of /proc/x/agent.sock cannot be made"), "{}", wrapper.log());
}

#[test]
fn a_socket_is_found_from_every_directory() {
    let estate = Estate::start(SECRETS);
    let keyside = binaries::path("keyside").display().to_string();
    let mut line = binaries::command("keyside");
    line.envs(wrapper::variables(&estate)).current_dir(estate.folder());
    line.args(["run", "--socket", "here.sock", "--env", "db-password", "--", "sh", "-c"]);
    line.arg(format!("cd /; {keyside} get db-password"));
    let mut wrapper = Wrapper::of(&estate, line);
    assert_eq!(wrapper.end(), Some(0), "{}", wrapper.log());
    assert_eq!((wrapper.said().trim(), wrapper.log().as_str()), ("first-7fKq2mWz", ""));
    assert!(!estate.folder().join("here.sock.lease").exists(), "nothing is left");
}

#[test]
fn an_outage_is_told_while_it_is_waited_out_and_ends_with_its_reason() {
    let estate = Estate::start(SECRETS);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
    let mut wrapper = Wrapper::start(&estate, &["--env", "db-password", "--timeout", "2s"], "echo started.");
    assert_eq!(wrapper.end(), Some(75), "{}", wrapper.log());
    let log = wrapper.log();
    assert!(log.contains("keyside: waiting: 'db-password': the vault cannot be reached"), "{log}");
    assert!(log.contains("keyside: not ready within 2s: 'db-password': the vault cannot be reached"), "{log}");
    assert_eq!(wrapper::leftovers(&estate), [] as [&std::path::Path; 0]);
}

#[test]
fn a_value_that_can_be_in_no_variable_is_refused_by_its_name_alone() {
    let estate = Estate::start(&[("binary", "aHVudGVyMgBoaWRkZW4="), ("latin", "aHVudGVyMv/+aGlkZGVu")]);
    let secret = |name: &str| format!("[[secret]]\nname = '{name}'\nencoding = 'base64'\n");
    let config = estate.config(&format!("{}{}", secret("binary"), secret("latin"))).display().to_string();
    for (flag, words) in [
        ("TOKEN=binary", "'binary' cannot be in the variable TOKEN: its value holds a NUL byte"),
        ("latin", "'latin' cannot be in the variable LATIN: its value is not UTF-8"),
    ] {
        let mut wrapper = Wrapper::start(&estate, &["--config", &config, "--env", flag], "echo started.");
        assert_eq!(wrapper.end(), Some(78), "{}", wrapper.log());
        let log = wrapper.log();
        assert!(log.contains(words) && !log.contains("hunter2") && !log.contains("hidden"), "{log}");
    }
}

#[test]
fn a_configuration_file_names_variables_and_its_optional_secrets_may_be_missing() {
    let estate = Estate::start(SECRETS);
    let more =
        "[[secret]]\nname = 'db-password'\nenv = true\n[[secret]]\nname = 'absent'\noptional = true\nenv = 'GONE'\n";
    let config = estate.config(more).display().to_string();
    let script = "echo $DB_PASSWORD $TOKEN ${GONE-none}; cat $KEYSIDE_SECRETS_DIR/db-password";
    let mut wrapper = Wrapper::start(&estate, &["--config", &config, "--env", "TOKEN=db-password"], script);
    assert_eq!(wrapper.end(), Some(0), "{}", wrapper.log());
    assert_eq!(wrapper.said(), "first-7fKq2mWz first-7fKq2mWz none\nfirst-7fKq2mWz");
}

#[test]
fn the_vaults_value_takes_the_place_of_a_variable_with_a_word_about_it() {
    let estate = Estate::start(SECRETS);
    let mut run = command(&estate, &["--env", "db-password"], &["sh", "-c", "echo $DB_PASSWORD"]);
    run.env("DB_PASSWORD", "from-the-environment-file");
    let mut wrapper = Wrapper::of(&estate, run);
    assert_eq!(wrapper.end(), Some(0));
    assert_eq!(wrapper.said(), "first-7fKq2mWz\n");
    assert!(wrapper.log().contains("DB_PASSWORD") && !wrapper.log().contains("from-the"), "{}", wrapper.log());
}

#[test]
fn a_run_without_variables_can_ask_the_socket() {
    let estate = Estate::start(SECRETS);
    let keyside = binaries::path("keyside").display().to_string();
    let script = format!("{keyside} get api-token; {keyside} status | head -1");
    let mut wrapper = Wrapper::start(&estate, &["--secret", "api-token"], &script);
    assert_eq!(wrapper.end(), Some(0), "{}", wrapper.log());
    assert!(wrapper.said().starts_with("token-x91Lw0Qe"), "{}: {VAULT}", wrapper.said());
}
