//! Fields of a JSON value: each as its characters, all of one version, and nothing where one is missing.

use keyside_tests::agent::keyside;
use keyside_tests::estate::{Estate, VAULT};

const CONFIG: &str = "[[secret]]\nname = 'user'\nvault_name = 'db'\nfield = '/user'\n\
     [[secret]]\nname = 'password'\nvault_name = 'db'\nfield = '/login/password'\n\
     [[secret]]\nname = 'key'\nvault_name = 'db'\nfield = '/key'\nencoding = 'base64'\n\
     [[secret]]\nname = 'ports'\nvault_name = 'db'\nfield = '/ports'\n\
     [[secret]]\nname = 'first-port'\nvault_name = 'db'\nfield = '/ports/0'\n\
     [[secret]]\nname = 'db'\n";

const FIRST: &str = r#"{"user":"app","login":{"password":"hunter\u0032\n\"ü\""},"key":"AAH/","ports":[5432, 6432]}"#;
const SECOND: &str = r#"{"user":"ops","login":{"password":"second"},"key":"/w==","ports":[1, 2]}"#;

/// The value of each field by file, all out of one generation.
fn files(estate: &Estate) -> Vec<Vec<u8>> {
    let data = std::fs::canonicalize(estate.secrets_folder().join("..data")).expect("a generation");
    let names = ["user", "password", "key", "ports", "first-port"];
    names.map(|name| std::fs::read(data.join(name)).expect("a file")).into()
}

#[test]
fn each_field_is_its_characters_by_every_way_and_they_change_together() {
    let estate = Estate::start(&[("db", FIRST)]);
    let agent = estate.agent(CONFIG);
    let first: [&[u8]; 5] = [b"app", "hunter2\n\"ü\"".as_bytes(), b"\0\x01\xff", b"[5432, 6432]", b"5432"];
    assert_eq!(files(&estate), first);
    assert_eq!(agent.value("password"), first[1]);
    assert_eq!(agent.value("db"), FIRST.as_bytes());
    assert_eq!(agent.get("/v1/secrets/key").json()["value_base64"], "AAH/");
    let tags: std::collections::BTreeSet<_> = ["user", "password", "key", "ports", "db"]
        .map(|name| agent.get(&format!("/v1/secrets/{name}/value")).headers["etag"].clone())
        .into();
    assert_eq!(tags.len(), 5, "one version, and different bytes: {tags:?}");

    estate.emulator.set_secret(VAULT, "db", SECOND);
    agent.refresh();
    assert_eq!(agent.value("user"), b"ops");
    let second: [&[u8]; 5] = [b"ops", b"second", b"\xff", b"[1, 2]", b"1"];
    keyside_tests::wait::until("the new files", || (files(&estate) == second).then_some(()));
}

#[test]
fn a_field_that_is_not_there_keeps_the_last_good_ones_and_says_which_it_is() {
    let estate = Estate::start(&[("db", FIRST), ("other", "good")]);
    let agent = estate.agent(&format!("{CONFIG}[[secret]]\nname = 'other'\n"));
    let rows = [
        (r#"{"user":"unseen","login":{},"key":"","ports":[1]}"#, "field '/login/password' is not there"),
        (r#"{"user":"unseen","login":{"password":null},"key":"","ports":[1]}"#, "field '/login/password' is null"),
        (r#"{"user":"unseen","login":{"password":"unseen""#, "the value is no JSON text"),
        (r#"{"user":"unseen","login":{"password":"a"},"key":"unseen","ports":[1]}"#, "the value is no standard base64"),
    ];
    for (value, expected) in rows {
        estate.emulator.set_secret(VAULT, "db", value);
        agent.refresh();
        for (name, kept) in [("user", "app"), ("password", "hunter2\n\"ü\""), ("db", FIRST)] {
            assert_eq!(agent.value(name), kept.as_bytes(), "{name} after {expected}");
        }
        let socket = estate.socket();
        let status =
            keyside(&["status", "--socket", socket.to_str().expect("text"), "--output", "json"], &estate.variables());
        let status = String::from_utf8(status.stdout).expect("text");
        assert!(status.contains(expected) && !status.contains("unseen"), "{status}");
    }
    estate.emulator.set_secret(VAULT, "other", "better");
    agent.refresh();
    assert_eq!(agent.value("other"), b"better", "secrets of other sources go on");
    assert!(!agent.log().contains("unseen"), "no part of a value is logged: {}", agent.log());
}
