//! Tests of the value stream, most of them against `serde_json` as the oracle.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::Value;

use super::properties::{oracle, read_in_pieces, values};
use super::*;
use crate::memory::Arena;

fn read(body: &str) -> Result<String, ValueError> {
    read_in_pieces([body.as_bytes()]).map(|(value, _)| value)
}

/// Reads `body` whole, and cut in two at every place; all must agree.
fn read_every_way(body: &[u8]) -> Option<(String, Vec<u8>)> {
    let whole = read_in_pieces([body]).ok();
    for cut in 0..=body.len() {
        assert_eq!(read_in_pieces([&body[..cut], &body[cut..]]).ok(), whole, "cut at {cut}");
    }
    whole
}

/// Writes `text` as a JSON string in which the characters that `escaped` picks are written as `\u` escapes.
fn json_string(text: &str, escaped: &[bool]) -> String {
    let mut written = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        if escaped.get(index).copied().unwrap_or(false) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(written, "\\u{unit:04x}").expect("memory");
            }
        } else {
            let quoted = Value::from(character.to_string()).to_string();
            written.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    written.push('"');
    written
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(prop_oneof!["value", any::<String>()], inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_comes_out_as_serde_json_reads_it(
        value in any::<String>(),
        escaped in proptest::collection::vec(any::<bool>(), 0..32),
        name_escaped in proptest::collection::vec(any::<bool>(), 5),
        before in proptest::collection::vec((any::<String>(), any_json()), 0..2),
        after in proptest::collection::vec((any::<String>(), any_json()), 0..2),
    ) {
        let other = |(name, value): &(String, Value)| format!("{} : {value}", Value::from(name.as_str()));
        let members: Vec<String> = before
            .iter()
            .map(other)
            .chain([format!("{}:{}", json_string("value", &name_escaped), json_string(&value, &escaped))])
            .chain(after.iter().map(other))
            .collect();
        let body = format!("\n{{{}}} ", members.join(" , "));
        let (read, rest) = read_every_way(body.as_bytes()).expect("valid");
        let (expected, expected_rest) = oracle(body.as_bytes()).expect("valid");
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(read, expected);
        prop_assert_eq!(serde_json::from_slice::<Value>(&rest).expect("valid"), expected_rest);
    }

    #[test]
    fn whatever_serde_json_refuses_is_refused(
        body in r#"[\x01-\x08]{0,3}\n\{"value":"(\\[u"\\/bfnrtx]|\\u[dD][89abcdABCD][0-9a-f]{2}|[a-z"é\x00-\x20]|\\u00e9){0,8}"(\}|,"a":1\}|\]|)"#,
    ) {
        values(body.as_bytes());
    }

    #[test]
    fn raw_bytes_are_taken_only_where_they_are_utf8(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        values(&[b"\x03\n{\"value\":\"", bytes.as_slice(), b"\"}"].concat());
    }
}

#[test]
fn values_of_every_kind_come_out_exactly() {
    let long = "x\u{e9}\n".repeat(25 * 1024 / 4);
    let rows: &[(&str, &str)] = &[
        (r#"{"value":"secret"}"#, "secret"),
        (r#"{"value":""}"#, ""),
        (r#"{ "id" : "a" , "value" : "b" }"#, "b"),
        (r#"{"v\u0061lue":"by an escaped name"}"#, "by an escaped name"),
        (r#"{"tags":{"value":"inner"},"value":"outer"}"#, "outer"),
        (r#"{"list":["value","x",{"value":"inner"}],"value":"outer"}"#, "outer"),
        (r#"{"a":"value","value":"b"}"#, "b"),
        (r#"{"valu":"a","values":"b","value":"c"}"#, "c"),
        (r#"{"value":"\"\\\/\b\f\n\r\t"}"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#"{"value":"\u0000\u001f\u00E9\uFFFF"}"#, "\0\u{1f}\u{e9}\u{ffff}"),
        (r#"{"value":"\ud83d\udd11 and 🔑"}"#, "🔑 and 🔑"),
    ];
    for (body, expected) in rows {
        assert_eq!(read_every_way(body.as_bytes()).expect(body).0, *expected, "{body}");
    }
    assert_eq!(read(&format!(r#"{{"value":{}}}"#, Value::from(long.as_str()))).expect("long"), long);
}

#[test]
fn each_defect_has_its_own_cause() {
    type Check = fn(&ValueError) -> bool;
    let too_long = format!(r#"{{"value":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX + 1));
    let body_too_long = format!(r#"{{"value":"","a":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    let rows: &[(&str, Check)] = &[
        ("", |error| matches!(error, ValueError::Truncated)),
        (r#"{"value":"sec"#, |error| matches!(error, ValueError::Truncated)),
        (r#"{"value":"secret""#, |error| matches!(error, ValueError::Truncated)),
        (r#"{"id":"x"}"#, |error| matches!(error, ValueError::Missing)),
        (r#"{"value":"a","value":"b"}"#, |error| matches!(error, ValueError::Duplicate)),
        (r#"{"value":"a","v\u0061lue":"b"}"#, |error| matches!(error, ValueError::Duplicate)),
        (r#"{"value":42}"#, |error| matches!(error, ValueError::NotAString)),
        (r#"{"value":null}"#, |error| matches!(error, ValueError::NotAString)),
        (r#"{"value":["a"]}"#, |error| matches!(error, ValueError::NotAString)),
        (r#"{"value":{"value":"a"}}"#, |error| matches!(error, ValueError::NotAString)),
        (r#"["value"]"#, |error| matches!(error, ValueError::NotAnObject)),
        (r#"{"value":"a"}{"#, |error| matches!(error, ValueError::NotAnObject)),
        ("<html>", |error| matches!(error, ValueError::NotAnObject)),
        ("{\"value\":\"a\tb\"}", |error| matches!(error, ValueError::BadString)),
        (r#"{"value":"\x41"}"#, |error| matches!(error, ValueError::BadString)),
        (r#"{"value":"\u00g1"}"#, |error| matches!(error, ValueError::BadString)),
        (r#"{"value":"\ud83d"}"#, |error| matches!(error, ValueError::LoneSurrogate)),
        (r#"{"value":"\ud83d\n"}"#, |error| matches!(error, ValueError::LoneSurrogate)),
        (r#"{"value":"\ud83d\n\udd11"}"#, |error| matches!(error, ValueError::LoneSurrogate)),
        (r#"{"value":"\ud83dx\udd11"}"#, |error| matches!(error, ValueError::LoneSurrogate)),
        (r#"{"value":"\ud83d\u0041"}"#, |error| matches!(error, ValueError::LoneSurrogate)),
        (r#"{"value":"\udd11\ud83d"}"#, |error| matches!(error, ValueError::LoneSurrogate)),
        (&too_long, |error| matches!(error, ValueError::TooLong)),
        (&body_too_long, |error| matches!(error, ValueError::TooLong)),
    ];
    for (body, expected) in rows {
        let error = read(body).expect_err(body);
        assert!(expected(&error), "{body}: {error:?}");
    }
}

#[test]
fn nothing_of_the_value_is_left_in_the_rest_or_in_an_error() {
    let (_, rest) = read_in_pieces([br#"{"value":"hun"#.as_slice(), br#"ter2\u0021","id":"i"}"#]).expect("valid");
    assert_eq!(String::from_utf8(rest).expect("text"), r#"{"value":"","id":"i"}"#);
    let broken =
        [r#"{"value":"hunter2\ud83d"}"#, r#"{"value":"hunter2"#, r#"{"value":"hunter2"}}"#, r#"{"value":"hunter2\q"}"#];
    for body in broken {
        let error = read(body).expect_err(body);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let stream = {
        let mut stream = ValueStream::new(Arena::unlocked().buffer(16).expect("memory"));
        stream.push(br#"{"value":"hunter2"#).expect("valid so far");
        stream
    };
    assert!(!format!("{stream:?}").contains("hunter2"));
}
