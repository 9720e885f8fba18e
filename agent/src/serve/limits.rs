//! How much of the agent one user may take: connections, and looks at the vault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::problem::{Code, Problem};

/// How much the server takes upon itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all. The default, 512, leaves half of the usual 1024 descriptors to the rest of the agent.
    pub connections: usize,
    /// Connections of one user. The default, 128, is 8 ranks with 16 data loaders each, and a quarter of all.
    pub connections_per_user: usize,
    /// How long a request may take to come in, and its answer to go out. The default, 30 s, is long for a reader on the
    /// same machine, and the longest time that a replaced value can stay in an answer which nobody takes.
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_user: 128,
            request_time: Duration::from_secs(30),
            refresh_time: Duration::from_mins(1),
            refresh_interval: Duration::from_secs(6),
            refresh_burst: 5,
        }
    }
}

/// How many descriptors the agent needs for everything but callers: requests to the vault, name look-ups, files, the log.
const DESCRIPTORS_RESERVED: u64 = 64;

impl Limits {
    /// Limits that leave enough of so many descriptors to the rest of the agent.
    #[must_use]
    pub fn within(self, descriptors: u64) -> Self {
        let for_callers = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX);
        let connections = self.connections.min(for_callers).max(1);
        Self { connections, connections_per_user: self.connections_per_user.min(connections.div_ceil(4)), ..self }
    }
}

/// Most bytes of a request's head. Nothing here needs more than a few hundred; 16 KiB is what common servers allow.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields of a request: clients send about five, and each field costs the parser a slot.
pub(super) const HEADERS_MAX: usize = 64;

/// Counts open connections by user; connections from the network share one count.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    limits: Limits,
    open: Arc<Mutex<HashMap<Option<u32>, usize>>>,
}

/// The right to one connection, given back on drop.
#[derive(Debug)]
pub(super) struct Admission {
    uid: Option<u32>,
    connections: Connections,
}

impl Connections {
    /// No connection yet.
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: Arc::default() }
    }

    /// Counts one more connection of this user.
    ///
    /// # Errors
    /// [`Code::TooManyConnections`] or [`Code::ConnectionsExhausted`], with the time in which silent ones are closed.
    pub(super) fn admit(&self, uid: Option<u32>) -> Result<Admission, Problem> {
        let mut open = self.open();
        let refusal = if open.values().sum::<usize>() >= self.limits.connections {
            Some(Code::ConnectionsExhausted)
        } else if open.get(&uid).is_some_and(|&count| count >= self.limits.connections_per_user) {
            Some(Code::TooManyConnections)
        } else {
            None
        };
        if let Some(code) = refusal {
            return Err(Problem::from(code).retry_after(Duration::from_secs(1)));
        }
        *open.entry(uid).or_default() += 1;
        drop(open);
        Ok(Admission { uid, connections: self.clone() })
    }

    /// How many are open now.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.open().values().sum()
    }

    /// Held only to change a count; nothing waits or fails inside.
    fn open(&self) -> MutexGuard<'_, HashMap<Option<u32>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        if let Some(count) = open.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.uid);
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
            (limits.connections, limits.connections_per_user)
        };
        assert_eq!(of(1_000_000), (512, 128));
        assert_eq!(of(1024), (512, 128));
        assert_eq!(of(256), (192, 48));
        assert_eq!(of(64), (1, 1));
    }

    #[test]
    fn connections_are_limited_by_user_and_in_all_and_given_back() {
        let limits = Limits { connections: 3, connections_per_user: 2, ..Limits::default() };
        let connections = Connections::new(limits);
        let admit = |uid| connections.admit(uid).map_err(|problem| problem.code);
        let first = admit(Some(1)).expect("room");
        let _second = admit(Some(1)).expect("room");
        assert_eq!(admit(Some(1)).expect_err("two each"), Code::TooManyConnections);
        let _third = admit(None).expect("another user's is another count");
        assert_eq!(admit(Some(2)).expect_err("three in all"), Code::ConnectionsExhausted);
        drop(first);
        assert_eq!(connections.count(), 2);
        let _fourth = admit(Some(1)).expect("given back");
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
