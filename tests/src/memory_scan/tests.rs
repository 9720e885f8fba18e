use base64ct::{Base64, Base64Url, Encoding as _};

use super::*;

const VALUE: &str = "k7\"Qx\\2é/Zw9\nrT1bV8yLc4fQ~m>?";

fn found(memory: &[u8]) -> Vec<(Form, usize)> {
    let findings = Scanner::new([("it", VALUE.as_bytes())]).file(memory);
    findings.sightings.iter().map(|sighting| (sighting.form, sighting.end - sighting.start)).collect()
}

fn around(text: &[u8]) -> Vec<u8> {
    [b"before ".as_slice(), text, b" behind"].concat()
}

#[test]
fn a_value_is_found_in_every_form() {
    let json = serde_json::to_string(VALUE).expect("a text");
    let ascii = json.replace('é', "\\u00e9").replace('/', "\\/");
    let hex = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let utf16: Vec<u8> = VALUE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let rows = [
        (Form::Raw, VALUE.as_bytes().to_vec(), VALUE.len()),
        (Form::Json, json.clone().into_bytes(), json.len() - 2),
        (Form::Json, ascii.clone().into_bytes(), ascii.len() - 2),
        (Form::Hex, hex.clone().into_bytes(), 2 * VALUE.len()),
        (Form::Hex, hex.to_ascii_uppercase().into_bytes(), 2 * VALUE.len()),
        (Form::Utf16, utf16.clone(), utf16.len()),
    ];
    for (form, text, length) in rows {
        assert_eq!(found(&around(&text)), [(form, length)], "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_value_in_the_midst_of_base64_is_found_wherever_its_groups_begin() {
    for before in 0..6 {
        for behind in 0..3 {
            let whole = [&vec![0xA5; before], VALUE.as_bytes(), &vec![0x5A; behind]].concat();
            for text in [Base64::encode_string(&whole), Base64Url::encode_string(&whole)] {
                let found = found(&around(text.as_bytes()));
                assert_eq!(found.len(), 1, "{before} {behind}: {found:?}");
                assert_eq!(found[0].0, Form::Base64(before % 3));
            }
        }
    }
}

#[test]
fn any_twelve_bytes_of_a_value_are_found_and_eleven_are_not() {
    let value = VALUE.as_bytes();
    for start in 0..=value.len() - FRAGMENT_BYTES {
        let part = &value[start..start + FRAGMENT_BYTES];
        let lengths: Vec<_> = found(&around(part)).into_iter().map(|(_, length)| length).collect();
        assert_eq!(lengths, [FRAGMENT_BYTES], "{start}");
        assert_eq!(found(&around(&part[1..])), [], "{start}");
    }
}

#[test]
fn copies_are_counted_one_by_one() {
    let (raw, part) = (VALUE.as_bytes(), &VALUE.as_bytes()[10..]);
    let memory = [raw, raw, b"..", part, raw].concat();
    let lengths: Vec<_> = found(&memory).into_iter().map(|(_, length)| length).collect();
    assert_eq!(lengths, [raw.len(), raw.len(), part.len(), raw.len()]);
}

#[test]
fn several_values_are_told_apart() {
    let scanner = Scanner::new([("one", VALUE.as_bytes()), ("two", b"short"), ("three", b"absent-3hT8")]);
    let findings = scanner.file(&around(&[VALUE.as_bytes(), b" short short"].concat()));
    assert_eq!(["one", "two", "three"].map(|name| findings.count(name).elsewhere), [1, 2, 0]);
    assert_eq!(findings.total(), Count { locked: 0, elsewhere: 3 });
    assert!(!findings.to_string().contains("Zw9"), "{findings}");
}

#[test]
fn a_string_in_another_process_is_found_where_it_lies() {
    let needle = "scan-for-me-".repeat(4);
    let mut process = std::process::Command::new("cat")
        .env_clear()
        .env("NEEDLE", &needle)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("cat starts");
    crate::wait::until("the child's own program", || {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", process.id())).ok()?;
        (name.trim() == "cat").then_some(())
    });
    let findings = Scanner::new([("it", needle.as_bytes())]).process(process.id());
    let absent = count(process.id(), needle.to_ascii_uppercase().as_bytes());
    process.kill().and_then(|()| process.wait()).expect("own child");
    assert_eq!(findings.to_string(), "  it: 48 of 48 bytes as it is, in [stack]\n", "its environment lies there");
    assert_eq!(absent, Count::NONE);
}
