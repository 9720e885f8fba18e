//! What the commands of the command line do.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::Command;
use crate::cli::{
    Action, Cli, Credential, FaultAction, Firewall, FirewallSetting, NewFault, Output, Place, Role, RoleName, Secret,
    Serve,
};
use crate::control::{CA_FILE, Control};
use crate::emulator::{Emulator, Options};
use crate::environment;
use crate::fault::{Fault, Scripted};
use crate::request_log::Entry;
use crate::seed::Seed;
use crate::vault::{DefaultAction, Network, RoleGrant, Switch};

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// An emulator that does not start, or one that is not there, or one that refuses.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Serve(serve) => serve.run().await,
            Action::Env(Place { dir }) => {
                // Only this makes `eval "$(keyside-emulator env …)" && …` stop where there is no emulator.
                let control = Control::wait_for(&dir).await.inspect_err(|_| drop(print("false\n")))?;
                let dir = std::path::absolute(&dir).with_context(|| format!("could not find {}", dir.display()))?;
                print(&environment::exports(&control, &dir.join(CA_FILE)))
            }
            Action::Secret(secret) => secret.run().await,
            Action::Role(Role::Grant(name)) => name.run(|vault, grant| Command::GrantRole { vault, grant }).await,
            Action::Role(Role::Revoke(name)) => name.run(|vault, grant| Command::RevokeRole { vault, grant }).await,
            Action::Firewall(firewall) => firewall.run().await,
            Action::Fault(fault) => fault.run().await,
            Action::Clock(clock) => {
                let by = clock.advance.map_or(Duration::ZERO, Duration::from);
                let answer = send(&clock.place, &Command::AdvanceClock { by }).await?;
                print_member(&answer, "now")
            }
            Action::Requests(requests) => {
                let mut answer = send(&requests.place, &Command::ListRequests).await?;
                if requests.writes {
                    answer = writes(answer)?;
                }
                print_each(answer, requests.output, |entry: Entry| {
                    let Entry { method, host, path, status, .. } = entry;
                    let status = status.map_or("-".to_string(), |status| status.to_string());
                    format!("{method} {host} {} {status}", if path.is_empty() { "-" } else { &path })
                })
            }
            Action::Credential(credential) => credential.run().await,
        }
    }
}

impl Serve {
    async fn run(self) -> anyhow::Result<()> {
        let Serve { place: Place { dir }, listen, proxy, seed, state } = self;
        let seed = seed.as_deref().map_or_else(|| Ok(Seed::example()), Seed::load)?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
        let _lock = Control::lock(&dir)?;
        let emulator = Emulator::start(Options { listen, proxy, seed, state }).await?;
        Control::publish(&emulator, &dir)?;
        print("ready\n")?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let withdrawn = Control::withdraw(&dir);
        emulator.stop().await?;
        withdrawn
    }
}

impl Secret {
    async fn run(self) -> anyhow::Result<()> {
        let (secret, command): (_, fn(String, String) -> Command) = match self {
            Secret::Set { secret, value, content_type } => {
                let value = if value == "-" { from_standard_input()? } else { value }.into();
                let (vault, name) = (secret.vault, secret.name);
                let answer = send(&secret.place, &Command::SetSecret { vault, name, value, content_type }).await?;
                return print_member(&answer, "version");
            }
            Secret::Disable(secret) => (secret, |vault, name| Command::EnableSecret { vault, name, enabled: false }),
            Secret::Enable(secret) => (secret, |vault, name| Command::EnableSecret { vault, name, enabled: true }),
            Secret::Delete(secret) => (secret, |vault, name| Command::DeleteSecret { vault, name }),
        };
        send(&secret.place, &command(secret.vault, secret.name)).await.map(|_| ())
    }
}

impl RoleName {
    async fn run(self, command: fn(String, RoleGrant) -> Command) -> anyhow::Result<()> {
        let RoleName { place, vault, principal, role, secret } = self;
        send(&place, &command(vault, RoleGrant { principal, role, secret })).await.map(|_| ())
    }
}

