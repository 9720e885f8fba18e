//! What publications do to slots, readers and readiness.

use super::*;
use crate::memory::Arena;
use crate::secret::{Metadata, Secret, SecretValue};
use crate::testing::{moment, name, new_year, origin, outcome, secret};
use crate::vault::FetchError;

fn apply(publisher: &Publisher, local: &str, result: Result<Secret, FetchError>, second: u64) -> Publication {
    take(publisher, local, outcome(result), second)
}

fn take(publisher: &Publisher, local: &str, outcome: Outcome, second: u64) -> Publication {
    publisher.apply(vec![Fetched { name: name(local), outcome }], moment(second))
}

fn slot(reader: &Reader, local: &str) -> Slot {
    reader.snapshot().slots[&name(local)].clone()
}

fn revoked(error: &FetchError) -> Outcome {
    Outcome::Revoked(Setback::from(error))
}

#[test]
fn a_first_value_makes_generation_one_and_the_same_again_none() {
    let (publisher, reader) = channel([(name("db"), false)]);
    assert!(!reader.snapshot().is_ready());
    let publication = apply(&publisher, "db", Ok(secret('a', b"one")), 10);
    assert_eq!(publication, Publication::Applied(1));
    assert!(reader.snapshot().is_ready());
    let publication = apply(&publisher, "db", Ok(secret('a', b"one")), 20);
    assert_eq!(publication, Publication::Unchanged);
    let slot = reader.snapshot().slots[&name("db")].clone();
    assert_eq!(slot.published.expect("kept").fetched, moment(20), "the age starts again");
}

#[test]
fn a_failed_look_keeps_the_last_good_value_and_remembers_since_when() {
    let (publisher, reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 10);
    let _ = apply(&publisher, "db", Err(FetchError::NotFound), 20);
    let _ = apply(&publisher, "db", Err(FetchError::Disabled), 30);
    let slot = reader.snapshot().slots[&name("db")].clone();
    assert_eq!(slot.published.expect("kept").secret.value.as_bytes(), b"one");
    let failure = slot.failure.expect("noted");
    assert_eq!((failure.code, failure.since), ("disabled", moment(20).wall));
    let _ = apply(&publisher, "db", Ok(secret('b', b"two")), 40);
    assert_eq!(reader.snapshot().slots[&name("db")].failure, None);
}

#[test]
fn readiness_waits_for_required_secrets_only() {
    let (publisher, reader) = channel([(name("db"), false), (name("extra"), true)]);
    let _ = apply(&publisher, "extra", Ok(secret('a', b"x")), 1);
    assert_eq!(reader.snapshot().awaited().collect::<Vec<_>>(), [&name("db")]);
    let _ = apply(&publisher, "db", Ok(secret('a', b"x")), 2);
    assert!(reader.snapshot().is_ready());
}

#[tokio::test]
async fn readiness_is_held_back_and_its_release_wakes_readers() {
    let (publisher, mut reader) = channel([(name("db"), false)]);
    let mut hold = publisher.hold_readiness();
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 1);
    assert!(reader.changed().await);
    assert!(reader.snapshot().is_complete() && !reader.snapshot().is_ready());
    hold.release();
    assert!(reader.changed().await);
    assert!(reader.snapshot().is_ready());
    hold.resume();
    assert!(reader.changed().await);
    hold.resume();
    let none = tokio::time::timeout(Duration::ZERO, reader.changed()).await;
    assert!(none.is_err() && !reader.snapshot().is_ready(), "held already");
    drop(hold);
    assert!(reader.snapshot().is_ready());
    assert_eq!(reader.snapshot().generation, 1, "nothing new to read");
}

#[test]
fn a_superseded_value_is_wiped_when_its_last_reader_is_done() {
    let arena = Arena::unlocked();
    let held = |digit: char, value: &str| {
        let locked = arena.store(value.as_bytes()).expect("memory");
        Secret { value: SecretValue::new(locked), ..secret(digit, b"") }
    };
    let (publisher, reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Ok(held('a', "one")), 1);
    let in_flight = reader.snapshot().slots[&name("db")].published.as_ref().expect("one").secret.value.to_buffer();
    let _ = apply(&publisher, "db", Ok(held('b', "two")), 2);
    assert_eq!(&in_flight[..], b"one");
    assert_eq!(arena.used_bytes(), 128, "both are still held");
    drop(in_flight);
    assert_eq!(arena.used_bytes(), 64, "only the new one is left");
}

#[tokio::test]
async fn readers_are_woken_by_changes_and_not_by_looks_without_one() {
    let (publisher, mut reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 1);
    assert!(reader.changed().await);
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 2);
    let none = tokio::time::timeout(Duration::ZERO, reader.changed()).await;
    assert!(none.is_err(), "nothing new to see");
    drop(publisher);
    assert!(!reader.changed().await);
}

