//! What secrets that fail or hang do to those beside them in the same vault.

use super::*;
use crate::schedule::CircuitState;
use crate::testing::vault::{denied, unavailable};

/// Longest time for which one request may hang: the deadline that a vault's client sets itself.
const HANG: Duration = Duration::from_secs(10);

/// Twenty secrets, of which so many are answered with an error only, after this time, from when they were fetched once.
async fn twenty_of_which(failing: usize, latency: Duration) -> Running {
    fastrand::seed(7);
    let setup = Setup { dice: fastrand::f64, ..Setup::many(20) };
    let vault = setup.vaults[0].clone();
    vault.answer_after(Duration::from_millis(50));
    let running = setup.start();
    pass(INTERVAL.as_secs() * 2).await;
    for number in 0..failing {
        vault.fail_one(&format!("vault-s{number}"), Some(unavailable));
        vault.slow_down(&format!("vault-s{number}"), latency);
        // Where lists confirm it, only a fetch shows it.
        vault.rotate(&format!("vault-s{number}"), 'b', b"two");
    }
    running
}

#[tokio::test(start_paused = true)]
async fn some_that_fail_or_hang_for_ever_leave_the_others_fresh() {
    for (lists, failing, latency) in [
        (true, 2, Duration::ZERO),
        (true, 4, Duration::ZERO),
        (true, 8, HANG),
        (false, 2, Duration::ZERO),
        (false, 4, HANG),
        (false, 8, HANG),
    ] {
        let running = twenty_of_which(failing, latency).await;
        running.vault.fail_lists((!lists).then_some(denied));
        // That these fail by themselves is learnt in the first minutes, in which they may look like an outage.
        let mut stale = 0;
        for second in 0..3_600 {
            pass(1).await;
            let healthy = || (failing..20).map(|number| format!("s{number}"));
            stale += usize::from(healthy().any(|healthy| running.slot(&healthy).state() != State::Fresh));
            if second < 600 {
                continue;
            }
            let oldest = healthy().map(|healthy| running.age(&healthy)).max().expect("some are healthy");
            assert!(oldest < Duration::from_secs(135), "{oldest:?}: {failing} of twenty fail after {latency:?}");
            assert!(running.gates.iter().all(|gate| gate.state() == CircuitState::Closed), "{failing}, {latency:?}");
        }
        assert!(stale < 120, "{stale} s: {failing} of twenty fail after {latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_one_that_is_well_waits_for_none_that_hangs() {
    let running = twenty_of_which(8, HANG).await;
    pass(INTERVAL.as_secs() * 2).await;
    for _ in 0..100 {
        let asked = tokio::time::Instant::now();
        running.demands.look(Some(name("s9"))).await.expect("the loop answers");
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_hangs_is_told_of_when_the_time_of_one_request_is_over() {
    let running = Setup::many(20).start();
    pass(INTERVAL.as_secs() * 2).await;
    running.vault.answer_after(HANG);
    running.vault.fail(Some(unavailable));
    pass(INTERVAL.as_secs() + 12 + HANG.as_secs()).await;
    assert!(running.states().iter().all(|state| *state == State::Stale), "{:?}", running.states());
}
