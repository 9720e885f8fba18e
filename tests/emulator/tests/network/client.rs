//! A client that speaks HTTP by hand, so that broken answers can be looked at.

use std::sync::Arc;
use std::time::Duration;

use keyside_emulator::Emulator;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes, so that a hang fails instead of blocking.
const DEADLINE: Duration = Duration::from_secs(20);

/// What came back: possibly less than was promised.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// One request's text. `headers` are whole lines.
pub(crate) fn request(method: &str, target: &str, host: &str, (headers, body): (&[&str], &str)) -> String {
    let length = body.len();
    let mut lines = vec![
        format!("{method} {target} HTTP/1.1"),
        format!("Host: {host}"),
        "Connection: close".to_string(),
        format!("Content-Length: {length}"),
    ];
    lines.extend(headers.iter().map(ToString::to_string));
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

pub(crate) async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    // A connection that breaks is what some tests are about: what came before counts.
    let _ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut received)).await.expect("answer in time");
    let text = String::from_utf8(received).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status, head: head.to_string(), body: body.to_string() }
}

pub(crate) async fn plain(emulator: &Emulator, request: &str) -> Answer {
    exchange(TcpStream::connect(emulator.listen()).await.unwrap(), request).await
}

pub(crate) async fn through_proxy_plain(emulator: &Emulator, request: &str) -> Answer {
    exchange(TcpStream::connect(emulator.proxy()).await.unwrap(), request).await
}

/// A TLS connection over `stream` to `host`, trusting `ca_pem` alone.
pub(crate) async fn tls(stream: TcpStream, host: &str, ca_pem: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_string()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Opens a tunnel to `host` and tells the proxy's status.
pub(crate) async fn tunnel(emulator: &Emulator, host: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(emulator.proxy()).await.unwrap();
    let request = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), stream)
}

/// Asks `host` over TLS through the proxy, as an unmodified client does.
pub(crate) async fn ask(emulator: &Emulator, host: &str, request: &str) -> Answer {
    ask_trusting(emulator, host, (emulator.ca_pem(), request)).await
}

pub(crate) async fn ask_trusting(emulator: &Emulator, host: &str, (ca_pem, request): (&str, &str)) -> Answer {
    let (status, stream) = tunnel(emulator, host).await;
    assert_eq!(status, 200, "tunnel to {host}");
    exchange(tls(stream, host, ca_pem).await.unwrap(), request).await
}
