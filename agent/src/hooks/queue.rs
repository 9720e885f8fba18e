//! Which hooks are to run: changes that come while one runs make one more run of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::Order;
use super::settings::Hook;
use crate::encoding::Encoding;
use crate::secret::{Secret, SecretName, Version};
use crate::selection::Selection;
use crate::store::Snapshot;

/// What was seen last of each secret: its version and what was made of it. No value is kept to compare with: an old one is to
/// be nowhere.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<SecretName, (Version, Selection, Encoding)>);

impl Seen {
    /// The secrets of which readers get another version than before, or something else of the same one because the
    /// configuration says so now. A first version is no change: programs that need it have waited for it.
    pub(super) fn changed(&mut self, snapshot: &Snapshot) -> BTreeSet<SecretName> {
        let mut changed = BTreeSet::new();
        self.0.retain(|name, _| snapshot.slots.contains_key(name));
        for (name, slot) in &snapshot.slots {
            let Some(published) = &slot.published else { continue };
            let Secret { metadata, selection, encoding, .. } = &published.secret;
            let now = (metadata.version.clone(), selection.clone(), *encoding);
            if self.0.insert(name.clone(), now.clone()).is_some_and(|before| before != now) {
                changed.insert(name.clone());
            }
        }
        changed
    }
}

/// What each hook has to do.
#[derive(Debug)]
pub(super) struct Queue(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// All of them without.
    secrets: Option<BTreeSet<SecretName>>,
    pending: BTreeSet<SecretName>,
    is_running: bool,
}

impl Queue {
    pub(super) fn new(hooks: &[Hook]) -> Self {
        let entry = |hook: &Hook| Entry { secrets: hook.secrets.clone(), pending: BTreeSet::new(), is_running: false };
        Self(hooks.iter().map(entry).collect())
    }

    /// Notes changes for the hooks that follow them.
    pub(super) fn note(&mut self, changed: &BTreeSet<SecretName>) {
        for entry in &mut self.0 {
            let followed = changed.iter().filter(|name| entry.secrets.as_ref().is_none_or(|all| all.contains(*name)));
            entry.pending.extend(followed.cloned());
        }
    }

    /// The next hook that is to start, which counts as running from then on.
    pub(super) fn next(&mut self) -> Option<Order> {
        let is_due = |entry: &Entry| !entry.is_running && !entry.pending.is_empty();
        let hook = self.0.iter().position(is_due)?;
        self.0[hook].is_running = true;
        let changed = std::mem::take(&mut self.0[hook].pending);
        Some(Order { hook, changed: changed.iter().map(ToString::to_string).collect() })
    }

    /// Notes that a hook has ended. Answers `false` for one that did not run.
    pub(super) fn ended(&mut self, hook: usize) -> bool {
        self.0.get_mut(hook).is_some_and(|entry| std::mem::take(&mut entry.is_running))
    }

    /// The hooks that run.
    pub(super) fn running(&self) -> Vec<usize> {
        (0..self.0.len()).filter(|hook| self.0[*hook].is_running).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hooks::settings::Action;
    use crate::store::{Carry, Configured, channel};
    use crate::testing::{name, publish, secret};
    use crate::vault::FetchError;

    fn hook(secrets: Option<&[&str]>) -> Hook {
        let action = Action::Command { command: vec!["/bin/true".to_owned()], timeout: Duration::from_secs(1) };
        let secrets = secrets.map(|names| names.iter().map(|local| name(local)).collect());
        Hook { name: "hook".to_owned(), secrets, action }
    }

    fn names(texts: &[&str]) -> BTreeSet<SecretName> {
        texts.iter().map(|text| name(text)).collect()
    }

    fn order(hook: usize, changed: &[&str]) -> Order {
        Order { hook, changed: changed.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn a_change_is_another_version_and_no_first_one() {
        let (publisher, reader) = channel([(name("db"), false), (name("token"), true)]);
        let mut seen = Seen::default();
        let rows: [(&str, Result<char, FetchError>, &[&str]); 6] = [
            ("db", Ok('a'), &[]),
            ("db", Ok('a'), &[]),
            ("db", Ok('b'), &["db"]),
            ("token", Ok('a'), &[]),
            ("token", Err(FetchError::NotFound), &[]),
            ("token", Ok('c'), &["token"]),
        ];
        for (step, (local, answer, changed)) in rows.into_iter().enumerate() {
            publish(&publisher, local, answer.map(|digit| secret(digit, b"one")));
            assert_eq!(seen.changed(&reader.snapshot()), names(changed), "step {step}");
        }
    }

    #[test]
    fn another_part_of_the_same_version_is_a_change_and_a_secret_that_comes_back_is_new() {
        let (publisher, reader) = channel([(name("db"), false)]);
        let mut seen = Seen::default();
        let part = |pointer: &str| Selection::Field(pointer.parse().expect("a pointer"));
        let rows = [("/a", [].as_slice()), ("/b", &["db"]), ("/b", &[])];
        for (pointer, changed) in rows {
            publish(&publisher, "db", Ok(Secret { selection: part(pointer), ..secret('a', b"one") }));
            assert_eq!(seen.changed(&reader.snapshot()), names(changed), "{pointer}");
        }
        publisher.configure(vec![]);
        assert_eq!(seen.changed(&reader.snapshot()), names(&[]));
        publisher.configure(vec![Configured { name: name("db"), optional: false, carry: Carry::Nothing }]);
        publish(&publisher, "db", Ok(secret('b', b"two")));
        assert_eq!(seen.changed(&reader.snapshot()), names(&[]));
    }

    #[test]
    fn changes_while_a_hook_runs_make_one_more_run() {
        let mut queue = Queue::new(&[hook(None)]);
        queue.note(&names(&["db"]));
        assert_eq!(queue.next(), Some(order(0, &["db"])));
        for changed in ["db", "token", "db"] {
            queue.note(&names(&[changed]));
            assert_eq!(queue.next(), None, "it runs");
        }
        assert!(queue.ended(0));
        assert_eq!(queue.next(), Some(order(0, &["db", "token"])));
        assert!(queue.ended(0));
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_hook_follows_its_own_secrets_and_waits_for_no_other_hook() {
        let mut queue = Queue::new(&[hook(Some(&["db"])), hook(None), hook(Some(&["other"]))]);
        queue.note(&names(&["db", "token"]));
        assert_eq!(queue.next(), Some(order(0, &["db"])));
        assert_eq!(queue.next(), Some(order(1, &["db", "token"])));
        assert_eq!(queue.next(), None);
        assert_eq!(queue.running(), [0, 1]);
    }

    #[test]
    fn only_what_runs_can_end() {
        let mut queue = Queue::new(&[hook(None)]);
        assert!(!queue.ended(0) && !queue.ended(7));
    }
}
