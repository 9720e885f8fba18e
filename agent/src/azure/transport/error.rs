//! Why a request got no usable answer. No variant holds anything of a body or of a header.

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;

use super::roots::RootsError;
use crate::azure::value_stream::ValueError;

/// Why a request got no usable answer.
#[derive(Debug, Error)]
pub enum TransportError {
    /// There are no certificates to trust.
    #[error("no server can be trusted")]
    Roots(#[from] RootsError),
    /// A proxy variable holds something that is no proxy.
    #[error("{variable} names no proxy that can be used: write http://HOST:PORT or https://HOST:PORT")]
    ProxyVariable {
        /// The variable's name; its value may hold a password.
        variable: &'static str,
    },
    /// The request's address has no host, or is neither http nor https.
    #[error("the request's address is not http:// or https:// with a host")]
    Address,
    /// The name server knows no address for the host, or did not answer.
    #[error("could not find the address of {host}")]
    Resolve {
        /// Whose address was looked for.
        host: String,
        /// What went wrong there.
        #[source]
        cause: io::Error,
    },
    /// Nothing accepts connections there.
    #[error("could not connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// What went wrong there.
        #[source]
        cause: io::Error,
    },
    /// The server's certificate is signed by nobody we trust.
    #[error(
        "the certificate of {host} is signed by none of the trusted roots: if it should be trusted, name its CA in SSL_CERT_FILE"
    )]
    Untrusted {
        /// Whose certificate it is.
        host: String,
        /// What went wrong there.
        #[source]
        cause: io::Error,
    },
    /// The TLS handshake did not succeed.
    #[error("could not agree on TLS with {host}")]
    Tls {
        /// Who is at the other end.
        host: String,
        /// What went wrong there.
        #[source]
        cause: io::Error,
    },
    /// There is no way to the proxy.
    #[error("the proxy {proxy}, which the proxy variables name, cannot be used")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// What went wrong on the way there.
        #[source]
        cause: Box<TransportError>,
    },
    /// The proxy answered that it does not connect us.
    #[error("the proxy {proxy} does not connect to {target}: it answers {status}")]
    ProxyRefused {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port that were asked for.
        target: String,
        /// The proxy's answer.
        status: hyper::StatusCode,
    },
    /// A part of the request took too long.
    #[error("{host} took longer than {limit:?} to {stage}")]
    TimedOut {
        /// Who was waited for.
        host: String,
        /// What was waited for.
        stage: Stage,
        /// How long.
        limit: Duration,
    },
    /// The connection ended before the answer did, or the answer was not HTTP.
    #[error("the conversation with {host} broke off")]
    Broken {
        /// Who is at the other end.
        host: String,
        /// What went wrong there.
        #[source]
        cause: hyper::Error,
    },
    /// The answer is longer than anything that is expected.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong {
        /// Whose answer it is.
        host: String,
        /// How many bytes are read at most.
        limit: usize,
    },
    /// The answer should have held a secret's value and cannot be used.
    #[error("no value could be read from the answer of {host}")]
    Value {
        /// Whose answer it is.
        host: String,
        /// What went wrong there.
        #[source]
        cause: ValueError,
    },
}

impl TransportError {
    /// Whether it may go by itself: nobody answered, or not to the end.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Connect { .. } | Self::Broken { .. })
    }
}

/// What a request was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The name server.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The proxy's answer to CONNECT.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The next piece of the answer.
    Answer,
    /// The end of the answer.
    Whole,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Resolve => "be found by its name",
            Self::Connect => "accept a connection",
            Self::Proxy => "connect through the proxy",
            Self::Tls => "agree on TLS",
            Self::Answer => "go on with its answer",
            Self::Whole => "answer completely",
        })
    }
}
