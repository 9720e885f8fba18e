//! Whether the thread that serves answers: it is asked, and has to say so itself.

use tokio::sync::watch;

/// Asks the thread, and answers for it. Clones are of one thread.
#[derive(Clone, Debug)]
pub struct Heart {
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
}

impl Default for Heart {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0), answered: watch::Sender::new(0) }
    }
}

impl Heart {
    /// Waits until the thread has answered a question that it is asked now, for ever where it never does.
    pub async fn beats(&self) -> bool {
        let mut answered = self.answered.subscribe();
        let mut question = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            question = *asked;
        });
        answered.wait_for(|answer| *answer >= question).await.is_ok()
    }

    /// Answers every question, on the thread that is asked about.
    pub(super) async fn answer(&self) {
        let mut asked = self.asked.subscribe();
        loop {
            let question = *asked.borrow_and_update();
            self.answered.send_replace(question);
            if asked.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_who_answers_beats() {
        let (heart, patience) = (Heart::default(), Duration::from_secs(1));
        assert!(timeout(patience, heart.beats()).await.is_err(), "nobody answers");
        let asking = async {
            for _ in 0..3 {
                assert!(timeout(patience, heart.beats()).await.expect("an answer"));
            }
        };
        tokio::select! {
            () = heart.answer() => unreachable!("it answers for ever"),
            () = asking => {}
        }
        assert!(timeout(patience, heart.beats()).await.is_err(), "an answer of before does not count");
    }
}
