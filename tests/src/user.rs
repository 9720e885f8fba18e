//! Callers under another user and other groups than the test's own, as threads of it: the kernel keeps these for each thread.

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

/// A user, with groups.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The supplementary group ids.
    pub groups: &'a [u32],
}

impl User<'_> {
    /// A user with a group of the same number and no other.
    #[must_use]
    pub fn alone(uid: u32) -> Self {
        Self { uid, gid: uid, groups: &[] }
    }

    /// Has the present thread be this user until its end, which takes root.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn become_for_good(self) {
        let groups: Vec<_> = self.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        set_thread_groups(&groups).expect("root may");
        set_thread_gid(Gid::from_raw(self.gid)).expect("root may");
        set_thread_uid(Uid::from_raw(self.uid)).expect("root may");
    }

    /// Does `work` as this user, which takes root.
    ///
    /// # Panics
    /// When the kernel refuses, or `work` panics.
    pub fn act<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let work = move || {
                self.become_for_good();
                work()
            };
            scope.spawn(work).join().expect("no panic")
        })
    }
}
