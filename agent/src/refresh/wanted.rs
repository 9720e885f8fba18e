//! A secret to keep fresh: what is fetched for it, and what is made of that.

use std::sync::Arc;

use crate::encoding::Encoding;
use crate::env_file::Line;
use crate::memory::Arena;
use crate::secret::{Secret, SecretName, Version};
use crate::selection::Selection;
use crate::store::Fetched;
use crate::vault::{FetchError, Source};

/// One secret to keep fresh.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What readers call it.
    pub name: SecretName,
    /// What the vault calls it.
    pub vault_name: SecretName,
    /// The version to keep to, or none for the newest.
    pub version: Option<Version>,
    /// What of the vault's text readers get.
    pub selection: Selection,
    /// How that becomes the bytes that readers get.
    pub encoding: Encoding,
    /// Whether readiness does without it.
    pub optional: bool,
    /// The lines of files that a value has to fit.
    pub lines: Vec<Line>,
}

impl Wanted {
    /// A secret that the vault calls by the same name: its newest version, as it is, without which nothing is ready.
    #[must_use]
    pub fn named(name: SecretName) -> Self {
        Self {
            vault_name: name.clone(),
            name,
            version: None,
            selection: Selection::default(),
            encoding: Encoding::default(),
            optional: false,
            lines: Vec::new(),
        }
    }

    /// What is fetched for it; those of one source are fetched together and published together.
    pub(crate) fn source(&self) -> Source {
        let (name, version) = (self.vault_name.clone(), self.version.clone());
        Source { name, version, delivery: self.selection.delivery() }
    }

    /// The bytes that readers get, from what the vault gave.
    ///
    /// # Errors
    /// [`FetchError::Unusable`] where the part that is wanted is not there, or does not fit.
    pub(crate) fn make(&self, secret: Secret, arena: &Arena) -> Result<Secret, FetchError> {
        let part = self.selection.take_from(secret, arena)?;
        let made = self.encoding.decode(part, arena)?;
        let fits = self.lines.iter().try_for_each(|line| line.check(made.value.as_bytes()));
        fits.map(|()| made).map_err(|error| FetchError::Unusable(error.into()))
    }
}

/// The secret in whose name all are fetched that have the source of `name`: the first of them.
pub(super) fn leader(wanted: &[Wanted], name: SecretName) -> SecretName {
    let source = wanted.iter().find(|one| one.name == name).map(Wanted::source);
    let leader = wanted.iter().find(|one| Some(one.source()) == source);
    leader.map_or(name, |leader| leader.name.clone())
}

/// Makes all that have `source` of what the vault gave. They are of one version: where a required one cannot be made, none
/// of the others is new either, so that a user name never goes with the password of another.
pub(super) fn make_all(
    wanted: &[Wanted],
    source: &Source,
    whole: &Result<Secret, Arc<FetchError>>,
    arena: &Arena,
) -> Vec<Fetched> {
    let mut refusal = None;
    let mut fetched = Vec::new();
    for one in wanted.iter().filter(|one| one.source() == *source) {
        let result = whole.clone().and_then(|secret| one.make(secret, arena).map_err(Arc::new));
        refusal = refusal.or(result.as_ref().err().filter(|_| !one.optional).cloned());
        fetched.push(Fetched { name: one.name.clone(), result });
    }
    if let Some(refusal) = refusal {
        for made in fetched.iter_mut().filter(|made| made.result.is_ok()) {
            made.result = Err(Arc::clone(&refusal));
        }
    }
    fetched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::{Pulse, Refresh};
    use crate::store;
    use crate::testing::{FakeVault, TimerClock, name, secret};

    fn field(local: &str, vault_name: &str, pointer: &str) -> Wanted {
        let selection = Selection::Field(pointer.parse().expect("a pointer"));
        Wanted { vault_name: name(vault_name), selection, ..Wanted::named(name(local)) }
    }

    #[test]
    fn those_of_one_source_have_one_leader() {
        let pem = Wanted { selection: Selection::Pem(crate::selection::Part::All), ..field("pem", "db", "") };
        let wanted =
            [field("user", "db", "/user"), field("other", "x", "/a"), field("password", "db", "/password"), pem];
        let leaders = ["user", "other", "password", "pem", "unknown"].map(|local| leader(&wanted, name(local)));
        assert_eq!(leaders, ["user", "other", "user", "pem", "unknown"].map(name));
    }

    #[tokio::test(start_paused = true)]
    async fn fields_of_one_secret_are_fetched_once_and_change_together() {
        let vault = FakeVault::default();
        let wanted = vec![field("user", "db", "/user"), field("token", "x", ""), field("password", "db", "/password")];
        let (publisher, reader) = store::channel(wanted.iter().map(|one| (one.name.clone(), one.optional)));
        let (arena, clock) = (Arena::unlocked(), Arc::new(TimerClock::start()));
        let refresh = Refresh { vault: vault.clone(), wanted, publisher, arena, clock, pulse: Pulse::default() };
        let seen = || {
            let snapshot = reader.snapshot();
            let values = ["user", "password"].map(|local| {
                let found = snapshot.slots[&name(local)].published.as_ref().expect("a value");
                String::from_utf8(found.secret.value.as_bytes().to_vec()).expect("text")
            });
            (snapshot.generation, values)
        };
        vault.set("x", 'a', b"1");
        vault.set("db", 'a', br#"{"user":"app","password":"one"}"#);
        refresh.once().await;
        assert_eq!(seen(), (1, ["app", "one"].map(str::to_owned)));
        assert_eq!(vault.asked(), 2, "one request for each source");
        vault.set("db", 'b', br#"{"user":"ops","password":"two"}"#);
        refresh.once().await;
        assert_eq!(seen(), (2, ["ops", "two"].map(str::to_owned)));
        vault.set("db", 'c', br#"{"user":"new"}"#);
        refresh.once().await;
        assert_eq!(seen(), (2, ["ops", "two"].map(str::to_owned)), "without its password the new user is none");
        for local in ["user", "password"] {
            let failure = reader.snapshot().slots[&name(local)].failure.clone().expect("noted");
            assert!(failure.message.contains("field '/password' is not there"), "{failure:?}");
        }
    }

    #[test]
    fn a_value_that_a_file_of_variables_cannot_hold_is_refused() {
        let line = Line { variable: "PORT".parse().expect("a name"), format: crate::env_file::Format::Docker };
        let wanted = [Wanted { lines: vec![line], ..field("port", "db", "/port") }];
        for (value, fits) in [(&br#"{"port":"1"}"#[..], true), (br#"{"port":"1\n2"}"#, false)] {
            let made = make_all(&wanted, &wanted[0].source(), &Ok(secret('a', value)), &Arena::unlocked());
            assert_eq!(made[0].result.is_ok(), fits);
        }
    }

    #[test]
    fn an_optional_field_holds_up_no_other() {
        let optional = Wanted { optional: true, ..field("port", "db", "/port") };
        let wanted = [field("user", "db", "/user"), optional, field("x", "x", "")];
        let whole = Ok(secret('a', br#"{"user":"app"}"#));
        let made = make_all(&wanted, &wanted[0].source(), &whole, &Arena::unlocked());
        let seen: Vec<_> = made.iter().map(|made| (made.name.as_str(), made.result.is_ok())).collect();
        assert_eq!(seen, [("user", true), ("port", false)]);
    }
}
