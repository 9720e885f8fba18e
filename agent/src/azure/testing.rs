//! Servers on this machine that stand in for Azure in tests, over plain TCP or TLS, and a proxy in front of them.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::environment::Environment;

type ReplyBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// What a fake server answers.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    manner: Manner,
}

enum Manner {
    Whole,
    Cut,
    Hang,
    Drip,
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.as_bytes().to_vec(), manner: Manner::Whole }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Announces more bytes than it sends.
    pub(crate) fn cut(self) -> Self {
        Self { manner: Manner::Cut, ..self }
    }

    /// Never answers.
    pub(crate) fn hang() -> Self {
        Self { manner: Manner::Hang, ..Self::ok("") }
    }

    /// Sends one byte after the other, for ever.
    pub(crate) fn drip() -> Self {
        Self { manner: Manner::Drip, ..Self::ok("") }
    }

    async fn response(self) -> Response<ReplyBody> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = Bytes::from(self.body);
        let body = match self.manner {
            Manner::Whole => Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync(),
            Manner::Cut => {
                let cut = Err(std::io::Error::other("cut"));
                StreamBody::new(stream::iter([Ok(Frame::data(body)), cut])).boxed_unsync()
            }
            Manner::Hang => std::future::pending().await,
            Manner::Drip => {
                let byte = |()| async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
                };
                StreamBody::new(stream::unfold((), byte)).boxed_unsync()
            }
        };
        response.body(body).expect("a response")
    }
}

/// A certificate authority of one test.
pub(crate) struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    bundle: tempfile::NamedTempFile,
}

impl TestCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, uuid::Uuid::new_v4().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let bundle = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(bundle.path(), issuer.pem()).expect("written");
        Self { issuer, bundle }
    }

    /// An environment in which this authority is trusted, with further variables.
    pub(crate) fn environment<const N: usize>(&self, more: [(&str, &str); N]) -> Environment {
        let bundle = self.bundle.path().to_str().expect("text");
        let variables = [("SSL_CERT_FILE", bundle)].into_iter().chain(more);
        variables.map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let names = ["*.vault.azure.net", "login.microsoftonline.com", "localhost", "127.0.0.1"].map(str::to_owned);
        let key = KeyPair::generate().expect("a key");
        let certificate =
            CertificateParams::new(names).expect("names").signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key fits");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An HTTP server on a free port of this machine, until it is dropped.
pub(crate) struct FakeServer {
    port: u16,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl FakeServer {
    pub(crate) async fn plain(answer: impl Fn(&Request<Bytes>) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(answer)).await
    }

    pub(crate) async fn tls(ca: &TestCa, answer: impl Fn(&Request<Bytes>) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Some(ca.acceptor()), Arc::new(answer)).await
    }

    async fn start(tls: Option<TlsAcceptor>, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (tls, answer) = (tls.clone(), Arc::clone(&answer));
                open.spawn(async move {
                    match tls {
                        None => serve(stream, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, connections, _tasks: tasks }
    }

    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority())
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A port on which nothing listens.
    pub(crate) fn closed_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    }
}

type Answer = dyn Fn(&Request<Bytes>) -> Reply + Send + Sync;

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, answer: Arc<Answer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let reply = answer(&Request::from_parts(parts, body));
            Ok::<_, hyper::Error>(reply.response().await)
        }
    });
    // A client that goes away early is part of many tests.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// A CONNECT proxy that leads every host to one server, as long as it is not dropped.
pub(crate) struct FakeProxy {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl FakeProxy {
    pub(crate) async fn to(server: &FakeServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (port, target) = (listener.local_addr().expect("an address").port(), server.authority());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let log = Arc::clone(&requests);
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (target, log) = (target.clone(), Arc::clone(&log));
                open.spawn(async move { connect_through(stream, &target, &log).await });
            }
        });
        Self { port, requests, _tasks: tasks }
    }

    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority())
    }

    /// What was asked of the proxy: method, target and authorization.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn connect_through(stream: TcpStream, target: &str, log: &Mutex<Vec<String>>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let service = service_fn(|request: Request<Incoming>| {
        let authorization =
            request.headers().get("proxy-authorization").map_or("", |value| value.to_str().expect("text"));
        log.lock()
            .expect("no panic")
            .push(format!("{} {} {authorization}", request.method(), request.uri()).trim().to_owned());
        if let Some(sender) = sender.lock().expect("no panic").take() {
            drop(sender.send(hyper::upgrade::on(request)));
        }
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let relaying = async {
        let client = receiver.await.ok()?.await.ok()?;
        let mut server = TcpStream::connect(target).await.ok()?;
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut server).await.ok()
    };
    let (served, _) = tokio::join!(serving, relaying);
    drop(served);
}
