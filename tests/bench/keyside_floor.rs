//! A server that a read over the socket is measured beside: what a program can do that does less. It is a program of its own,
//! so that it is optimised as the agent is.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Most of a request's head that a floor takes.
const HEAD_BYTES: usize = 4096;

/// What is asked for.
type Route = &'static str;

/// Serves the bytes in the file REPLY, head and body, to those who ask for PATH on the socket, until the process is ended.
fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, socket, reply, path] = &arguments[..] else {
        return Err(io::Error::other("usage: keyside-floor KIND SOCKET REPLY PATH"));
    };
    let (socket, reply, path) = (Path::new(socket), std::fs::read(reply)?, path.clone().leak());
    match kind.as_str() {
        // A tokio loop that parses the head with httparse, compares the path, and writes the answer's bytes.
        "hand-rolled" => on_one_thread(hand_rolled(socket, reply.leak(), path)),
        // A thread for each connection that writes back what it reads.
        "echo" => echo(socket),
        // hyper as it comes.
        "hyper" => on_one_thread(hyper_as_it_comes(socket, &reply, path)),
        _ => Err(io::Error::other("KIND is hand-rolled, echo or hyper")),
    }
}

fn on_one_thread(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn hand_rolled(socket: &Path, reply: &'static [u8], path: Route) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(answer_by_hand(stream, reply, path));
    }
}

async fn answer_by_hand(mut stream: UnixStream, reply: &[u8], path: Route) -> io::Result<()> {
    let mut buffer = [0; HEAD_BYTES];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let status = request.parse(&buffer[..filled]).map_err(io::Error::other)?;
        if status.is_complete() {
            if request.path != Some(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            stream.write_all(reply).await?;
            filled = 0;
        }
    }
}

fn echo(socket: &Path) -> io::Result<()> {
    let listener = BlockingListener::bind(socket)?;
    loop {
        let (mut stream, _) = listener.accept()?;
        std::thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; HEAD_BYTES];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    read => stream.write_all(&buffer[..read])?,
                }
            }
        });
    }
}

async fn hyper_as_it_comes(socket: &Path, reply: &[u8], path: Route) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let reply = Reply::of(reply);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let reply = reply.clone();
        connections.spawn(async move {
            let service =
                service_fn(move |request| std::future::ready(Ok::<_, Infallible>(reply.answer(&request, path))));
            // A connection that breaks is the generator's to notice.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

/// The same answer, taken apart for hyper to put together.
#[derive(Clone, Debug)]
struct Reply {
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Reply {
    fn of(reply: &[u8]) -> Self {
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole answer");
        let head = String::from_utf8_lossy(&reply[..end]);
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        // hyper says these two by itself.
        let own = lines.filter(|(name, _)| !["date", "content-length"].contains(name));
        let headers = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { headers, body: Bytes::copy_from_slice(&reply[end + 4..]) }
    }

    fn answer(&self, request: &Request<hyper::body::Incoming>, path: Route) -> Response<Full<Bytes>> {
        let found = request.uri().path() == path;
        let mut answer = Response::builder().status(if found { 200 } else { 404 });
        for (name, value) in &self.headers {
            answer = answer.header(name, value);
        }
        answer.body(Full::new(self.body.clone())).expect("headers that came over HTTP")
    }
}
