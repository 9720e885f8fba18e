//! The values of the story, and the configuration that has them.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding as _};
use keyside_tests::memory_scan::Scanner;

use super::stuck::ESCAPE_AT;

/// Text with all that JSON escapes, before and after a rotation.
pub(crate) const TEXT: [&str; 2] =
    ["t1\"4fQ7\\mZk2Xw9\nrT1bV8y\tLcé0pHs6Ju3Gd", "t2\"9hJ3\\nRs6Pd0\ngU5eA2o\tKiö7xWq4Ft8Mb"];
/// Two fields, the second written with an escape, and one that nobody wants.
pub(crate) const USER: [&str; 2] = ["u1-5xJ8vQz2Nt6yD0pS3mGb7Kc", "u2-8rB4wTy1Hf5kN9zX6cLe3Va"];
pub(crate) const PASSWORD: [&str; 2] = ["p1-8kW1cRh7Lf4uE9aZ0oTi5Yn", "p2-3sV6mDq0Jg8tP2bC7xUw4Eh"];
pub(crate) const UNWANTED: [&str; 2] = ["n1-6bY2gXn5Vq3sM8jC1lKd9Rf", "n2-1zQ7hTk4Wp9vL3rB8fGy6Nd"];
/// What is within a private key, of a certificate whose key readers get, and of one whose certificate alone they get.
pub(crate) const KEY: &str = "MIIk7Qf2Zx9Lm4Tb8Vw1Rc6Yh3Ns5Jd0Gp7Ke2Ua9Xo4Wt8Bi1Mq6Fz3Cv5Sn";
pub(crate) const KEPT_BACK_KEY: &str = "MIIh3Wd8Rk1Yp6Gv4Tn9Bx2Lc7Zs5Qm0Ju3Fe8Ha1Ot6Vw4Ki9Dy2Xr7Cb5Pg";
/// One that is disabled, one that is removed from the configuration, one that stays.
pub(crate) const REVOKED: &str = "g1-2Hf6nPs4Jg0uE7aK9oTi3Wm8";
pub(crate) const REMOVED: &str = "g2-7Vd3kQm9Zx1rB5tY8wLc0Fn4";
pub(crate) const STEADY: &str = "s1-1mC8vXz5Bt7yW4qE6rNl9Jh2";
/// Those whose next version first arrives in an answer that cannot be used.
pub(crate) const BROKEN: [(&str, [&str; 2]); 4] = [
    ("cut-within", ["b1-4tG9yLw2Ck7nF0sR5xQe8Hv3", "b2-9pM1dUj6Zb3kV8hT4wXa7Ys0"]),
    ("cut-behind", ["b3-0qN5rGf8Ie2cJ7oL1zBt6Wk4", "b4-6vS3xHy9Pu1mD4gA8nKe2Rj7"]),
    ("unfinished", ["b5-8wE2bTq5Lo0fC9iM3pZr6Xg1", "b6-3jY7kUn1Vh4sQ8dG6aWt0Bc9"]),
    ("twofold", ["b7-5fJ0nXc3Mw8qT2eL7vHd9Yp6", "b8-1aR6gKz4Us9iO3bN8tEy5Fm2"]),
];

/// How long a value is that no connection takes in at once, in bytes; close to the longest that Key Vault stores.
const LONG_BYTES: usize = 24_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A value of such a length, another for each seed, of which JSON is sent in two parts.
pub(crate) fn long(seed: u64) -> String {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut character = |at| if at == ESCAPE_AT { '"' } else { char::from(ALPHABET[dice.usize(..ALPHABET.len())]) };
    (0..LONG_BYTES).map(&mut character).collect()
}

/// Bytes that are no text.
pub(crate) fn bytes(seed: u64) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(seed);
    (0..60).map(|_| dice.u8(0x80..)).collect()
}

/// They as the vault keeps them.
pub(crate) fn encoded(seed: u64) -> String {
    Base64::encode_string(&bytes(seed))
}

