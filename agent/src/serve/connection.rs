//! One connection: read requests, answer them, and give up on a peer that takes its time.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

use super::admission::Admission;
use super::answer::Answer;
use super::body::Body;
use super::condition::IfNoneMatch;
use super::head::{Fault, Head};
use super::peer::Caller;
use super::problem::{Code, Problem};
use super::received::Received;
use super::request::{Call, Door, understand};
use super::routes::{Asked, Server};
use super::sending::{DateText, last_words, send, write_head};
use crate::causes::with_causes;

/// How much memory a connection has at first for the head of what goes out: enough for nearly all.
const ANSWER_HEAD_BYTES: usize = 384;

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
    let mut exchanges = pin!(exchanges(stream, &visitor, &server, &progress));
    let mut alarm = pin!(sleep_until(progress.until()));
    let mut revoked = pin!(visitor.admission.revoked());
    let mut stopped = pin!(server.stop.cancelled());
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
            outcome = exchanges.as_mut() => {
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
                alarm.as_mut().reset(until.min(now + patience));
            }
            () = revoked.as_mut() => {
                tracing::debug!(caller = %visitor.caller, "the connection gives way to another user's");
                return;
            }
            () = stopped.as_mut(), if !leaving => {
                leaving = true;
                if progress.is_idle() {
                    return;
                }
                if progress.awaits_head() {
                    // Whoever has connected just now, or has sent half of a request, has the rest on the way, and would take the
                    // end of the connection for a failure.
                    let last_call = Instant::now() + LAST_CALL;
                    progress.bring_forward(last_call);
                    alarm.as_mut().reset(last_call);
                }
            }
        }
    }
}

/// Answers one request after the other, until there are no more or the agent stops.
async fn exchanges(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    visitor: &Visitor,
    server: &Server,
    progress: &Progress,
) -> io::Result<()> {
    let mut received = Received::new();
    let (mut head_text, mut date) = (Vec::with_capacity(ANSWER_HEAD_BYTES), DateText::default());
    loop {
        let head = match next_head(&mut stream, &mut received, progress).await? {
            None => return Ok(()),
            Some(Ok(head)) => head,
            Some(Err(fault)) => return turn_down(stream, fault, server).await,
        };
        // Who has asked and closed its half is answered, whoever's turn it is: only an answer that waits is given up with it.
        let asking = visitor.admission.ask().await;
        let mut answering = pin!(respond(server, visitor, &head, progress));
        let mut answer = tokio::select! {
            biased;
            answer = answering.as_mut() => answer,
            () = end_of(&mut stream, &mut received) => return Ok(()),
        };
        drop(asking);
        answer.is_last |= head.is_last || server.stop.is_cancelled();
        let is_last = answer.is_last;
        head_text.clear();
        write_head(&mut head_text, &answer, head.version, date.at(server.sources.clock.now()));
        let body = if head.method == Method::HEAD { Body::default() } else { answer.body };
        send(&mut stream, &head_text, body).await?;
        // It may have taken until the agent stopped.
        if is_last || server.stop.is_cancelled() {
            return stream.shutdown().await;
        }
        if !received.is_empty() {
            // Who sends many requests at once is not answered before all others.
            tokio::task::yield_now().await;
        }
    }
}

/// Waits for a head; none where no further request comes.
async fn next_head(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Received,
    progress: &Progress,
) -> io::Result<Option<Result<Head, Fault>>> {
    loop {
        if let Some(outcome) = received.next_head().transpose() {
            return Ok(Some(outcome));
        }
        let nothing_came = received.is_empty();
        progress.await_head(nothing_came);
        if received.fill(stream).await? == 0 {
            return if nothing_came { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

/// Waits until the other end has gone, and meanwhile takes what else it asks; or until there is no more room for that, since
/// nothing tells then whether it has gone.
async fn end_of(stream: &mut (impl AsyncRead + Unpin), received: &mut Received) {
    while received.has_room() && received.fill(stream).await.is_ok_and(|new| new > 0) {}
}

/// Answers what is no request, as far as it can be answered.
async fn turn_down(mut stream: impl AsyncWrite + Unpin, fault: Fault, server: &Server) -> io::Result<()> {
    if let Some(status) = fault.status() {
        server.sources.metrics.responded(status.as_u16());
        let answer = Answer { status, ..Answer::default() };
        stream.write_all(&last_words(answer, server.sources.clock.now())).await?;
    }
    stream.shutdown().await
}

/// How far the exchange is.
#[derive(Debug)]
struct Progress {
    /// Whether there was any request yet.
    begun: AtomicBool,
    /// Whether a head is waited for, and nothing is being answered.
    awaits_head: AtomicBool,
    /// Whether nothing of it has come.
    rests: AtomicBool,
    /// When the next step must have been taken. Held only to read or write it.
    until: Mutex<Instant>,
}

impl Progress {
    fn new(until: Instant) -> Self {
        let [begun, awaits_head, rests] = [const { AtomicBool::new(false) }; 3];
        Self { begun, awaits_head, rests, until: Mutex::new(until) }
    }

    /// Whether everything that was asked is answered.
    fn is_idle(&self) -> bool {
        self.begun.load(Ordering::Relaxed) && self.rests.load(Ordering::Relaxed)
    }

    fn awaits_head(&self) -> bool {
        self.awaits_head.load(Ordering::Relaxed)
    }

    fn await_head(&self, nothing_came: bool) {
        self.awaits_head.store(true, Ordering::Relaxed);
        self.rests.store(nothing_came, Ordering::Relaxed);
    }

    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bring_forward(&self, deadline: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = deadline.min(*until);
    }

    /// A request has come, or has waited long enough, and may take so long.
    fn allow(&self, time: Duration) {
        self.begun.store(true, Ordering::Relaxed);
        self.awaits_head.store(false, Ordering::Relaxed);
        self.rests.store(false, Ordering::Relaxed);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + time;
    }
}

/// Understands a request, and answers it.
async fn respond(server: &Server, visitor: &Visitor, head: &Head, progress: &Progress) -> Answer {
    let patience = server.limits.request_time;
    let understood = call(head, visitor.door)
        .inspect_err(|problem| server.note_misunderstood(&visitor.caller, head.uri.path(), problem));
    let extra = understood.as_ref().map_or(Duration::ZERO, |(call, _)| time_to_wait(call, server));
    progress.allow(patience + extra);
    let answer = match understood {
        Ok((call, asked)) => server.answer(&visitor.caller, call, &asked).await,
        Err(problem) => Err(problem),
    };
    if extra > Duration::ZERO {
        progress.allow(patience);
    }
    let answer = answer.unwrap_or_else(|problem| Answer::refusal(&problem));
    server.sources.metrics.responded(answer.status.as_u16());
    answer
}

fn call(head: &Head, door: Door) -> Result<(Call, Asked), Problem> {
    if head.has_body {
        return Err(Code::BodyRefused.into());
    }
    let call = understand(&head.method, &head.uri, &head.headers, door)?;
    Ok((call, Asked { method: head.method.clone(), if_none_match: IfNoneMatch::of(&head.headers) }))
}

/// How long the answer may let the caller wait, beyond the time that every answer has.
fn time_to_wait(call: &Call, server: &Server) -> Duration {
    match call {
        Call::List { wait, .. } | Call::Secret { wait, .. } => wait.unwrap_or_default(),
        Call::Refresh { .. } => server.limits.refresh_time,
        _ => Duration::ZERO,
    }
}
