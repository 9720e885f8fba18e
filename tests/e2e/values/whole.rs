//! Values of every kind reach readers byte for byte, by each way, and what is no text is refused.

use std::fmt::Write as _;

use keyside_tests::estate::Estate;
use keyside_tests::wait;

/// The longest value that Key Vault takes, in bytes.
/// Source: Key Vault's documentation, "About Azure Key Vault secrets": 25 KB.
const LONGEST: usize = 25 * 1024;

fn every_character_that_json_escapes() -> String {
    let controls: String = (1..0x20_u8).map(char::from).collect();
    format!("{controls}\"\\/\u{7f}\u{2028}\u{2029}")
}

#[test]
fn text_of_every_kind_is_the_same_bytes_at_the_end() {
    let longest = "0123456789abcdef".repeat(LONGEST / 16);
    let escapes = every_character_that_json_escapes();
    let rows = [
        ("plain", "hunter2"),
        ("spaces", "  leading and trailing \n"),
        ("json-like", r#"{"value":"inner","a":[1,2]}"#),
        ("escapes", &escapes),
        ("non-ascii", "grüße, 秘密, тайна"),
        ("astral", "\u{1F511}\u{10FFFF}"),
        ("longest", &longest),
    ];
    let estate = Estate::start(&rows);
    let mut config = String::new();
    for (name, _) in rows {
        writeln!(config, "[[secret]]\nname = '{name}'").expect("a string grows");
    }
    let agent = estate.agent(&config);
    for (name, value) in rows {
        assert_eq!(agent.value(name), value.as_bytes(), "{name} by /value");
        assert_eq!(agent.get(&format!("/v1/secrets/{name}")).json()["value"], value, "{name} by JSON");
        let file = std::fs::read(estate.secrets_folder().join(name)).expect("a file");
        assert_eq!(file, value.as_bytes(), "{name} by file");
    }
}

#[test]
fn bytes_that_are_no_text_come_out_of_base64() {
    let every: Vec<u8> = (0..=255).collect();
    // base64 of all 256 byte values, by the tool that people use.
    let encoded = std::process::Command::new("python3")
        .args(["-c", "import base64; print(base64.b64encode(bytes(range(256))).decode(), end='')"])
        .output()
        .expect("python3 runs");
    let encoded = String::from_utf8(encoded.stdout).expect("base64 is text");
    let estate = Estate::start(&[("binary", &encoded)]);
    let agent = estate.agent("[[secret]]\nname = 'binary'\nencoding = 'base64'\n");
    assert_eq!(agent.value("binary"), every);
    assert_eq!(std::fs::read(estate.secrets_folder().join("binary")).expect("a file"), every);
    let whole = agent.get("/v1/secrets/binary").json();
    assert_eq!(whole["value_base64"], encoded.as_str());
    assert!(whole.get("value").is_none());
}

#[test]
fn half_a_character_is_refused_and_the_last_good_value_stays() {
    let estate = Estate::start(&[("token", "good")]);
    let agent = estate.agent("[[secret]]\nname = 'token'\n");
    estate.answer_with("token", r"bad\ud800");
    agent.refresh();
    assert_eq!(agent.value("token"), b"good");
    let answer = agent.get("/v1/secrets/token/value");
    assert_eq!(answer.headers.get("keyside-stale").map(String::as_str), Some("true"));
    assert!(!agent.log().contains("bad\\ud800"), "no part of the value is logged: {}", agent.log());
}

#[test]
fn an_empty_value_is_a_value() {
    // Key Vault itself refuses an empty value, so one can only come out of an answer made by hand.
    let estate = Estate::start(&[("token", "good")]);
    let agent = estate.agent("[[secret]]\nname = 'token'\n");
    estate.answer_with("token", "");
    agent.refresh();
    assert_eq!(agent.value("token"), b"");
    let file = estate.secrets_folder().join("token");
    wait::until("the empty file", || std::fs::read(&file).expect("never missing").is_empty().then_some(()));
}
