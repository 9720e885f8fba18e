//! What was found, as it is told to people and programs: nothing of a value and nothing of a token.

use std::io::{self, Write};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::check::Report;
use crate::cli::Exit;

/// The whole of what was found. Its shape is kept: members are added, none changes its meaning.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) verdict: Verdict,
    pub(super) vault: String,
    pub(super) way: Option<Way>,
    pub(super) identity: Identity,
    pub(super) token: Option<Token>,
    pub(super) list: Answer,
    pub(super) secrets: Vec<SecretState>,
    pub(super) findings: Vec<Finding>,
}

/// What follows from everything together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Every required secret can be read.
    Ready,
    /// Nothing but time is missing.
    NotYet,
    /// Somebody has to change something first.
    Blocked,
    /// The environment rules every connection out.
    Misconfigured,
}

/// How the vault is reached.
#[derive(Debug, Serialize)]
pub(super) struct Way {
    /// Whether it answered, over TLS by a certificate that is trusted.
    pub(super) reached: bool,
    pub(super) proxy: Option<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) seen_as: Option<IpAddr>,
    pub(super) trusted_certificates: usize,
    pub(super) trusted_from: String,
    /// How far Azure's clock is ahead of this machine's.
    pub(super) clock_ahead_seconds: Option<i64>,
    pub(super) tenant_id: Option<Uuid>,
}

/// Which identity was taken, and which were not.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    pub(super) kind: String,
    pub(super) source: Option<String>,
    /// Who was asked for the token, and through which proxy.
    pub(super) endpoint: Option<String>,
    pub(super) endpoint_proxy: Option<String>,
    pub(super) skipped: Vec<Skipped>,
}

/// A source of tokens that gave none.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) source: String,
    pub(super) reason: String,
}

/// What the token says about itself.
#[derive(Debug, Serialize)]
pub(super) struct Token {
    pub(super) audience: Option<String>,
    pub(super) tenant_id: Option<Uuid>,
    pub(super) object_id: Option<Uuid>,
    pub(super) client_id: Option<Uuid>,
    /// `user` or `application`, which a managed identity is, too.
    pub(super) holder: &'static str,
    pub(super) expires: Timestamp,
}

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It is.
    Allowed,
    /// It is not.
    Denied,
    /// That could not be asked.
    Unknown,
}

/// What came of one secret.
#[derive(Debug, Serialize)]
pub(super) struct SecretState {
    pub(super) name: String,
    pub(super) vault_name: String,
    pub(super) required: bool,
    /// None where it could not be asked for.
    pub(super) readable: Option<bool>,
    /// The code of what keeps it from being read.
    pub(super) problem: Option<&'static str>,
    pub(super) version: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) expired: bool,
}

/// Something that somebody should know.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) code: &'static str,
    pub(super) weight: Weight,
    pub(super) transient: bool,
    /// The secrets that it is about, none where it is about all of them.
    pub(super) secrets: Vec<String>,
    pub(super) message: String,
    pub(super) commands: Vec<String>,
}

/// Whether a finding keeps an agent from being ready; the graver comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Weight {
    /// It does.
    Problem,
    /// It does not.
    Warning,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    online: &'a Document,
}

impl Verdict {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Ready => Exit::Success,
            Self::NotYet => Exit::NotYet,
            Self::Blocked => Exit::Unavailable,
            Self::Misconfigured => Exit::Config,
        }
    }

    /// Ready where nothing is a problem, and a matter of time where every problem is.
    pub(super) fn of(findings: &[Finding]) -> Self {
        let lasting = |finding: &Finding| finding.weight == Weight::Problem && !finding.transient;
        if findings.iter().any(lasting) {
            Self::Blocked
        } else if findings.iter().any(|finding| finding.weight == Weight::Problem) {
            Self::NotYet
        } else {
            Self::Ready
        }
    }
}

impl Document {
    /// Writes `report` and this as one JSON document.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(super) fn write_json(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &Whole { report, online: self })?;
        writeln!(out)
    }
}
