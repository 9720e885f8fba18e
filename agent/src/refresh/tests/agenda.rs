//! What is due after which answers; and whatever a vault answers, nothing is asked twice at once and nothing is forgotten.

use std::collections::BTreeSet;

use super::*;
use crate::refresh::agenda::{Agenda, Errands};
use crate::refresh::upstream::Answer;
use crate::schedule::Facts;
use crate::testing::vault::{denied, throttled, unavailable};
use crate::testing::{moment, new_year, secret, source};
use crate::vault::Listed;

const SOURCES: usize = 12;

/// The longest time that anything may be left alone: the full refresh, or what a vault asks for and a back-off after it.
const LONGEST: Duration = Duration::from_hours(1);

fn sources() -> Vec<Source> {
    (0..SOURCES).map(|number| source(&format!("s{number}"))).collect()
}

fn fetch_answer(lot: usize) -> Answer<(Secret, Origin)> {
    let origin = Origin { vault: "v".into(), is_fallback: lot == 1 };
    match lot {
        0 | 1 => Answer::Heard(Ok((secret('a', b"one"), origin))),
        2 => Answer::Heard(Err(unavailable())),
        3 => Answer::Heard(Err(throttled())),
        4 => Answer::Heard(Err(denied())),
        5 => Answer::Heard(Err(FetchError::NotFound)),
        6 => Answer::Heard(Err(FetchError::Throttled { retry_after: Some(Duration::from_hours(24)) })),
        7 => Answer::Heard(Err(FetchError::Unusable("no secret".into()))),
        _ => Answer::HeldBack { wait: Duration::from_secs(30) },
    }
}

fn list_answer(lot: usize) -> Answer<Listed> {
    let facts = Facts { enabled: lot > 0, updated: Some(new_year()), expires: None };
    let half = sources().into_iter().step_by(2).map(|source| (source.name, facts)).collect();
    match lot {
        0 | 1 => Answer::Heard(Ok(Listed::Whole { facts: half, calls: 1 })),
        2 => Answer::Heard(Ok(Listed::TooLong { calls: 3 })),
        3 => Answer::Heard(Err(denied())),
        4 => Answer::Heard(Err(unavailable())),
        _ => Answer::HeldBack { wait: Duration::from_secs(30) },
    }
}

/// What is under way.
#[derive(Default)]
struct UnderWay {
    fetches: BTreeSet<Source>,
    is_listing: bool,
}

impl UnderWay {
    fn begin(&mut self, errands: Errands) {
        for source in errands.fetch {
            assert!(self.fetches.insert(source.clone()), "{source:?} is under way already");
        }
        if errands.list.is_some() {
            assert!(!std::mem::replace(&mut self.is_listing, true), "a list is under way already");
        }
    }

    fn pick(&mut self) -> Option<Source> {
        let source = fastrand::choice(self.fetches.iter())?.clone();
        self.fetches.remove(&source);
        Some(source)
    }
}

#[test]
fn nothing_is_asked_twice_at_once_and_nothing_is_forgotten() {
    for seed in 0..40 {
        fastrand::seed(seed);
        let mut agenda = Agenda::new(sources(), &SETTINGS, Duration::ZERO, fastrand::f64).with_fallback(seed % 2 == 1);
        let (mut under_way, mut now) = (UnderWay::default(), Duration::ZERO);
        for _ in 0..3_000 {
            under_way.begin(agenda.take(now));
            let is_idle = under_way.fetches.is_empty() && !under_way.is_listing;
            assert!(!is_idle || agenda.due() > now, "it is asked for what is due");
            assert!(!is_idle || agenda.due() <= now + LONGEST, "all is forgotten for {:?}", agenda.due());
            match fastrand::usize(..10) {
                0..4 if let Some(source) = under_way.pick() => {
                    agenda.fetched(&source, &fetch_answer(fastrand::usize(..9)), moment(now.as_secs()));
                }
                4..6 if under_way.is_listing => {
                    under_way.is_listing = false;
                    let told = agenda.listed(&list_answer(fastrand::usize(..6)), now);
                    under_way.begin(Errands { list: None, fetch: told.fetch });
                }
                6 => agenda.healed(now),
                7 => agenda.lost(&source("s3"), now),
                _ if is_idle => now = agenda.due().max(now + Duration::from_secs(1)),
                _ => now += Duration::from_secs(fastrand::u64(..20)),
            }
        }
        // When the vault is well again, everything comes.
        let mut given = BTreeSet::new();
        while given.len() < SOURCES {
            if let Some(source) = under_way.pick() {
                agenda.fetched(&source, &fetch_answer(0), moment(now.as_secs()));
                given.insert(source);
            } else if std::mem::take(&mut under_way.is_listing) {
                let told = agenda.listed(&list_answer(3), now);
                under_way.begin(Errands { list: None, fetch: told.fetch });
            } else {
                assert!(now < Duration::from_hours(24 * 365), "seed {seed}: {given:?} and no more");
                now = now.max(agenda.due());
                under_way.begin(agenda.take(now));
            }
        }
    }
}

#[test]
fn a_vault_that_is_back_is_asked_for_what_was_missed_and_first_for_what_has_waited_longest() {
    let mut agenda = Agenda::new(sources(), &SETTINGS, Duration::ZERO, || 0.5);
    let second = Duration::from_secs;
    agenda.take(Duration::ZERO);
    for (number, source) in sources().iter().enumerate() {
        agenda.fetched(source, &fetch_answer(0), moment(20 - u64::try_from(number).expect("few")));
    }
    agenda.take(second(60));
    agenda.listed(&Answer::Heard(Err(denied())), second(60));
    for source in &sources()[..4] {
        agenda.fetched(source, &fetch_answer(0), moment(60));
    }
    for (source, lot) in sources()[4..].iter().zip([3, 8, 8, 2, 8, 8, 8, 8]) {
        agenda.fetched(source, &fetch_answer(lot), moment(60));
    }
    let round = agenda.next_round();
    agenda.healed(second(61));
    let fetch = agenda.take(second(61)).fetch;
    // Later ones were given earlier. One failed by itself: it may hang, and goes last.
    let expected: Vec<_> = [11, 10, 9, 8, 6, 5, 4, 7].map(|number| sources()[number].clone()).into();
    assert_eq!(fetch, expected);
    assert_eq!(agenda.next_round(), round, "those that were given have their turn as before");
}

#[test]
fn nothing_is_listed_before_there_is_anything_that_a_list_can_confirm() {
    let mut agenda = Agenda::new(sources(), &SETTINGS, Duration::ZERO, || 0.5);
    assert_eq!(agenda.take(Duration::ZERO).fetch.len(), SOURCES);
    for source in &sources() {
        agenda.fetched(source, &fetch_answer(3), moment(0));
    }
    assert_eq!(agenda.take(Duration::from_mins(1)).list, None);
    for source in &sources() {
        agenda.fetched(source, &fetch_answer(0), moment(60));
    }
    assert_eq!(agenda.take(Duration::from_mins(5)).list, Some(SOURCES - 1));
}
