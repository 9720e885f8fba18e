//! The Azure SDK for Python, as its users install it, signs in and uses every operation on secrets.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyside_tests::binaries;
use keyside_tests::emulator::Emulator;

/// The application of the scenario's seed.
const APP: &str = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d10";

/// The issuer that the seed trusts.
const ISSUER: &str = "https://oidc.prod-aks.azure.com/clients/";

#[test]
fn the_unmodified_azure_sdk_for_python_runs_its_whole_scenario() {
    let python = interpreter_with_requirements();
    let folder = tempfile::tempdir().unwrap();
    let seed = fs::read_to_string(clients().join("seed.toml")).unwrap();
    let emulator = Emulator::start(&folder.path().join("emulator"), &seed);
    let certificate = emulator.run(&["credential", "certificate", APP]);
    fs::write(folder.path().join("client.pem"), certificate).unwrap();
    for account in ["pipeline", "stranger"] {
        let subject = format!("system:serviceaccount:default:{account}");
        let token = emulator.run(&["credential", "federated-token", ISSUER, &subject]);
        fs::write(folder.path().join(format!("{account}.jwt")), token.trim()).unwrap();
    }
    let output = Command::new(python)
        .arg(clients().join("scenario.py"))
        .env_clear()
        .envs(emulator.variables())
        .env("SCENARIO_FOLDER", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the interpreter starts");
    // Past the harness, which would hide the table of a scenario that held.
    writeln!(std::io::stderr().lock(), "{}", text(&output)).expect("standard error is open");
    assert!(output.status.success(), "a step of the scenario failed; the table above says which");
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The interpreter of a virtual environment that has just what requirements.txt pins.
///
/// It lies in the target folder and is made again when requirements.txt has changed. Only here does pip see the
/// machine's own environment, which may name another package index.
fn interpreter_with_requirements() -> PathBuf {
    let folder = target_folder().join("clients");
    fs::create_dir_all(&folder).expect("a folder for the virtual environment");
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("the lock is free at last");
    let (environment, installed) = (folder.join("environment"), folder.join("installed.txt"));
    let python = environment.join("bin/python");
    let requirements = clients().join("requirements.txt");
    let wanted = fs::read(&requirements).expect("requirements.txt can be read");
    if !python.exists() || fs::read(&installed).ok().as_ref() != Some(&wanted) {
        // A stamp without its environment, or of one half made, would be believed next time.
        drop(fs::remove_file(&installed));
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(&requirements));
        fs::write(&installed, wanted).expect("the stamp can be written");
    }
    python
}

fn target_folder() -> PathBuf {
    let profile = binaries::path("keyside-emulator");
    profile.parent().and_then(Path::parent).expect("programs lie in target/PROFILE").to_owned()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", text(&output));
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream)).concat()
}
