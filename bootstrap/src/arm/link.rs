//! Where to look for the end of an operation: the links of an answer, followed as they are and only to their origin.

use serde_json::Value;
use url::Url;

use super::{Answer, Problem};

/// A place to look at, and how it tells the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It answers with a status document.
    Status(Url),
    /// It answers 202 until the end.
    Result(Url),
}

impl Link {
    pub(super) fn url(&self) -> &Url {
        match self {
            Self::Status(url) | Self::Result(url) => url,
        }
    }
}

/// The link of an answer, if it has one: `Azure-AsyncOperation` before `Location`, which counts for 201 and 202 only.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>.
pub(super) fn link(answer: &Answer) -> Result<Option<Link>, Problem> {
    let checked = |text: &String| checked(text, &answer.asked);
    match (&answer.operation, &answer.location) {
        (Some(operation), _) => checked(operation).map(|url| Some(Link::Status(url))),
        (None, Some(location)) if matches!(answer.status, 201 | 202) => {
            checked(location).map(|url| Some(Link::Result(url)))
        }
        _ => Ok(None),
    }
}

/// Where a list goes on, if it does; a page may be empty and go on all the same.
/// Source: <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#collections>.
pub(super) fn next_page(page: &Value, asked: &Url) -> Result<Option<Url>, Problem> {
    let next = page.get("nextLink").and_then(Value::as_str).filter(|text| !text.is_empty());
    next.map(|text| checked(text, asked)).transpose()
}

/// Where `text`, which may be relative, leads from what was asked (RFC 9110, section 10.2.2): to the same origin only.
fn checked(text: &str, asked: &Url) -> Result<Url, Problem> {
    let url = asked.join(text).ok().filter(|url| url.origin() == asked.origin());
    url.ok_or(Problem::Unusable("the answer links to another host, to which no token is sent"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Url {
        Url::parse("https://management.azure.com/subscriptions/s/vaults/kv?api-version=x").expect("a URL")
    }

    fn answer(status: u16, operation: Option<&str>, location: Option<&str>) -> Answer {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (operation, location) = (text(operation), text(location));
        Answer { asked: asked(), status, body: Value::Null, operation, location, retry_after: None }
    }

    #[test]
    fn the_status_link_comes_first_and_long_signed_links_stay_as_they_are() {
        let signed = format!("https://management.azure.com/o/1?api-version=x&c={}&s=a-b_c&h=%2B", "M".repeat(3_700));
        let found = link(&answer(202, Some(&signed), Some("https://management.azure.com/l")));
        assert_eq!(found.expect("a link").expect("one").url().as_str(), signed);
        let location = Some("https://management.azure.com/l");
        assert!(matches!(link(&answer(202, None, location)), Ok(Some(Link::Result(_)))));
        assert!(matches!(link(&answer(200, None, location)), Ok(None)));
        assert!(matches!(link(&answer(200, None, None)), Ok(None)));
    }

    #[test]
    fn an_empty_page_goes_on_where_it_links_to_and_never_to_another_host() {
        let page = json!({"value": [], "nextLink": "https://management.azure.com/p?$skiptoken=2"});
        let next = next_page(&page, &asked()).expect("a link").expect("one");
        assert_eq!(next.as_str(), "https://management.azure.com/p?$skiptoken=2");
        assert!(next_page(&json!({"nextLink": "https://evil.example/p"}), &asked()).is_err());
        for last in [json!({"value": []}), json!({"nextLink": null}), json!({"nextLink": ""}), Value::Null] {
            assert!(matches!(next_page(&last, &asked()), Ok(None)), "{last}");
        }
    }

    #[test]
    fn a_link_to_another_origin_is_refused() {
        let foreign = [
            "https://evil.example/o",
            "http://management.azure.com/o",
            "https://management.azure.com:444/o",
            "//evil.example/o",
            "mailto:o",
        ];
        for foreign in foreign {
            assert!(link(&answer(202, Some(foreign), None)).is_err(), "{foreign}");
            assert!(link(&answer(202, None, Some(foreign))).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_relative_link_starts_from_what_was_asked() {
        let rows = [
            ("/o?c=1", "https://management.azure.com/o?c=1"),
            ("o", "https://management.azure.com/subscriptions/s/vaults/o"),
            ("?c=1", "https://management.azure.com/subscriptions/s/vaults/kv?c=1"),
        ];
        for (text, expected) in rows {
            let found = link(&answer(202, None, Some(text))).expect("a link").expect("one");
            assert_eq!(found.url().as_str(), expected, "{text}");
        }
    }
}
