//! Whatever is asked and whoever asks: a request means one thing or nothing, and only a reader is a reader.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};

use super::access::Access;
use super::condition::IfNoneMatch;
use super::peer::{Caller, Peer};
use super::problem::{Code, Problem};
use super::request::{Call, Door, Form, understand};
use crate::fuzzing::config::OneOfEach;
use crate::fuzzing::names::is_name;
use crate::fuzzing::split_line;
use crate::principal::Principal;
use crate::secret::SecretName;

struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// Method and target in the first line, then a header to a line.
pub(crate) fn requests(input: &[u8]) {
    let Some(request) = read(input) else { return };
    let Request { method, uri, headers } = &request;
    let at = |door| understand(method, uri, headers, door);
    match at(Door::Socket) {
        Ok(call) => is_meant(&request, &call),
        Err(problem) => is_refused(&request, &problem, Door::Socket),
    }
    match at(Door::Network) {
        Ok(call) => {
            assert!(matches!(call, Call::Health | Call::Ready | Call::Metrics), "{call:?} over the network");
            assert_eq!(at(Door::Socket), Ok(call));
        }
        Err(problem) => is_refused(&request, &problem, Door::Network),
    }
    if IfNoneMatch::of(headers) != IfNoneMatch::Nothing {
        assert!(headers.contains_key("if-none-match"));
    }
}

fn read(input: &[u8]) -> Option<Request> {
    let (first, rest) = split_line(input);
    let end = first.iter().position(|&byte| byte == b' ')?;
    let mut headers = HeaderMap::new();
    for line in rest.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        headers.append(name.ok()?, value.ok()?);
    }
    let (method, uri) = (Method::from_bytes(&first[..end]).ok()?, Uri::try_from(&first[end + 1..]).ok()?);
    Some(Request { method, uri, headers })
}

fn came_through_another(headers: &HeaderMap) -> bool {
    ["Origin", "Forwarded", "X-Forwarded-For"].iter().any(|&name| headers.contains_key(name))
}

fn is_meant(request: &Request, call: &Call) {
    assert!(!came_through_another(&request.headers));
    let is_post = matches!(call, Call::Refresh { .. });
    assert!(if is_post { request.method == "POST" } else { ["GET", "HEAD"].contains(&request.method.as_str()) });
    let (wait, name) = match call {
        Call::List { wait, .. } => (*wait, None),
        Call::Secret { name, form, wait } => {
            assert_eq!(named_secret(request.uri.path()), Some((name.to_string(), *form)));
            (*wait, Some(name))
        }
        Call::Refresh { name } => (None, name.as_ref()),
        _ => (None, None),
    };
    assert!(wait.is_none_or(|wait| wait <= Duration::from_mins(10)), "{wait:?}");
    assert!(name.is_none_or(|name| is_name(name.as_str())), "{name:?}");
}

fn is_refused(request: &Request, problem: &Problem, door: Door) {
    let Request { method, uri, headers } = request;
    assert_eq!(problem.code == Code::Forwarded, came_through_another(headers));
    if method == Method::GET && uri.query().is_none() && !came_through_another(headers) {
        let expected = if uri.path() == "/v1/refresh" { Code::MethodNotAllowed } else { Code::NotFound };
        assert_eq!(problem.code, if door == Door::Socket { expected } else { Code::NotFound });
        assert!(door == Door::Network || named_secret(uri.path()).is_none(), "a secret is not found by its name");
    }
    assert!(problem.code.status().is_client_error(), "{problem:?}");
    let document = serde_json::to_value(problem.document()).expect("a document");
    let detail = document["detail"].as_str().expect("a sentence");
    assert!(!detail.contains(char::is_control), "a terminal obeys {detail:?}");
}

/// The secret that a path names, by the rules of `docs/http-api.md` and as simply as can be.
fn named_secret(path: &str) -> Option<(String, Form)> {
    let (segment, form) = match path.split('/').collect::<Vec<_>>()[..] {
        ["", "v1", "secrets", segment] => (segment, Form::Document),
        ["", "v1", "secrets", segment, "value"] => (segment, Form::Value),
        _ => return None,
    };
    let (mut name, mut rest) = (Vec::new(), segment.as_bytes());
    while let [byte, after @ ..] = rest {
        let decoded = after.get(..2).filter(|_| *byte == b'%').and_then(decoded);
        name.push(decoded.unwrap_or(*byte));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    let name = String::from_utf8(name).ok()?;
    is_name(&name).then_some((name, form))
}

fn decoded(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(value(digits[0])? * 16 + value(digits[1])?).ok()
}

/// The numbers of the user, the group and further groups in the first line, then a secret with its readers to a line, `*` for
/// the operators.
pub(crate) fn readers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut lines = text.lines();
    let numbers: Vec<u32> = words(lines.next()).filter_map(|word| word.parse().ok()).collect();
    let [uid, gid, ref groups @ ..] = numbers[..] else { return };
    let gids = &numbers[1..];
    let caller = Caller::Process(Peer { uid, gid, groups: groups.to_vec(), process: None });
    let rules: Vec<(&str, Vec<&str>)> = lines
        .filter_map(|line| {
            let mut words = words(Some(line));
            Some((words.next()?, words.collect()))
        })
        .collect();
    let access = access(&rules);
    let has = |name: &str| {
        let mut of = rules.iter().filter(|(known, _)| *known == name);
        of.any(|(_, readers)| readers.iter().any(|reader| means(reader, uid, gids)))
    };
    assert_eq!(access.is_operator(&caller), has("*"), "{caller:?} {rules:?}");
    for (name, _) in rules.iter().chain(&[("absent", Vec::new())]) {
        let Ok(secret) = name.parse() else { continue };
        assert_eq!(access.may_read(&caller, &secret), has(name), "{caller:?} {name} {rules:?}");
        assert_eq!(access.may_see(&caller, &secret), has(name) || has("*"), "{caller:?} {name} {rules:?}");
        assert!(!access.may_read(&Caller::Network, &secret) && !access.may_see(&Caller::Network, &secret));
    }
    assert!(!access.is_operator(&Caller::Network));
}

fn words(line: Option<&str>) -> impl Iterator<Item = &str> {
    line.unwrap_or_default().split(' ').filter(|word| !word.is_empty())
}

fn access(rules: &[(&str, Vec<&str>)]) -> Access {
    let (mut operators, mut readers) = (Vec::new(), BTreeMap::<SecretName, Vec<_>>::new());
    for (name, texts) in rules {
        let principals = texts.iter().filter_map(|text| Principal::parse(text, &OneOfEach).ok());
        match name.parse() {
            Ok(name) => readers.entry(name).or_default().extend(principals),
            Err(_) if *name == "*" => operators.extend(principals),
            Err(_) => {}
        }
    }
    Access { operators, readers }
}

/// Whether a reader, as it is written, is this caller: by the texts of numbers and nothing parsed.
fn means(reader: &str, uid: u32, gids: &[u32]) -> bool {
    let is = |number: u32, text: &str| {
        let digits = text.trim_start_matches('0');
        let is_number = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
        is_number && number.to_string().trim_start_matches('0') == digits
    };
    match reader.split_once(':') {
        Some(("uid", text)) => is(uid, text),
        // The groups of the user whom the kernel cannot name are anybody's.
        Some(("gid", text)) => uid != 65_534 && gids.iter().any(|&gid| is(gid, text)),
        Some(("user", "trainer")) => uid == 1001,
        Some(("group", "ml")) => uid != 65_534 && gids.contains(&2001),
        _ => false,
    }
}
