//! How much of the agent one user may take: connections, waits, and looks at the vault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::problem::{Code, Problem};

/// How much the server takes upon itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all. The default, 512, is what the usual 1024 descriptors are enough for, but for a few: see
    /// [`Self::within`].
    pub connections: usize,
    /// Connections of one user. The default, 128, is 8 ranks with 16 data loaders each, and a quarter of all.
    pub connections_per_user: usize,
    /// Answers of one user that wait for a change. The default, 96, leaves a quarter of the user's connections to those who
    /// want a value now.
    pub waits_per_user: usize,
    /// How long a connection may be silent, a request may take to come in, and its answer to go out. The default, 30 s, is
    /// long for a reader on the same machine, and the longest time that a replaced value can stay in an answer which nobody
    /// takes.
    pub request_time: Duration,
    /// How long `POST /v1/refresh` waits for the look. The default, 60 s, is longer than a look at an idle vault takes,
    /// retries included.
    pub refresh_time: Duration,
    /// How often one user may ask for a look. The default is every 6 s: ten readers that all ask this often stay far
    /// below what a vault allows (4000 requests in 10 s).
    pub refresh_interval: Duration,
    /// How many looks one user may ask for at once, after having asked for none. The default, 5, is for a person at a
    /// terminal.
    pub refresh_burst: u32,
    /// Callers of the agent's other sockets, who take descriptors too.
    pub callers_elsewhere: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_user: 128,
            waits_per_user: 96,
            request_time: Duration::from_secs(30),
            refresh_time: Duration::from_mins(1),
            refresh_interval: Duration::from_secs(6),
            refresh_burst: 5,
            callers_elsewhere: 0,
        }
    }
}

/// How many descriptors the agent needs for everything but callers: requests to the vault, name look-ups, files, the log.
const DESCRIPTORS_RESERVED: u64 = 64;

/// How many descriptors a caller takes: the connection, and the handle of the process at its other end.
const DESCRIPTORS_EACH: u64 = 2;

impl Limits {
    /// Limits that leave enough of so many descriptors to the rest of the agent, in the same proportion.
    #[must_use]
    pub fn within(self, descriptors: u64) -> Self {
        let others = DESCRIPTORS_RESERVED.saturating_add(u64::try_from(self.callers_elsewhere).unwrap_or(u64::MAX));
        let for_callers = descriptors.saturating_sub(others) / DESCRIPTORS_EACH;
        let connections = self.connections.min(usize::try_from(for_callers).unwrap_or(usize::MAX)).max(1);
        if connections == self.connections {
            return self;
        }
        let share = |each: usize| (each * connections).div_ceil(self.connections).clamp(1, connections);
        Self {
            connections,
            connections_per_user: share(self.connections_per_user),
            waits_per_user: share(self.waits_per_user),
            ..self
        }
    }
}

/// Most bytes of a request's head. Nothing here needs more than a few hundred; 16 KiB is what common servers allow.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields of a request: clients send about five, and each field costs the parser a slot.
pub(super) const HEADERS_MAX: usize = 64;

/// Counts the answers that wait, by user.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    each: usize,
    waiting: Arc<Mutex<HashMap<Option<u32>, usize>>>,
}

/// The right to wait once, given back on drop.
#[derive(Debug)]
pub(super) struct Wait {
    uid: Option<u32>,
    waits: Waits,
}

impl Waits {
    /// Nobody waits yet.
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self { each: limits.waits_per_user, waiting: Arc::default() }
    }

    /// Lets this user wait once more.
    ///
    /// # Errors
    /// [`Code::TooManyWaits`].
    pub(super) fn begin(&self, uid: Option<u32>) -> Result<Wait, Problem> {
        let mut waiting = self.waiting();
        let count = waiting.entry(uid).or_default();
        if *count >= self.each {
            return Err(Problem::from(Code::TooManyWaits).retry_after(Duration::from_secs(1)));
        }
        *count += 1;
        drop(waiting);
        Ok(Wait { uid, waits: self.clone() })
    }

    /// Held only to change a count; nothing waits or fails inside.
    fn waiting(&self) -> MutexGuard<'_, HashMap<Option<u32>, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.waits.waiting();
        if let Some(count) = waiting.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.uid);
            }
        }
    }
}

