//! One emulated Azure with an agent beside it, and the way between them, on which things can go wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use keyside_emulator::fault::Fault;
use keyside_tests::agent::Agent;
use keyside_tests::binaries;
use keyside_tests::cloud::Cloud;
use keyside_tests::estate::{MANAGED_CLIENT, VAULT};
use keyside_tests::gateway::{Gateway, Mode};
use keyside_tests::hosts::Hosts;

use crate::row::{Identity, Phase, Strike};

/// The secret that things happen to, and one that is only there.
pub(crate) const STRUCK: &str = "db-password";
pub(crate) const OTHER: &str = "api-token";
pub(crate) const SECRETS: usize = 2;

/// Their values.
pub(crate) const OLD: &str = "first-7fKq2m";
pub(crate) const NEW: &str = "second-Zp04vt";
pub(crate) const OTHERS: &str = "token-x91Lw0";

/// How often the agent looks, and how long a denial must go on: both as short as a configuration may say.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
const CONFIG: &str = "[rotation]\npoll_interval = '1s'\nrevoke_after = '2s'\n\
                      [[secret]]\nname = 'db-password'\n[[secret]]\nname = 'api-token'\n";

/// Longer than any token of the emulator is good for.
const TOKEN_LIFE: Duration = Duration::from_hours(25);

/// What was asked of Azure so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Requests to the vault, or what came of them before they could be made: by whoever saw the most.
    pub(crate) calls: usize,
    pub(crate) sign_ins: usize,
}

pub(crate) struct Scene {
    pub(crate) cloud: Cloud,
    gateway: Option<Gateway>,
    hosts: Option<Hosts>,
    variables: BTreeMap<String, String>,
    identity: Identity,
}

impl Scene {
    pub(crate) fn prepare(strike: &Strike) -> Self {
        let cloud = Cloud::start(&[(STRUCK, OLD), (OTHER, OTHERS)]);
        let mut variables = cloud.variables();
        let mut set = |names: &[&str], value: &str| {
            variables.extend(names.iter().map(|name| ((*name).to_owned(), value.to_owned())));
        };
        let (mut gateway, mut hosts, mut identity) = (None, None, Identity::ServicePrincipal);
        match strike {
            Strike::Vault(_) | Strike::Names => {
                let address = own_address();
                gateway = Some(Gateway::open(SocketAddr::new(address, 443), cloud.emulator().listen()));
                hosts = Some(Hosts::naming(cloud.folder(), &vault_host(), address));
                set(&["NO_PROXY", "no_proxy"], ".vault.azure.net");
            }
            Strike::Proxy(_) => {
                let opened = Gateway::open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), cloud.emulator().proxy());
                set(&["HTTPS_PROXY", "https_proxy"], &format!("http://{}", opened.address()));
                gateway = Some(opened);
            }
            Strike::SignIn(of, _) => identity = *of,
            Strike::Answer(_) | Strike::Tunnel(_) => {}
        }
        Self { cloud, gateway, hosts, variables, identity }
    }

    /// Starts the agent, which may not become ready.
    pub(crate) fn start_agent(&self) -> Agent {
        let identity = match self.identity {
            Identity::ServicePrincipal => "[identity]\nkind = 'client-secret'\n".to_owned(),
            Identity::Machine => {
                format!("[identity]\nkind = 'managed-identity'\nclient_id = '{MANAGED_CLIENT}'\n")
            }
        };
        let hosts = self.hosts.as_ref();
        let command = hosts.map_or_else(|| binaries::command("keyside"), |hosts| hosts.command("keyside"));
        let config = self.cloud.config(&format!("{identity}{CONFIG}"));
        let named = ["--config".as_ref(), config.as_os_str()];
        Agent::start_by(command, &named, &self.cloud.socket(), &config.with_extension("log"), &self.variables)
    }

    /// Lets it go wrong: in a rotation only for the secret that is rotated, where that can be.
    pub(crate) fn strike(&mut self, strike: &Strike, phase: Phase) {
        let add = |fault| self.cloud.emulator().faults().add(fault).expect("a fault");
        match strike.clone() {
            Strike::Answer(fault) => {
                let path = if phase == Phase::Rotation { format!("/secrets/{STRUCK}*") } else { "*".into() };
                add(Fault { host: vault_host(), path, ..fault });
            }
            Strike::Tunnel(fault) => {
                add(Fault { host: vault_host(), ..fault });
            }
            Strike::SignIn(Identity::ServicePrincipal, fault) => {
                add(Fault { host: "login.microsoftonline.com".into(), ..fault });
            }
            Strike::SignIn(Identity::Machine, fault) => {
                add(Fault { path: "/metadata/identity/*".into(), ..fault });
            }
            Strike::Vault(mode) | Strike::Proxy(mode) => self.gateway().turn(mode),
            Strike::Names => self.hosts().know(&vault_host(), None),
        }
        if matches!(strike, Strike::SignIn(..)) && phase != Phase::Start {
            self.cloud.emulator().clock().advance(TOKEN_LIFE);
        }
    }

    /// Lets all be well again.
    pub(crate) fn heal(&mut self) {
        self.cloud.emulator().faults().clear();
        if let Some(gateway) = &mut self.gateway {
            gateway.turn(Mode::Pass);
            if let Some(hosts) = &self.hosts {
                hosts.know(&vault_host(), Some(gateway.address().ip()));
            }
        }
    }

    /// What was asked, as far as the emulator, the way and the agent itself know.
    pub(crate) fn count(&self, agent: Option<&Agent>) -> Count {
        let requests = self.cloud.requests();
        let number = |counts: fn(&str, &str, &str) -> bool| {
            requests.iter().filter(|entry| counts(&entry.method, &entry.host, &entry.path)).count()
        };
        let tunnels = number(|method, host, _| method == "CONNECT" && host.ends_with(".vault.azure.net"));
        let answered = number(|method, host, _| method == "GET" && host.ends_with(".vault.azure.net"));
        let sign_ins = number(|method, host, path| {
            method == "POST" && host == "login.microsoftonline.com" || path.starts_with("/metadata/identity/")
        });
        let entered = self.gateway.as_ref().map_or(0, Gateway::connections);
        let noted = agent.map_or(0, noted_by);
        Count { calls: tunnels.max(answered).max(entered).max(noted), sign_ins }
    }

    fn gateway(&mut self) -> &mut Gateway {
        self.gateway.as_mut().expect("prepared for this strike")
    }

    fn hosts(&self) -> &Hosts {
        self.hosts.as_ref().expect("prepared for this strike")
    }
}

/// The requests to the vault that the agent's own metrics count.
fn noted_by(agent: &Agent) -> usize {
    let metrics = String::from_utf8(agent.get("/metrics").body).expect("metrics are text");
    let requests = metrics.lines().filter(|line| line.starts_with("keyside_vault_requests_total{"));
    requests.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

fn vault_host() -> String {
    format!("{VAULT}.vault.azure.net")
}

/// An address of this machine that no other scene has, nor one of another process.
fn own_address() -> IpAddr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let [low, middle, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, 64 + middle % 64, low, 1 + LAST.fetch_add(1, Ordering::Relaxed)).into()
}
