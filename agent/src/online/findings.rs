//! What was seen on the way to a vault and in it, before anything is made of it.

use std::net::IpAddr;

use crate::azure::identity::{SignedIn, TokenError};
use crate::azure::key_vault::Refused;
use crate::azure::knock::{Knock, KnockError};
use crate::azure::transport::Trust;
use crate::refresh::Wanted;
use crate::secret::Metadata;

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Findings {
    /// Host and port of the proxy on the way to the vault.
    pub(super) proxy: Option<String>,
    /// The vault's addresses, where this machine looks for them and finds some.
    pub(super) addresses: Vec<IpAddr>,
    /// Who may vouch for a server.
    pub(super) trust: Trust,
    /// What the vault says to a stranger.
    pub(super) knock: Result<Knock, KnockError>,
    /// Who Keyside is to it.
    pub(super) sign_in: Result<SignedIn, TokenError>,
    /// Who was asked for the token, and the proxy on the way there.
    pub(super) token_endpoint: Option<(String, Option<String>)>,
    /// Whether the names of secrets may be listed, where that could be asked.
    pub(super) list: Option<Result<(), Refused>>,
    /// Every secret, and what came of it where it could be asked for.
    pub(super) secrets: Vec<(Wanted, Option<Result<Metadata, Refused>>)>,
}