impl Firewall {
    async fn run(self) -> anyhow::Result<()> {
        let network = match self.setting {
            FirewallSetting::Open => Network::default(),
            FirewallSetting::Closed => Network { default_action: DefaultAction::Deny, ..Network::default() },
            FirewallSetting::Private => Network { public_network_access: Switch::Disabled, ..Network::default() },
        };
        send(&self.place, &Command::SetFirewall { vault: self.vault, network }).await.map(|_| ())
    }
}

impl FaultAction {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            FaultAction::Add(new) => {
                let (place, fault) = new.into_fault();
                let answer = send(&place, &Command::AddFault { fault }).await?;
                print(&format!("{}\n", answer["id"]))
            }
            FaultAction::List { place, output } => {
                let answer = send(&place, &Command::ListFaults).await?;
                print_each(answer, output, |scripted: Scripted| describe(&scripted))
            }
            FaultAction::Clear(place) => send(&place, &Command::ClearFaults).await.map(|_| ()),
        }
    }
}

impl NewFault {
    fn into_fault(self) -> (Place, Fault) {
        let NewFault { place, method, host, path, status, headers, body, delay, hang, cut, .. } = self;
        let NewFault { wrong_certificate, expired_certificate, count, .. } = self;
        let delay = delay.map_or(Duration::ZERO, Duration::from);
        let answer = Fault { method, host, path, status, headers, body, ..Fault::default() };
        (place, Fault { delay, hang, cut, wrong_certificate, expired_certificate, count, ..answer })
    }
}

impl Credential {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Credential::FederatedToken { place, issuer, subject, audience } => {
                let answer = send(&place, &Command::FederatedToken { issuer, subject, audience }).await?;
                print_member(&answer, "token")
            }
            Credential::Certificate { place, app_id } => {
                print_member(&send(&place, &Command::ClientCertificate { app_id }).await?, "pem")
            }
        }
    }
}

/// One line about a fault: whom it strikes, what it does, what is left of it.
fn describe(Scripted { id, fault }: &Scripted) -> String {
    let mut words = vec![id.to_string(), format!("host={}", fault.host), format!("path={}", fault.path)];
    words.extend(fault.method.as_ref().map(|method| format!("method={method}")));
    words.extend(fault.status.map(|status| format!("status={status}")));
    words.extend(fault.headers.iter().map(|(name, _)| format!("header={name}")));
    words.extend(fault.body.as_ref().map(|body| format!("body={} bytes", body.len())));
    words.extend((!fault.delay.is_zero()).then(|| format!("delay={:?}", fault.delay)));
    words.extend(fault.hang.then(|| "hang".to_string()));
    words.extend(fault.cut.map(|after| format!("cut={after}")));
    words.extend(fault.wrong_certificate.then(|| "wrong-certificate".to_string()));
    words.extend(fault.expired_certificate.then(|| "expired-certificate".to_string()));
    words.extend(fault.count.map(|count| format!("left={count}")));
    words.join(" ")
}

async fn send(place: &Place, command: &Command) -> anyhow::Result<Value> {
    let directory: &Path = &place.dir;
    Control::read(directory)?.send(command).await
}

fn from_standard_input() -> anyhow::Result<String> {
    let mut value = String::new();
    // The reader's error could quote what it read.
    std::io::stdin().read_to_string(&mut value).ok().context("standard input holds no UTF-8 text")?;
    Ok(value)
}

fn writes(requests: Value) -> anyhow::Result<Value> {
    let mut entries: Vec<Entry> = serde_json::from_value(requests).context("emulator is of another version")?;
    entries.retain(Entry::is_write);
    serde_json::to_value(entries).context("requests could not be written")
}

fn print_each<T: DeserializeOwned>(answer: Value, output: Output, line: impl Fn(T) -> String) -> anyhow::Result<()> {
    if output == Output::Json {
        return print(&format!("{answer:#}\n"));
    }
    let items: Vec<T> = serde_json::from_value(answer).context("emulator is of another version")?;
    items.into_iter().try_for_each(|item| print(&format!("{}\n", line(item))))
}

fn print_member(answer: &Value, member: &str) -> anyhow::Result<()> {
    let text = answer[member].as_str().context("emulator is of another version")?;
    print(&format!("{}\n", text.trim_end()))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("could not write to standard output")
}
