//! Who waits for which fetch: bookkeeping without waiting, so that one secret's slowness is no other's.

use std::collections::BTreeMap;

use super::Source;
use super::demand::Demand;
use crate::store::Publication;

/// The fetches under way and the demands that they will meet.
#[derive(Debug, Default)]
pub(super) struct Board {
    flights: BTreeMap<Source, Flight>,
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

/// A demand for one secret or for all of them.
#[derive(Debug)]
struct Question {
    demand: Demand,
    /// What readers see of it so far.
    publication: Publication,
    /// How many secrets have not been answered.
    remaining: usize,
}

impl Board {
    /// Notes that fetches begin which nobody asked for.
    pub(super) fn begin(&mut self, sources: &[Source]) {
        for source in sources {
            self.flights.entry(source.clone()).or_default();
        }
    }

    /// Takes a demand for `sources`, and answers which of them are to be fetched for it now.
    pub(super) fn ask(&mut self, sources: &[Source], demand: Demand) -> Vec<Source> {
        let id = self.next_question;
        self.next_question += 1;
        let (publication, remaining) = (Publication::Unchanged, sources.len());
        self.questions.insert(id, Question { demand, publication, remaining });
        let mut now = Vec::new();
        for source in sources {
            if let Some(flight) = self.flights.get_mut(source) {
                flight.later.push(id);
            } else {
                self.flights.insert(source.clone(), Flight { questions: vec![id], later: Vec::new() });
                now.push(source.clone());
            }
        }
        now
    }

    /// Notes that a fetch has ended, and tells those whose demand is met whole by it. Answers whether another fetch of
    /// the same secret is to follow.
    pub(super) fn landed(&mut self, source: &Source, publication: Publication) -> bool {
        let Some(flight) = self.flights.remove(source) else { return false };
        for id in flight.questions {
            let Some(question) = self.questions.get_mut(&id) else { continue };
            question.publication = question.publication.and(publication);
            question.remaining -= 1;
            if question.remaining == 0
                && let Some(Question { demand, publication, .. }) = self.questions.remove(&id)
            {
                demand.answer(Ok(publication));
            }
        }
        self.follow(source, flight.later)
    }

    /// Starts another fetch for those who asked during the last one and have not gone away.
    fn follow(&mut self, source: &Source, later: Vec<u64>) -> bool {
        let (gone, waiting): (Vec<_>, Vec<_>) = later.into_iter().partition(|id| self.is_abandoned(*id));
        for id in gone {
            self.questions.remove(&id);
        }
        let again = !waiting.is_empty();
        if again {
            self.flights.insert(source.clone(), Flight { questions: waiting, later: Vec::new() });
        }
        again
    }

    fn is_abandoned(&self, id: u64) -> bool {
        self.questions.get(&id).is_none_or(|question| question.demand.is_abandoned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::demand::testing::demand;
    use crate::testing::source;

    const UNCHANGED: Publication = Publication::Unchanged;

    fn sources(texts: &[&str]) -> Vec<Source> {
        texts.iter().map(|text| source(text)).collect()
    }

    #[test]
    fn a_demand_for_all_is_met_by_the_last_of_them() {
        let mut board = Board::default();
        let (all, mut caller) = demand(None);
        assert_eq!(board.ask(&sources(&["a", "b"]), all), sources(&["a", "b"]));
        assert!(!board.landed(&source("a"), Publication::Applied(1)));
        assert!(caller.try_recv().is_err(), "b is still under way");
        board.landed(&source("b"), UNCHANGED);
        assert_eq!(caller.try_recv(), Ok(Ok(Publication::Applied(1))));
    }

    #[test]
    fn whoever_asks_during_a_fetch_gets_the_next_one_together_with_others() {
        let mut board = Board::default();
        board.begin(&sources(&["a"]));
        let ((first, mut one), (second, mut two)) = (demand(Some("a")), demand(Some("a")));
        assert_eq!(board.ask(&sources(&["a"]), first), []);
        assert_eq!(board.ask(&sources(&["a"]), second), []);
        assert!(board.landed(&source("a"), UNCHANGED), "one more fetch");
        assert!(one.try_recv().is_err(), "the first began before the demand");
        assert!(!board.landed(&source("a"), Publication::Applied(2)));
        let expected = Ok(Ok(Publication::Applied(2)));
        assert_eq!((one.try_recv(), two.try_recv()), (expected.clone(), expected), "both at once");
    }

    #[test]
    fn nothing_is_fetched_for_those_who_have_gone() {
        let mut board = Board::default();
        board.begin(&sources(&["a"]));
        let (gone, caller) = demand(Some("a"));
        board.ask(&sources(&["a"]), gone);
        drop(caller);
        assert!(!board.landed(&source("a"), UNCHANGED));
        assert!(board.questions.is_empty() && board.flights.is_empty());
    }
}
