//! Tokens, and what they are got by: with those who need them, as often as is said here, and nowhere once they are used up.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;
use keyside_tests::agent::Agent;
use keyside_tests::estate::{CLIENT, CLIENT_SECRET, Estate, ISSUER, PLATFORM_SECRET, SUBJECT, TENANT, VAULT};
use keyside_tests::memory_scan::{self, Count, Findings, Scanner};
use keyside_tests::report::{say, skipped};
use keyside_tests::wait;

const PRINCIPAL: [(&str, &str); 2] = [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT)];

/// In the identity, which renews it, and in the client of the vault, which sends it.
const OWNERS_OF_TOKEN: usize = 2;

/// In what the kernel gave the process at its start, in the snapshot of it, and in the identity.
const OWNERS_OF_VARIABLE: usize = 3;

fn start(estate: &Estate, identity: &str, variables: &BTreeMap<String, String>) -> Option<Agent> {
    let config = estate.config(&format!("[identity]\n{identity}\n[[secret]]\nname = 'db'\n"));
    let mut agent = Agent::start(&config, &estate.socket(), variables);
    agent.wait_until_ready();
    if memory_scan::is_allowed(agent.pid()) {
        return Some(agent);
    }
    skipped("only root with CAP_SYS_PTRACE may read another process's memory");
    None
}

/// Of a web token the signature is looked for: others begin in the same way.
fn find(agent: &Agent, what: &str, text: &str) -> Findings {
    let own = text.rsplit('.').next().filter(|_| text.starts_with("eyJ")).unwrap_or(text);
    let findings = Scanner::new([(what, own.as_bytes())]).process(agent.pid());
    say(&format!("{what}: {} in memory\n{findings}", findings.total().elsewhere));
    findings
}

/// Every JSON web token in the memory of a process.
fn web_tokens(pid: u32) -> BTreeSet<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let token = |start: &[u8]| {
        let text: String = start.iter().take_while(|byte| is_part(byte)).map(|&byte| char::from(byte)).collect();
        let parts: Vec<_> = text.split('.').map(str::len).collect();
        // Header, claims and an RSA signature.
        (parts.len() == 3 && parts[2] >= 342 && parts[1] > 100).then_some(text)
    };
    // Every one begins with the base64 of `{"`.
    let beginnings = AhoCorasick::new(["eyJ"]).expect("one pattern");
    let tokens_in = |memory: Vec<u8>| -> Vec<String> {
        beginnings.find_iter(&memory).filter_map(|found| token(&memory[found.start()..])).collect()
    };
    memory_scan::memory(pid).flat_map(tokens_in).collect()
}

/// Waits until the vault has taken another token than those, and answers it.
fn token_after(agent: &Agent, earlier: &BTreeSet<String>) -> String {
    wait::until("another token", || web_tokens(agent.pid()).difference(earlier).next().cloned())
}

#[test]
fn a_token_is_with_its_two_owners_and_one_that_was_replaced_is_nowhere() {
    let estate = Estate::start(&[("db", "first-4fQ7mZk2Xw9r")]);
    let Some(agent) = start(&estate, "", &estate.variables()) else { return };
    let owned = Count { locked: 0, elsewhere: OWNERS_OF_TOKEN };
    let first = token_after(&agent, &BTreeSet::new());
    assert_eq!(find(&agent, "a token", &first).total(), owned);
    estate.emulator.set_secret(VAULT, "db", "second-9hJ3nRs6Pd0g");
    agent.refresh();
    assert_eq!(agent.value("db"), b"second-9hJ3nRs6Pd0g");
    assert_eq!(find(&agent, "the token after more requests", &first).total(), owned);
    // Now the vault rejects it.
    estate.emulator.run(&["clock", "--advance", "25h"]);
    agent.refresh();
    let second = token_after(&agent, &BTreeSet::from([first.clone()]));
    assert_eq!(agent.get("/readyz").status, 200);
    wait::until("the end of the first token", || (web_tokens(agent.pid()).len() == 1).then_some(()));
    assert_eq!(find(&agent, "the replaced token", &first).total(), Count::NONE);
    assert_eq!(find(&agent, "its successor", &second).total(), owned);
}

#[test]
fn a_client_secret_of_the_environment_is_with_its_three_owners() {
    let estate = Estate::start(&[("db", "first-4fQ7mZk2Xw9r")]);
    let Some(agent) = start(&estate, "kind = 'client-secret'", &estate.variables()) else { return };
    let found = find(&agent, "a client secret in a variable", CLIENT_SECRET);
    assert_eq!(found.total(), Count { locked: 0, elsewhere: OWNERS_OF_VARIABLE });
}

#[test]
fn a_secret_of_the_platform_is_with_its_three_owners() {
    let estate = Estate::start(&[("db", "first-4fQ7mZk2Xw9r")]);
    let endpoint = estate.emulator.variables()["AZURE_POD_IDENTITY_AUTHORITY_HOST"].clone() + "/msi/token";
    let variables = [("MSI_ENDPOINT", endpoint.as_str()), ("MSI_SECRET", PLATFORM_SECRET)];
    let Some(agent) = start(&estate, "kind = 'azure-ml'", &estate.variables_and(&variables)) else { return };
    let found = find(&agent, "a platform's secret in a variable", PLATFORM_SECRET);
    assert_eq!(found.total(), Count { locked: 0, elsewhere: OWNERS_OF_VARIABLE });
}

/// What is read from a file is used up when the agent has signed in.
fn is_used_up(identity: &str, secret: impl Fn(&Estate) -> String) {
    let estate = Estate::start(&[("db", "first-4fQ7mZk2Xw9r")]);
    let text = secret(&estate);
    let file = estate.folder().join("credential");
    std::fs::write(&file, &text).expect("own folder");
    let identity = format!("{identity} = '{}'", file.display());
    let Some(agent) = start(&estate, &identity, &estate.variables_and(&PRINCIPAL)) else { return };
    assert_eq!(find(&agent, "a credential of a file", &text).total(), Count::NONE);
}

#[test]
fn a_client_secret_of_a_file_is_nowhere_after_the_sign_in() {
    is_used_up("kind = 'client-secret'\nclient_secret_file", |_| CLIENT_SECRET.to_owned());
}

#[test]
fn a_projected_token_is_nowhere_after_the_sign_in() {
    is_used_up("kind = 'workload-identity'\ntoken_file", |estate| {
        estate.emulator.run(&["credential", "federated-token", ISSUER, SUBJECT]).trim_end().to_owned()
    });
}
