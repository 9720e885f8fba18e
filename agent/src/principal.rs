//! Who may read a secret: a user or a group, written by name or by number and kept by number.

use std::fmt;

use nix::unistd::{Group, User};
use thiserror::Error;

/// A user or a group of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// Everyone who runs under this user id.
    User(u32),
    /// Everyone whose group, or one of whose supplementary groups, has this id.
    Group(u32),
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(formatter, "uid:{id}"),
            Self::Group(id) => write!(formatter, "gid:{id}"),
        }
    }
}

/// Says why a text names no [`Principal`].
#[derive(Debug, Error)]
pub enum UnknownPrincipal {
    /// The text has none of the four forms.
    #[error("'{0}' names no user or group: write user:NAME, group:NAME, uid:NUMBER or gid:NUMBER")]
    Form(String),
    /// No user or group of that name exists.
    #[error("there is no {kind} '{name}' on this machine: create it, or name it by number as {by_number}")]
    Missing {
        /// `user` or `group`.
        kind: &'static str,
        /// The name that was looked for.
        name: String,
        /// The prefix that takes a number instead.
        by_number: &'static str,
    },
}

/// The machine's users and groups, as an argument so that rules are tested without them.
pub trait Accounts {
    /// The id of the user of this name.
    fn user(&self, name: &str) -> Option<u32>;
    /// The id of the group of this name.
    fn group(&self, name: &str) -> Option<u32>;
}

/// The accounts that the C library finds, in `/etc/passwd` and `/etc/group` at least.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, name: &str) -> Option<u32> {
        User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
    }

    fn group(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw())
    }
}

impl Principal {
    /// Reads `user:NAME`, `group:NAME`, `uid:NUMBER` or `gid:NUMBER`.
    ///
    /// # Errors
    /// [`UnknownPrincipal::Form`] for any other text, [`UnknownPrincipal::Missing`] for a name that no account has.
    pub fn parse(text: &str, accounts: &dyn Accounts) -> Result<Self, UnknownPrincipal> {
        let form = || UnknownPrincipal::Form(text.to_owned());
        let missing =
            |kind, name: &str, by_number| UnknownPrincipal::Missing { kind, name: name.to_owned(), by_number };
        // Digits alone: the parser would take a plus sign, too.
        let number =
            |name: &str| Some(name).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok();
        let (kind, name) = text.split_once(':').ok_or_else(form)?;
        match kind {
            "uid" => number(name).map(Self::User).ok_or_else(form),
            "gid" => number(name).map(Self::Group).ok_or_else(form),
            "user" => accounts.user(name).map(Self::User).ok_or_else(|| missing("user", name, "uid:NUMBER")),
            "group" => accounts.group(name).map(Self::Group).ok_or_else(|| missing("group", name, "gid:NUMBER")),
            _ => Err(form()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneOfEach;

    impl Accounts for OneOfEach {
        fn user(&self, name: &str) -> Option<u32> {
            (name == "trainer").then_some(1001)
        }

        fn group(&self, name: &str) -> Option<u32> {
            (name == "ml").then_some(2001)
        }
    }

    #[test]
    fn principals_are_read_by_name_and_by_number() {
        let rows = [
            ("user:trainer", Some(Principal::User(1001))),
            ("group:ml", Some(Principal::Group(2001))),
            ("uid:0", Some(Principal::User(0))),
            ("gid:65534", Some(Principal::Group(65534))),
            ("user:nobody-here", None),
            ("group:trainer", None),
            ("uid:-1", None),
            ("gid:+1", None),
            ("uid:", None),
            ("uid:4294967296", None),
            ("trainer", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Principal::parse(text, &OneOfEach).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_missing_group_is_named_with_its_remedy() {
        let error = Principal::parse("group:gpu", &OneOfEach).expect_err("no such group");
        assert_eq!(
            error.to_string(),
            "there is no group 'gpu' on this machine: create it, or name it by number as gid:NUMBER"
        );
    }
}
