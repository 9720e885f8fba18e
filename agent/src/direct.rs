//! One secret straight from the vault, for a machine without an agent: `keyside get --direct`.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::azure::cloud::VaultUrl;
use crate::azure::transport::Timeouts;
use crate::azure::{self, ConnectError, identity};
use crate::causes::with_causes;
use crate::cli::Exit;
use crate::client::text::legible;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::environment::Environment;
use crate::memory::{self, Arena};
use crate::online::{self, TIMEOUTS};
use crate::refresh::Wanted;
use crate::secret::SecretName;
use crate::vault::FetchError;

/// How long all of it may take: the Azure CLI alone, for which whoever signed in by it waits, may take 15 s.
const TOTAL: Duration = Duration::from_secs(30);

/// Where one secret is, and as whom it is read.
#[derive(Clone, Debug)]
pub struct Question {
    vault: VaultUrl,
    identity: identity::Settings,
    memory: memory::Settings,
    wanted: Wanted,
}

/// Why there is no value.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Unconnected(#[from] ConnectError),
    #[error("no value of '{name}'")]
    Refused {
        name: SecretName,
        #[source]
        cause: FetchError,
    },
    #[error("could not start a runtime")]
    Runtime(#[source] io::Error),
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Unconnected(_) => Exit::Config,
            Self::Refused { cause, .. } => match cause {
                FetchError::Denied { .. } | FetchError::NotFound | FetchError::Disabled => Exit::Absent,
                FetchError::Throttled { .. } => Exit::NotYet,
                FetchError::Unavailable(_) | FetchError::NoToken(_) | FetchError::Unusable(_) => Exit::Unavailable,
            },
            Self::Runtime(_) | Self::Output(_) => Exit::Internal,
        }
    }
}

impl Question {
    /// The secret that `config` calls `name`, or none where it has no such secret.
    #[must_use]
    pub fn of_config(name: &SecretName, config: Config) -> Option<Self> {
        let wanted = config.wanted.iter().find(|wanted| wanted.name == *name)?.clone();
        Some(Self { vault: config.vault, identity: config.identity, memory: config.memory, wanted })
    }

    /// The secret that the vault itself calls `name`, as whomever the environment offers.
    #[must_use]
    pub fn of_vault(name: SecretName, vault: VaultUrl) -> Self {
        Self {
            vault,
            identity: identity::Settings::default(),
            memory: memory::Settings::default(),
            wanted: Wanted::named(name),
        }
    }

    /// Writes the bytes of the secret to `out`, or one line about why not to `err`.
    ///
    /// It must be called before any thread is started, since the process gives up rights for all of them.
    pub fn ask(self, environment: &Environment, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
        online::harden(&self.identity, environment);
        match self.answer(environment, out) {
            Ok(()) => Exit::Success,
            Err(failure) => {
                // A terminal that is gone changes nothing about the exit code.
                drop(writeln!(err, "keyside: {}", legible(&with_causes(&failure))));
                failure.exit()
            }
        }
    }

    fn answer(self, environment: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { vault: vault_url, identity, memory, wanted } = self;
        let arena = Arena::new(memory);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let timeouts = Timeouts { total: TOTAL, ..TIMEOUTS };
        let settings = azure::Settings { vault_url, fallback: Vec::new(), identity, timeouts };
        let vault = azure::connect(settings, environment, arena.clone(), clock)?.vault;
        let fetched = online::block_on(online::fetch(&vault, &wanted, &arena)).map_err(Failure::Runtime)?;
        let secret = fetched.map_err(|refused| Failure::Refused { name: wanted.name.clone(), cause: refused.error })?;
        // All of it is there, so that what comes behind a pipe never takes a part for the whole.
        out.write_all(secret.value.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
    }
}
