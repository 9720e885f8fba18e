//! Who was refused what, in the log: once for each user and secret, so that nobody can fill it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::peer::Caller;
use crate::secret::SecretName;

/// How long the same refusal is not told again: a client that asks every second makes 144 lines a day and not 86,400, and
/// who looks into a complaint still sees it soon.
const QUIET: Duration = Duration::from_mins(10);

/// How many invented names of one user are remembered, so told, in that time: enough for every typing error of a pipeline.
const INVENTED_MAX: usize = 64;

/// How many users are remembered. A machine has a few; one who can be many users at will only makes others forgotten, so
/// that they are told again. With [`INVENTED_MAX`] names of 127 characters each, that is 8 MiB at the very most.
const USERS_MAX: usize = 1024;

/// Remembers which refusals were told.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Option<u32>, Told>>);

/// When one user's refusals were told. Names that exist are as few as are configured, and are never crowded out by
/// invented ones.
#[derive(Debug)]
struct Told {
    latest: Instant,
    /// When what is told long enough ago was forgotten last.
    swept: Instant,
    existing: HashMap<SecretName, Instant>,
    invented: HashMap<SecretName, Instant>,
}

impl Refusals {
    /// Tells the log why a caller got no answer about this name.
    pub(super) fn tell(&self, caller: &Caller, name: &SecretName, exists: bool) {
        if self.is_news(caller.uid(), name, exists, Instant::now()) {
            let why = if exists { "not one of its readers" } else { "no secret of this name is configured" };
            tracing::info!(secret = %name, %caller, why, "refused");
        }
    }

    /// Held only to look into the maps; nothing waits or fails inside.
    fn is_news(&self, uid: Option<u32>, name: &SecretName, exists: bool, now: Instant) -> bool {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS_MAX
            && !users.contains_key(&uid)
            && let Some(least_recent) = users.iter().min_by_key(|(_, told)| told.latest).map(|(&uid, _)| uid)
        {
            users.remove(&least_recent);
        }
        users.entry(uid).or_insert_with(|| Told::nothing(now)).is_news(name, exists, now)
    }
}

impl Told {
    fn nothing(now: Instant) -> Self {
        Self { latest: now, swept: now, existing: HashMap::new(), invented: HashMap::new() }
    }

    /// Does the same work whether the name exists or not, so that nobody can tell it by a clock.
    fn is_news(&mut self, name: &SecretName, exists: bool, now: Instant) -> bool {
        self.latest = now;
        if now.saturating_duration_since(self.swept) >= QUIET {
            self.swept = now;
            let is_recent = |at: Instant| now.saturating_duration_since(at) < QUIET;
            self.existing.retain(|_, &mut at| is_recent(at));
            self.invented.retain(|_, &mut at| is_recent(at));
        }
        let told = [&self.existing, &self.invented].map(|told| told.get(name).copied());
        let at = if exists { told[0] } else { told[1] };
        let has_room = exists || at.is_some() || self.invented.len() < INVENTED_MAX;
        let is_news = has_room && at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET);
        if is_news {
            let told = if exists { &mut self.existing } else { &mut self.invented };
            told.insert(name.clone(), now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    #[test]
    fn the_same_refusal_is_told_once_in_a_while() {
        let refusals = Refusals::default();
        let start = Instant::now();
        for exists in [true, false] {
            assert!(refusals.is_news(Some(1), &name("db"), exists, start));
            assert!(!refusals.is_news(Some(1), &name("db"), exists, start + QUIET / 2));
            assert!(refusals.is_news(Some(2), &name("db"), exists, start));
            assert!(refusals.is_news(Some(1), &name("token"), exists, start));
            assert!(refusals.is_news(Some(1), &name("db"), exists, start + QUIET));
        }
    }

    #[test]
    fn made_up_names_fill_neither_the_log_nor_the_memory() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let invent = |number: usize| refusals.is_news(Some(1), &name(&format!("n{number}")), false, start);
        assert_eq!((0..2 * INVENTED_MAX).filter(|&number| invent(number)).count(), INVENTED_MAX);
        assert!(refusals.is_news(Some(1), &name("later"), false, start + QUIET), "there is room again");
    }

    #[test]
    fn made_up_names_hide_no_refusal_of_a_name_that_exists_nor_of_another_user() {
        let refusals = Refusals::default();
        let start = Instant::now();
        for number in 0..2_000 {
            refusals.is_news(Some(1500), &name(&format!("n{number}")), false, start);
        }
        assert!(refusals.is_news(Some(1500), &name("hidden"), true, start));
        assert!(refusals.is_news(Some(1501), &name("hidden"), true, start));
        assert!(refusals.is_news(Some(1501), &name("hiden"), false, start));
    }

    #[test]
    fn of_many_users_the_one_who_asked_longest_ago_is_forgotten() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let ask = |uid: usize, second| {
            let uid = u32::try_from(uid).expect("a few users");
            refusals.is_news(Some(uid), &name("db"), true, start + Duration::from_secs(second))
        };
        assert!((0..USERS_MAX).all(|uid| ask(uid, 0)));
        assert!(!ask(0, 1), "user 0 is remembered, and asked last");
        assert!(ask(USERS_MAX, 2));
        assert_eq!(refusals.0.lock().expect("not poisoned").len(), USERS_MAX);
        assert!(!ask(0, 3), "still remembered");
    }
}
