//! Answers that wait for a change of the store or of who may read it, at most until a deadline or the agent's end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use crate::store::{Reader, Snapshot};

/// The newest snapshot, once it has news or no more time is left to wait for some.
///
/// No snapshot is held while waiting, so that a value which was replaced meanwhile is wiped.
pub(super) async fn newest(
    reader: &Reader,
    access: &watch::Receiver<Arc<Access>>,
    wait: Option<Duration>,
    stop: &CancellationToken,
    is_news: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    if let Some(wait) = wait {
        let (mut reader, mut access) = (reader.clone(), access.clone());
        let news = async {
            while !is_news(&reader.snapshot()) {
                tokio::select! {
                    true = reader.changed() => {}
                    Ok(()) = access.changed() => {}
                    else => return,
                }
            }
        };
        // On the heap, so that answers without waiting have no room for it in their tasks, which is moved around.
        Box::pin(async {
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        })
        .await;
    }
    reader.snapshot()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::store;
    use crate::testing::{name, publish, secret};

    const MINUTE: Duration = Duration::from_mins(1);

    fn nobody() -> watch::Receiver<Arc<Access>> {
        watch::channel(Arc::default()).1
    }

    fn after(known: u64) -> impl Fn(&Snapshot) -> bool {
        move |snapshot| snapshot.generation > known
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_already_is_answered_at_once() {
        let (publisher, reader) = store::channel([(name("db"), false)]);
        publish(&publisher, "db", Ok(secret('a', b"one")));
        let start = Instant::now();
        assert_eq!(newest(&reader, &nobody(), Some(MINUTE), &CancellationToken::new(), after(0)).await.generation, 1);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_ends_the_waiting() {
        let (publisher, reader) = store::channel([(name("db"), false)]);
        let stop = CancellationToken::new();
        let change = async {
            tokio::time::sleep(MINUTE / 2).await;
            publish(&publisher, "db", Ok(secret('a', b"one")));
        };
        let start = Instant::now();
        let access = nobody();
        let (answer, ()) = tokio::join!(newest(&reader, &access, Some(MINUTE), &stop, after(0)), change);
        assert_eq!((answer.generation, start.elapsed()), (1, MINUTE / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_and_the_end_of_the_agent_end_the_waiting_too() {
        let (_publisher, reader) = store::channel([]);
        let stop = CancellationToken::new();
        let start = Instant::now();
        assert_eq!(newest(&reader, &nobody(), Some(MINUTE), &stop, after(0)).await.generation, 0);
        assert_eq!(start.elapsed(), MINUTE);
        stop.cancel();
        assert_eq!(newest(&reader, &nobody(), Some(MINUTE), &stop, after(0)).await.generation, 0);
        assert_eq!(newest(&reader, &nobody(), None, &CancellationToken::new(), after(0)).await.generation, 0);
        assert_eq!(start.elapsed(), MINUTE);
    }
}
