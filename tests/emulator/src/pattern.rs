//! Text patterns in which `*` stands for anything.

/// Whether `text` matches `pattern`, in which every `*` stands for any run of characters. Case does not matter.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let text = text.to_ascii_lowercase();
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut remaining) = text.strip_prefix(start) else {
        return false;
    };
    let (middles, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for middle in middles.split('*') {
        let Some(at) = remaining.find(middle) else {
            return false;
        };
        remaining = &remaining[at + middle.len()..];
    }
    remaining.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let rows = [
            ("*", "", true),
            ("*", "anything", true),
            ("/secrets/*", "/secrets/db", true),
            ("/secrets/*", "/deletedsecrets/db", false),
            ("*.vault.azure.net", "KV.vault.azure.net", true),
            ("*/db/*", "/secrets/db/0123", true),
            ("*/db", "/secrets/db/0123", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(matches(pattern, text), expected, "{pattern} against {text}");
        }
    }
}
