//! Tests of lists: their pages, their end, and what is no list.

use super::*;
use crate::schedule::Facts;
use crate::vault::Listed;

const HOST: &str = "my-vault.vault.azure.net";

fn item(name: &str, attributes: &str) -> String {
    format!(r#"{{"id":"https://{HOST}/secrets/{name}","attributes":{{{attributes}}},"tags":{{"a":"b"}}}}"#)
}

fn page(items: &[String], next: Option<&str>) -> Reply {
    let next = next.map_or("null".to_owned(), |link| format!("\"{link}\""));
    Reply::ok(&format!(r#"{{"value":[{}],"nextLink":{next}}}"#, items.join(",")))
}

/// A vault of three pages, whose links are as Key Vault writes them.
fn three_pages(request: &Request<Bytes>) -> Reply {
    let link = |marker| format!("https://{HOST}:443/secrets?api-version=7.0&$skiptoken={marker}&maxresults=25");
    match request.uri().query().unwrap_or_default() {
        query if query.contains("skiptoken=two") => {
            page(&[item("Token", r#""enabled":false,"exp":20"#)], Some(&link("three")))
        }
        query if query.contains("skiptoken=three") => page(&[item("zoo", "")], None),
        _ => page(&[item("db-password", r#""enabled":true,"created":9,"updated":10"#)], Some(&link("two"))),
    }
}

#[tokio::test]
async fn every_page_is_read_and_every_name_folded() {
    let azure = FakeAzure::start(three_pages).await;
    let (vault, _identity) = azure.vault_in(Arena::unlocked());
    let second = |seconds| Some(Timestamp::from_second(seconds).expect("in range"));
    let facts = [
        ("db-password", Facts { enabled: true, updated: second(10), expires: None }),
        ("token", Facts { enabled: false, updated: None, expires: second(20) }),
        ("zoo", Facts { enabled: true, updated: None, expires: None }),
    ];
    let facts = facts.into_iter().map(|(text, facts)| (name(text), facts)).collect();
    assert_eq!(vault.list(3).await.expect("a list"), Listed::Whole { facts, calls: 3 });
}

#[tokio::test]
async fn a_list_that_costs_more_than_it_saves_is_left() {
    let azure = FakeAzure::start(three_pages).await;
    let (vault, _identity) = azure.vault_in(Arena::unlocked());
    assert_eq!(vault.list(2).await.expect("a part"), Listed::TooLong { calls: 2 });
    let seen = azure.seen.lock().expect("no panic").clone();
    let pages = seen.iter().filter(|line| line.contains("/secrets?")).count();
    assert_eq!(pages, 3, "two, and the one that was challenged: {seen:?}");
}

#[tokio::test]
async fn a_list_is_followed_to_no_other_host() {
    for next in
        ["https://evil.example/secrets", "https://other.vault.azure.net/secrets", "http://my-vault.vault.azure.net/s"]
    {
        let azure = FakeAzure::start(|_| page(&[item("db", "")], Some(next))).await;
        let (vault, _identity) = azure.vault_in(Arena::unlocked());
        let error = vault.list(9).await.expect_err("refused");
        assert!(matches!(error, FetchError::Unavailable(_)), "{error:?}");
        let hosts = azure.proxy.requests();
        let own = |line: &String| line.contains(HOST) || line.contains("login.microsoftonline.com");
        assert!(hosts.iter().all(own), "{hosts:?}");
    }
}

#[tokio::test]
async fn what_is_no_list_is_not_believed() {
    let rows = [
        (Reply::ok("<html>"), "unusable"),
        (Reply::ok(r#"{"value":[{"id":"https://my-vault.vault.azure.net/secrets/a_b"}]}"#), "unusable"),
        (Reply::ok(r#"{"value":[{"attributes":{}}]}"#), "unusable"),
        (Reply::status(429, ""), "throttled"),
        (Reply::status(503, ""), "unavailable"),
        (Reply::status(503, "").with("retry-after", "7"), "throttled"),
        (Reply::status(403, r#"{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}"#), "denied"),
    ];
    for (index, (reply, code)) in rows.into_iter().enumerate() {
        let reply = Mutex::new(Some(reply));
        let azure =
            FakeAzure::start(move |_| reply.lock().expect("no panic").take().expect("nobody tries again")).await;
        let (vault, _identity) = azure.vault_in(Arena::unlocked());
        let error = vault.list(9).await.expect_err("no list");
        assert_eq!(error.code(), code, "row {index}: {error:?}");
    }
}
