//! The Azure SDK for Python, as its users install it, signs in and uses every operation on secrets.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output};

use keyside_tests::emulator::Emulator;
use keyside_tests::python::{clients, interpreter};

/// The application of the scenario's seed.
const APP: &str = "5f0d6a1c-3f55-4f0e-9a5b-6c1c0b6e1d10";

/// The issuer that the seed trusts.
const ISSUER: &str = "https://oidc.prod-aks.azure.com/clients/";

#[test]
fn the_unmodified_azure_sdk_for_python_runs_its_whole_scenario() {
    let python = interpreter();
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

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream)).concat()
}
