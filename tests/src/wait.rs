//! Waiting for an event under a deadline, in place of sleeping for a guess.

use std::time::{Duration, Instant};

/// Longest wait for anything that a scenario expects; far above what a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks `question` again and again until it has an answer.
///
/// # Panics
/// When there is none within [`DEADLINE`]; the message says what was waited for.
pub fn until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
