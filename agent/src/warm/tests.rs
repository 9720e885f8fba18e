//! One agent after another, with a service manager that keeps descriptors.

mod tampering;

use std::sync::Mutex;

use super::*;
use crate::clock::Moment;
use crate::memory::Settings;
use crate::secret::Secret;
use crate::store::{self, Origin, Outcome, State};
use crate::testing::{moment, name, origin, secret};

/// What readers get, and how it fares.
type Seen = (Vec<u8>, State);

/// Keeps what it is given, as systemd does.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<Vec<(String, OwnedFd)>>>);

impl Custody for Shelf {
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.0.lock().expect("not poisoned").push((name.to_owned(), descriptor.try_clone_to_owned()?));
        Ok(())
    }

    fn forget(&self, name: &str) -> io::Result<()> {
        self.0.lock().expect("not poisoned").retain(|(known, _)| known != name);
        Ok(())
    }
}

impl Shelf {
    /// Copies of all that it has, as the next process gets them.
    fn hand_out(&self) -> Vec<(String, OwnedFd)> {
        let kept = self.0.lock().expect("not poisoned");
        kept.iter().map(|(name, descriptor)| (name.clone(), descriptor.try_clone().expect("a copy"))).collect()
    }
}

fn on() -> Standing {
    Standing(Arc::default())
}

/// An agent with these secrets, in secret memory; none on a machine whose kernel has none.
struct Agent {
    keeper: Keeper<Shelf>,
    publisher: Publisher,
    reader: Reader,
    arena: Arena,
    wanted: Vec<Wanted>,
}

impl Agent {
    fn start(shelf: &Shelf, names: &[&str]) -> Option<Self> {
        Region::create(PAGE_BYTES).ok()?;
        let wanted: Vec<_> = names.iter().map(|local| Wanted::named(name(local))).collect();
        let (publisher, reader) = store::channel(wanted.iter().map(|one| (one.name.clone(), false)));
        let arena = Arena::keeping(Settings::default());
        let keeper = Keeper::new(shelf.clone(), arena.clone(), on(), shelf.hand_out());
        Some(Self { keeper, publisher, reader, arena, wanted })
    }

    fn publish(&self, local: &str, digit: char, value: &[u8]) {
        let value = SecretValue::new(self.arena.store(value).expect("memory"));
        let given = Outcome::Given(Secret { value, ..secret(digit, b"") }, origin());
        let _ = self.publisher.apply(vec![store::Fetched { name: name(local), outcome: given }], moment(100));
    }

    fn update(&mut self) {
        self.keeper.update(&self.reader.snapshot(), &self.wanted);
    }

    fn adopt_at(&self, now: Moment) {
        let today = Today { wanted: &self.wanted, vaults: &[origin()], max_stale: Some(Duration::from_hours(24)), now };
        self.keeper.adopt(&self.publisher, today);
    }

    /// What readers get, and how it fares.
    fn seen(&self, local: &str) -> Option<Seen> {
        let snapshot = self.reader.snapshot();
        let slot = snapshot.slots.get(&name(local))?;
        Some((slot.published.as_ref()?.secret.value.as_bytes().to_vec(), slot.state()))
    }

    /// Ends as it does when it is told to.
    fn stop(self) {
        let Self { mut keeper, reader, wanted, .. } = self;
        keeper.update(&reader.snapshot(), &wanted);
        keeper.leave();
    }
}

/// The same, for tests that have nothing to show without secret memory.
macro_rules! start {
    ($shelf:expr, $names:expr) => {
        match Agent::start($shelf, $names) {
            Some(agent) => agent,
            None => return,
        }
    };
}

/// A value that the vault does not confirm.
fn stale(value: &[u8]) -> Seen {
    (value.to_vec(), State::Stale)
}

