//! The Python package as its users have it: the wheel in a fresh environment, beside a real agent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{LazyLock, mpsc};

use keyside_tests::agent::Agent;
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::python::{environment, installed_wheel, package, text};
use keyside_tests::report::say;
use keyside_tests::{http, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const SECRETS: &[(&str, &str)] =
    &[("db-password", "first-7fKq2m"), ("api-token", "token-x91Lw0"), ("hidden", "h1dden-44")];

const CONFIG: &str = "[rotation]\npoll_interval = '1s'\n[[secret]]\nname = 'db-password'\n[[secret]]\nname = 'api-token'\n\
                      [[secret]]\nname = 'hidden'\nreaders = ['uid:64123']\n";

/// The wheel in an environment with nothing else, made once for all scenarios.
static INSTALLED: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a folder");
    let environment = installed_wheel(folder.path());
    (folder, environment)
});

fn program(name: &str) -> PathBuf {
    INSTALLED.1.join("bin").join(name)
}

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

fn example(name: &str) -> PathBuf {
    package().join("examples").join(name)
}

/// Python with one of the scenarios, or an example, and an environment that has what the estate's clients need.
fn python(script: &Path, estate: &Estate) -> Command {
    let mut command = Command::new(program("python"));
    command.env_clear().envs(estate.variables()).env("PATH", "/usr/bin:/bin").env("KEYSIDE_SOCKET", estate.socket());
    command.env("KEY_VAULT_URL", format!("https://{VAULT}.vault.azure.net")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg("-Werror").arg(script);
    command
}

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("Python starts");
    assert!(output.status.success(), "{command:?}:\n{}", text(&output));
    output
}

