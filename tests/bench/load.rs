//! The load generator: raw sockets, one thread, and no more work for each answer than to see that it is whole and right.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What is asked for in every read.
pub(crate) const PATH: &str = "/v1/secrets/db-password/value";

/// How an answer begins.
const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// How long a server that has work may be silent.
const PATIENCE: EpollTimeout = EpollTimeout::NONE;

/// What is asked, and how an answer is recognised.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    request: Vec<u8>,
    begins: Vec<u8>,
    ends: Vec<u8>,
}

impl Exchange {
    /// A read whose answer ends with the secret's value.
    pub(crate) fn read(value: &str) -> Self {
        Self { request: request(), begins: GOOD.to_vec(), ends: value.into() }
    }

    /// The request itself, which comes back.
    pub(crate) fn echo() -> Self {
        Self { request: request(), begins: b"GET ".to_vec(), ends: b"\r\n\r\n".to_vec() }
    }
}

fn request() -> Vec<u8> {
    format!("GET {PATH} HTTP/1.1\r\nHost: keyside\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// What a generator saw.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// How long each answer took, in nanoseconds, in rising order.
    latencies: Vec<u64>,
    /// How long all of it took.
    pub(crate) took: Duration,
}

impl Sight {
    fn new(mut latencies: Vec<u64>, took: Duration) -> Self {
        latencies.sort_unstable();
        Self { latencies, took }
    }

    /// How many answers came.
    pub(crate) fn answers(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that so many in a thousand answers did not exceed, in seconds.
    pub(crate) fn quantile(&self, per_mille: usize) -> f64 {
        let index = (self.latencies.len() * per_mille / 1000).min(self.latencies.len() - 1);
        Duration::from_nanos(self.latencies[index]).as_secs_f64()
    }
}

/// One connection.
struct Client<'a> {
    stream: UnixStream,
    exchange: &'a Exchange,
    buffer: [u8; 1024],
    filled: usize,
    asked: Instant,
}

impl<'a> Client<'a> {
    /// Connects and makes one exchange, so that both sides have what they need.
    fn connect(socket: &Path, exchange: &'a Exchange) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        let mut client = Self { stream, exchange, buffer: [0; 1024], filled: 0, asked: Instant::now() };
        client.ask(Instant::now())?;
        while !client.hear()? {}
        Ok(client)
    }

    fn ask(&mut self, since: Instant) -> io::Result<()> {
        self.asked = since;
        self.stream.write_all(&self.exchange.request)
    }

    /// Reads what is there, and answers whether that is all of the answer.
    fn hear(&mut self) -> io::Result<bool> {
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        let answer = &self.buffer[..self.filled];
        if !answer.ends_with(&self.exchange.ends) {
            return Ok(false);
        }
        if !answer.starts_with(&self.exchange.begins) {
            return Err(io::Error::other(String::from_utf8_lossy(answer).into_owned()));
        }
        self.filled = 0;
        Ok(true)
    }

    fn latency(&self) -> u64 {
        u64::try_from(self.asked.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Connections that are ready to be asked over.
pub(crate) struct Load<'a> {
    clients: Vec<Client<'a>>,
    epoll: Epoll,
}

impl<'a> Load<'a> {
    /// Opens the connections.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    pub(crate) fn open(socket: &Path, exchange: &'a Exchange, connections: usize) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let clients = (0..connections).map(|number| {
            let client = Client::connect(socket, exchange)?;
            epoll.add(&client.stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            Ok(client)
        });
        Ok(Self { clients: clients.collect::<io::Result<_>>()?, epoll })
    }

    /// Asks over every connection again as soon as it has its answer, for so long.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    pub(crate) fn closed(&mut self, span: Duration) -> io::Result<Sight> {
        match &mut self.clients[..] {
            // Without the question which connection has something to read.
            [client] => alone(client, span),
            _ => self.together(span),
        }
    }

    fn together(&mut self, span: Duration) -> io::Result<Sight> {
        let mut latencies = Vec::with_capacity(1 << 16);
        let start = Instant::now();
        for client in &mut self.clients {
            client.ask(Instant::now())?;
        }
        let mut open = self.clients.len();
        let mut events = [EpollEvent::empty(); 128];
        while open > 0 {
            let count = self.epoll.wait(&mut events, PATIENCE)?;
            let more = start.elapsed() < span;
            for event in &events[..count] {
                let client = &mut self.clients[index(*event)];
                if client.hear()? {
                    latencies.push(client.latency());
                    if more {
                        client.ask(Instant::now())?;
                    } else {
                        open -= 1;
                    }
                }
            }
        }
        Ok(Sight::new(latencies, start.elapsed()))
    }

    /// Asks so often in a second, whether answers come or not, for so long. A latency counts from when the request was due,
    /// so a server that stalls is charged for every request that had to wait meanwhile.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    pub(crate) fn open_loop(&mut self, rate: u32, span: Duration) -> io::Result<Sight> {
        let interval = Duration::from_secs(1) / rate;
        let start = Instant::now();
        let mut due = start;
        let mut latencies = Vec::with_capacity(1 << 16);
        let mut idle: Vec<usize> = (0..self.clients.len()).collect();
        let mut events = [EpollEvent::empty(); 128];
        while due < start + span || idle.len() < self.clients.len() {
            if due < start + span
                && due <= Instant::now()
                && let Some(client) = idle.pop()
            {
                self.clients[client].ask(due)?;
                due += interval;
                continue;
            }
            let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
            for event in &events[..count] {
                let client = &mut self.clients[index(*event)];
                if client.hear()? {
                    latencies.push(client.latency());
                    idle.push(index(*event));
                }
            }
        }
        Ok(Sight::new(latencies, start.elapsed()))
    }

    /// Asks over the first connection, so often, with a pause before each question.
    ///
    /// # Errors
    /// When the server does not answer as it should.
    pub(crate) fn paced(&mut self, pause: Duration, reads: usize) -> io::Result<Sight> {
        let start = Instant::now();
        let client = &mut self.clients[0];
        let mut latencies = Vec::with_capacity(reads);
        for _ in 0..reads {
            std::thread::sleep(pause);
            client.ask(Instant::now())?;
            while !client.hear()? {}
            latencies.push(client.latency());
        }
        Ok(Sight::new(latencies, start.elapsed()))
    }
}

fn alone(client: &mut Client<'_>, span: Duration) -> io::Result<Sight> {
    let mut latencies = Vec::with_capacity(1 << 16);
    let start = Instant::now();
    while start.elapsed() < span {
        client.ask(Instant::now())?;
        while !client.hear()? {}
        latencies.push(client.latency());
    }
    Ok(Sight::new(latencies, start.elapsed()))
}

fn index(event: EpollEvent) -> usize {
    usize::try_from(event.data()).expect("the number of a connection")
}
