//! A text that is taken as a name, a path or an address stays in its place: in one segment of a URL, below one directory, at
//! one vault.

use std::path::{Component, Path};

use crate::azure::cloud::VaultUrl;
use crate::config::flags::FileFlag;
use crate::files::RelativePath;
use crate::secret::{SecretName, Version};

const DIRECTORY: &str = "/run/keyside/secrets";

/// Two lines, each taken as everything that it can be.
pub(super) fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    for text in [first, second] {
        name(text);
        version(text);
        path(text);
        vault_url(text);
        flag(text);
    }
    if let (Ok(one), Ok(other)) = (first.parse::<RelativePath>(), second.parse::<RelativePath>()) {
        let (one_place, other_place) = (Path::new(one.as_str()), Path::new(other.as_str()));
        let clash = one_place.starts_with(other_place) || other_place.starts_with(one_place);
        assert_eq!(one.clashes_with(&other), clash, "{one:?} {other:?}");
        assert_eq!(other.clashes_with(&one), clash, "{one:?} {other:?}");
    }
}

/// Whether Key Vault takes it as a secret's name, by the letter of its rule.
pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |letter: char| matches!(letter, '0'..='9' | 'a'..='z' | 'A'..='Z' | '-');
    (1..=127).contains(&text.chars().count()) && text.chars().all(is_allowed)
}

fn name(text: &str) {
    let parsed = text.parse::<SecretName>();
    assert_eq!(parsed.is_ok(), is_name(text), "{text:?}");
    if let Ok(name) = parsed {
        assert!(name.as_str().parse::<RelativePath>().is_ok(), "every name is a file's name: {name:?}");
        assert_eq!(name.folded().folded(), name.folded());
    }
}

fn version(text: &str) {
    let is_version = text.len() == 32 && text.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f'));
    assert_eq!(text.parse::<Version>().is_ok(), is_version, "{text:?}");
}

fn path(text: &str) {
    match text.parse::<RelativePath>() {
        Ok(path) => {
            let place = Path::new(DIRECTORY).join(path.as_str());
            let below: Vec<_> = place.strip_prefix(DIRECTORY).expect("it stays below").components().collect();
            assert!(!below.is_empty(), "{path:?} is the directory itself");
            for component in &below {
                let Component::Normal(name) = component else { panic!("{path:?} leads elsewhere") };
                let name = name.to_str().expect("it was text");
                assert!(!name.starts_with("..") && !name.contains(char::is_control), "{path:?}");
            }
            assert!(path.components().eq(below.iter().filter_map(|component| component.as_os_str().to_str())));
            assert_eq!(path.folders().count() + 1, below.len());
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

fn vault_url(text: &str) {
    match text.parse::<VaultUrl>() {
        Ok(url) => {
            let suffixes = [".vault.azure.net", ".vault.usgovcloudapi.net", ".vault.azure.cn"];
            let host = url.to_string().strip_prefix("https://").expect("nothing goes out unencrypted").to_owned();
            let name =
                suffixes.iter().find_map(|suffix| host.strip_suffix(suffix)).expect("one of Microsoft's domains");
            let is_host = |letter: char| matches!(letter, '0'..='9' | 'a'..='z' | '-');
            assert!((3..=24).contains(&name.len()) && name.chars().all(is_host), "{text:?}");
            assert_eq!(url.to_string().parse(), Ok(url), "{text:?}");
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
    }
}

fn flag(text: &str) {
    if let Ok(flag) = text.parse::<FileFlag>() {
        assert_eq!(format!("{}={}", flag.path, flag.secret), text, "nothing of a flag is lost");
    }
}
