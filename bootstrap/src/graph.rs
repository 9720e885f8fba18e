//! Works through things that depend on each other, independent ones at once.

use std::future::Future;

use futures::stream::{FuturesUnordered, StreamExt as _};

/// Which way to go through the dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What others need comes first.
    Forward,
    /// What needs others comes first, as for removing.
    Backward,
}

/// Does `work` for every place of `after`, which lists for each those before it; after a failure nothing new is
/// started, and what has started is waited for. Answers with the outcome of each, none for what was not started.
pub async fn work_through<T, E, W>(
    after: &[Vec<usize>],
    direction: Direction,
    work: impl Fn(usize) -> W,
) -> Vec<Option<Result<T, E>>>
where
    W: Future<Output = Result<T, E>>,
{
    let before = match direction {
        Direction::Forward => after.to_vec(),
        Direction::Backward => reversed(after),
    };
    let mut outcomes: Vec<Option<Result<T, E>>> = after.iter().map(|_| None).collect();
    let mut started = vec![false; after.len()];
    let mut running = FuturesUnordered::new();
    let mut failed = false;
    loop {
        for place in 0..before.len() {
            let done = |other: &usize| matches!(outcomes[*other], Some(Ok(_)));
            if !failed && !started[place] && before[place].iter().all(done) {
                started[place] = true;
                let task = work(place);
                running.push(async move { (place, task.await) });
            }
        }
        let Some((place, outcome)) = running.next().await else { return outcomes };
        failed |= outcome.is_err();
        outcomes[place] = Some(outcome);
    }
}

fn reversed(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut before = vec![Vec::new(); after.len()];
    for (place, others) in after.iter().enumerate() {
        for &other in others {
            before[other].push(place);
        }
    }
    before
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    /// 0 and 1 stand alone, 2 needs both, 3 needs 2.
    fn diamond() -> Vec<Vec<usize>> {
        vec![vec![], vec![], vec![0, 1], vec![2]]
    }

    async fn order(direction: Direction, failing: Option<usize>) -> (Vec<usize>, Vec<Option<Result<(), ()>>>) {
        let order = RefCell::new(Vec::new());
        let outcomes = work_through(&diamond(), direction, |place| {
            let order = &order;
            async move {
                tokio::time::sleep(Duration::from_secs(if place == 0 { 5 } else { 1 })).await;
                order.borrow_mut().push(place);
                if failing == Some(place) { Err(()) } else { Ok(()) }
            }
        })
        .await;
        (order.into_inner(), outcomes)
    }

    #[tokio::test(start_paused = true)]
    async fn independent_things_run_at_once_and_dependent_ones_after() {
        let start = tokio::time::Instant::now();
        let (order, _) = order(Direction::Forward, None).await;
        assert_eq!(order, [1, 0, 2, 3]);
        assert_eq!(start.elapsed(), Duration::from_secs(7), "the first two overlap");
    }

    #[tokio::test(start_paused = true)]
    async fn removing_goes_the_other_way() {
        assert_eq!(order(Direction::Backward, None).await.0, [3, 2, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_what_runs_is_waited_for_and_nothing_starts() {
        let (order, outcomes) = order(Direction::Forward, Some(1)).await;
        assert_eq!(order, [1, 0]);
        assert_eq!(outcomes, [Some(Ok(())), Some(Err(())), None, None]);
    }
}
