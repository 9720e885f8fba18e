//! How rotations are noticed, and at what cost.

use super::*;
use crate::testing::vault::{denied, unavailable};

/// Counts what a stretch of time costs: fetches and pages of lists.
async fn cost(vault: &FakeVault, seconds: u64) -> (usize, usize) {
    let (asked, pages) = (vault.asked(), vault.pages());
    pass(seconds).await;
    (vault.asked() - asked, vault.pages() - pages)
}

#[tokio::test(start_paused = true)]
async fn a_new_version_is_noticed_within_an_interval() {
    let vault = two_secrets(Otherwise::NotFound);
    let mut running = Setup::of(&vault).start();
    pass(300).await;
    assert!(running.reader.changed().await);
    vault.rotate("vault-db", 'c', b"three");
    let start = running.clock.uptime();
    assert!(running.reader.changed().await);
    let took = running.clock.uptime().saturating_sub(start);
    assert!(took <= INTERVAL, "{took:?}");
    assert_eq!(running.value("db").as_deref(), Some("three"));
}

#[tokio::test(start_paused = true)]
async fn a_list_costs_its_pages_and_what_changed() {
    let setup = Setup::many(20);
    let vault = setup.vaults[0].clone();
    vault.fill(10);
    let running = setup.start();
    // The first look fetches everything, and half an interval later the lists begin.
    assert_eq!(cost(&vault, 1).await, (20, 0));
    assert_eq!(cost(&vault, 60).await, (0, 2), "30 secrets are two pages");
    vault.rotate("vault-s3", 'b', b"two");
    assert_eq!(cost(&vault, 120).await, (1, 2), "and what changed is fetched");
    assert_eq!(running.value("s3").as_deref(), Some("two"));
    assert_eq!(cost(&vault, 120).await, (1, 2), "once more, for another change in the same second");
    assert_eq!(cost(&vault, 120).await, (0, 2));
    assert!(running.states().iter().all(|state| *state == State::Fresh));
    assert!(running.age("s7") <= INTERVAL, "a list confirms: {:?}", running.age("s7"));
}