#[test]
fn the_next_agent_serves_at_once_and_takes_the_keeping_over() {
    let shelf = Shelf::default();
    let mut first = start!(&shelf, &["db", "token"]);
    first.publish("db", 'a', b"one");
    first.update();
    first.publish("db", 'b', b"two");
    first.publish("token", 'c', b"three");
    first.stop();
    let before: Vec<_> = shelf.hand_out().into_iter().map(|(name, _)| name).collect();
    assert_eq!(before.len(), 2, "a page and a chunk: {before:?}");

    let mut second = start!(&shelf, &["db", "token"]);
    second.adopt_at(moment(160));
    assert_eq!((second.seen("db"), second.seen("token")), (Some(stale(b"two")), Some(stale(b"three"))));
    let age = second.reader.snapshot().slots[&name("db")].published.as_ref().map(|one| one.age(moment(160)));
    assert_eq!(age, Some(Duration::from_mins(1)));
    let old = shelf.hand_out();
    second.update();
    let after: Vec<_> = shelf.hand_out().into_iter().map(|(name, _)| name).collect();
    assert!(after.len() == 2 && after.iter().all(|name| !before.contains(name)), "{after:?}");
    for (name, descriptor) in old {
        let region = Region::map(&descriptor).expect("secret memory");
        let mut bytes = vec![0; region.len()];
        assert!(region.read(0, &mut bytes) && bytes.iter().all(|byte| *byte == 0), "{name} is wiped");
    }
    second.stop();
    let third = start!(&shelf, &["db"]);
    third.adopt_at(moment(200));
    assert_eq!(third.seen("db"), Some(stale(b"two")), "also without any look in between");
}

#[test]
fn an_agent_that_is_killed_leaves_what_it_published_last() {
    let shelf = Shelf::default();
    let mut first = start!(&shelf, &["db"]);
    for (digit, value) in [('a', b"one"), ('b', b"two")] {
        first.publish("db", digit, value);
        first.update();
    }
    // Its memory is never put away.
    std::mem::forget(first);
    let second = start!(&shelf, &["db"]);
    second.adopt_at(moment(160));
    assert_eq!(second.seen("db"), Some(stale(b"two")));
}

#[test]
fn what_is_replaced_or_withdrawn_is_nowhere_in_what_is_kept() {
    let shelf = Shelf::default();
    let mut agent = start!(&shelf, &["db"]);
    let holds = |wanted: &[u8]| {
        shelf.hand_out().iter().any(|(_, descriptor)| {
            let region = Region::map(descriptor).expect("secret memory");
            let mut bytes = vec![0; region.len()];
            assert!(region.read(0, &mut bytes));
            bytes.windows(wanted.len()).any(|window| window == wanted)
        })
    };
    agent.publish("db", 'a', b"the-first-value");
    agent.update();
    assert!(holds(b"the-first-value"));
    agent.publish("db", 'b', b"the-second-value");
    agent.update();
    assert!(!holds(b"the-first-value") && holds(b"the-second-value"));
    let _ = agent.publisher.withdraw_old(Duration::from_secs(1), moment(10_000));
    agent.update();
    assert!(!holds(b"the-second-value"));
}

#[test]
fn only_what_todays_configuration_would_have_fetched_is_taken_over() {
    let pinned = |version: char| Wanted {
        version: Some(version.to_string().repeat(32).parse().expect("a version")),
        ..Wanted::named(name("db"))
    };
    let field = Wanted {
        selection: crate::selection::Selection::Field("/a".parse().expect("a pointer")),
        ..Wanted::named(name("db"))
    };
    let mapped = Wanted { vault_name: name("other"), ..Wanted::named(name("db")) };
    let decoded = Wanted { encoding: crate::encoding::Encoding::Base64, ..Wanted::named(name("db")) };
    let same = Wanted::named(name("db"));
    let other_vault = Origin { vault: "https://w.vault.azure.net".into(), is_fallback: false };
    let fallback = Origin { is_fallback: true, ..origin() };
    let rows = [
        ("the same", &same, vec![origin()], 160, true),
        ("a vault that stands in now", &same, vec![other_vault.clone(), fallback], 160, true),
        ("a version that is kept to", &pinned('a'), vec![origin()], 160, false),
        ("a field", &field, vec![origin()], 160, false),
        ("another secret of the vault", &mapped, vec![origin()], 160, false),
        ("another encoding", &decoded, vec![origin()], 160, false),
        ("another vault", &same, vec![other_vault], 160, false),
        ("too long ago", &same, vec![origin()], 100 + 86_400, false),
        ("not too long ago", &same, vec![origin()], 99 + 86_400, true),
        ("from the future", &same, vec![origin()], 99, false),
    ];
    for (row, wanted, vaults, second, expected) in rows {
        let shelf = Shelf::default();
        let first = start!(&shelf, &["db"]);
        first.publish("db", 'a', b"one");
        first.stop();
        let next = start!(&shelf, &["db"]);
        let today = Today {
            wanted: std::slice::from_ref(wanted),
            vaults: &vaults,
            max_stale: Some(Duration::from_hours(24)),
            now: moment(second),
        };
        next.keeper.adopt(&next.publisher, today);
        assert_eq!(next.seen("db").is_some(), expected, "{row}");
    }
}

