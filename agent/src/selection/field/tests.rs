//! Tests of the way to a field, most of them against `serde_json` as the oracle.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What the agent would serve: the characters of a string, or the text of anything else.
fn field(text: &[u8], pointer: &str) -> Result<String, String> {
    let pointer = pointer.parse().expect("a pointer");
    let bytes = match find(text, &pointer).map_err(|error| error.to_string())? {
        Found::Literal(literal) => literal.to_vec(),
        Found::Text(escaped) => {
            let mut bytes = vec![0; escaped.len()];
            let used = unescape(escaped, &mut bytes).expect("it was read once");
            bytes.truncate(used);
            bytes
        }
    };
    Ok(String::from_utf8(bytes).expect("text"))
}

#[test]
fn a_field_is_its_characters_or_its_literal_text() {
    let text = br#" {"user": "app", "pa\u0073s": "a\"\\\n\u00fc\ud83d\udd11", "port": 5432, "rate": -1.50E+3, "tls": true,
        "none": null, "list": [1, "two", {"x": [ ]}], "": {"": "empty"}, "a/b": 1, "m~n": 2, "o": { "k" : [1,  2] } } "#;
    let rows = [
        ("/user", Ok("app")),
        ("/pass", Ok("a\"\\\nü🔑")),
        ("/port", Ok("5432")),
        ("/rate", Ok("-1.50E+3")),
        ("/tls", Ok("true")),
        ("/list/1", Ok("two")),
        ("/list/2/x", Ok("[ ]")),
        ("/o", Ok(r#"{ "k" : [1,  2] }"#)),
        ("//", Ok("empty")),
        ("/a~1b", Ok("1")),
        ("/m~0n", Ok("2")),
        ("/none", Err("field '/none' is null")),
        ("/password", Err("field '/password' is not there")),
        ("/user/x", Err("field '/user/x' is not there")),
        ("/list/3", Err("field '/list/3' is not there")),
        ("/list/01", Err("field '/list/01' is not there")),
        ("/list/-", Err("field '/list/-' is not there")),
        ("/list/+1", Err("field '/list/+1' is not there")),
    ];
    for (pointer, expected) in rows {
        assert_eq!(field(text, pointer), expected.map(str::to_owned).map_err(str::to_owned), "{pointer}");
    }
    assert_eq!(field(br#" "whole" "#, "").as_deref(), Ok("whole"));
}

#[test]
fn what_two_parsers_would_read_differently_is_refused() {
    let told = field(br#"{"a": 1, "\u0061": 2}"#, "/a");
    assert_eq!(told, Err("field '/a' is there more than once".to_owned()));
    assert_eq!(field(br#"{"b": 1, "b": 2, "a": 3}"#, "/a").as_deref(), Ok("3"), "off the way it does no harm");
    assert_eq!(field(br#"{"a": {"c": 1}, "b": {"c": 2}}"#, "/b/c").as_deref(), Ok("2"));
}

#[test]
fn what_is_no_json_gives_no_field_and_is_not_quoted() {
    let deep = "[".repeat(DEPTH_MAX + 1);
    let rows = [
        "",
        "hunter2",
        r#"{"a":1"#,
        r#"{"a":1}x"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        "{a:1}",
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e}"#,
        r#"{"a":+1}"#,
        r#"{"a":nul}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":1,"b":[1 2]}"#,
        r#"["a":1]"#,
        "[1,]",
        "-",
        "\u{feff}{}",
    ];
    for text in rows {
        assert_eq!(field(text.as_bytes(), "/a"), Err(NoField::NotJson.to_string()), "{text}");
    }
    assert_eq!(field(b"{\"a\":\"\xff\"}", "/a"), Err(NoField::NotJson.to_string()));
    assert_eq!(field(deep.as_bytes(), "/a"), Err(NoField::TooDeep.to_string()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab~/0]{0,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_pointer() -> impl Strategy<Value = String> {
    let token = prop_oneof!["[ab0-3]{0,2}", "~0", "~1", "[^~/]{0,2}"];
    let step = token.prop_map(|token| format!("/{token}"));
    proptest::collection::vec(step, 0..4).prop_map(|steps| steps.concat())
}

/// The way to every value inside, and to the whole.
fn pointers(value: &Value) -> Vec<String> {
    let below = |name: String, value: &Value| {
        pointers(value)
            .into_iter()
            .map(move |rest| format!("/{}{rest}", name.replace('~', "~0").replace('/', "~1")))
            .collect::<Vec<_>>()
    };
    let inside: Vec<String> = match value {
        Value::Object(members) => members.iter().flat_map(|(name, value)| below(name.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, value)| below(index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    [String::new()].into_iter().chain(inside).collect()
}

/// What `serde_json` makes of the field: characters, or what the literal text means.
fn agrees(found: Result<String, String>, expected: Option<&Value>, pointer: &str) -> bool {
    match (found, expected) {
        (Ok(text), Some(Value::String(expected))) => text == *expected,
        (Ok(text), Some(expected)) => serde_json::from_str::<Value>(&text).is_ok_and(|value| value == *expected),
        (Err(told), None) => told == format!("field '{}' is not there", pointer.escape_debug()),
        (Err(told), Some(Value::Null)) => told == format!("field '{}' is null", pointer.escape_debug()),
        (Err(_), Some(_)) | (Ok(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_field_of_every_text_is_what_serde_json_finds(
        value in any_json(), other in any_pointer(), pretty: bool, escaped: bool,
    ) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        // The letter b is in no word of JSON; where nothing is escaped yet, it may be.
        let text = if escaped && !text.contains('\\') { text.replace('b', "\\u0062") } else { text };
        let read: Value = serde_json::from_str(&text).expect("JSON");
        for pointer in pointers(&read).into_iter().chain([other]) {
            prop_assert!(agrees(field(text.as_bytes(), &pointer), read.pointer(&pointer), &pointer), "{text} {pointer}");
        }
    }

    #[test]
    fn texts_with_a_mistake_never_panic_and_give_nothing_that_serde_json_does_not(
        value in any_json(), pointer in any_pointer(), at in any::<prop::sample::Index>(), with in any::<Option<u8>>(), swap: bool,
    ) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        match with {
            Some(byte) if swap => text[at] = byte,
            Some(byte) => text.insert(at, byte),
            None => text.truncate(at),
        }
        let found = field(&text, &pointer);
        match serde_json::from_slice::<Value>(&text) {
            // Only here is the oracle laxer: it takes the last of two members of one name.
            Ok(_) if found.as_ref().is_err_and(|told| told.ends_with("more than once")) => {}
            Ok(value) => prop_assert!(agrees(found, value.pointer(&pointer), &pointer)),
            Err(error) => prop_assert!(found.is_err() || error.to_string().contains("number out of range")),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), pointer in any_pointer()) {
        drop(field(&bytes, &pointer));
    }
}
