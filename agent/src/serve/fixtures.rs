//! Secrets, stores and callers for the tests of the server.

use jiff::Timestamp;

use crate::memory::Arena;
use crate::secret::{Metadata, Secret, SecretName, SecretValue};
use crate::store::{Publication, Publisher};
use crate::vault::FetchError;

/// The moment at which everything in these tests is fetched: 2026-01-01T00:00:00Z.
pub(crate) fn new_year() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("in range")
}

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

/// A secret whose version is 32 times the `digit`.
pub(crate) fn secret(digit: char, value: &[u8]) -> Secret {
    let version = digit.to_string().repeat(32).parse().expect("a version");
    let metadata = Metadata { version, content_type: None, created: None, updated: None, expires: None };
    Secret { metadata, value: SecretValue::new(Arena::unlocked().store(value).expect("memory")) }
}

pub(crate) fn publish(publisher: &Publisher, local: &str, outcome: Result<Secret, FetchError>) -> Publication {
    publisher.apply(vec![(name(local), outcome)], new_year())
}