#[test]
fn a_value_of_an_earlier_configuration_is_not_kept_as_one_of_this() {
    use crate::store::{Carry, Configured};
    let shelf = Shelf::default();
    let mut agent = start!(&shelf, &["db"]);
    agent.publish("db", 'a', b"one");
    agent.update();
    agent.wanted = vec![Wanted { vault_name: name("other"), ..Wanted::named(name("db")) }];
    agent.publisher.configure(vec![Configured { name: name("db"), optional: false, carry: Carry::UntilRenewed }]);
    let wanted = agent.wanted.clone();
    agent.stop();
    let mut next = start!(&shelf, &["db"]);
    next.wanted = wanted;
    next.adopt_at(moment(160));
    assert_eq!(next.seen("db"), None);
}

#[test]
fn what_is_switched_off_keeps_nothing_and_wipes_what_is_there() {
    let shelf = Shelf::default();
    let first = start!(&shelf, &["db"]);
    first.publish("db", 'a', b"one");
    first.stop();
    let mut next = start!(&shelf, &["db"]);
    next.keeper.standing.set(Some("it is switched off"));
    next.adopt_at(moment(160));
    assert_eq!(next.seen("db"), None);
    next.publish("db", 'a', b"one");
    next.update();
    assert!(shelf.hand_out().is_empty());
}

#[test]
fn memory_that_is_not_secret_is_not_kept_and_that_is_said() {
    let shelf = Shelf::default();
    let mut agent = start!(&shelf, &["db"]);
    let settings = Settings { best: Protection::Locked, require_locked: false };
    agent.arena = Arena::keeping(settings);
    agent.keeper = Keeper::new(shelf.clone(), agent.arena.clone(), on(), Vec::new());
    agent.publish("db", 'a', b"one");
    agent.update();
    assert!(shelf.hand_out().is_empty());
    assert_eq!(agent.keeper.standing.to_string(), "off: the kernel gives no memfd_secret, or no more of it");
}

#[test]
fn whether_values_outlive_a_restart_follows_from_what_is_offered() {
    let notify = ("NOTIFY_SOCKET", "/run/systemd/notify");
    let (best, locked) = (Settings::default(), Settings { best: Protection::Locked, require_locked: false });
    let rows = [
        (None, best, Environment::from([notify, ("FDSTORE", "16")]), "on"),
        (None, best, Environment::from([notify]), "off: the service manager does not say that it keeps descriptors"),
        (
            None,
            best,
            Environment::from([notify, ("FDSTORE", "0")]),
            "off: the service manager does not say that it keeps descriptors",
        ),
        (Some(true), best, Environment::from([notify]), "on"),
        (Some(true), best, Environment::default(), "off: no service manager started the agent"),
        (Some(true), locked, Environment::from([notify]), "off: values are not in memfd_secret"),
        (Some(false), best, Environment::from([notify, ("FDSTORE", "16")]), "off: it is switched off"),
    ];
    for (configured, settings, environment, expected) in rows {
        assert_eq!(Standing::of(configured, settings, &environment).to_string(), expected);
    }
}
