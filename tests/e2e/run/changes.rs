//! What becomes of the command when its secret changes.

use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::{http, wait};

use super::wrapper::{SECRETS, Wrapper};

const SCRIPT: &str = "trap 'echo got-HUP.' HUP; trap 'echo got-TERM.; exit 0' TERM
    echo \"has $DB_PASSWORD.\"; while :; do sleep 0.05; done";

fn rotate(estate: &Estate, name: &str, value: &str) {
    estate.emulator.set_secret(VAULT, name, value);
    http::refresh(&estate.socket());
}

fn start(estate: &Estate, action: &str) -> Wrapper {
    let flags = ["--env", "db-password", "--secret", "api-token", "--on-change", action];
    let wrapper = Wrapper::start(estate, &flags, SCRIPT);
    wrapper.wait_for("has first-7fKq2mWz.");
    wrapper
}

#[test]
fn a_signal_is_sent_once_for_each_change() {
    let estate = Estate::start(SECRETS);
    let wrapper = start(&estate, "signal:HUP");
    for count in 1..=3 {
        rotate(&estate, "db-password", &format!("value-{count}"));
        wait::until("the signal", || (wrapper.said().matches("got-HUP.").count() == count).then_some(()));
    }
    assert!(!wrapper.said().contains("has value"), "the environment stays as it was");
}

#[test]
fn a_restart_gives_the_command_the_new_value() {
    let estate = Estate::start(SECRETS);
    let mut wrapper = start(&estate, "restart");
    rotate(&estate, "db-password", "second-Zp04vt");
    wrapper.wait_for("has second-Zp04vt.");
    assert_eq!(wrapper.said(), "has first-7fKq2mWz.\ngot-TERM.\nhas second-Zp04vt.\n");
    wrapper.send(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(wrapper.end(), Some(0), "a run that is ended does not start again");
}

#[test]
fn by_default_nothing_happens() {
    let estate = Estate::start(SECRETS);
    let wrapper = start(&estate, "nothing");
    rotate(&estate, "db-password", "second-Zp04vt");
    // Another run is told of the same change by the same agent, and later than this one.
    let other = Wrapper::start(&estate, &["--env", "db-password", "--on-change", "signal:HUP"], SCRIPT);
    other.wait_for("has second-Zp04vt.");
    rotate(&estate, "db-password", "third-Qm77");
    other.wait_for("got-HUP.");
    assert_eq!(wrapper.said(), "has first-7fKq2mWz.\n");
}
