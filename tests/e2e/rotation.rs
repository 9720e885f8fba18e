//! Rotation, revocation and outage over the real binaries: what is asked of the vault, and what readers and files get.

use std::path::PathBuf;

use keyside_tests::agent::Agent;
use keyside_tests::estate::{Estate, SPARE_VAULT, VAULT};
use keyside_tests::memory_scan::{self, Count};
use keyside_tests::wait;

const ROTATION: &str = "[rotation]\npoll_interval = '1s'\n";
const CONFIG: &str = "[[secret]]\nname = 'db-password'\n[[secret]]\nname = 'token'\noptional = true\n";
const SECRETS: &[(&str, &str)] = &[("db-password", "first-7fKq2m"), ("token", "token-x91Lw0")];

fn start(estate: &Estate) -> Agent {
    estate.agent(&format!("{ROTATION}{CONFIG}"))
}

fn file(estate: &Estate, name: &str) -> PathBuf {
    estate.secrets_folder().join(name)
}

/// Waits until the secret is in a state, as the list has it.
fn wait_for_state(agent: &Agent, name: &str, state: &str) {
    wait::until(&format!("{name} to be {state}"), || {
        let list = agent.get("/v1/secrets").json();
        let items = list["secrets"].as_array().expect("a list").clone();
        items.iter().any(|item| item["name"] == name && item["state"] == state).then_some(())
    });
}

#[test]
fn a_disabled_secret_is_gone_from_socket_and_files_and_comes_back() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(&format!("{ROTATION}[memory]\nbackend = 'mlock'\n{CONFIG}"));
    let in_memory = || memory_scan::count(agent.pid(), b"first-7fKq2m");
    let is_seen = memory_scan::is_allowed(agent.pid());
    assert!(!is_seen || in_memory() == Count { locked: 1, elsewhere: 0 });
    estate.emulator.run(&["secret", "disable", VAULT, "db-password"]);
    wait_for_state(&agent, "db-password", "revoked");
    let answer = agent.get("/v1/secrets/db-password/value");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (410, Some("revoked")));
    assert!(answer.json()["detail"].as_str().expect("a text").contains("disabled"), "{}", answer.json());
    wait::until("the file to go", || (!file(&estate, "db-password").exists()).then_some(()));
    assert!(file(&estate, "token").exists(), "only that one");
    assert_eq!(agent.get("/readyz").status, 503, "a required secret is gone");
    if is_seen {
        wait::until("the value to leave the memory", || {
            (in_memory() == Count { locked: 0, elsewhere: 0 }).then_some(())
        });
    }
    assert_eq!(agent.log().matches("revoked by the vault").count(), 1, "{}", agent.log());

    estate.emulator.run(&["secret", "enable", VAULT, "db-password"]);
    wait_for_state(&agent, "db-password", "fresh");
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    wait::until("the file to come back", || file(&estate, "db-password").exists().then_some(()));
    wait::until("readiness", || (agent.get("/readyz").status == 200).then_some(()));
}

#[test]
fn a_role_that_is_taken_away_and_given_back_costs_no_secret() {
    let estate = Estate::start(SECRETS);
    let agent = start(&estate);
    let role = |verb| estate.emulator.run(&["role", verb, VAULT, estate.principal(), "Key Vault Secrets User"]);
    role("revoke");
    wait_for_state(&agent, "db-password", "stale");
    let status = agent.get("/v1/status").json();
    assert_eq!(status["failures"][0]["code"], "denied", "{status}");
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    assert!(file(&estate, "db-password").exists());
    assert_eq!(agent.get("/readyz").status, 200);
    role("grant");
    wait_for_state(&agent, "db-password", "fresh");
}

#[test]
fn a_role_that_stays_away_revokes_after_the_configured_time() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(&format!("{ROTATION}revoke_after = '2s'\n{CONFIG}"));
    estate.emulator.run(&["role", "revoke", VAULT, estate.principal(), "Key Vault Secrets User"]);
    wait_for_state(&agent, "db-password", "revoked");
    let detail = agent.get("/v1/secrets/db-password").json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.contains("may not read it any more"), "{detail}");
}

#[test]
fn many_secrets_are_listed_and_only_what_changed_is_fetched() {
    let names: Vec<_> = (0..30).map(|number| format!("secret-{number:02}")).collect();
    let secrets: Vec<_> = names.iter().map(|name| (name.as_str(), "first")).collect();
    let estate = Estate::start(&secrets);
    let config: Vec<_> = names.iter().take(20).map(|name| format!("[[secret]]\nname = '{name}'\n")).collect();
    let agent = estate.agent(&format!("{ROTATION}{}", config.concat()));
    // What was made just now is fetched once more, because its second may not be over.
    wait::until("lists that lead to no fetch", || {
        let asked = estate.asked();
        (asked.len() > 8 && asked[asked.len() - 6..].iter().all(|path| path == "/secrets")).then_some(())
    });
    let before = estate.asked().len();
    estate.emulator.set_secret(VAULT, "secret-07", "second");
    wait::until("the new value", || (agent.value("secret-07") == b"second").then_some(()));
    wait::until("the last fetch of it, and lists after that", || {
        let asked = estate.asked();
        (asked.iter().skip(before).filter(|path| *path == "/secrets").count() > 8).then_some(())
    });
    let fetched: Vec<_> = estate.asked().into_iter().skip(before).filter(|path| path != "/secrets").collect();
    // Until its second is over for certain, which takes two seconds and so up to two more looks.
    assert!((2..=4).contains(&fetched.len()), "{fetched:?}");
    assert!(fetched.iter().all(|path| path.starts_with("/secrets/secret-07")), "{fetched:?}");
}

#[test]
fn a_fallback_vault_stands_in_while_the_first_cannot_be_reached() {
    let estate = Estate::start(SECRETS);
    estate.emulator.set_secret(SPARE_VAULT, "db-password", "copy-Zp04vt");
    let fallback = format!("fallback = ['https://{SPARE_VAULT}.vault.azure.net']\n");
    let mut agent = Agent::start(
        &estate.config_with_vault(&fallback, &format!("{ROTATION}{CONFIG}")),
        &estate.socket(),
        &estate.variables(),
    );
    agent.wait_until_ready();
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    let host = format!("{VAULT}.vault.azure.net");
    estate.emulator.run(&["fault", "add", "--host", &host, "--status", "503"]);
    wait::until("the copy", || (agent.value("db-password") == b"copy-Zp04vt").then_some(()));
    let status = agent.get("/v1/status").json();
    assert_eq!(status["secrets"][0]["vault"], format!("https://{SPARE_VAULT}.vault.azure.net"), "{status}");
    estate.emulator.run(&["fault", "clear"]);
    wait::until("the first vault again", || (agent.value("db-password") == b"first-7fKq2m").then_some(()));
    assert!(agent.log().contains("a fallback vault gives the secret"), "{}", agent.log());
}
