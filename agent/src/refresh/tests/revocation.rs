//! When a secret counts as taken away, and when it does not.

use super::*;
use crate::testing::vault::{denied, throttled, unavailable};
use crate::vault::FetchError;

fn disabled() -> FetchError {
    FetchError::Disabled
}

/// `db` and `token`, both published.
async fn published() -> Running {
    let running = Setup::of(&two_secrets(Otherwise::NotFound)).start();
    pass(1).await;
    assert_eq!(running.states(), [State::Fresh, State::Fresh]);
    running
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_revoked_by_the_second_answer_and_comes_back_by_itself() {
    for fault in [disabled, || FetchError::NotFound] {
        let running = published().await;
        running.vault.fail_one("vault-db", Some(fault));
        running.demands.look(Some(name("db"))).await.expect("the loop answers");
        assert_eq!(running.states()[0], State::Stale, "one answer is none");
        running.demands.look(Some(name("db"))).await.expect("the loop answers");
        assert_eq!(running.states()[0], State::Stale, "nor are two at nearly the same time");
        pass(11).await;
        assert_eq!(running.states(), [State::Revoked, State::Fresh], "looked at again soon");
        assert_eq!(running.value("db"), None);
        assert!(!running.reader.snapshot().is_ready());
        running.vault.fail_one("vault-db", None);
        pass(132).await;
        assert_eq!(running.states(), [State::Fresh, State::Fresh]);
        assert_eq!(running.value("db").as_deref(), Some("one"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_shows_a_secret_no_more_leads_to_a_fetch_and_only_that_decides() {
    let running = published().await;
    pass(100).await;
    running.vault.hide_from_lists("vault-db");
    pass(600).await;
    assert_eq!(running.states(), [State::Fresh, State::Fresh], "the vault still gives it");
    running.vault.remove("vault-db");
    pass(INTERVAL.as_secs() + 10).await;
    assert_eq!(running.states(), [State::Revoked, State::Fresh]);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_is_deleted_and_made_again_within_ten_minutes_costs_nobody_a_secret() {
    let running = published().await;
    running.vault.fail(Some(denied));
    for _ in 0..600 {
        pass(1).await;
        assert_eq!(running.value("db").as_deref(), Some("one"));
        assert!(running.reader.snapshot().is_ready());
    }
    running.vault.fail(None);
    pass(132).await;
    assert_eq!(running.states(), [State::Fresh, State::Fresh]);
    // A later denial is a new case.
    running.vault.fail(Some(denied));
    pass(890).await;
    assert_eq!(running.states(), [State::Stale, State::Stale]);
}

#[tokio::test(start_paused = true)]
async fn denials_that_go_on_revoke_when_they_have_lasted_and_no_later_than_one_interval() {
    let running = published().await;
    running.vault.fail(Some(denied));
    pass(899).await;
    assert_eq!(running.states(), [State::Stale, State::Stale]);
    pass(INTERVAL.as_secs() + 12).await;
    assert_eq!(running.states(), [State::Revoked, State::Revoked]);
    running.vault.fail(None);
    pass(132).await;
    assert_eq!(running.states(), [State::Fresh, State::Fresh]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_never_revokes_and_never_clears_a_doubt() {
    let running = published().await;
    for fault in [unavailable, throttled] {
        running.vault.fail(Some(fault));
        pass(6 * 3_600).await;
        assert_eq!(running.states(), [State::Stale, State::Stale]);
    }
    running.vault.fail(None);
    pass(150).await;
    running.vault.fail(Some(denied));
    pass(600).await;
    running.vault.fail(Some(unavailable));
    pass(200).await;
    running.vault.fail(Some(denied));
    pass(400).await;
    assert_eq!(running.states(), [State::Revoked, State::Revoked], "denied before and after the outage");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_there_is_told_as_gone_too() {
    let vault = FakeVault::default();
    vault.set("vault-db", 'a', b"one");
    let running = Setup::of(&vault).start();
    pass(1).await;
    assert_eq!(running.states(), [State::Fresh, State::Awaited]);
    pass(11).await;
    assert_eq!(running.states(), [State::Fresh, State::Revoked]);
    vault.set("vault-token", 'b', b"two");
    pass(132).await;
    assert_eq!(running.states(), [State::Fresh, State::Fresh]);
}
