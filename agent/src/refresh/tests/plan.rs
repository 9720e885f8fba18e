//! Another plan while the loop runs: what it changes, and that it changes nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::env_file::{Format, Line};
use crate::selection::Selection;

fn plan(wanted: Vec<Wanted>) -> Plan {
    Plan { wanted: wanted.into(), settings: SETTINGS }
}

async fn follow(running: &Running, wanted: Vec<Wanted>) {
    running.plans.follow(plan(wanted), BTreeSet::new()).await.expect("the loop follows");
}

fn field(local: &str, vault_name: &str, pointer: &str) -> Wanted {
    let selection = Selection::Field(pointer.parse().expect("a pointer"));
    Wanted { vault_name: name(vault_name), selection, ..Wanted::named(name(local)) }
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_fetched_at_once_what_is_gone_is_wiped_and_the_rest_is_left_alone() {
    let vault = two_secrets(Otherwise::NotFound);
    vault.rotate_at("vault-new", 'c', b"three", LONG_AGO);
    let running = Setup::of(&vault).start();
    pass(1).await;
    let asked = vault.asked();
    vault.answer_after(Duration::from_millis(1));
    follow(&running, vec![wanted("db"), wanted("new")]).await;
    assert_eq!(running.states(), [State::Fresh, State::Awaited], "at once, before any answer");
    pass(1).await;
    assert_eq!(running.value("new").as_deref(), Some("three"));
    assert_eq!(vault.asked_names()[asked..], ["vault-new"]);
    assert!(!running.reader.snapshot().slots.contains_key(&name("token")));
    let for_token = vault.asked_for("vault-token");
    pass(7_200).await;
    assert_eq!(vault.asked_for("vault-token"), for_token, "nobody wants it");
    assert!(vault.asked_for("vault-new") + vault.asked_for("vault-db") > 3, "the rounds go on");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_made_otherwise_keeps_its_value_until_there_is_the_new_one() {
    let vault = FakeVault::default();
    vault.rotate_at("x", 'a', br#"{"one":"1","two":"2"}"#, LONG_AGO);
    let running = Setup { wanted: vec![field("db", "x", "/one")], ..Setup::of(&vault) }.start();
    pass(1).await;
    assert_eq!(running.value("db").as_deref(), Some("1"));
    vault.answer_after(Duration::from_millis(1));
    follow(&running, vec![field("db", "x", "/two")]).await;
    assert_eq!(running.value("db").as_deref(), Some("1"));
    pass(1).await;
    assert_eq!((running.value("db").as_deref(), vault.asked()), (Some("2"), 2));
    follow(&running, vec![field("db", "y", "/two")]).await;
    pass(1).await;
    assert_eq!(running.slot("db").state(), State::Stale, "the other one is not there");
    pass(600).await;
    assert_eq!(running.slot("db").state(), State::Revoked, "and does not come");
}

#[tokio::test(start_paused = true)]
async fn new_readers_never_see_the_value_of_before() {
    let vault = two_secrets(Otherwise::Unavailable);
    let running = Setup::of(&vault).start();
    pass(1).await;
    let changed = Wanted { vault_name: name("elsewhere"), ..wanted("db") };
    let opened = [name("db"), name("token")].into();
    running.plans.follow(plan(vec![changed, wanted("token")]), opened).await.expect("the loop follows");
    assert_eq!(running.value("db"), None, "wiped at once");
    assert_eq!(running.value("token").as_deref(), Some("two"), "what has not changed is what they are to see");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_fit_a_new_file_refuses_the_whole_plan() {
    let vault = two_secrets(Otherwise::NotFound);
    vault.rotate_at("vault-db", 'a', b"two\nlines", LONG_AGO);
    let running = Setup::of(&vault).start();
    pass(1).await;
    let line = Line { variable: "DB".parse().expect("a name"), format: Format::Docker };
    let refused = plan(vec![Wanted { lines: vec![line.clone()], ..wanted("db") }]);
    let error = running.plans.follow(refused, BTreeSet::new()).await.expect_err("it does not fit");
    assert!(error.to_string().starts_with("the value of 'db' does not fit a file of variables: "), "{error}");
    assert!(!error.to_string().contains("two"), "{error}");
    assert_eq!(running.states(), [State::Fresh; 2], "as before");
    let fits = vec![wanted("db"), Wanted { lines: vec![line.clone()], ..wanted("token") }];
    follow(&running, fits).await;
    // What is to be fetched from elsewhere is not shown in a file that it does not fit.
    let elsewhere = Wanted { vault_name: name("elsewhere"), lines: vec![line], ..wanted("db") };
    follow(&running, vec![elsewhere]).await;
    assert_eq!(running.value("db"), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_plan_of_before_is_nobodys() {
    let vault = two_secrets(Otherwise::NotFound);
    vault.answer_after(Duration::from_secs(10));
    let running = Setup::of(&vault).start();
    pass(1).await;
    let moved = Wanted { vault_name: name("vault-token"), ..wanted("db") };
    follow(&running, vec![moved]).await;
    pass(20).await;
    assert_eq!(running.value("db").as_deref(), Some("two"), "that of token, which was under way");
    assert_eq!(vault.asked(), 2, "and is fetched once");
}

#[tokio::test(start_paused = true)]
async fn a_faster_pace_holds_at_once() {
    let vault = two_secrets(Otherwise::NotFound);
    let slow = Pace { interval: Duration::from_hours(24), full_refresh: Duration::from_hours(24) };
    let running = Setup { settings: Settings { pace: slow, ..SETTINGS }, ..Setup::of(&vault) }.start();
    pass(1).await;
    assert_eq!(running.pulse.poll_interval(), slow.interval);
    vault.rotate("vault-db", 'c', b"three");
    follow(&running, vec![wanted("db"), wanted("token")]).await;
    pass(2 * INTERVAL.as_secs()).await;
    assert_eq!(running.value("db").as_deref(), Some("three"));
    assert_eq!(running.pulse.poll_interval(), INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_a_secret_that_is_gone_does_not_wait() {
    let vault = two_secrets(Otherwise::NotFound);
    let running = Setup::of(&vault).start();
    follow(&running, vec![wanted("db")]).await;
    assert_eq!(running.demands.look(Some(name("token"))).await, Ok(Publication::Unchanged));
}
