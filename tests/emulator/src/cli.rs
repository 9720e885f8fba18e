//! The command line: `serve` runs the emulator, every other command speaks to a running one.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use uuid::Uuid;

use crate::directory::seed::TOKEN_EXCHANGE_AUDIENCE;
use crate::seed::Delay;

/// Azure on localhost: Entra, instance metadata and Key Vault over real TLS, with faults that can be scripted.
#[derive(Debug, Parser)]
#[command(name = "keyside-emulator", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run until SIGTERM or SIGINT; print `ready` once it answers
    Serve(Serve),
    /// Print the shell lines that point any Azure client at the emulator
    Env(Place),
    /// Change a secret as an administrator: no token, no firewall
    #[command(subcommand)]
    Secret(Secret),
    /// Change who has which role
    #[command(subcommand)]
    Role(Role),
    /// Close or open a vault's firewall
    Firewall(Firewall),
    /// Script what goes wrong
    #[command(subcommand)]
    Fault(FaultAction),
    /// Show or advance the emulator's time, so that nothing needs to wait
    Clock(Clock),
    /// Print what was asked: method, host, path, status, one request per line
    Requests(Requests),
    /// Print a credential for an application of the seed
    #[command(subcommand)]
    Credential(Credential),
}

/// Where the emulator's files are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The directory that the emulator was started with
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Where to answer for Azure, in TLS and in plain HTTP; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Where the proxy answers; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) proxy: SocketAddr,
    /// What exists at the start (TOML); without it, the example that comes with the emulator
    #[arg(long)]
    pub(crate) seed: Option<PathBuf>,
    /// Keep everything in this file over a restart
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SecretName {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The vault
    pub(crate) vault: String,
    /// The secret
    pub(crate) name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Write a new version
    Set {
        #[command(flatten)]
        secret: SecretName,
        /// The value; `-`, or nothing, reads it from standard input, whole and unchanged
        #[arg(default_value = "-", allow_hyphen_values = true, hide_default_value = true)]
        value: String,
        /// What kind of value it is
        #[arg(long)]
        content_type: Option<String>,
    },
    /// Disable the latest version
    Disable(SecretName),
    /// Enable the latest version again
    Enable(SecretName),
    /// Delete; it stays recoverable as its vault says
    Delete(SecretName),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Give a principal a role
    Grant(RoleName),
    /// Take a role from a principal
    Revoke(RoleName),
}

#[derive(Debug, Args)]
pub(crate) struct RoleName {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The vault
    pub(crate) vault: String,
    /// The object id of the principal
    pub(crate) principal: Uuid,
    /// A built-in role, by name or by id
    pub(crate) role: String,
    /// The only secret that the role reaches
    #[arg(long)]
    pub(crate) secret: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Firewall {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The vault
    pub(crate) vault: String,
    /// What to do with it
    pub(crate) setting: FirewallSetting,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FirewallSetting {
    /// Answer every address
    Open,
    /// Refuse every address that has no rule
    Closed,
    /// Refuse every address: public network access is disabled
    Private,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FaultAction {
    /// Put a fault in force and print its id
    Add(Box<NewFault>),
    /// Print the faults in force
    List {
        #[command(flatten)]
        place: Place,
        /// How to print them
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// End every fault
    Clear(Place),
}

#[derive(Debug, Args)]
pub(crate) struct NewFault {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Strike this method alone; CONNECT, a tunnel through the proxy, is struck only when named
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// Strike these hosts; `*` stands for anything
    #[arg(long, default_value = "*")]
    pub(crate) host: String,
    /// Strike these paths, without their query; `*` stands for anything
    #[arg(long, default_value = "*")]
    pub(crate) path: String,
    /// Answer with this status instead
    #[arg(long)]
    pub(crate) status: Option<u16>,
    /// Add a header to the answer, as `Name: value`; may be repeated
    #[arg(long = "header", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Answer with this body instead
    #[arg(long)]
    pub(crate) body: Option<String>,
    /// Hold the answer back for so long, in real time
    #[arg(long)]
    pub(crate) delay: Option<Delay>,
    /// Never answer; with --cut, stop there and leave the connection open
    #[arg(long)]
    pub(crate) hang: bool,
    /// Break the connection after so many bytes of the body; 0 breaks it before the status line
    #[arg(long)]
    pub(crate) cut: Option<u64>,
    /// Show a certificate of an authority that nobody trusts
    #[arg(long)]
    pub(crate) wrong_certificate: bool,
    /// Show a certificate whose time is over
    #[arg(long)]
    pub(crate) expired_certificate: bool,
    /// Strike so many requests, then end
    #[arg(long)]
    pub(crate) count: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Clock {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How far to advance it, as `90s` or `1h 30m`
    #[arg(long)]
    pub(crate) advance: Option<Delay>,
}

#[derive(Debug, Args)]
pub(crate) struct Requests {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only those that changed something in Azure
    #[arg(long)]
    pub(crate) writes: bool,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// One per line
    Text,
    /// One JSON array
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Credential {
    /// A service-account token, as a cluster projects it for workload identity
    FederatedToken {
        #[command(flatten)]
        place: Place,
        /// The cluster's issuer
        issuer: String,
        /// The service account, as `system:serviceaccount:NAMESPACE:NAME`
        subject: String,
        /// Whom the token is for
        #[arg(long, default_value = TOKEN_EXCHANGE_AUDIENCE)]
        audience: String,
    },
    /// The key and certificate of an application whose seed says `certificate = "generate"`
    Certificate {
        #[command(flatten)]
        place: Place,
        /// The application's client id
        app_id: Uuid,
    },
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `Name: value`")?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_documentation_is_understood() {
        let rows = [
            "serve --dir D --listen 127.0.0.1:0 --proxy 127.0.0.1:0 --seed S --state T",
            "env --dir D",
            "secret set --dir D kv db value",
            "secret set kv db - --dir D",
            "secret set kv db --dir D",
            "secret set --dir D kv db -----BEGIN",
            "secret disable --dir D kv db",
            "secret enable --dir D kv db",
            "secret delete --dir D kv db",
            "role grant --dir D kv 11111111-1111-4111-8111-111111111111 Reader --secret db",
            "firewall --dir D kv closed",
            "fault add --dir D --host *.vault.azure.net --path /secrets/* --status 429 --header Retry-After:1 --count 3",
            "fault add --dir D --delay 2s --hang --cut 10 --body {} --wrong-certificate --expired-certificate --method GET",
            "fault list --dir D --output json",
            "fault clear --dir D",
            "clock --dir D --advance 1h",
            "requests --dir D --output json",
            "requests --dir D --writes",
            "credential federated-token --dir D https://issuer/ system:serviceaccount:a:b",
            "credential certificate --dir D 11111111-1111-4111-8111-111111111111",
        ];
        for row in rows {
            let words = std::iter::once("keyside-emulator").chain(row.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{row}");
        }
    }
}