/// A script that goes on while the test changes its world.
struct Running {
    process: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let output = BufReader::new(process.stdout.take().expect("a piped output"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // The test may have ended before.
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { input: process.stdin.take(), process, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(wait::DEADLINE).expect("the script says something")
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("an input"), "{line}").expect("the script listens");
    }

    /// As Azure Machine Learning ends a job that is cancelled.
    fn cancel(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("it runs");
        let status = wait::until("the end", || self.process.try_wait().expect("it can be asked"));
        assert_eq!(status.code(), Some(143));
    }

    fn end(mut self) {
        drop(self.input.take());
        let status = wait::until("the script's end", || self.process.try_wait().expect("it can be asked"));
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

#[test]
fn the_package_keeps_its_own_rules_on_each_python_that_is_here() {
    let mut ran = Vec::new();
    for version in ["python3", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"] {
        let is_there = Command::new(version).arg("--version").output().is_ok_and(|output| output.status.success());
        if !is_there {
            continue;
        }
        let mut command = Command::new(version);
        command.args([
            "-Werror",
            "-m",
            "unittest",
            "discover",
            "--start-directory",
            "tests",
            "--top-level-directory",
            ".",
        ]);
        run(command.current_dir(package()).env("PYTHONDONTWRITEBYTECODE", "1"));
        ran.push(version);
    }
    assert!(!ran.is_empty());
    say(&format!("the package's own tests ran with {}", ran.join(", ")));
}

#[test]
fn a_fresh_environment_has_the_module_and_the_program() {
    let version = format!("keyside {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&run(Command::new(program("keyside")).arg("--version"))), version);
    assert_eq!(text(&run(Command::new(program("python")).args(["-m", "keyside", "--version"]))), version);
    let marker = "import keyside, pathlib; assert pathlib.Path(keyside.__file__).with_name('py.typed').exists()";
    run(Command::new(program("python")).args(["-Werror", "-c", marker]));
    assert!(!has_interpreter(&std::fs::read(program("keyside")).expect("the program")), "it is static");
    assert!(has_interpreter(&std::fs::read("/bin/sh").expect("a shell")), "which could be seen if it were not");
}

/// Whether a program asks for a dynamic linker: a 64-bit little-endian ELF file with a segment `PT_INTERP` (elf(5)).
fn has_interpreter(program: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| {
        program[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).any(|index| number(table + index * size, 4) == PT_INTERP as usize)
}

#[test]
fn what_may_be_read_is_read_and_what_may_not_is_absent() {
    let estate = Estate::start(SECRETS);
    let script = Running::start(&mut python(&scenario("reading.py"), &estate));
    // Started first, so that it waits for the agent.
    let agent = estate.agent(CONFIG);
    assert_eq!(script.next(), "value first-7fKq2m");
    assert_eq!(script.next(), "bytes 66697273742d37664b71326d");
    assert_eq!(script.next(), "listed api-token fresh");
    assert_eq!(script.next(), "listed db-password fresh");
    let uid = nix::unistd::geteuid();
    for name in ["no-such-thing", "hidden"] {
        let expected = format!("absent no secret '{name}': absent, or not readable by uid {uid}: see the agent's log");
        assert_eq!(script.next(), expected);
    }
    script.end();
    drop(agent);
}

#[test]
fn without_an_agent_nothing_is_made_up() {
    let estate = Estate::start(SECRETS);
    let mut command = Command::new(program("python"));
    command.env_clear().env("KEYSIDE_SOCKET", estate.socket()).env("DB_PASSWORD", "from-the-environment");
    let output =
        command.args(["-c", "import keyside; keyside.get_secret('db-password')"]).output().expect("Python starts");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains(&format!("NoAgent: no agent answers at {}", estate.socket().display())), "{said}");
    assert!(said.contains("keyside run -- …") && said.contains("ensure_agent()"), "it says what to do: {said}");
}

#[test]
fn a_rotation_is_noticed_across_a_fork_and_a_restart_of_the_agent() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(CONFIG);
    let mut script = Running::start(&mut python(&scenario("watching.py"), &estate));
    let rotate = |agent: &Agent, value: &str| {
        estate.emulator.set_secret(VAULT, "db-password", value);
        agent.refresh();
    };
    assert_eq!(script.next(), "parent watches from first-7fKq2m");
    rotate(&agent, "second-Zp04vt");
    assert_eq!(script.next(), "parent noticed second-Zp04vt");
    assert_eq!(script.next(), "child watches from second-Zp04vt");
    rotate(&agent, "third-0aBc9d");
    // The child may have ended before the parent is told.
    let mut both = [script.next(), script.next(), script.next()];
    both.sort();
    assert_eq!(both, ["child ended", "child noticed third-0aBc9d", "parent noticed third-0aBc9d"]);
    drop(agent); // SIGKILL
    let again = estate.agent(CONFIG);
    rotate(&again, "fourth-8xYz1w");
    assert_eq!(script.next(), "parent noticed fourth-8xYz1w");
    script.say("enough");
    assert_eq!(script.next(), "end with fourth-8xYz1w");
    script.end();
}

/// The agents at this socket, by their command lines.
fn agents_at(socket: &Path) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let is_agent = |process: &std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.nth(1) == Some(b"agent") && words.any(|word| word == socket.as_os_str().as_encoded_bytes())
    };
    processes.filter(is_agent).filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn steps_that_nobody_wraps_share_one_agent_that_ends_with_the_last_of_them() {
    const STEPS: usize = 6;
    let estate = Estate::start(SECRETS);
    let socket = estate.socket();
    let start = || Running::start(&mut python(&scenario("ensuring.py"), &estate));
    let mut steps: Vec<_> = std::iter::repeat_with(start).take(STEPS).collect();
    for step in &mut steps {
        step.say("begin");
    }
    for step in &steps {
        assert_eq!(step.next(), "value first-7fKq2m");
    }
    // Those that were slower end at once; they do not serve.
    let agent = wait::until("one agent", || <[i32; 1]>::try_from(agents_at(&socket)).ok())[0];
    let mut last = steps.pop().expect("a step");
    steps.into_iter().for_each(Running::end);
    last.say("again");
    assert_eq!(last.next(), "value first-7fKq2m");
    assert_eq!(agents_at(&socket), [agent], "it stays for the one that is left");
    kill(Pid::from_raw(agent), Signal::SIGKILL).expect("it runs");
    wait::until("the agent's death", || (!agents_at(&socket).contains(&agent)).then_some(()));
    last.say("once more");
    assert_eq!(last.next(), "value first-7fKq2m", "a new agent took the place of the one that died");
    last.end();
    wait::until("the end of the agent", || (agents_at(&socket).is_empty() && !socket.exists()).then_some(()));
    assert!(!socket.with_file_name("agent.sock.lease").exists());
}

#[test]
fn an_agent_that_cannot_start_says_why() {
    let estate = Estate::start(SECRETS);
    let ask = |code: &str| {
        let mut command = python(Path::new("-c"), &estate);
        let output = command.arg(format!("import keyside; {code}")).output().expect("Python starts");
        assert_eq!(output.status.code(), Some(1));
        text(&output)
    };
    let said = ask("keyside.ensure_agent(['db-password'], vault_url='https://vault.example.com')");
    assert!(said.contains("AgentNotStarted: the agent ended with code 64") && said.contains("--vault-url"), "{said}");
    let said = ask("keyside.ensure_agent(['db-password', 'no-such-thing'])");
    assert!(said.contains("SecretAbsent: the vault has no usable secret 'no-such-thing' (not_found)"), "{said}");
}

#[test]
fn the_training_loop_reads_its_token_anew_beside_the_wrapper() {
    let estate = Estate::start(&[("tracker-token", "first-7fKq2m")]);
    let mut command = Command::new(program("keyside"));
    let run = ["run", "--secret", "tracker-token", "--socket"];
    command.env_clear().envs(estate.variables()).env("PATH", "/usr/bin:/bin");
    command.env("KEY_VAULT_URL", format!("https://{VAULT}.vault.azure.net")).args(run).arg(estate.socket());
    command
        .arg("--")
        .arg(program("python"))
        .arg(example("training.py"))
        .args(["--steps", "1000000", "--pause", "0.01"]);
    let script = Running::start(&mut command);
    let (first, second) = (fingerprint("first-7fKq2m"), fingerprint("second-Zp04vt"));
    assert_eq!(script.next(), format!("step 0: loss 0.990, signed in with {first}"));
    estate.emulator.set_secret(VAULT, "tracker-token", "second-Zp04vt");
    http::refresh(&estate.socket());
    wait::until("the rotation", || (script.next() == format!("rotated: now {second}")).then_some(()));
    wait::until("its use", || script.next().ends_with(&format!("signed in with {second}")).then_some(()));
    script.cancel();
}

#[test]
fn mlflow_gets_each_new_token_for_its_next_request() {
    let estate = Estate::start(&[("mlflow-token", "first-7fKq2m")]);
    let agent = estate.agent("[[secret]]\nname = 'mlflow-token'\n");
    let mut command = python(&example("mlflow_tracking.py"), &estate);
    command.env("PYTHONPATH", scenario("stand_ins")).env("MLFLOW_TRACKING_URI", "https://mlflow.example.com");
    let mut script = Running::start(&mut command);
    assert_eq!(script.next(), "tracking https://mlflow.example.com");
    assert_eq!(script.next(), "request with first-7fKq2m");
    estate.emulator.set_secret(VAULT, "mlflow-token", "second-Zp04vt");
    agent.refresh();
    wait::until("the new token", || {
        script.say("go on");
        (script.next() == "request with second-Zp04vt").then_some(())
    });
}

#[test]
fn a_database_gets_the_present_password_with_each_new_connection() {
    let estate = Estate::start(&[("db-password", "first-7fKq2m")]);
    let agent = estate.agent("[[secret]]\nname = 'db-password'\n");
    let packages = environment("examples", &scenario("requirements.txt"));
    let library = packages.parent().and_then(Path::parent).expect("an environment").join("lib");
    let library =
        std::fs::read_dir(library).expect("a folder").next().expect("of one version").expect("an entry").path();
    let paths = std::env::join_paths([library.join("site-packages"), package().join("examples")]).expect("two paths");
    let mut command = python(&scenario("using_a_database.py"), &estate);
    let script = Running::start(command.arg(estate.folder().join("features.db")).env("PYTHONPATH", paths));
    assert_eq!(script.next(), "connects with first-7fKq2m");
    assert_eq!(script.next(), "pooled");
    estate.emulator.set_secret(VAULT, "db-password", "second-Zp04vt");
    agent.refresh();
    assert_eq!(script.next(), "connects with second-Zp04vt");
    script.end();
}

#[test]
fn a_parallel_step_needs_no_wrapper() {
    let estate = Estate::start(SECRETS);
    let code = "import parallel_step as step; step.init(); print(*step.run(['a', 'b']), sep=', ')";
    let mut command = python(Path::new("-c"), &estate);
    let output = run(command.arg(code).env("PYTHONPATH", package().join("examples")));
    let scored = ["a", "b"].map(|item| format!("{item} {}", fingerprint(&format!("token-x91Lw0 {item}"))));
    assert_eq!(text(&output).trim(), scored.join(", "));
    wait::until("the end of the agent", || (!estate.socket().exists()).then_some(()));
}

/// The start of the hash in which the examples show a secret.
fn fingerprint(value: &str) -> String {
    let mut command = Command::new(program("python"));
    let code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:8])";
    let output = keyside_tests::binaries::feed(command.args(["-c", code]), value);
    text(&output).trim().to_owned()
}

#[test]
fn the_job_of_azure_machine_learning_fits_the_package() {
    let read = |name: &str| {
        let text = std::fs::read_to_string(example(name)).expect("an example");
        serde_saphyr::from_str::<serde_json::Value>(&text).expect("YAML")
    };
    let (job, conda) = (read("job.yml"), read("conda.yml"));
    assert_eq!(job["environment"]["conda_file"], "conda.yml");
    assert_eq!(job["identity"]["type"], "managed");
    let line = job["command"].as_str().expect("a command");
    let (wrapper, command) = line.split_once(" -- ").expect("a wrapper and its command");
    let script = command.split(' ').nth(1).expect("a script");
    assert!(example(script).exists(), "{script}");
    // The program understands the flags, and would go on if there were a vault.
    let mut words: Vec<_> = wrapper.split(' ').collect();
    words.extend(["--help"]);
    assert!(Command::new(program("keyside")).args(&words[1..]).output().expect("it starts").status.success());
    let pinned = conda["dependencies"][2]["pip"][0].as_str().expect("a package");
    assert_eq!(pinned, concat!("keyside==", env!("CARGO_PKG_VERSION")));
}
