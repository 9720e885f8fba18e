//! Texts with something generated in them: placeholders that are known, and forms for what is made anew each time.

/// `text` with each placeholder replaced by what it stands for.
pub(crate) fn fill(text: &str, placeholders: &[(&str, String)]) -> String {
    placeholders.iter().fold(text.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
}

/// `text` with every GUID, time and address in it replaced by the name of its kind.
pub(crate) fn form(text: &str) -> String {
    let kinds = [("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "<guid>"), ("dddd-dd-dd dd:dd:ddZ", "<time>")];
    let mut rest = text;
    let mut formed = String::new();
    while let Some(first) = rest.chars().next() {
        let found = kinds.iter().find(|(pattern, _)| matches(rest, pattern));
        let (length, name) = found.map(|(pattern, name)| (pattern.len(), *name)).unwrap_or_default();
        let (length, name) = if length == 0 { address(rest).unwrap_or_default() } else { (length, name) };
        if length == 0 {
            formed.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            formed.push_str(name);
            rest = &rest[length..];
        }
    }
    formed
}

/// Whether `text` begins as `pattern` has it: `x` is a hexadecimal digit, `d` a decimal one, all else is itself.
fn matches(text: &str, pattern: &str) -> bool {
    let fits = |(byte, pattern): (&u8, u8)| match pattern {
        b'x' => byte.is_ascii_hexdigit(),
        b'd' => byte.is_ascii_digit(),
        other => *byte == other,
    };
    text.len() >= pattern.len() && text.as_bytes().iter().zip(pattern.bytes()).all(fits)
}

/// The length of the IPv4 address that `text` begins with. A version such as `v2.0` has too few parts to be one.
fn address(text: &str) -> Option<(usize, &'static str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let candidate = text[..end].trim_end_matches('.');
    candidate.parse::<std::net::Ipv4Addr>().ok().map(|_| (candidate.len(), "<address>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_anew_is_replaced_and_nothing_else() {
        let rows = [
            ("Trace ID: b0f62116-10b6-4a73-bdb2-281524404e00\r\n", "Trace ID: <guid>\r\n"),
            ("Timestamp: 2022-01-20 22:54:42Z", "Timestamp: <time>"),
            ("Client address: 1.2.3.4\r\n", "Client address: <address>\r\n"),
            ("ends with 127.0.0.1.", "ends with <address>."),
            ("oauth2/v2.0/token 1.2.3 é", "oauth2/v2.0/token 1.2.3 é"),
            ("b0f62116-10b6-4a73-bdb2", "b0f62116-10b6-4a73-bdb2"),
        ];
        for (text, expected) in rows {
            assert_eq!(form(text), expected);
        }
    }

    #[test]
    fn placeholders_are_filled() {
        let placeholders = [("<v>", "kv".to_owned()), ("<n>", "db".to_owned())];
        assert_eq!(fill("<v>/secrets/<n>, <other>", &placeholders), "kv/secrets/db, <other>");
    }
}
