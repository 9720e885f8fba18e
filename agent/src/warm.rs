//! Warm restart: the values outlive the agent in the service manager's keeping, and the next agent serves them at once.
//!
//! Only secret memory is given into keeping: whoever holds its descriptor can map it, and nothing else can reach it. An index
//! in the same memory says what there is; it is replaced whole, and the values that it leads to are not wiped before that.

mod adoption;
mod directory;
mod found;
mod index;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::directory::{Directory, PAGE_BYTES, checksum};
use self::found::{Found, Part};
use self::index::Index;
use crate::causes::with_causes;
use crate::environment::Environment;
use crate::memory::{self, Arena, Locked, MemoryExhausted, Protection, Region};
use crate::refresh::Wanted;
use crate::secret::SecretValue;
use crate::store::{Publisher, Reader, Snapshot};

pub use self::adoption::Today;

/// How often the index is brought up to date with looks that changed nothing: an agent that is killed makes values that much
/// older than they are, which is little beside the two minutes between looks.
const FRESHEN: Duration = Duration::from_secs(15);

/// Has descriptors in keeping while the agent is away.
pub trait Custody: Send + 'static {
    /// Takes a copy of a descriptor, under a name.
    ///
    /// # Errors
    /// When it cannot be told so.
    fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()>;

    /// Closes what it has under a name.
    ///
    /// # Errors
    /// When it cannot be told so.
    fn forget(&self, name: &str) -> io::Result<()>;
}

/// Whether values outlive a restart, and why not. Clones share it.
#[derive(Clone, Debug)]
pub struct Standing {
    obstacle: Arc<Mutex<Option<&'static str>>>,
    /// How many descriptors the service manager keeps, where it says so. What is more it closes without a word.
    most: Option<usize>,
}

impl Standing {
    /// What the configuration and the environment allow.
    #[must_use]
    pub fn of(configured: Option<bool>, settings: memory::Settings, environment: &Environment) -> Self {
        let most = environment.get("FDSTORE").and_then(|most| most.parse().ok());
        let offered = most.is_some_and(|most| most > 0);
        let obstacle = match configured {
            Some(false) => Some("it is switched off"),
            _ if settings.best != Protection::SecretMemory => Some("values are not in memfd_secret"),
            _ if environment.get("NOTIFY_SOCKET").is_none() => Some("no service manager started the agent"),
            None if !offered => Some("the service manager does not say that it keeps descriptors"),
            _ => None,
        };
        Self { obstacle: Arc::new(Mutex::new(obstacle)), most }
    }

    /// Whether they do.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.obstacle().is_none()
    }

    fn obstacle(&self) -> Option<&'static str> {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, obstacle: Option<&'static str>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.obstacle() {
            None => formatter.write_str("on"),
            Some(obstacle) => write!(formatter, "off: {obstacle}"),
        }
    }
}

/// Says why nothing is kept.
#[derive(Debug, Error)]
enum Unkept {
    #[error("the kernel gives no secret memory for it")]
    NoSecretMemory,
    #[error("there is no memory for the index")]
    Memory(#[from] MemoryExhausted),
    #[error("the memory of values has {0} descriptors, and the service manager keeps fewer")]
    Full(usize),
    #[error("the service manager cannot be told")]
    Custody(#[source] io::Error),
}

impl Unkept {
    fn word(&self) -> &'static str {
        match self {
            Self::NoSecretMemory | Self::Memory(_) => "the kernel gives no memfd_secret, or no more of it",
            Self::Full(_) => "the service manager keeps too few descriptors: raise FileDescriptorStoreMax=",
            Self::Custody(_) => "the service manager does not listen",
        }
    }
}

/// Keeps what the agent knows for the next one.
#[derive(Debug)]
pub struct Keeper<C> {
    custody: C,
    arena: Arena,
    standing: Standing,
    /// Tells what this agent keeps from what others did.
    agent: u64,
    /// What the service manager keeps of it.
    kept: Vec<Part>,
    directory: Option<Directory>,
    /// What the directory leads to: the index, where it lies, and the values that it leads to.
    written: Option<(Index, Locked, Vec<SecretValue>)>,
    /// What agents before this one kept, until this one has all that it takes over in keeping.
    found: Found,
}

impl<C: Custody> Keeper<C> {
    /// A keeper for the values of `arena`, which has been given these descriptors back.
    #[must_use]
    pub fn new(custody: C, arena: Arena, standing: Standing, passed: Vec<(String, OwnedFd)>) -> Self {
        let found = Found::of(passed);
        let agent = fastrand::u64(..);
        Self { custody, arena, standing, agent, kept: Vec::new(), directory: None, written: None, found }
    }

