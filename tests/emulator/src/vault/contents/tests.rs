//! The life of a secret, step by step.

use super::*;
use crate::vault::secret::Attributes;

const LIFECYCLE: Lifecycle = Lifecycle {
    retention_days: Some(7),
    purge_protection: false,
    delete_takes: Duration::from_secs(2),
    recover_takes: Duration::from_secs(3),
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn with_secret() -> Contents {
    let mut contents = Contents::default();
    contents.set("Db", Draft::plain("one"), at(0)).unwrap();
    contents
}

/// The status and the inner code that a result comes to.
fn outcome<T>(result: Result<T, Refusal>) -> (u16, String) {
    let Err(refusal) = result else {
        return (200, String::new());
    };
    let body: serde_json::Value = serde_json::from_slice(&refusal.body()).unwrap();
    let inner = body["error"]["innererror"]["code"].as_str().unwrap_or("").to_string();
    (refusal.status.as_u16(), inner)
}

#[test]
fn names_keep_their_case_and_are_found_in_any() {
    let contents = with_secret();
    let (secret, version) = contents.get("dB", None, at(0)).unwrap();
    assert_eq!((secret.name.as_str(), version.value.expose()), ("Db", "one"));
}

#[test]
fn setting_again_adds_a_version_and_keeps_the_old_one() {
    let mut contents = with_secret();
    let first = contents.secret("db", at(0)).unwrap().latest().id.clone();
    contents.set("db", Draft::plain("two"), at(1)).unwrap();
    assert_eq!(contents.get("db", None, at(1)).unwrap().1.value.expose(), "two");
    assert_eq!(contents.get("db", Some(&first), at(1)).unwrap().1.value.expose(), "one");
    let unknown = "0".repeat(32);
    let refusal = contents.get("db", Some(&unknown), at(1)).unwrap_err();
    assert!(refusal.message().contains(&format!("db/{unknown}")), "{}", refusal.message());
}

/// A second, with the status and inner code of getting the deleted secret, of setting the name, and of purging.
type Row = (i64, (u16, &'static str), (u16, &'static str), (u16, &'static str));

#[test]
fn a_deletion_passes_through_its_states() {
    let mut contents = with_secret();
    contents.delete("db", &LIFECYCLE, at(10)).unwrap();
    // Under way until second 12, recoverable until a week later, gone after.
    let week = 10 + 7 * SECONDS_PER_DAY;
    let rows: [Row; 4] = [
        (11, (404, ""), (409, "ObjectIsBeingDeleted"), (409, "ObjectIsBeingDeleted")),
        (12, (200, ""), (409, "ObjectIsDeletedButRecoverable"), (200, "")),
        (week - 1, (200, ""), (409, "ObjectIsDeletedButRecoverable"), (200, "")),
        (week, (404, ""), (200, ""), (404, "")),
    ];
    for (second, get_deleted, set, purge) in rows {
        let mut contents = contents.clone();
        contents.sweep(at(second));
        assert_eq!(outcome(contents.get("db", None, at(second))), (404, String::new()), "get at {second}");
        let seen = outcome(contents.get_deleted("db", at(second)));
        assert_eq!(seen, (get_deleted.0, get_deleted.1.into()), "get deleted at {second}");
        let written = outcome(contents.clone().set("db", Draft::plain("x"), at(second)).cloned());
        assert_eq!(written, (set.0, set.1.into()), "set at {second}");
        assert_eq!(outcome(contents.purge("db", at(second))), (purge.0, purge.1.into()), "purge at {second}");
    }
}

#[test]
fn a_recovery_hides_the_secret_until_it_is_complete() {
    let mut contents = with_secret();
    contents.delete("db", &LIFECYCLE, at(10)).unwrap();
    assert_eq!(outcome(contents.recover("db", &LIFECYCLE, at(11)).cloned()), (409, "ObjectIsBeingDeleted".into()));
    contents.recover("db", &LIFECYCLE, at(12)).unwrap();
    assert_eq!(outcome(contents.get("db", None, at(14))), (404, String::new()));
    assert_eq!(contents.visible(at(14)).count(), 0);
    let set = contents.clone().set("db", Draft::plain("x"), at(14)).cloned();
    assert_eq!(outcome(set), (409, "ObjectIsBeingRecovered".into()));
    assert_eq!(contents.get("db", None, at(15)).unwrap().1.value.expose(), "one");
    assert_eq!(outcome(contents.get_deleted("db", at(15))), (404, String::new()));
}

#[test]
fn without_soft_delete_a_deletion_is_final() {
    let mut contents = with_secret();
    let lifecycle = Lifecycle { retention_days: None, ..LIFECYCLE };
    assert!(matches!(contents.delete("db", &lifecycle, at(1)).unwrap(), Removal::Final(_)));
    contents.set("db", Draft::plain("again"), at(1)).unwrap();
    assert_eq!(lifecycle.recovery_level(), "Purgeable");
}

#[test]
fn the_recovery_level_follows_retention_and_purge_protection() {
    let rows = [
        (Some(90), false, "Recoverable+Purgeable"),
        (Some(90), true, "Recoverable"),
        (Some(7), false, "CustomizedRecoverable+Purgeable"),
        (Some(89), true, "CustomizedRecoverable"),
        (None, false, "Purgeable"),
    ];
    for (retention_days, purge_protection, expected) in rows {
        let lifecycle = Lifecycle { retention_days, purge_protection, ..LIFECYCLE };
        assert_eq!(lifecycle.recovery_level(), expected);
    }
}

#[test]
fn a_disabled_version_is_refused_and_its_neighbours_are_not() {
    let mut contents = with_secret();
    let first = contents.secret("db", at(0)).unwrap().latest().id.clone();
    contents.set("db", Draft::plain("two"), at(1)).unwrap();
    let attributes = Attributes { enabled: Some(false), ..Attributes::default() };
    contents.update("db", None, Change { attributes, ..Change::default() }, at(2)).unwrap();
    assert_eq!(outcome(contents.get("db", None, at(2))), (403, "SecretDisabled".into()));
    assert_eq!(outcome(contents.get("db", Some(&first), at(2))), (200, String::new()));
}

#[test]
fn a_certificates_secret_is_read_only() {
    let mut contents = Contents::default();
    let certificate_key = Some("https://kv.vault.azure.net/keys/cert/0".to_string());
    contents.set("cert", Draft { certificate_key, ..Draft::plain("pfx") }, at(0)).unwrap();
    let expected = (403, "SecretManagedByKeyVault".to_string());
    assert_eq!(outcome(contents.set("cert", Draft::plain("x"), at(1)).cloned()), expected);
    assert_eq!(outcome(contents.update("cert", None, Change::default(), at(1))), expected);
    assert_eq!(outcome(contents.delete("cert", &LIFECYCLE, at(1))), expected);
}

#[test]
fn a_restore_brings_back_every_version_unless_the_name_is_taken() {
    let mut contents = with_secret();
    let backup = contents.secret("db", at(0)).unwrap().clone();
    assert_eq!(outcome(contents.restore(backup.clone(), at(1)).cloned()), (409, String::new()));
    contents.delete("db", &LIFECYCLE, at(1)).unwrap();
    let refused = outcome(contents.restore(backup.clone(), at(5)).cloned());
    assert_eq!(refused, (409, "ObjectIsDeletedButRecoverable".into()));
    contents.purge("db", at(5)).unwrap();
    assert_eq!(contents.restore(backup.clone(), at(6)).unwrap(), &backup);
}
