//! HTTP for everything that Keyside asks of Azure: a fresh connection for every request, bounded in time and size.
//!
//! There is no pool, so no idle connection keeps an answer or a token in its buffers.

mod connector;
mod error;
mod proxy;
mod roots;
mod sdk;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use self::connector::{Connector, Stream, Target};
pub use self::error::{Stage, TransportError};
use self::proxy::Route;
pub use self::roots::{RootsError, Trust};
pub use self::sdk::{SdkTransport, ValueSink};
pub use super::value_stream::ValueError;
use super::value_stream::ValueStream;
use crate::environment::Environment;

/// Longest answer without a secret value, in bytes. Entra's tokens and Key Vault's errors stay far below.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How long the parts of a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands: name, TCP, proxy and TLS together.
    pub connect: Duration,
    /// Until the answer begins, and then between two pieces of it.
    pub read: Duration,
    /// From the start of the call to the end of the answer.
    pub total: Duration,
}

impl Default for Timeouts {
    /// A connection that cannot be had is reported within 5 s; Key Vault answers within 1 s, a busy one within 10 s.
    fn default() -> Self {
        Self { connect: Duration::from_secs(4), read: Duration::from_secs(10), total: Duration::from_secs(30) }
    }
}

/// Which way a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Through a proxy where the proxy variables name one for the host.
    ByEnvironment,
    /// Straight to the host, whatever the variables say: it serves this machine only.
    Direct,
}

/// Sends requests.
pub struct Transport {
    connector: Connector,
    timeouts: Timeouts,
}

/// An answer read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Transport {
    /// A transport that trusts, and reaches hosts, as `environment` says. Reads the trusted roots; sends nothing.
    ///
    /// # Errors
    /// [`TransportError::Roots`] where no trusted root can be found, [`TransportError::ProxyVariable`] where a proxy
    /// variable holds no proxy.
    pub fn new(environment: &Environment, timeouts: Timeouts) -> Result<Self, TransportError> {
        Ok(Self { connector: Connector::new(environment)?, timeouts })
    }

    /// The limits that hold where a caller names none.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Who may vouch for a server.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.connector.trust
    }

    /// Host and port of the proxy through which `uri` is reached, if one is.
    #[must_use]
    pub fn proxy_to(&self, uri: &Uri, reach: Reach) -> Option<String> {
        self.connector.proxy_to(uri, reach)
    }

    /// The addresses that the host of `uri` has here.
    pub(super) async fn addresses(&self, uri: &Uri) -> Result<Vec<SocketAddr>, TransportError> {
        self.connector.addresses(uri, self.timeouts.connect).await
    }

    /// Sends `request`, whose URI is absolute, and reads the answer.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        reach: Reach,
        timeouts: Timeouts,
    ) -> Result<Answer, TransportError> {
        self.exchange(request, reach, timeouts, None).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        reach: Reach,
        timeouts: Timeouts,
        sink: Option<&ValueSink>,
    ) -> Result<Answer, TransportError> {
        let (started, method, uri) = (Instant::now(), request.method().clone(), request.uri().clone());
        let target = Target::of(&uri)?;
        let work = async {
            let route = self.connector.route(&uri, reach);
            let request = address(request, &target, &route);
            let stream = self.connector.connect(&target, &route, timeouts.connect).await?;
            Exchange { host: &target.host, read: timeouts.read, sink }.run(stream, request).await
        };
        // The connection's state is large, and callers hold this future inside their own.
        let outcome = within(timeouts.total, Stage::Whole, &target.host, Box::pin(work)).await;
        let status = outcome.as_ref().map_or(0, |answer| answer.status.as_u16());
        tracing::debug!(%method, host = target.host, path = uri.path(), status, elapsed = ?started.elapsed(), "request");
        outcome
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

/// Gives `request` the form that its receiver expects (RFC 9112, section 3.2).
fn address(mut request: Request<Full<Bytes>>, target: &Target, route: &Route) -> Request<Full<Bytes>> {
    let headers = request.headers_mut();
    headers.insert(HOST, target.header.clone());
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if let Route::Forward(proxy) = route {
        if let Some(authorization) = proxy.basic_auth() {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        return request;
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::try_from(path).expect("it was part of a URI");
    request
}

/// One request and its answer over a connection that stands.
struct Exchange<'a> {
    host: &'a str,
    read: Duration,
    sink: Option<&'a ValueSink>,
}

impl Exchange<'_> {
    async fn run(&self, stream: Stream, request: Request<Full<Bytes>>) -> Result<Answer, TransportError> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|cause| self.broken(cause))?;
        let talk = pin!(async {
            let response = self.in_time(sender.send_request(request)).await?;
            match self.sink {
                Some(sink) if response.status() == StatusCode::OK => self.receive_value(response, sink).await,
                _ => self.receive(response).await,
            }
        });
        match select(talk, pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            // The connection has ended and left behind what it had received, or why it ended.
            Either::Right((_, talk)) => talk.await,
        }
    }

    async fn receive(&self, response: Response<Incoming>) -> Result<Answer, TransportError> {
        let (parts, mut body) = response.into_parts();
        let mut bytes =
            Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(0).min(ANSWER_BYTES_MAX));
        while let Some(data) = self.next_data(&mut body).await? {
            if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(TransportError::TooLong { host: self.host.to_owned(), limit: ANSWER_BYTES_MAX });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body: bytes.into() })
    }

    /// Reads an answer that carries a secret: the value goes into `sink`, and the answer goes on without it.
    async fn receive_value(&self, response: Response<Incoming>, sink: &ValueSink) -> Result<Answer, TransportError> {
        let (parts, mut body) = response.into_parts();
        let unusable = |cause| TransportError::Value { host: self.host.to_owned(), cause };
        let mut stream = ValueStream::new(sink.buffer().map_err(|cause| unusable(cause.into()))?);
        while let Some(data) = self.next_data(&mut body).await? {
            stream.push(&data).map_err(unusable)?;
        }
        let (value, rest) = stream.finish().map_err(unusable)?;
        sink.fill(value);
        Ok(Answer { status: parts.status, headers: parts.headers, body: rest.into() })
    }

    async fn next_data(&self, body: &mut Incoming) -> Result<Option<Bytes>, TransportError> {
        while let Some(frame) = self.in_time(async { body.frame().await.transpose() }).await? {
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, hyper::Error>>) -> Result<T, TransportError> {
        within(self.read, Stage::Answer, self.host, async { work.await.map_err(|cause| self.broken(cause)) }).await
    }

    fn broken(&self, cause: hyper::Error) -> TransportError {
        TransportError::Broken { host: self.host.to_owned(), cause }
    }
}

/// Waits for `work`, at most `limit` long.
async fn within<T>(
    limit: Duration,
    stage: Stage,
    host: &str,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(TransportError::TimedOut { host: host.to_owned(), stage, limit }),
    }
}
