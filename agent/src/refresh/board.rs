//! Who waits for which fetch: bookkeeping without waiting, so that one secret's slowness is no other's.

use std::collections::BTreeMap;

use super::demand::Demand;
use crate::schedule::Look;
use crate::secret::SecretName;
use crate::store::Publication;

/// The fetches under way and the questions that they will answer.
#[derive(Debug, Default)]
pub(super) struct Board {
    flights: BTreeMap<SecretName, Flight>,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
}

/// The fetch of one secret.
#[derive(Debug, Default)]
struct Flight {
    /// The questions that were there when it began.
    questions: Vec<u64>,
    /// Those that came later: what it brings may be older than they are, so another one follows for them.
    later: Vec<u64>,
}

/// A look at one secret or at all of them.
#[derive(Debug)]
pub(super) struct Question {
    /// Who asked, if it was not the schedule.
    pub(super) demand: Option<Demand>,
    /// How the look went so far.
    pub(super) look: Look,
    /// What readers see of it so far.
    pub(super) publication: Publication,
    /// How many secrets have not been answered.
    remaining: usize,
}

impl Question {
    /// Whether it is about all secrets.
    pub(super) fn is_whole(&self) -> bool {
        self.demand.as_ref().is_none_or(|demand| demand.name.is_none())
    }

    /// Tells whoever asked.
    pub(super) fn answer(self) {
        if let Some(demand) = self.demand {
            demand.answer(self.publication);
        }
    }

    fn is_abandoned(&self) -> bool {
        self.demand.as_ref().is_some_and(Demand::is_abandoned)
    }
}

impl Board {
    /// Takes a question about `names`, and answers which of them are to be fetched for it now.
    pub(super) fn ask(&mut self, names: &[SecretName], demand: Option<Demand>) -> Vec<SecretName> {
        let id = self.next_question;
        self.next_question += 1;
        let (look, publication) = (Look::Answered, Publication::Unchanged);
        self.questions.insert(id, Question { demand, look, publication, remaining: names.len() });
        let mut now = Vec::new();
        for name in names {
            if let Some(flight) = self.flights.get_mut(name) {
                flight.later.push(id);
            } else {
                self.flights.insert(name.clone(), Flight { questions: vec![id], later: Vec::new() });
                now.push(name.clone());
            }
        }
        now
    }

    /// Notes that a fetch has ended. Answers the questions that are answered whole by it, and whether another fetch of
    /// the same secret is to follow.
    pub(super) fn landed(&mut self, name: &SecretName, look: Look, publication: Publication) -> (Vec<Question>, bool) {
        let Some(flight) = self.flights.remove(name) else { return (Vec::new(), false) };
        let mut answered = Vec::new();
        for id in flight.questions {
            let Some(question) = self.questions.get_mut(&id) else { continue };
            question.look = question.look.and(look);
            question.publication = question.publication.and(publication);
            question.remaining -= 1;
            if question.remaining == 0 {
                answered.extend(self.questions.remove(&id));
            }
        }
        (answered, self.follow(name, flight.later))
    }

    /// Starts another fetch for those who asked during the last one and have not gone away.
    fn follow(&mut self, name: &SecretName, later: Vec<u64>) -> bool {
        let (gone, waiting): (Vec<_>, Vec<_>) = later.into_iter().partition(|id| self.is_abandoned(*id));
        for id in gone {
            self.questions.remove(&id);
        }
        let again = !waiting.is_empty();
        if again {
            self.flights.insert(name.clone(), Flight { questions: waiting, later: Vec::new() });
        }
        again
    }

    fn is_abandoned(&self, id: u64) -> bool {
        // A question about all secrets is the schedule's too.
        self.questions.get(&id).is_none_or(|question| question.is_abandoned() && !question.is_whole())
    }

    /// Whether a question about all secrets is open.
    pub(super) fn is_looking(&self) -> bool {
        self.questions.values().any(Question::is_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::demand::testing::demand;
    use crate::testing::name;

    const GOOD: Look = Look::Answered;

    fn names(texts: &[&str]) -> Vec<SecretName> {
        texts.iter().map(|text| name(text)).collect()
    }

    #[test]
    fn a_question_about_all_is_answered_by_the_last_of_them() {
        let mut board = Board::default();
        assert_eq!(board.ask(&names(&["a", "b"]), None), names(&["a", "b"]));
        assert!(board.is_looking());
        let (answered, again) = board.landed(&name("a"), GOOD, Publication::Applied(1));
        assert!(answered.is_empty() && !again);
        let failed = Look::Failed { retry_after: None };
        let (answered, _) = board.landed(&name("b"), failed, Publication::Unchanged);
        assert_eq!((answered[0].look, answered[0].publication), (failed, Publication::Applied(1)));
        assert!(!board.is_looking());
    }

    #[test]
    fn whoever_asks_during_a_fetch_gets_the_next_one_together_with_others() {
        let mut board = Board::default();
        board.ask(&names(&["a"]), None);
        let ((first, _one), (second, _two)) = (demand(Some("a")), demand(Some("a")));
        assert_eq!(board.ask(&names(&["a"]), Some(first)), []);
        assert_eq!(board.ask(&names(&["a"]), Some(second)), []);
        let (answered, again) = board.landed(&name("a"), GOOD, Publication::Unchanged);
        assert_eq!((answered.len(), again), (1, true), "the schedule's own question, and one more fetch");
        let (answered, again) = board.landed(&name("a"), GOOD, Publication::Applied(2));
        assert_eq!((answered.len(), again), (2, false), "both at once");
    }

    #[test]
    fn nothing_is_fetched_for_those_who_have_gone() {
        let mut board = Board::default();
        board.ask(&names(&["a"]), None);
        let (gone, caller) = demand(Some("a"));
        board.ask(&names(&["a"]), Some(gone));
        drop(caller);
        let (_, again) = board.landed(&name("a"), GOOD, Publication::Unchanged);
        assert!(!again);
        assert!(board.questions.is_empty() && board.flights.is_empty());
    }
}
