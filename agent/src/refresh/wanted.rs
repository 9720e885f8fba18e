//! A secret to keep fresh: what is fetched for it, and what is made of that.

use crate::encoding::Encoding;
use crate::env_file::{Line, Unwritable};
use crate::memory::Arena;
use crate::secret::{Secret, SecretName, Version};
use crate::selection::Selection;
use crate::store::{Fetched, Origin, Outcome, Setback};
use crate::vault::{FetchError, Source};

/// One secret to keep fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        self.check_lines(made.value.as_bytes()).map(|()| made).map_err(|error| FetchError::Unusable(error.into()))
    }

    /// Whether a value fits the lines that it is to be in.
    ///
    /// # Errors
    /// What the first line that it does not fit has against it.
    pub(crate) fn check_lines(&self, value: &[u8]) -> Result<(), Unwritable> {
        self.lines.iter().try_for_each(|line| line.check(value))
    }

    /// Whether the same value is made of the same thing, whatever it is called and wherever it goes.
    pub(super) fn is_made_like(&self, other: &Self) -> bool {
        self.source() == other.source() && self.selection == other.selection && self.encoding == other.encoding
    }
}

/// Makes all that are made of one secret of the vault. They are of one version: where a required one cannot be made, none
/// of the others is new either, so that a user name never goes with the password of another.
pub(super) fn make_all<'a>(
    wanted: impl Iterator<Item = &'a Wanted>,
    whole: &Secret,
    origin: &Origin,
    arena: &Arena,
) -> Vec<Fetched> {
    let mut refusal = None;
    let mut fetched = Vec::new();
    for one in wanted {
        let outcome = match one.make(whole.clone(), arena) {
            Ok(secret) => Outcome::Given(secret, origin.clone()),
            Err(error) => {
                let setback = Setback::from(&error);
                refusal = refusal.or_else(|| (!one.optional).then(|| setback.clone()));
                Outcome::Failed(setback)
            }
        };
        fetched.push(Fetched { name: one.name.clone(), outcome });
    }
    if let Some(refusal) = refusal {
        for made in fetched.iter_mut().filter(|made| matches!(made.outcome, Outcome::Given(..))) {
            made.outcome = Outcome::Failed(refusal.clone());
        }
    }
    fetched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{name, origin, secret};

    fn field(local: &str, vault_name: &str, pointer: &str) -> Wanted {
        let selection = Selection::Field(pointer.parse().expect("a pointer"));
        Wanted { vault_name: name(vault_name), selection, ..Wanted::named(name(local)) }
    }

    fn made(wanted: &[Wanted], value: &[u8]) -> Vec<(String, bool)> {
        let made = make_all(wanted.iter(), &secret('a', value), &origin(), &Arena::unlocked());
        made.iter().map(|made| (made.name.to_string(), matches!(made.outcome, Outcome::Given(..)))).collect()
    }

    #[test]
    fn a_value_that_a_file_of_variables_cannot_hold_is_refused() {
        let line = Line { variable: "PORT".parse().expect("a name"), format: crate::env_file::Format::Docker };
        let wanted = [Wanted { lines: vec![line], ..field("port", "db", "/port") }];
        for (value, fits) in [(&br#"{"port":"1"}"#[..], true), (br#"{"port":"1\n2"}"#, false)] {
            assert_eq!(made(&wanted, value), [("port".to_owned(), fits)]);
        }
    }

    #[test]
    fn a_required_field_that_is_missing_holds_up_the_others_and_an_optional_one_does_not() {
        for (optional, expected) in [(true, true), (false, false)] {
            let port = Wanted { optional, ..field("port", "db", "/port") };
            let made = made(&[field("user", "db", "/user"), port], br#"{"user":"app"}"#);
            assert_eq!(made, [("user".to_owned(), expected), ("port".to_owned(), false)]);
        }
    }
}
