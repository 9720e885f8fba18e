//! What a vault that fails is asked, what readers get meanwhile, and how soon all is well again.

use super::*;
use crate::schedule::CircuitState;
use crate::testing::vault::{throttled, unavailable};
use crate::vault::FetchError;

const TEN_MINUTES: u64 = 600;

/// Twenty published secrets, with dice that always fall to the longest wait.
async fn twenty() -> Running {
    let running = Setup { dice: || 1.0, ..Setup::many(20) }.start();
    running.vault.answer_after(Duration::from_millis(50));
    pass(1).await;
    assert_eq!(running.vault.asked(), 20);
    running
}

fn circuit(running: &Running) -> CircuitState {
    running.gates.iter().next().expect("one vault").state()
}

/// How many waits of a back-off begin within `seconds`, where each is as long as it can be.
fn probes_within(seconds: u64) -> usize {
    let mut elapsed = Duration::ZERO;
    let mut probes = 0;
    for opening in 0.. {
        elapsed += crate::schedule::backoff(opening, INTERVAL, 1.0);
        if elapsed > Duration::from_secs(seconds) {
            break;
        }
        probes += 1;
    }
    probes
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_429_cost_what_the_back_off_of_the_list_allows() {
    let running = twenty().await;
    running.vault.fail(Some(throttled));
    // The round begins at 120 s. A list that is throttled is never replaced by fetches, which cost twenty times as much.
    pass(119).await;
    assert_eq!(running.vault.calls(), 20);
    pass(TEN_MINUTES).await;
    assert_eq!((running.vault.asked(), running.vault.pages()), (20, 1 + probes_within(TEN_MINUTES - 1)));
    assert!(running.states().iter().all(|state| *state == State::Stale), "served all the while");
    running.vault.fail(None);
    pass(INTERVAL.as_secs()).await;
    assert!(running.states().iter().all(|state| *state == State::Fresh), "{:?}", running.states());
    assert_eq!(running.vault.asked(), 20, "one list told it all");
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_429_cost_no_more_where_secrets_are_fetched() {
    let running = twenty().await;
    running.vault.fail_lists(Some(crate::testing::vault::denied));
    pass(200).await;
    let before = running.vault.calls();
    assert_eq!(before, 20 + 1 + 20, "a list, refused, and a round");
    running.vault.fail(Some(throttled));
    // The next round begins at 252 s. Four fetches fail and open the circuit.
    pass(50 + TEN_MINUTES).await;
    let (calls, expected) = (running.vault.calls() - before, 4 + probes_within(TEN_MINUTES - 1));
    assert!(calls <= expected && calls + 2 >= expected, "{calls} calls, {expected} expected");
    assert!(running.states().iter().all(|state| *state == State::Stale), "served all the while");
    assert_eq!(circuit(&running), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_throttles_is_looked_at_less_often_until_it_does_no_more() {
    let running = twenty().await;
    running.vault.fail_lists(Some(crate::testing::vault::denied));
    // How far ahead the next round is at most, within so many seconds.
    let farthest = async |seconds: u64| {
        let mut farthest = 0;
        for _ in 0..seconds {
            pass(1).await;
            let next = running.pulse.next_look().expect("it has begun");
            farthest = farthest.max(next.duration_since(running.clock.now()).as_secs());
        }
        farthest
    };
    assert!((130..=132).contains(&farthest(600).await));
    running.vault.fail(Some(throttled));
    assert!((130..=132).contains(&farthest(130).await), "the round begins before the vault throttles");
    running.vault.fail(None);
    assert!((250..=252).contains(&farthest(600).await));
    pass(600).await;
    assert!((130..=132).contains(&farthest(600).await));
}

#[tokio::test(start_paused = true)]
async fn an_outage_at_the_start_costs_no_more() {
    let setup = Setup { dice: || 1.0, ..Setup::many(20) };
    let vault = setup.vaults[0].clone();
    vault.fail(Some(unavailable));
    let running = setup.start();
    pass(TEN_MINUTES).await;
    let expected = 4 + probes_within(TEN_MINUTES);
    assert!(vault.calls() <= expected, "{} calls, {expected} expected", vault.calls());
    assert!(running.reader.snapshot().awaited().count() == 20, "not ready, and says for what");
    assert!(running.slot("s19").failure.is_some(), "also for those that were not even asked for");
    vault.fail(None);
    pass(INTERVAL.as_secs() + 10).await;
    assert!(running.reader.snapshot().is_ready(), "ready by itself: {:?}", running.states());
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_one_probe_and_one_list_make_all_fresh() {
    let running = twenty().await;
    running.vault.fail(Some(unavailable));
    pass(TEN_MINUTES).await;
    running.vault.fail(None);
    let before = running.vault.calls();
    while circuit(&running) != CircuitState::Closed {
        pass(1).await;
    }
    pass(2).await;
    assert!(running.states().iter().all(|state| *state == State::Fresh), "{:?}", running.states());
    let calls = running.vault.calls() - before;
    assert!(calls <= 4, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_says_how_long_is_left_alone_for_that_and_at_most_five_minutes() {
    for (asked, granted) in [(40, 40), (86_400, 300)] {
        let running = twenty().await;
        running.vault.fail(Some(match asked {
            40 => || FetchError::Throttled { retry_after: Some(Duration::from_secs(40)) },
            _ => || FetchError::Throttled { retry_after: Some(Duration::from_hours(24)) },
        }));
        running.demands.look(Some(name("s1"))).await.expect("the loop answers");
        let before = running.vault.calls();
        pass(granted).await;
        assert_eq!(running.vault.calls(), before, "{asked}");
        pass(2).await;
        assert_eq!(running.vault.calls(), before + 1, "{asked}: one probe");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_put_off_for_long_marks_what_it_would_have_looked_at() {
    let running = twenty().await;
    running.vault.fail(Some(|| FetchError::Throttled { retry_after: Some(Duration::from_mins(2)) }));
    pass(119 + 2).await;
    assert_eq!(running.vault.calls(), 20 + 1, "one list");
    assert!(running.states().iter().all(|state| *state == State::Stale), "{:?}", running.states());
    assert_eq!(running.slot("s1").failure.expect("noted").code, "throttled");
    running.vault.fail(None);
    pass(120 + 2).await;
    assert!(running.states().iter().all(|state| *state == State::Fresh), "{:?}", running.states());
}

#[tokio::test(start_paused = true)]
async fn sixty_four_who_demand_what_cannot_be_had_cause_no_call() {
    let running = twenty().await;
    running.vault.fail(Some(unavailable));
    pass(200).await;
    assert_eq!(circuit(&running), CircuitState::Open);
    let before = running.vault.calls();
    let demands = (0..64).map(|_| running.demands.look(Some(name("s1"))));
    for answer in futures::future::join_all(demands).await {
        assert!(
            matches!(answer, Err(DemandError::HeldBack(wait)) if wait <= INTERVAL) || answer == Err(DemandError::Busy)
        );
    }
    assert_eq!(running.vault.calls(), before);
}

#[tokio::test(start_paused = true)]
async fn lists_that_alone_fail_are_replaced_by_fetches() {
    let running = twenty().await;
    running.vault.fail_lists(Some(unavailable));
    pass(TEN_MINUTES).await;
    assert_eq!(running.vault.pages(), 2, "twice, and not again for an hour");
    assert_eq!(circuit(&running), CircuitState::Closed);
    assert!(running.states().iter().all(|state| *state == State::Fresh));
    assert!(running.age("s1") <= Duration::from_secs(132), "{:?}", running.age("s1"));
}

#[tokio::test(start_paused = true)]
async fn a_value_is_served_until_it_is_too_old_and_then_wiped() {
    let running = twenty().await;
    running.vault.fail(Some(unavailable));
    pass(24 * 3_600 - 2).await;
    assert!(running.states().iter().all(|state| *state == State::Stale));
    assert!(running.age("s1").as_secs() >= 24 * 3_600 - 2, "{:?}", running.age("s1"));
    pass(2).await;
    assert!(running.states().iter().all(|state| *state == State::TooStale));
    assert!(!running.reader.snapshot().is_ready());
    running.vault.fail(None);
    pass(300).await;
    assert!(running.states().iter().all(|state| *state == State::Fresh), "{:?}", running.states());
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_value_is_served_for_ever() {
    let settings = Settings { max_stale: None, ..SETTINGS };
    let running = Setup { settings, ..Setup::many(2) }.start();
    pass(1).await;
    running.vault.fail(Some(unavailable));
    pass(30 * 24 * 3_600).await;
    assert_eq!(running.states(), [State::Stale, State::Stale]);
}

/// A first vault and one that stands in for it, whose copies are newer.
async fn with_fallback() -> (Running, FakeVault) {
    let (first, other) = (two_secrets(Otherwise::NotFound), FakeVault::default());
    other.set("vault-db", 'e', b"one, copied");
    let running = Setup { vaults: vec![first, other.clone()], ..Setup::default() }.start();
    pass(1).await;
    assert_eq!(other.calls(), 0, "nobody needs it");
    (running, other)
}

fn vault_of(running: &Running, local: &str) -> String {
    running.published(local).expect("a value").origin.vault.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_fallback_stands_in_during_an_outage_and_is_left_when_the_first_vault_answers() {
    let (running, other) = with_fallback().await;
    running.vault.fail(Some(unavailable));
    pass(300).await;
    assert_eq!(running.value("db").as_deref(), Some("one, copied"));
    assert_eq!(vault_of(&running, "db"), "vault 1");
    assert_eq!(running.slot("db").state(), State::Fresh);
    assert!(running.age("db") <= Duration::from_secs(132));
    assert_eq!(running.value("token").as_deref(), Some("two"), "what the other one has not stays as it was");
    assert_eq!(running.slot("token").state(), State::Stale);
    other.rotate("vault-db", 'f', b"two, copied");
    pass(132).await;
    assert_eq!(running.value("db").as_deref(), Some("two, copied"), "it is looked at like the first");
    running.vault.fail(None);
    pass(300).await;
    assert_eq!(running.value("db").as_deref(), Some("one"));
    assert_eq!(vault_of(&running, "db"), "vault 0");
    assert_eq!(running.states(), [State::Fresh, State::Fresh]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_never_gives_what_the_first_vault_denies() {
    let (running, other) = with_fallback().await;
    running.vault.fail(Some(crate::testing::vault::denied));
    pass(600).await;
    running.vault.fail(Some(|| FetchError::NotFound));
    pass(600).await;
    assert_eq!(other.calls(), 0);
    assert_eq!(running.states(), [State::Revoked, State::Revoked]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_never_brings_back_what_the_first_vault_refused_before_it_fell_silent() {
    // Two answers, or one, which alone decides nothing.
    for (seconds, state) in [(300, State::Revoked), (61, State::Stale)] {
        let (running, other) = with_fallback().await;
        running.vault.fail_one("vault-db", Some(|| FetchError::NotFound));
        running.vault.hide_from_lists("vault-db");
        pass(seconds).await;
        assert_eq!(running.slot("db").state(), state);
        running.vault.fail(Some(unavailable));
        pass(3_600).await;
        assert_eq!(running.slot("db").state(), state);
        assert_eq!(other.asked_for("vault-db"), 0);
        running.vault.fail(None);
        running.vault.fail_one("vault-db", None);
        pass(600).await;
        assert_eq!((running.slot("db").state(), vault_of(&running, "db").as_str()), (State::Fresh, "vault 0"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_fallback_denies_revokes_nothing_and_its_own_failures_are_its_own() {
    let (running, other) = with_fallback().await;
    running.vault.fail(Some(unavailable));
    other.fail(Some(crate::testing::vault::denied));
    pass(3_600).await;
    assert_eq!(running.states(), [State::Stale, State::Stale]);
    other.fail(Some(throttled));
    let before = other.calls();
    pass(3_600).await;
    let calls = other.calls() - before;
    assert!(calls <= 2 * probes_within(3_600) + 4, "{calls} calls");
    running.vault.fail(None);
    pass(300).await;
    assert_eq!(running.states(), [State::Fresh, State::Fresh]);
}
