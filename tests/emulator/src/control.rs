//! The command line's way to a running emulator: the files in its directory, and calls to its administrator.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{self, Command};
use crate::emulator::Emulator;
use crate::state::write_privately;

/// The certificate to trust, within the emulator's directory.
pub(crate) const CA_FILE: &str = "ca.pem";
/// Addresses and the administrator's token, within the emulator's directory.
const CONTROL_FILE: &str = "emulator.json";
/// Held while an emulator runs, within its directory.
const LOCK_FILE: &str = "emulator.lock";
/// How long an emulator may take to start: it makes two RSA keys, on a machine that may be busy.
const START_TIME: Duration = Duration::from_secs(5);

/// What a running emulator leaves in its directory for the other commands.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    pub(crate) listen: SocketAddr,
    pub(crate) proxy: SocketAddr,
    pub(crate) identity_header: String,
    pub(crate) msi_secret: String,
    admin_token: String,
}

impl Control {
    /// Keeps other emulators out of `directory`, which is made where it does not exist, until the answer is dropped.
    pub(crate) fn lock(directory: &Path) -> anyhow::Result<File> {
        std::fs::create_dir_all(directory).with_context(|| format!("could not make {}", directory.display()))?;
        let file = directory.join(LOCK_FILE);
        let lock = File::create(&file).with_context(|| format!("could not make {}", file.display()))?;
        let taken =
            || format!("an emulator runs in {} already: stop it, or give this one another", directory.display());
        lock.try_lock().with_context(taken)?;
        Ok(lock)
    }

    /// Describes `emulator` in `directory`.
    pub(crate) fn publish(emulator: &Emulator, directory: &Path) -> anyhow::Result<()> {
        let control = Control {
            listen: reachable(emulator.listen()),
            proxy: reachable(emulator.proxy()),
            identity_header: emulator.directory().identity_header().to_string(),
            msi_secret: emulator.directory().msi_secret().to_string(),
            admin_token: emulator.admin_token().to_string(),
        };
        let ca = directory.join(CA_FILE);
        std::fs::write(&ca, emulator.ca_pem()).with_context(|| format!("could not write {}", ca.display()))?;
        let file = directory.join(CONTROL_FILE);
        let json = serde_json::to_vec(&control).context("could not describe the emulator")?;
        write_privately(&file, &json).with_context(|| format!("could not write {}", file.display()))
    }

    /// Takes the description back, so that nobody looks for an emulator that has ended.
    pub(crate) fn withdraw(directory: &Path) -> anyhow::Result<()> {
        let file = directory.join(CONTROL_FILE);
        std::fs::remove_file(&file).with_context(|| format!("could not remove {}", file.display()))
    }

    /// Reads what the emulator of `directory` left, once it is there: it may just be starting.
    pub(crate) async fn wait_for(directory: &Path) -> anyhow::Result<Control> {
        let end = Instant::now() + START_TIME;
        loop {
            match Control::read(directory) {
                Err(_) if Instant::now() < end => tokio::time::sleep(START_TIME / 250).await,
                outcome => return outcome,
            }
        }
    }

    /// Reads what the emulator of `directory` left.
    pub(crate) fn read(directory: &Path) -> anyhow::Result<Control> {
        let file: PathBuf = directory.join(CONTROL_FILE);
        let json = std::fs::read(&file).with_context(|| {
            format!("could not read {}: is `keyside-emulator serve` running there?", file.display())
        })?;
        // The parser's words could quote the token.
        serde_json::from_slice(&json).ok().with_context(|| format!("{} is not of this emulator", file.display()))
    }

    /// Asks the emulator to obey `command`.
    pub(crate) async fn send(&self, command: &Command) -> anyhow::Result<Value> {
        let unreachable = || format!("no emulator answers on {}", self.listen);
        let stream = TcpStream::connect(self.listen).await.with_context(unreachable)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.with_context(unreachable)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let body = serde_json::to_vec(command).context("command could not be written")?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(admin::PATH)
            .header(header::HOST, self.listen.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.admin_token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .context("command could not be written")?;
        let response = sender.send_request(request).await.with_context(unreachable)?;
        let status = response.status();
        let answer = response.into_body().collect().await.with_context(unreachable)?.to_bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
        match status {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => bail!("another emulator answers on {}", self.listen),
            _ => bail!("{}", answer["error"].as_str().unwrap_or("emulator does not understand the command")),
        }
    }
}

/// An address that a client on this machine can connect to: a listener on all addresses is found on the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
