//! Pages of a list: how long they may be, and the token that names the next one.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// The service's longest page, and its default.
const LONGEST: usize = 25;

/// Which page a caller asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// As the caller said it; the service's default where it did not.
    pub(crate) length: Option<usize>,
    /// The key of the first item.
    from: Option<String>,
}

/// What a `$skiptoken` carries, in base64.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SkipToken {
    next_marker: String,
    target_location: u8,
}

impl PageRequest {
    /// Reads `maxresults` and `$skiptoken`.
    ///
    /// # Errors
    /// A 400 for a length outside of 1 to 25, and for a token that no page ended with.
    pub(crate) fn parse(max_results: Option<&str>, skip_token: Option<&str>) -> Result<PageRequest, Refusal> {
        let length = match max_results.map(str::parse) {
            None => None,
            Some(Ok(length @ 1..=LONGEST)) => Some(length),
            Some(_) => return Err(Refusal::invalid_property("maxresults")),
        };
        let from = match skip_token {
            None => None,
            Some(token) => Some(decode(token).ok_or_else(|| Refusal::invalid_property("$skiptoken"))?),
        };
        Ok(PageRequest { length, from })
    }

    /// The page's items out of `all`, which are in the order of their keys, and the next page's token.
    pub(crate) fn cut<'a, T>(&self, all: impl Iterator<Item = (&'a str, T)>) -> (Vec<T>, Option<String>) {
        let from = self.from.as_deref().unwrap_or("");
        let mut rest = all.skip_while(|(key, _)| *key < from);
        let page = rest.by_ref().take(self.length.unwrap_or(LONGEST)).map(|(_, item)| item).collect();
        (page, rest.next().map(|(key, _)| encode(key)))
    }
}

/// The service's marker is its own affair; ours has the same outer form: a tag, a length, and base64.
fn encode(key: &str) -> String {
    let marker = Base64UrlUnpadded::encode_string(key.as_bytes());
    let token = SkipToken { next_marker: format!("2!{}!{marker}", marker.len()), target_location: 0 };
    Base64UrlUnpadded::encode_string(&serde_json::to_vec(&token).expect("strings always serialise"))
}

fn decode(token: &str) -> Option<String> {
    let json = Base64UrlUnpadded::decode_vec(token.trim_end_matches('=')).ok()?;
    let token: SkipToken = serde_json::from_slice(&json).ok()?;
    let marker = token.next_marker.splitn(3, '!').nth(2)?;
    String::from_utf8(Base64UrlUnpadded::decode_vec(marker).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("secret-{number:03}")).collect()
    }

    fn lengths(count: usize, max_results: Option<&str>) -> Vec<usize> {
        let names = names(count);
        let mut token: Option<String> = None;
        let mut lengths = Vec::new();
        let mut seen = Vec::new();
        loop {
            let request = PageRequest::parse(max_results, token.as_deref()).unwrap();
            let (page, next) = request.cut(names.iter().map(|name| (name.as_str(), name.clone())));
            lengths.push(page.len());
            seen.extend(page);
            token = next;
            if token.is_none() {
                assert_eq!(seen, names, "every item, once, in order");
                return lengths;
            }
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let rows: [(usize, Option<&str>, &[usize]); 6] = [
            (0, None, &[0]),
            (25, None, &[25]),
            (26, None, &[25, 1]),
            (60, Some("25"), &[25, 25, 10]),
            (7, Some("2"), &[2, 2, 2, 1]),
            (4, Some("2"), &[2, 2]),
        ];
        for (count, max_results, expected) in rows {
            assert_eq!(lengths(count, max_results), expected, "{count} by {max_results:?}");
        }
    }

    #[test]
    fn a_length_or_a_token_of_no_page_is_refused() {
        for length in ["0", "26", "-1", "x", ""] {
            assert_eq!(PageRequest::parse(Some(length), None).unwrap_err().status.as_u16(), 400, "{length}");
        }
        for token in ["", "x", "e30", "%%%"] {
            assert_eq!(PageRequest::parse(None, Some(token)).unwrap_err().status.as_u16(), 400, "{token}");
        }
    }
}
