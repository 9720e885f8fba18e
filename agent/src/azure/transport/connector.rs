//! Opens the connection for one request: name, TCP, proxy and TLS, under one deadline.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Uri};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::proxy::{Proxies, Route};
use super::roots::{Trust, trusted_roots};
use super::{Reach, Stage, TransportError};
use crate::environment::Environment;

/// Head start of one address of a host over the next.
/// Source: RFC 8305, section 5, the recommended Connection Attempt Delay.
const HEAD_START: Duration = Duration::from_millis(250);

/// A connection, whatever lies below it.
pub(super) type Stream = Box<dyn Connection>;

/// What a connection can do.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The server that a request is for.
#[derive(Debug)]
pub(super) struct Target {
    /// The host without brackets.
    pub(super) host: String,
    /// Host and port, where it is not the scheme's own, as the request's `Host` header has it.
    pub(super) header: HeaderValue,
    authority: String,
    port: u16,
    tls: bool,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, TransportError> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(TransportError::Address),
        };
        let bracketed = uri.host().ok_or(TransportError::Address)?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let header = match uri.port_u16() {
            Some(port) => format!("{bracketed}:{port}"),
            None => bracketed.to_owned(),
        };
        Ok(Self {
            host: bracketed.trim_start_matches('[').trim_end_matches(']').to_owned(),
            header: HeaderValue::try_from(header).map_err(|_| TransportError::Address)?,
            authority: format!("{bracketed}:{port}"),
            port,
            tls,
        })
    }
}

/// Opens connections.
pub(super) struct Connector {
    proxies: Proxies,
    tls: TlsConnector,
    pub(super) trust: Trust,
}

impl Connector {
    pub(super) fn new(environment: &Environment) -> Result<Self, TransportError> {
        let (roots, trust) = trusted_roots(environment)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is kept would keep secrets of its connection.
        config.resumption = Resumption::disabled();
        Ok(Self { proxies: Proxies::new(environment)?, tls: TlsConnector::from(Arc::new(config)), trust })
    }

    pub(super) fn route(&self, uri: &Uri, reach: Reach) -> Route {
        self.proxies.route(uri, reach)
    }

    /// Host and port of the proxy on the way to `uri`.
    pub(super) fn proxy_to(&self, uri: &Uri, reach: Reach) -> Option<String> {
        match self.route(uri, reach) {
            Route::Direct => None,
            Route::Forward(proxy) | Route::Tunnel(proxy) => Target::of(proxy.uri()).ok().map(|target| target.authority),
        }
    }

    /// The addresses of the host of `uri`.
    pub(super) async fn addresses(&self, uri: &Uri, limit: Duration) -> Result<Vec<SocketAddr>, TransportError> {
        resolve(&Target::of(uri)?, &Deadline { at: Instant::now() + limit, limit }).await
    }

    /// Opens a connection to `target`, all within `limit`.
    pub(super) async fn connect(
        &self,
        target: &Target,
        route: &Route,
        limit: Duration,
    ) -> Result<Stream, TransportError> {
        let deadline = Deadline { at: Instant::now() + limit, limit };
        let stream = match route {
            Route::Direct => tcp(target, &deadline).await?,
            Route::Forward(proxy) => return self.proxy(proxy, &deadline).await,
            Route::Tunnel(proxy) => {
                let stream = self.proxy(proxy, &deadline).await?;
                deadline.bound(Stage::Proxy, &target.host, tunnel(stream, proxy, target)).await?
            }
        };
        if target.tls { self.encrypt(stream, &target.host, &deadline).await } else { Ok(stream) }
    }

    async fn proxy(&self, proxy: &Intercept, deadline: &Deadline) -> Result<Stream, TransportError> {
        let target = Target::of(proxy.uri())?;
        let reach = async {
            let stream = tcp(&target, deadline).await?;
            if target.tls { self.encrypt(stream, &target.host, deadline).await } else { Ok(stream) }
        };
        let cannot = |cause| TransportError::Proxy { proxy: target.authority.clone(), cause: Box::new(cause) };
        reach.await.map_err(cannot)
    }

    async fn encrypt(&self, stream: Stream, host: &str, deadline: &Deadline) -> Result<Stream, TransportError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TransportError::Address)?;
        let shake_hands =
            async { self.tls.connect(name, stream).await.map_err(|cause| handshake_error(host.to_owned(), cause)) };
        Ok(Box::new(deadline.bound(Stage::Tls, host, shake_hands).await?))
    }
}

fn handshake_error(host: String, cause: io::Error) -> TransportError {
    let reason = cause.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>());
    match reason {
        // A second CA of the same name shows as a bad signature.
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            TransportError::Untrusted { host, cause }
        }
        _ => TransportError::Tls { host, cause },
    }
}

/// When a connection must stand.
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    async fn bound<T>(
        &self,
        stage: Stage,
        host: &str,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        match tokio::time::timeout_at(self.at, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(TransportError::TimedOut { host: host.to_owned(), stage, limit: self.limit }),
        }
    }
}

async fn resolve(target: &Target, deadline: &Deadline) -> Result<Vec<SocketAddr>, TransportError> {
    let ask = async {
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        found.map_err(|cause| TransportError::Resolve { host: target.host.clone(), cause })
    };
    Ok(deadline.bound(Stage::Resolve, &target.host, ask).await?.collect())
}

async fn tcp(target: &Target, deadline: &Deadline) -> Result<Stream, TransportError> {
    let addresses = resolve(target, deadline).await?;
    let connect = async {
        let stream = first_to_answer(addresses).await;
        stream.map_err(|cause| TransportError::Connect { address: target.authority.clone(), cause })
    };
    let stream = deadline.bound(Stage::Connect, &target.host, connect).await?;
    // A request in two segments need not wait for the acknowledgement of the first.
    let nodelay = stream.set_nodelay(true);
    nodelay.map_err(|cause| TransportError::Connect { address: target.authority.clone(), cause })?;
    Ok(Box::new(stream))
}

/// Connects to whichever address answers first, each having a head start over the next, so that a family of addresses
/// that leads nowhere costs a moment and not the whole deadline.
async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        tokio::select! {
            Some(outcome) = attempts.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(cause) => last = cause,
            },
            () = tokio::time::sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

/// Asks the proxy at the other end of `stream` for a connection to `target` (RFC 9110, section 9.3.6).
async fn tunnel(stream: Stream, proxy: &Intercept, target: &Target) -> Result<Stream, TransportError> {
    let host = proxy.uri().host().unwrap_or_default();
    let broken = |cause| TransportError::Broken { host: host.to_owned(), cause };
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(&target.authority)
        .header(HOST, &target.authority)
        .body(Empty::<Bytes>::new())
        .map_err(|_| TransportError::Address)?;
    if let Some(authorization) = proxy.basic_auth() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let ask = std::pin::pin!(async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Ok(Err(response.status()));
        }
        hyper::upgrade::on(response).await.map(Ok)
    });
    let answer = match select(ask, connection.with_upgrades()).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, ask)) => ask.await,
    };
    match answer.map_err(broken)? {
        Ok(upgraded) => Ok(Box::new(TokioIo::new(upgraded))),
        Err(status) => Err(TransportError::ProxyRefused {
            proxy: proxy.uri().authority().map(ToString::to_string).unwrap_or_default(),
            target: target.authority.clone(),
            status,
        }),
    }
}
