//! A running emulator, for a test in the same process and for the binary.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::certificates::CertificateError;
use crate::clock::Clock;
use crate::cloud::Cloud;
use crate::directory::{Directory, DirectoryError};
use crate::environment;
use crate::fault::Faults;
use crate::request_log::RequestLog;
use crate::seed::Seed;
use crate::server::Server;
use crate::state::StateError;
use crate::vault::Vaults;

/// What an emulator starts with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it answers for Azure, in TLS and in plain HTTP alike; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where its proxy answers; port 0 takes a free one.
    pub proxy: SocketAddr,
    /// What exists.
    pub seed: Seed,
    /// The file that keeps it over a restart.
    pub state: Option<PathBuf>,
}

impl Default for Options {
    /// Free ports of the loopback, the example seed, nothing kept.
    fn default() -> Options {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Options { listen: loopback, proxy: loopback, seed: Seed::example(), state: None }
    }
}

/// Why an emulator does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("could not listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The identities of the seed cannot be.
    #[error("the seed's directory cannot be")]
    Directory(#[from] DirectoryError),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The state cannot be kept or taken up.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A running emulator. Dropped, it ends at once; [`Emulator::stop`] waits until it has.
#[derive(Debug)]
pub struct Emulator {
    listen: SocketAddr,
    proxy: SocketAddr,
    admin_token: String,
    cloud: Arc<Cloud>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Emulator {
    /// Starts an emulator within the current tokio runtime. It answers when this returns.
    ///
    /// # Errors
    /// An address is taken, the seed or the state cannot be used.
    pub async fn start(options: Options) -> Result<Emulator, StartError> {
        let cloud = Arc::new(Cloud::new(options.seed, options.state)?);
        let admin_token = Uuid::new_v4().simple().to_string();
        let server = Arc::new(Server::new(Arc::clone(&cloud), &admin_token)?);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut addresses = [options.listen, options.proxy];
        // Both speak TLS, plain HTTP and CONNECT; there are two because a proxy and a server are configured apart.
        for address in &mut addresses {
            let listener = TcpListener::bind(*address).await.map_err(|error| StartError::Listen(*address, error))?;
            *address = listener.local_addr().map_err(|error| StartError::Listen(*address, error))?;
            tasks.spawn(Arc::clone(&server).accept(listener, stop.clone()));
        }
        let [listen, proxy] = addresses;
        Ok(Emulator { listen, proxy, admin_token, cloud, stop, tasks })
    }

    /// Where it answers for Azure, in TLS and in plain HTTP.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where its proxy answers.
    #[must_use]
    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// The certificate that clients must trust.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.cloud.authority.certificate_pem()
    }

    /// What any Azure client needs in its environment to find this emulator instead of Azure, once [`Self::ca_pem`]
    /// is in `ca_file`.
    #[must_use]
    pub fn environment(&self, ca_file: &Path) -> Vec<(&'static str, String)> {
        environment::variables(self.listen, self.proxy, ca_file)
    }

    /// Its time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.cloud.clock
    }

    /// Its identities.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.cloud.directory
    }

    /// Its vaults.
    #[must_use]
    pub fn vaults(&self) -> &Vaults {
        &self.cloud.vaults
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.cloud.faults
    }

    /// What was asked of it.
    #[must_use]
    pub fn requests(&self) -> &RequestLog {
        &self.cloud.requests
    }

    /// What an administrator's requests must carry.
    pub(crate) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Ends every connection, keeps the state, and waits until nothing is left.
    ///
    /// # Errors
    /// The state could not be written.
    pub async fn stop(mut self) -> Result<(), StateError> {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.cloud.save()
    }
}