#[tokio::test]
async fn what_is_revoked_is_wiped_and_readers_are_woken_until_it_comes_back() {
    let arena = Arena::unlocked();
    let value = SecretValue::new(arena.store(b"one").expect("memory"));
    let (publisher, mut reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Ok(Secret { value, ..secret('a', b"") }), 1);
    assert!(reader.changed().await && reader.snapshot().is_ready());

    let publication = take(&publisher, "db", revoked(&FetchError::Disabled), 20);
    assert_eq!(publication, Publication::Applied(2));
    assert!(reader.changed().await, "readers hear of it");
    assert_eq!(arena.used_bytes(), 0, "wiped");
    assert_eq!(slot(&reader, "db").state(), State::Revoked);
    assert!(!reader.snapshot().is_ready(), "a required secret is gone");

    let outage = FetchError::Throttled { retry_after: None };
    assert_eq!(apply(&publisher, "db", Err(outage), 30), Publication::Unchanged);
    assert_eq!(take(&publisher, "db", revoked(&FetchError::NotFound), 40), Publication::Unchanged, "once is enough");
    let withdrawn = slot(&reader, "db").withdrawn.expect("still");
    assert_eq!(withdrawn, Withdrawn { why: Why::Revoked("disabled"), since: moment(20).wall });

    assert_eq!(apply(&publisher, "db", Ok(secret('a', b"one")), 50), Publication::Applied(3));
    assert_eq!(slot(&reader, "db").state(), State::Fresh);
    assert!(reader.snapshot().is_ready());
}

#[test]
fn what_no_vault_confirms_for_too_long_is_wiped_by_the_time_that_passed() {
    const DAY: Duration = Duration::from_hours(24);
    let (publisher, reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 0);
    assert_eq!(publisher.ages_at(DAY), Some(DAY / 2), "half of it is worth a warning");
    assert_eq!(publisher.withdraw_old(DAY, moment(43_200)), Publication::Unchanged);
    assert_eq!(publisher.ages_at(DAY), Some(DAY), "and it has been given");
    // The time of day is set forward by a day, and back by one.
    for wall in [moment(200_000).wall, new_year()] {
        let now = Moment { wall, ..moment(80_000) };
        assert_eq!(publisher.withdraw_old(DAY, now), Publication::Unchanged);
    }
    assert_eq!(publisher.withdraw_old(DAY, moment(86_400)), Publication::Applied(2));
    assert_eq!(slot(&reader, "db").state(), State::TooStale);
    assert_eq!(publisher.ages_at(DAY), None);
    let _ = take(&publisher, "db", Outcome::Confirmed, 86_500);
    assert!(slot(&reader, "db").published.is_none(), "a list has no value to give");
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 86_600);
    assert_eq!(slot(&reader, "db").state(), State::Fresh);
}

#[test]
fn a_confirmation_starts_the_age_again_and_ends_a_failure() {
    let (publisher, reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Ok(secret('a', b"one")), 0);
    let _ = take(&publisher, "db", Outcome::HeldBack, 10);
    let failure = slot(&reader, "db").failure.expect("noted");
    assert_eq!((failure.code, slot(&reader, "db").state()), ("unavailable", State::Stale));
    assert_eq!(take(&publisher, "db", Outcome::Confirmed, 20), Publication::Unchanged);
    assert_eq!(slot(&reader, "db").state(), State::Fresh);
    assert_eq!(slot(&reader, "db").published.expect("kept").age(moment(25)), Duration::from_secs(5));
}

#[test]
fn what_is_held_back_hides_no_reason() {
    let (publisher, reader) = channel([(name("db"), false)]);
    let _ = apply(&publisher, "db", Err(FetchError::Throttled { retry_after: None }), 0);
    let _ = take(&publisher, "db", Outcome::HeldBack, 10);
    assert_eq!(slot(&reader, "db").failure.expect("noted").code, "throttled");
}

#[test]
fn a_fallback_gives_what_the_first_vault_cannot_and_never_an_older_version() {
    let (publisher, reader) = channel([(name("db"), false)]);
    let dated = |digit, second| {
        let secret = secret(digit, b"one");
        Secret { metadata: Metadata { updated: Some(moment(second).wall), ..secret.metadata }, ..secret }
    };
    let fallback = || Origin { vault: "https://other.vault.azure.net".into(), is_fallback: true };
    let shown = || slot(&reader, "db").published.map(|published| (published.origin, published.secret.metadata.version));
    let version = |digit: char| digit.to_string().repeat(32).parse().expect("a version");

    let _ = take(&publisher, "db", Outcome::Given(dated('a', 100), origin()), 200);
    assert_eq!(take(&publisher, "db", Outcome::Given(dated('b', 99), fallback()), 210), Publication::Unchanged);
    assert_eq!(shown(), Some((origin(), version('a'))));
    assert!(slot(&reader, "db").failure.expect("noted").message.contains("older version"));
    let _ = take(&publisher, "db", Outcome::Given(dated('c', 100), fallback()), 220);
    assert_eq!(shown(), Some((fallback(), version('c'))));
    assert_eq!(slot(&reader, "db").state(), State::Fresh);
    let _ = take(&publisher, "db", Outcome::Given(dated('a', 100), origin()), 230);
    assert_eq!(shown(), Some((origin(), version('a'))), "the first vault is always right");
}
