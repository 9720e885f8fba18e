//! Credentials for systemd's units: what `LoadCredential=` reads from a socket, for the units that may have it.

mod caller;
mod cgroup;
mod claim;
#[cfg(test)]
mod tests;
mod unit;

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::caller::{Stranger, Trust, believed};
use self::claim::Claim;
use self::unit::UnitName;
use crate::causes::with_causes;
use crate::metrics::Metrics;
use crate::secret::{Secret, SecretName};
use crate::serve::{SocketFile, bind_path, compare};
use crate::socket::make_directory;
use crate::store::{Reader, Why};

pub use self::unit::{InvalidUnit, UnitPattern, Units};

/// How long a unit waits for a secret where the configuration does not say: less than the 90 seconds after which systemd gives
/// up on a unit that starts, so that the agent's log says why and not only systemd's.
pub const WAIT: Duration = Duration::from_mins(1);

/// One more byte than a credential may have. To close without a byte would start the unit with an empty credential; too many
/// bytes end its start with 243/CREDENTIALS.
/// Source: `systemd.exec(5)`: "limited to 1M"; `CREDENTIAL_SIZE_MAX` in systemd's `creds-util.h`.
const REFUSAL_BYTES: usize = 1024 * 1024 + 1;

/// How much of a refusal is written at once.
const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// How many credentials may wait for a secret at once. Each start asks for its credentials one by one, so that this is as many
/// units that start together and want what is not there.
const WAITING_MAX: usize = 64;

/// How many callers are taken in at once; others wait in the kernel's queue. Those who do not wait for a secret have as many of
/// these as those who do, and are gone in no time.
pub const CALLERS_MAX: usize = 2 * WAITING_MAX;

/// How long a caller may take to read an answer: systemd does nothing else meanwhile.
const READ_TIME_MAX: Duration = Duration::from_secs(10);

/// How long to leave a socket alone that cannot accept, which happens when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The operator's settings for credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the socket is made.
    pub socket: PathBuf,
    /// How long a unit that starts waits for a secret that is not there yet.
    pub wait: Duration,
    /// Who may have what, at first.
    pub units: Units,
}

/// Bound sockets that nothing serves yet.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<StdListener>,
    file: Option<SocketFile>,
}

/// Binds the socket that is configured, unless the service manager passed some. Only the agent's user and root can connect to
/// one that is made here.
///
/// One that was passed is served even where none is configured and no unit may have anything: a unit that is refused does not
/// start, and one that nobody answers hangs.
///
/// # Errors
/// As [`crate::serve::bind`].
pub fn bind(configured: Option<&Settings>, passed: Vec<StdListener>) -> io::Result<Option<Listeners>> {
    let path = configured.map(|settings| settings.socket.as_path());
    match path {
        Some(path) if passed.is_empty() => {
            make_directory(path, nix::unistd::geteuid().as_raw())?;
            let (listener, file) = bind_path(path, 0o600)?;
            return Ok(Some(Listeners { sockets: vec![listener], file: Some(file) }));
        }
        Some(path) => {
            for listener in &passed {
                compare(listener, path);
            }
        }
        None if passed.is_empty() => return Ok(None),
        None => tracing::warn!(
            "the service manager passes a socket for credentials, and there is no [credentials] table: no unit gets any"
        ),
    }
    Ok(Some(Listeners { sockets: passed, file: None }))
}

/// Says why a unit does not get a credential, and so does not start.
#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("no secret is named '{}'", .0.credential.escape_debug())]
    Unknown(Claim),
    #[error("{} may not have it: add the unit to the secret's units", .0.unit)]
    NotAllowed(Claim),
    #[error("{unit} was not given it: {why}")]
    Withdrawn { unit: UnitName, why: Why },
    #[error("{unit} was not given it: there is no value after {waited:?}")]
    Late { unit: UnitName, waited: Duration },
    #[error("{unit} was not given it: there is no value, and {WAITING_MAX} others wait for one already")]
    Crowded { unit: UnitName },
    #[error("{unit} was not given it: the agent stops")]
    Stopping { unit: UnitName },
}

/// What units are given, who may have it, and who counts it.
#[derive(Debug)]
pub struct Sources {
    /// The store.
    pub reader: Reader,
    /// Who may have what.
    pub units: watch::Receiver<Arc<Units>>,
    /// Counts what was given and refused.
    pub metrics: Arc<Metrics>,
}

/// Who may have what, and from where.
struct Room {
    trust: Trust,
    wait: Duration,
    sources: Sources,
    /// A place for each credential that waits.
    places: Semaphore,
    stop: CancellationToken,
}

/// Gives units their credentials until stopped.
///
/// No caller is taken in before every required secret is there, or [`Settings::wait`] is over: one that waits in the kernel's
/// queue outlives the agent where the service manager listens, and gets an error and not an empty credential where it does not.
///
/// # Errors
/// When a socket cannot be served.
pub async fn run(listeners: Listeners, wait: Duration, sources: Sources, stop: CancellationToken) -> Result<()> {
    sources.metrics.credentials_given(0);
    sources.metrics.credentials_refused(0);
    serve(listeners, Arc::new(Room::new(Trust::default(), wait, sources, stop))).await
}

