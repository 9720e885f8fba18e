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

/// How many refusals are remembered. A caller can make up names, but not more than these; at 127 characters each they take
/// less than half a MiB.
const REMEMBERED: usize = 1024;

/// Remembers which refusals were told.
#[derive(Debug, Default)]
pub(super) struct Audit(Mutex<HashMap<(Option<u32>, SecretName), Instant>>);

impl Audit {
    /// Tells the log why a caller got no answer about this name.
    pub(super) fn refused(&self, caller: &Caller, name: &SecretName, exists: bool) {
        if self.is_news(caller.uid(), name, Instant::now()) {
            let why = if exists { "not one of its readers" } else { "no secret of this name is configured" };
            tracing::info!(secret = %name, %caller, why, "refused");
        }
    }

    /// Held only to look into the map; nothing waits or fails inside.
    fn is_news(&self, uid: Option<u32>, name: &SecretName, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= REMEMBERED {
            told.retain(|_, &mut at| now.saturating_duration_since(at) < QUIET);
        }
        let key = (uid, name.clone());
        let again = told.get(&key).is_some_and(|&at| now.saturating_duration_since(at) < QUIET);
        if again || told.len() >= REMEMBERED {
            return false;
        }
        told.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    #[test]
    fn the_same_refusal_is_told_once_in_a_while() {
        let audit = Audit::default();
        let start = Instant::now();
        assert!(audit.is_news(Some(1), &name("db"), start));
        assert!(!audit.is_news(Some(1), &name("db"), start + QUIET / 2));
        assert!(audit.is_news(Some(2), &name("db"), start));
        assert!(audit.is_news(Some(1), &name("token"), start));
        assert!(audit.is_news(Some(1), &name("db"), start + QUIET));
    }

    #[test]
    fn made_up_names_do_not_fill_the_log_or_the_memory() {
        let audit = Audit::default();
        let start = Instant::now();
        let told = (0..2 * REMEMBERED).filter(|n| audit.is_news(Some(1), &name(&format!("n{n}")), start)).count();
        assert_eq!(told, REMEMBERED);
        assert!(audit.is_news(Some(1), &name("later"), start + QUIET), "there is room again");
    }
}
