//! One connection: read requests, answer them, and give up on a peer that takes its time.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::body::Body;
use super::condition::IfNoneMatch;
use super::limits::{Admission, HEAD_BYTES_MAX, HEADERS_MAX};
use super::peer::Caller;
use super::problem::{Code, Problem};
use super::request::{Call, Door, understand};
use super::routes::{Asked, Server, refusal};
use crate::causes::with_causes;

/// How long a connection without a request may still bring one when the agent stops. A client writes its request as soon as it
/// is connected; who keeps silent for longer wants nothing.
const LAST_CALL: Duration = Duration::from_millis(250);

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) caller: Caller,
    pub(super) door: Door,
    pub(super) _admission: Admission,
}

/// Serves one connection until its end, or until it has been silent or stuck for too long.
///
/// One deadline stands for all limits of time: from the start of the connection, from each request and from each answer
/// on, the peer has [`super::Limits::request_time`] to bring the whole exchange one step further.
pub(super) async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, visitor: Visitor, server: Arc<Server>) {
    let patience = server.limits.request_time;
    let (advance, mut progress) = watch::channel(Progress { begun: false, until: Instant::now() + patience });
    let service = service_fn(|request| {
        let (server, visitor) = (&server, &visitor);
        let grant = |extra| {
            advance.send_replace(Progress { begun: true, until: Instant::now() + patience + extra });
        };
        async move {
            let answer = respond(server, visitor, request, grant).await;
            grant(Duration::ZERO);
            Ok::<_, Infallible>(answer)
        }
    });
    // Queued writes send each piece of a body from where it lies; the other strategy would copy values into one buffer.
    let connection = http1::Builder::new()
        .writev(true)
        .half_close(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut leaving = false;
    let mut last_call = None;
    loop {
        let Progress { begun, until } = *progress.borrow_and_update();
        // Whoever has connected just now has its request on the way, and would take the end of the connection for a failure.
        let until = last_call.filter(|_| !begun).map_or(until, |last_call| until.min(last_call));
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(caller = %visitor.caller, error = with_causes(&error), "the connection ended early");
                }
                return;
            }
            () = sleep_until(until) => {
                tracing::debug!(caller = %visitor.caller, "the connection was silent or stuck for too long");
                return;
            }
            _ = progress.changed() => {}
            () = server.stop.cancelled(), if !leaving && (begun || last_call.is_none()) => {
                if begun {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                } else {
                    last_call = Some(Instant::now() + LAST_CALL);
                }
            }
        }
    }
}

/// How far the exchange is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Whether there was any request yet.
    begun: bool,
    /// When the next step must have been taken.
    until: Instant,
}

async fn respond(
    server: &Server,
    visitor: &Visitor,
    request: Request<Incoming>,
    allow_time: impl Fn(Duration),
) -> Response<Body> {
    let answer = async {
        if !request.body().is_end_stream() {
            return Err(Problem::from(Code::BodyRefused));
        }
        let call = understand(request.method(), request.uri(), request.headers(), visitor.door)?;
        allow_time(match &call {
            Call::List { wait, .. } | Call::Secret { wait, .. } => wait.unwrap_or_default(),
            Call::Refresh { .. } => server.limits.refresh_time,
            _ => Duration::ZERO,
        });
        let asked = Asked { method: request.method().clone(), if_none_match: IfNoneMatch::of(request.headers()) };
        server.answer(&visitor.caller, call, &asked).await
    };
    let answer = answer.await.unwrap_or_else(|problem| refusal(&problem));
    server.sources.metrics.responded(answer.status().as_u16());
    answer
}
