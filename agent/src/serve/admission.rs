//! Who is let in while there is room, who gives way when there is none, and whose turn it is when many ask at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::problem::{Code, Problem};

/// After which time a connection that asks nothing gives way to a newcomer where all are taken: programs that keep
/// connections open notice a closed one and open another, and one that asks right after it connected never waits so long.
const IDLE: Duration = Duration::from_secs(1);

/// The open connections by user; those from the network are one user's.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    limits: Limits,
    start: Instant,
    open: Arc<Mutex<Open>>,
    /// How many users there are, for who must not wait for the lock.
    users: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Open {
    users: HashMap<Option<u32>, User>,
    count: usize,
}

#[derive(Debug)]
struct User {
    turns: Arc<Turns>,
    seats: Vec<Arc<Seat>>,
}

/// Where one user's requests queue while there are other users.
#[derive(Debug)]
struct Turns {
    connections: AtomicUsize,
    turn: Semaphore,
}

/// One connection's place.
#[derive(Debug)]
struct Seat {
    /// Since when it asks nothing, in milliseconds of this server's life; [`ASKING`] while it does.
    silent_since: AtomicU64,
    give_way: CancellationToken,
}

const ASKING: u64 = u64::MAX;

/// The right to one connection, given back on drop.
#[derive(Debug)]
pub(super) struct Admission {
    uid: Option<u32>,
    seat: Arc<Seat>,
    turns: Arc<Turns>,
    connections: Connections,
}

/// One request, from its turn to its answer.
#[derive(Debug)]
pub(super) struct Asking<'a>(&'a Admission);

impl Connections {
    /// No connection yet.
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, start: Instant::now(), open: Arc::default(), users: Arc::default() }
    }

    /// Lets one more connection of this user in. Where all are taken, one of the user with the most gives way to a user with
    /// fewer, and one that has asked nothing for a while to anybody.
    ///
    /// # Errors
    /// [`Code::TooManyConnections`] or [`Code::ConnectionsExhausted`], with the time after which a further try makes sense.
    pub(super) fn admit(&self, uid: Option<u32>) -> Result<Admission, Problem> {
        let now = self.now();
        let mut open = self.open();
        let own = open.users.get(&uid).map_or(0, |user| user.seats.len());
        let refusal = if own >= self.limits.connections_per_user {
            Some(Code::TooManyConnections)
        } else if open.count >= self.limits.connections && !open.make_room(own, now) {
            Some(Code::ConnectionsExhausted)
        } else {
            None
        };
        if let Some(code) = refusal {
            return Err(Problem::from(code).retry_after(Duration::from_secs(1)));
        }
        let seat = Arc::new(Seat { silent_since: AtomicU64::new(now), give_way: CancellationToken::new() });
        let turns = open.seat(uid, &seat);
        self.users.store(open.users.len(), Ordering::Relaxed);
        drop(open);
        Ok(Admission { uid, seat, turns, connections: self.clone() })
    }

    /// How many are open now.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.open().count
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(ASKING - 1)
    }

    /// Held only to look at and to change the table; nothing waits or fails inside.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn seat(&mut self, uid: Option<u32>, seat: &Arc<Seat>) -> Arc<Turns> {
        let nobody = || {
            let turns = Arc::new(Turns { connections: AtomicUsize::new(0), turn: Semaphore::new(1) });
            User { turns, seats: Vec::new() }
        };
        let user = self.users.entry(uid).or_insert_with(nobody);
        user.seats.push(Arc::clone(seat));
        user.turns.connections.store(user.seats.len(), Ordering::Relaxed);
        self.count += 1;
        Arc::clone(&user.turns)
    }

    fn leave(&mut self, uid: Option<u32>, seat: &Arc<Seat>) {
        let Some(user) = self.users.get_mut(&uid) else { return };
        // Who gave way has left already.
        let Some(place) = user.seats.iter().position(|other| Arc::ptr_eq(other, seat)) else { return };
        user.seats.swap_remove(place);
        user.turns.connections.store(user.seats.len(), Ordering::Relaxed);
        self.count -= 1;
        if user.seats.is_empty() {
            self.users.remove(&uid);
        }
    }

    /// Has a connection give way to a user who has `own`, if there is one that should.
    fn make_room(&mut self, own: usize, now: u64) -> bool {
        let Some((uid, seat)) = self.of_the_greediest(own).or_else(|| self.of_an_idle_one(now)) else { return false };
        seat.give_way.cancel();
        self.leave(uid, &seat);
        true
    }

    fn of_the_greediest(&self, own: usize) -> Option<(Option<u32>, Arc<Seat>)> {
        let (uid, user) = self.users.iter().max_by_key(|(_, user)| user.seats.len())?;
        let seat = user.seats.iter().min_by_key(|seat| seat.silent_since.load(Ordering::Relaxed))?;
        (user.seats.len() > own + 1).then(|| (*uid, Arc::clone(seat)))
    }

    fn of_an_idle_one(&self, now: u64) -> Option<(Option<u32>, Arc<Seat>)> {
        let all = self.users.iter().flat_map(|(uid, user)| user.seats.iter().map(|seat| (*uid, seat)));
        let since = |seat: &Seat| seat.silent_since.load(Ordering::Relaxed);
        let (uid, seat) = all.min_by_key(|(_, seat)| since(seat))?;
        let idle = Duration::from_millis(now.saturating_sub(since(seat)));
        (idle >= IDLE).then(|| (uid, Arc::clone(seat)))
    }
}