#[tokio::test(start_paused = true)]
async fn two_changes_within_one_second_are_both_noticed() {
    let vault = two_secrets(Otherwise::NotFound);
    let running = Setup::of(&vault).start();
    // The list at the end of the first minute finds the one, and the other comes after its fetch.
    pass(59).await;
    vault.rotate("vault-db", 'c', b"three");
    pass(1).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(running.value("db").as_deref(), Some("three"));
    vault.rotate_at("vault-db", 'd', b"four", 59);
    pass(120).await;
    assert_eq!(running.value("db").as_deref(), Some("four"));
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_dearer_to_list_is_not_listed_beyond_that() {
    let vault = two_secrets(Otherwise::NotFound);
    vault.fill(1_000);
    let running = Setup::of(&vault).start();
    pass(1).await;
    assert_eq!(cost(&vault, 60).await, (2, 1), "one page says enough");
    assert_eq!(cost(&vault, 1_200).await, (20, 0));
    vault.rotate("vault-db", 'c', b"three");
    assert_eq!(cost(&vault, 120).await, (2, 0));
    assert_eq!(running.value("db").as_deref(), Some("three"));
    vault.fill(0);
    assert!(cost(&vault, 3_600).await.1 > 1, "it may have grown smaller");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_list_fetches_and_tries_again_after_an_hour() {
    let setup = Setup::many(20);
    let vault = setup.vaults[0].clone();
    vault.fail_lists(Some(denied));
    let running = setup.start();
    pass(1).await;
    assert_eq!(cost(&vault, 60).await, (20, 1));
    assert_eq!(cost(&vault, 3_000).await, (500, 0));
    assert!(running.states().iter().all(|state| *state == State::Fresh), "a denied list says nothing about secrets");
    vault.fail_lists(None);
    assert!(cost(&vault, 600).await.1 > 0, "the right to list is noticed");
}

#[tokio::test(start_paused = true)]
async fn a_single_secret_is_never_listed() {
    let setup = Setup::many(1);
    let vault = setup.vaults[0].clone();
    let _running = setup.start();
    pass(1).await;
    assert_eq!(cost(&vault, 1_200).await, (10, 0));
}

#[tokio::test(start_paused = true)]
async fn every_secret_is_fetched_within_the_full_refresh_though_lists_confirm_it() {
    let setup = Setup { dice: fastrand::f64, ..Setup::many(20) };
    fastrand::seed(7);
    let vault = setup.vaults[0].clone();
    let running = setup.start();
    pass(1).await;
    // A change that no list shows.
    vault.rotate_at("vault-s5", 'b', b"two", LONG_AGO);
    let mut most = 0;
    for _ in 0..30 {
        most = most.max(cost(&vault, 120).await.0);
    }
    assert_eq!(running.value("s5").as_deref(), Some("two"));
    for number in 0..20 {
        assert!(vault.asked_for(&format!("vault-s{number}")) >= 2, "s{number}");
    }
    assert!(most <= 8, "{most} of 20 fetches in one interval: they do not come together");
}

#[tokio::test(start_paused = true)]
async fn a_pinned_version_is_fetched_in_every_round_as_no_list_shows_it() {
    let setup = Setup::many(20);
    let vault = setup.vaults[0].clone();
    let version = Some("a".repeat(32).parse().expect("a version"));
    let mut wanted = setup.wanted.clone();
    wanted[4].version = version;
    let _running = Setup { wanted, ..setup }.start();
    pass(1).await;
    assert_eq!(cost(&vault, 1_200).await, (10, 10));
    assert_eq!(vault.asked_for("vault-s4"), 11, "the others are listed");
}

#[tokio::test(start_paused = true)]
async fn a_secret_near_its_expiry_is_looked_at_sooner() {
    let vault = FakeVault::default();
    vault.expire("vault-db", 'a', b"one", 3_600);
    let pace = Pace { interval: Duration::from_hours(12), full_refresh: Duration::from_hours(24) };
    let settings = Settings { pace, ..SETTINGS };
    let running = Setup { wanted: vec![wanted("db")], settings, ..Setup::of(&vault) }.start();
    pass(1).await;
    vault.rotate("vault-db", 'b', b"two");
    pass(450).await;
    assert_eq!(running.value("db").as_deref(), Some("two"), "an eighth of what is left is waited");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_by_a_day_causes_no_storm_no_stop_and_no_wipe() {
    let setup = Setup::many(20);
    let vault = setup.vaults[0].clone();
    let pace = Pace { full_refresh: Duration::from_hours(24), ..SETTINGS.pace };
    let running = Setup { settings: Settings { pace, ..SETTINGS }, ..setup }.start();
    pass(301).await;
    let usual = cost(&vault, 1_200).await;
    for day in [86_400, -2 * 86_400, 86_400] {
        running.clock.set(day);
        assert_eq!(cost(&vault, 1_200).await, usual, "after {day} s");
        assert!(running.states().iter().all(|state| *state == State::Fresh));
        assert!(running.age("s1") <= INTERVAL);
        vault.rotate("vault-s1", if day > 0 { 'b' } else { 'c' }, b"two");
        pass(240).await;
        assert_eq!(running.value("s1").as_deref(), Some("two"));
        vault.rotate("vault-s1", 'a', b"one");
        pass(480).await;
        assert_eq!(running.value("s1").as_deref(), Some("one"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_after_a_suspension_is_done_within_seconds() {
    let setup = Setup::many(20);
    let vault = setup.vaults[0].clone();
    let pace = Pace { interval: Duration::from_hours(6), full_refresh: Duration::from_hours(24) };
    let settings = Settings { pace, max_stale: Some(Duration::from_hours(12)), ..SETTINGS };
    let running = Setup { settings, ..setup }.start();
    pass(5 * 3_600).await;
    vault.rotate("vault-s1", 'b', b"two");
    running.clock.suspend(10 * 3_600);
    pass(30).await;
    assert_eq!(running.value("s1").as_deref(), Some("two"));
    running.clock.suspend(13 * 3_600);
    vault.fail(Some(unavailable));
    pass(30).await;
    assert!(running.states().iter().all(|state| *state == State::TooStale), "{:?}", running.states());
}

#[tokio::test(start_paused = true)]
async fn a_demand_for_all_tells_of_a_change_also_where_one_of_them_stays_as_it_was() {
    let running = Setup::of(&two_secrets(Otherwise::NotFound)).start();
    pass(1).await;
    running.vault.rotate("vault-db", 'c', b"three");
    running.vault.rotate("vault-token", 'd', b"four");
    running.vault.fail_one("vault-db", Some(unavailable));
    let publication = running.demands.look(None).await.expect("the loop answers");
    assert_eq!(publication, Publication::Applied(2), "of the other one");
    assert_eq!((running.value("db").as_deref(), running.value("token").as_deref()), (Some("one"), Some("four")));
    assert_eq!(running.slot("db").failure.map(|failure| failure.code), Some("unavailable"), "whoever asked is told");
}