async fn serve(Listeners { sockets, file }: Listeners, room: Arc<Room>) -> Result<()> {
    let permits = Arc::new(Semaphore::new(CALLERS_MAX));
    room.until_complete().await;
    let mut doors = JoinSet::new();
    for socket in sockets {
        socket.set_nonblocking(true)?;
        let socket = UnixListener::from_std(socket).context("the socket for credentials")?;
        doors.spawn(welcome(socket, Arc::clone(&permits), Arc::clone(&room)));
    }
    room.stop.cancelled().await;
    drop(file);
    while let Some(ended) = doors.join_next().await {
        ended.context("a task of the socket for credentials panicked")?;
    }
    Ok(())
}

async fn welcome(socket: UnixListener, permits: Arc<Semaphore>, room: Arc<Room>) {
    let mut callers = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, socket.accept().await)
        };
        tokio::select! {
            () = room.stop.cancelled() => break,
            Some(ended) = callers.join_next() => report(ended),
            accepted = next => match accepted {
                (Ok(permit), Ok((stream, _))) => drop(callers.spawn(answer(stream, permit, Arc::clone(&room)))),
                (_, Err(error)) => {
                    tracing::warn!(error = with_causes(&error), "no unit can be served for a moment");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), Ok(_)) => break,
            },
        }
    }
    drop(socket);
    while let Some(ended) = callers.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the task of a unit's credential panicked");
    }
}

/// Gives one caller what it may have. Nothing is read: systemd says all that it has to say by its address.
async fn answer(mut stream: UnixStream, _permit: OwnedSemaphorePermit, room: Arc<Room>) {
    let outcome = match room.decide(&stream).await {
        Ok((claim, secret)) => {
            let outcome = timeout(READ_TIME_MAX, give(&mut stream, &secret)).await;
            if matches!(outcome, Ok(Ok(()))) {
                room.sources.metrics.credentials_given(1);
                tracing::info!(unit = %claim.unit, secret = claim.credential, version = %secret.metadata.version, "credential given");
            }
            outcome
        }
        Err(refusal) => {
            room.sources.metrics.credentials_refused(1);
            tracing::warn!(error = with_causes(&refusal), "no credential is given, and the unit does not start");
            timeout(READ_TIME_MAX, refuse(&mut stream)).await
        }
    };
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = with_causes(&error), "the unit hung up"),
        Err(_) => tracing::warn!("a unit did not read its credential in time, and is cut off"),
    }
}

/// Writes the value from where it lies.
async fn give(stream: &mut UnixStream, secret: &Secret) -> io::Result<()> {
    stream.write_all(secret.value.as_bytes()).await?;
    stream.shutdown().await
}

async fn refuse(stream: &mut UnixStream) -> io::Result<()> {
    let mut rest = REFUSAL_BYTES;
    while rest > 0 {
        rest -= stream.write(&ZEROS[..rest.min(ZEROS.len())]).await?;
    }
    stream.shutdown().await
}

impl Room {
    fn new(trust: Trust, wait: Duration, sources: Sources, stop: CancellationToken) -> Self {
        Self { trust, wait, sources, places: Semaphore::new(WAITING_MAX), stop }
    }

    async fn until_complete(&self) {
        let mut reader = self.sources.reader.clone();
        let complete = async { while !reader.snapshot().is_complete() && reader.changed().await {} };
        tokio::select! {
            () = complete => {}
            () = tokio::time::sleep(self.wait) => {}
            () = self.stop.cancelled() => {}
        }
    }

    async fn decide(&self, stream: &UnixStream) -> Result<(Claim, Secret), Refusal> {
        let claim = believed(stream, &self.trust)?;
        let name = claim.credential.parse().ok();
        let Some(name) = name.filter(|name| self.sources.reader.snapshot().slots.contains_key(name)) else {
            return Err(Refusal::Unknown(claim));
        };
        let secret = self.wait_for(&name, &claim).await?;
        Ok((claim, secret))
    }

    /// The value, once there is one; whether the unit may have it is asked again then.
    async fn wait_for(&self, name: &SecretName, claim: &Claim) -> Result<Secret, Refusal> {
        let (mut reader, unit) = (self.sources.reader.clone(), || claim.unit.clone());
        let mut place = None;
        let look = async {
            loop {
                if !self.may_have(name, claim) {
                    return Err(Refusal::NotAllowed(claim.clone()));
                }
                let snapshot = reader.snapshot();
                let slot = snapshot.slots.get(name).ok_or_else(|| Refusal::Unknown(claim.clone()))?;
                if let Some(published) = &slot.published {
                    return Ok(published.secret.clone());
                }
                if let Some(withdrawn) = slot.withdrawn {
                    return Err(Refusal::Withdrawn { unit: unit(), why: withdrawn.why });
                }
                drop(snapshot);
                if place.is_none() {
                    place = Some(self.places.try_acquire().map_err(|_| Refusal::Crowded { unit: unit() })?);
                }
                if !reader.changed().await {
                    return Err(Refusal::Stopping { unit: unit() });
                }
            }
        };
        tokio::select! {
            biased;
            found = look => found,
            () = self.stop.cancelled() => Err(Refusal::Stopping { unit: unit() }),
            () = tokio::time::sleep(self.wait) => Err(Refusal::Late { unit: unit(), waited: self.wait }),
        }
    }

    fn may_have(&self, name: &SecretName, claim: &Claim) -> bool {
        let units = self.sources.units.borrow();
        units.get(name).is_some_and(|patterns| patterns.iter().any(|pattern| pattern.matches(&claim.unit)))
    }
}