impl Admission {
    /// Waits until the connection has to give way to another.
    pub(super) async fn revoked(&self) {
        self.seat.give_way.cancelled().await;
    }

    /// Waits for this user's turn. While only one user is there, that is always; else each user's requests pass one by
    /// one, and between two of them the server hears what others have asked meanwhile. So one user with a hundred
    /// connections puts another off by one request, not by a hundred.
    pub(super) async fn ask(&self) -> Asking<'_> {
        self.seat.silent_since.store(ASKING, Ordering::Relaxed);
        let asking = Asking(self);
        let is_alone = self.connections.users.load(Ordering::Relaxed) < 2;
        if !is_alone && self.turns.connections.load(Ordering::Relaxed) > 1 {
            // Never closed, so it never fails.
            let _turn = self.turns.turn.acquire().await;
            tokio::task::yield_now().await;
        }
        asking
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let now = self.0.connections.now();
        self.0.seat.silent_since.store(now, Ordering::Relaxed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.leave(self.uid, &self.seat);
        self.connections.users.store(open.users.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(all: usize, each: usize) -> Connections {
        Connections::new(Limits { connections: all, connections_per_user: each, ..Limits::default() })
    }

    fn admit(connections: &Connections, uid: u32) -> Result<Admission, Code> {
        connections.admit(Some(uid)).map_err(|problem| problem.code)
    }

    fn gave_way(admission: &Admission) -> bool {
        admission.seat.give_way.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_limited_by_user_and_in_all_and_given_back() {
        let connections = connections(3, 2);
        let first = admit(&connections, 1).expect("room");
        let _second = admit(&connections, 1).expect("room");
        assert_eq!(admit(&connections, 1).expect_err("two each"), Code::TooManyConnections);
        let _third = admit(&connections, 3).expect("another user's is another count");
        drop(first);
        assert_eq!(connections.count(), 2);
        let _fourth = admit(&connections, 1).expect("given back");
        assert_eq!(admit(&connections, 3).map(drop), Err(Code::ConnectionsExhausted), "three in all");
        assert_eq!(connections.count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_taken_the_user_with_the_most_gives_way_with_the_longest_silent_one() {
        let connections = connections(4, 4);
        let many: Vec<_> = (0..4).map(|_| admit(&connections, 1).expect("room")).collect();
        let asking = many[0].ask().await;
        tokio::time::advance(Duration::from_millis(1)).await;
        drop(many[1].ask().await);
        let _second = admit(&connections, 2).expect("user 1 has four");
        assert_eq!(many.iter().map(gave_way).collect::<Vec<_>>(), [false, false, true, false]);
        let _third = admit(&connections, 2).expect("user 1 has three");
        assert_eq!(many.iter().map(gave_way).collect::<Vec<_>>(), [false, false, true, true]);
        assert_eq!(admit(&connections, 2).expect_err("both have two"), Code::ConnectionsExhausted);
        assert_eq!(connections.count(), 4);
        drop(asking);
        drop(many);
        assert_eq!(connections.count(), 2, "who gave way is not counted twice");
    }

    #[tokio::test(start_paused = true)]
    async fn users_of_one_connection_each_keep_nobody_out_by_silence() {
        let connections = connections(3, 2);
        let all: Vec<_> = (0..3).map(|uid| admit(&connections, uid).expect("room")).collect();
        assert_eq!(admit(&connections, 9).expect_err("all just came"), Code::ConnectionsExhausted);
        let _asking = all[0].ask().await;
        tokio::time::advance(IDLE).await;
        let _next = admit(&connections, 9).expect("one was silent");
        assert!(!gave_way(&all[0]), "it asks");
        assert_eq!(all.iter().filter(|one| gave_way(one)).count(), 1);
    }

    #[tokio::test]
    async fn while_there_are_others_one_users_requests_pass_one_by_one() {
        use futures::FutureExt as _;
        let connections = connections(10, 10);
        let many: Vec<_> = (0..2).map(|_| admit(&connections, 1).expect("room")).collect();
        assert!(many[0].ask().now_or_never().is_some(), "alone");
        let other = admit(&connections, 2).expect("room");
        assert!(other.ask().now_or_never().is_some(), "a single connection passes always");
        let mut first = Box::pin(many[0].ask());
        let mut second = Box::pin(many[1].ask());
        assert!(first.as_mut().now_or_never().is_none(), "others are heard first");
        assert!(second.as_mut().now_or_never().is_none());
        drop(first.await);
        drop(second.await);
    }
}