pub(crate) fn pair(version: usize) -> String {
    let password = PASSWORD[version].replacen('p', "\\u0070", 1);
    format!(r#"{{"user":"{}","password":"{password}","unwanted":["{}"]}}"#, USER[version], UNWANTED[version])
}

pub(crate) fn certificate(key: &str) -> String {
    let block = |label, content: &str| format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
    block("PRIVATE KEY", key) + &block("CERTIFICATE", "MIIBtzCCAV2gAwIBAgIUQ3Jhd2xpbmcgaW4gdGhlIGRhcmsw")
}

/// What the vault holds at first.
pub(crate) fn secrets() -> Vec<(&'static str, String)> {
    let mut secrets = vec![
        ("text", TEXT[0].to_owned()),
        ("bytes", encoded(1)),
        ("long", long(1)),
        ("pair", pair(0)),
        ("tls", certificate(KEY)),
        ("shut-tls", certificate(KEPT_BACK_KEY)),
        ("revoked", REVOKED.to_owned()),
        ("removed", REMOVED.to_owned()),
        ("steady", STEADY.to_owned()),
    ];
    secrets.extend(BROKEN.map(|(name, [first, _])| (name, first.to_owned())));
    secrets
}

/// The local names, and what of the configuration each has.
const CONFIGURED: [(&str, &str); 14] = [
    ("text", ""),
    ("bytes", "encoding = 'base64'\n"),
    ("long", ""),
    ("user", "vault_name = 'pair'\nfield = '/user'\n"),
    ("password", "vault_name = 'pair'\nfield = '/password'\n"),
    ("key", "vault_name = 'tls'\npem = 'private-key'\n"),
    ("certificate", "vault_name = 'shut-tls'\npem = 'certificate'\n"),
    ("revoked", ""),
    ("removed", ""),
    ("steady", ""),
    ("cut-within", ""),
    ("cut-behind", ""),
    ("unfinished", ""),
    ("twofold", ""),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CONFIGURED.into_iter().map(|(name, _)| name)
}

/// The configuration of all secrets but one.
pub(crate) fn config_without(absent: &str) -> String {
    let kept = CONFIGURED.into_iter().filter(|(name, _)| *name != absent);
    kept.map(|(name, more)| format!("[[secret]]\nname = '{name}'\n{more}")).collect::<Vec<_>>().concat()
}

/// What is looked for: every value of the story, whether it was fetched already or not.
pub(crate) fn scanner() -> Scanner {
    let [first, second] = [1, 2].map(|seed| (long(seed), bytes(seed)));
    let both = |name: &str, values: [&str; 2]| {
        [1, 2].map(|version| (format!("{name} {version}"), values[version - 1].as_bytes().to_vec()))
    };
    let mut all: Vec<(String, Vec<u8>)> = [
        both("text", TEXT),
        both("user", USER),
        both("password", PASSWORD),
        both("unwanted", UNWANTED),
        [("bytes 1".to_owned(), first.1), ("bytes 2".to_owned(), second.1)],
    ]
    .concat();
    for (version, long) in [first.0, second.0].iter().enumerate() {
        for (part, start) in [("begin", 0), ("middle", LONG_BYTES / 2), ("end", LONG_BYTES - 64)] {
            all.push((format!("long {} {part}", version + 1), long.as_bytes()[start..start + 64].to_vec()));
        }
    }
    let single = [("key", KEY), ("kept back", KEPT_BACK_KEY), ("revoked", REVOKED), ("removed", REMOVED)];
    all.extend(single.into_iter().chain([("steady", STEADY)]).map(|(name, value)| (name.to_owned(), value.into())));
    all.extend(BROKEN.into_iter().flat_map(|(name, values)| both(name, values)));
    Scanner::new(all.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

/// The values that are live after the first fetch.
pub(crate) fn live_at_first() -> BTreeSet<String> {
    let single = ["key", "revoked", "removed", "steady"].map(str::to_owned);
    [rotated(1), single.to_vec(), broken(1)].concat().into_iter().collect()
}

/// The values that a rotation replaces, in one of both versions.
pub(crate) fn rotated(version: usize) -> Vec<String> {
    let texts = ["text", "user", "password", "bytes"].map(|name| format!("{name} {version}"));
    let long = ["begin", "middle", "end"].map(|part| format!("long {version} {part}"));
    texts.into_iter().chain(long).collect()
}

/// The values whose second version is broken at first, in one of both versions.
pub(crate) fn broken(version: usize) -> Vec<String> {
    BROKEN.map(|(name, _)| format!("{name} {version}")).to_vec()
}
