//! Waiting for an event under a deadline, in place of sleeping for a guess.

use std::time::{Duration, Instant};

/// Longest wait for anything that a scenario expects; far above what a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long to wait between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `question` again and again until it has an answer.
///
/// # Panics
/// When there is none within [`DEADLINE`]; the message says what was waited for.
pub fn until<T>(what: &str, question: impl FnMut() -> Option<T>) -> T {
    until_within(DEADLINE, PAUSE, what, question)
}

/// Like [`until`], with a deadline and a pause between two questions of its own: for what takes longer by its nature, or
/// is asked by many at once.
///
/// # Panics
/// When there is no answer within `deadline`.
pub fn until_within<T>(deadline: Duration, pause: Duration, what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "{what} did not happen within {deadline:?}");
        std::thread::sleep(pause);
    }
}