/// Grants looks by user: a burst at first, then one for each interval.
///
/// For each user it keeps the moment up to which the past grants have used up the time, as the generic cell rate
/// algorithm does (ITU-T I.371): one number instead of a count and a moment.
#[derive(Debug)]
pub(super) struct RefreshBudget {
    interval: Duration,
    burst: u32,
    used_up_to: HashMap<Option<u32>, Instant>,
}

impl RefreshBudget {
    /// Nothing granted yet.
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self { interval: limits.refresh_interval, burst: limits.refresh_burst, used_up_to: HashMap::new() }
    }

    /// Takes one look out of the user's budget.
    ///
    /// # Errors
    /// [`Code::TooManyRefreshes`], with the time after which one will be granted.
    pub(super) fn take(&mut self, uid: Option<u32>, now: Instant) -> Result<(), Problem> {
        // Who has a full budget again is as good as forgotten, so the map holds only those who asked of late.
        self.used_up_to.retain(|_, &mut used| used > now);
        let next = self.used_up_to.get(&uid).copied().unwrap_or(now) + self.interval;
        let over = next.saturating_duration_since(now + self.interval * self.burst);
        if over > Duration::ZERO {
            return Err(Problem::from(Code::TooManyRefreshes).retry_after(over));
        }
        self.used_up_to.insert(uid, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_descriptors_to_the_rest_of_the_agent() {
        let of = |descriptors| {
            let limits = Limits::default().within(descriptors);
            (limits.connections, limits.connections_per_user, limits.waits_per_user)
        };
        assert_eq!(of(1_000_000), (512, 128, 96));
        assert_eq!(of(1088), (512, 128, 96));
        assert_eq!(of(1024), (480, 120, 90));
        assert_eq!(of(256), (96, 24, 18));
        assert_eq!(of(64), (1, 1, 1));
        let beside_units = Limits { callers_elsewhere: 128, ..Limits::default() };
        assert_eq!(beside_units.within(1024).connections, 416);
        assert_eq!(beside_units.within(1216), beside_units);
        let wide = Limits { connections: 4096, connections_per_user: 4096, ..Limits::default() };
        assert_eq!(wide.within(1_000_000), wide, "what is configured holds");
    }

    #[test]
    fn waits_are_limited_by_user_and_given_back() {
        let waits = Waits::new(Limits { waits_per_user: 2, ..Limits::default() });
        let begin = |uid| waits.begin(uid).map_err(|problem| problem.code);
        let first = begin(Some(1)).expect("room");
        let _second = begin(Some(1)).expect("room");
        assert_eq!(begin(Some(1)).expect_err("two each"), Code::TooManyWaits);
        let _other = begin(Some(2)).expect("another user's is another count");
        drop(first);
        let _third = begin(Some(1)).expect("given back");
        assert_eq!(waits.waiting().len(), 2);
    }

    #[test]
    fn looks_are_granted_in_a_burst_and_then_one_for_each_interval() {
        let limits = Limits { refresh_burst: 2, refresh_interval: Duration::from_secs(6), ..Limits::default() };
        let mut budget = RefreshBudget::new(limits);
        let start = Instant::now();
        let mut take = |uid, second| {
            let taken = budget.take(Some(uid), start + Duration::from_secs(second));
            taken.map_err(|problem| problem.retry_after_seconds().unwrap_or_default())
        };
        let rows = [
            (1, 0, Ok(())),
            (1, 0, Ok(())),
            (1, 0, Err(6)),
            (1, 4, Err(2)),
            (2, 4, Ok(())),
            (1, 6, Ok(())),
            (1, 6, Err(6)),
            (1, 100, Ok(())),
            (1, 100, Ok(())),
            (1, 100, Err(6)),
        ];
        for (uid, second, expected) in rows {
            assert_eq!(take(uid, second), expected, "uid {uid} at {second} s");
        }
    }
}