    /// Publishes what agents before this one kept and today's configuration wants.
    pub fn adopt(&self, publisher: &Publisher, today: Today<'_>) {
        if self.standing.is_on() {
            publisher.adopt(adoption::adopt(&self.found, today, &self.arena), today.now);
        }
    }

    /// Keeps every change in step until stopped. Then the values stay as they are: whether there will be a next agent is for the
    /// service manager to know, and the kernel zeroes what it gives up.
    pub async fn run(
        mut self,
        mut reader: Reader,
        mut wanted: watch::Receiver<Arc<[Wanted]>>,
        stop: CancellationToken,
    ) {
        loop {
            self.update(&reader.snapshot(), &wanted.borrow_and_update().clone());
            tokio::select! {
                () = stop.cancelled() => break,
                true = reader.changed() => {}
                Ok(()) = wanted.changed() => {}
                () = tokio::time::sleep(FRESHEN) => {}
            }
        }
        self.update(&reader.snapshot(), &wanted.borrow().clone());
        self.leave();
    }

    /// Brings what is kept in step, and gives up what agents before this one kept: by now, this one has what it took over.
    fn update(&mut self, snapshot: &Snapshot, wanted: &[Wanted]) {
        if self.standing.is_on()
            && let Err(error) = self.write(snapshot, wanted)
        {
            tracing::warn!(error = with_causes(&error), "values do not outlive a restart of the agent");
            self.standing.set(Some(error.word()));
            self.give_up();
        }
        if !self.standing.is_on() {
            // Nobody takes them, and an open descriptor is a way to the memory.
            drop(self.arena.take_descriptors());
        }
        self.give_up_found();
    }

    fn give_up_found(&mut self) {
        for name in std::mem::take(&mut self.found).wipe() {
            self.forget(&name);
        }
    }

    fn write(&mut self, snapshot: &Snapshot, wanted: &[Wanted]) -> Result<(), Unkept> {
        let (index, values) = Index::of(snapshot, wanted);
        if self.written.as_ref().is_some_and(|(known, ..)| *known == index) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&index).unwrap_or_default();
        let stored = self.store(&bytes)?;
        let place = stored.place().ok_or(Unkept::NoSecretMemory)?;
        // The index leads only to what is in keeping already.
        self.keep_new()?;
        if let Some(directory) = &mut self.directory {
            directory.lead_to(place, checksum(&bytes));
        }
        self.written = Some((index, stored, values));
        Ok(())
    }

    /// Stores an index, in locked memory or not at all: a mapping that is not locked would take later values in, too.
    fn store(&mut self, index: &[u8]) -> Result<Locked, MemoryExhausted> {
        let arena = self.arena.locked_only();
        arena.store(index).or_else(|_| {
            // What agents before this one kept is locked as well.
            self.give_up_found();
            arena.store(index)
        })
    }

    /// Has all memory kept that is not yet. Where there is no room beside what agents before this one kept, that goes first.
    fn keep_new(&mut self) -> Result<(), Unkept> {
        let chunks = self.arena.take_descriptors().into_iter();
        let mut new: Vec<_> = chunks.map(|(number, descriptor)| (Part::Chunk(number), descriptor)).collect();
        if self.directory.is_none() {
            let (page, descriptor) = Region::create(PAGE_BYTES).map_err(|_| Unkept::NoSecretMemory)?;
            self.directory = Some(Directory::new(page));
            new.push((Part::Root, descriptor));
        }
        let (own, most) = (self.kept.len() + new.len(), self.standing.most.unwrap_or(usize::MAX));
        if own > most {
            return Err(Unkept::Full(own));
        }
        if own > most.saturating_sub(self.found.count()) {
            self.give_up_found();
        }
        for (part, descriptor) in new {
            self.custody.keep(&part.name(self.agent), descriptor.as_fd()).map_err(Unkept::Custody)?;
            self.kept.push(part);
        }
        Ok(())
    }

    fn forget(&self, name: &str) {
        if let Err(error) = self.custody.forget(name) {
            tracing::warn!(name, error = with_causes(&error), "the service manager goes on keeping what was wiped");
        }
    }

    /// Takes back what can be taken back.
    fn give_up(&mut self) {
        for part in std::mem::take(&mut self.kept) {
            self.forget(&part.name(self.agent));
        }
        (self.directory, self.written) = (None, None);
    }

    fn leave(self) {
        if let Some((_, index, values)) = &self.written {
            values.iter().map(SecretValue::locked).chain([index]).for_each(Locked::leave);
        }
    }
}
