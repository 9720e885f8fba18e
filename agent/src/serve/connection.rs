//! One connection: read requests, answer them, and give up on a peer that takes its time.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::admission::Admission;
use super::body::Body;
use super::condition::IfNoneMatch;
use super::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
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
    pub(super) admission: Admission,
}

/// Serves one connection until its end, or until it has been silent or stuck for too long.
///
/// One deadline stands for all limits of time: from the start of the connection, from each request and from each answer
/// on, the peer has [`super::Limits::request_time`] to bring the whole exchange one step further.
pub(super) async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, visitor: Visitor, server: Arc<Server>) {
    let patience = server.limits.request_time;
    let progress = Progress::new(Instant::now() + patience);
    let service = service_fn(|request| respond(&server, &visitor, &request, &progress));
    // Queued writes send each piece of a body from where it lies; the other strategy would copy values into one buffer.
    let connection = http1::Builder::new()
        .writev(true)
        .half_close(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(progress.until()));
    let mut revoked = pin!(visitor.admission.revoked());
    let mut stopped = pin!(server.stop.cancelled());
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(caller = %visitor.caller, error = with_causes(&error), "the connection ended early");
                }
                return;
            }
            () = alarm.as_mut() => {
                // The alarm is not set anew for each request, but looks at the deadline when it rings; and again within the
                // time that a peer has, since an answer may bring it forward.
                let (now, until) = (Instant::now(), progress.until());
                if until <= now {
                    tracing::debug!(caller = %visitor.caller, "the connection was silent or stuck for too long");
                    return;
                }
                if leaving {
                    connection.as_mut().graceful_shutdown();
                }
                alarm.as_mut().reset(until.min(now + patience));
            }
            () = revoked.as_mut() => {
                tracing::debug!(caller = %visitor.caller, "the connection gives way to another user's");
                return;
            }
            () = stopped.as_mut(), if !leaving => {
                leaving = true;
                if progress.has_begun() {
                    connection.as_mut().graceful_shutdown();
                } else {
                    // Whoever has connected just now has its request on the way, and would take the end of the connection for a
                    // failure.
                    let last_call = Instant::now() + LAST_CALL;
                    progress.bring_forward(last_call);
                    alarm.as_mut().reset(last_call);
                }
            }
        }
    }
}

/// How far the exchange is.
#[derive(Debug)]
struct Progress {
    /// Whether there was any request yet.
    begun: AtomicBool,
    /// When the next step must have been taken. Held only to read or write it.
    until: Mutex<Instant>,
}

impl Progress {
    fn new(until: Instant) -> Self {
        Self { begun: AtomicBool::new(false), until: Mutex::new(until) }
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bring_forward(&self, deadline: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = deadline.min(*until);
    }

    fn allow(&self, time: Duration) {
        self.begun.store(true, Ordering::Relaxed);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + time;
    }
}

/// Understands a request at once, and answers it.
///
/// Nothing of the request is kept: while its head lies in the connection's buffer, the connection takes another one for what
/// may follow, of 8 KiB that the allocator then wipes for each request.
fn respond<'a>(
    server: &'a Server,
    visitor: &'a Visitor,
    request: &Request<Incoming>,
    progress: &'a Progress,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<'a> {
    let patience = server.limits.request_time;
    let understood = call(request, visitor.door)
        .inspect_err(|problem| server.note_misunderstood(&visitor.caller, request.uri().path(), problem));
    let extra = understood.as_ref().map_or(Duration::ZERO, |(call, _)| time_to_wait(call, server));
    progress.allow(patience + extra);
    async move {
        let _asking = visitor.admission.ask().await;
        let answer = match understood {
            Ok((call, asked)) => server.answer(&visitor.caller, call, &asked).await,
            Err(problem) => Err(problem),
        };
        if extra > Duration::ZERO {
            progress.allow(patience);
        }
        let answer = answer.unwrap_or_else(|problem| refusal(&problem));
        server.sources.metrics.responded(answer.status().as_u16());
        Ok(answer)
    }
}

fn call(request: &Request<Incoming>, door: Door) -> Result<(Call, Asked), Problem> {
    if !request.body().is_end_stream() {
        return Err(Code::BodyRefused.into());
    }
    let call = understand(request.method(), request.uri(), request.headers(), door)?;
    Ok((call, Asked { method: request.method().clone(), if_none_match: IfNoneMatch::of(request.headers()) }))
}

/// How long the answer may let the caller wait, beyond the time that every answer has.
fn time_to_wait(call: &Call, server: &Server) -> Duration {
    match call {
        Call::List { wait, .. } | Call::Secret { wait, .. } => wait.unwrap_or_default(),
        Call::Refresh { .. } => server.limits.refresh_time,
        _ => Duration::ZERO,
    }
}
