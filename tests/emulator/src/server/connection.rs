//! One connection: TLS or plain by its first byte, and the tunnels that it opens.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Server;
use super::destination::{Destination, host};
use super::dispatch::{Broken, Line, Protection};

/// The first byte of a TLS connection: a handshake record (RFC 8446 section 5.1). No HTTP request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A tunnel that a client has asked for, until the connection is handed over to it.
type PendingTunnel = Arc<Mutex<Option<OnUpgrade>>>;

impl Server {
    /// Serves one connection until it ends. What goes wrong on it is the client's affair, and only traced.
    pub(super) async fn serve(self: Arc<Server>, stream: TcpStream, client: IpAddr) {
        // Answers are small and whole: to wait for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%client, %error, "answers may be delayed");
        }
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first == [TLS_HANDSHAKE] => self.serve_tls(stream, client).await,
            Ok(1) => self.serve_plain(stream, client).await,
            _ => tracing::debug!(%client, "connection ended before its first byte"),
        }
    }

    async fn serve_tls(&self, stream: impl AsyncRead + AsyncWrite + Unpin, client: IpAddr) {
        let stream = match self.tls.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%client, %error, "TLS was not established"),
        };
        let line = Line { client, protection: Protection::Tls };
        let service = service_fn(|request| self.answer(request, line));
        let served =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        trace_end(client, served);
    }

    async fn serve_plain(&self, stream: TcpStream, client: IpAddr) {
        let tunnel = PendingTunnel::default();
        let line = Line { client, protection: Protection::Plain };
        let service = service_fn(|request: Request<Incoming>| {
            let tunnel = Arc::clone(&tunnel);
            async move {
                match *request.method() {
                    Method::CONNECT => self.open_tunnel(request, &tunnel),
                    _ => self.answer(request, line).await,
                }
            }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        trace_end(client, connection.with_upgrades().await);
        let pending = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(upgrade) = pending {
            match upgrade.await {
                Ok(stream) => self.serve_tls(TokioIo::new(stream), client).await,
                Err(error) => tracing::debug!(%client, %error, "tunnel was not established"),
            }
        }
    }

    /// Leads every tunnel to this server's own TLS, except to vaults that do not exist: their names do not resolve.
    fn open_tunnel(&self, mut request: Request<Incoming>, tunnel: &PendingTunnel) -> Result<Response<Body>, Broken> {
        let target = request.uri().authority().map_or("", |authority| authority.as_str()).to_string();
        let host = host(&target);
        let entry = self.entry("CONNECT", host, "");
        if let Some(fault) = self.cloud.faults.take("CONNECT", host, "") {
            let status = fault.fault.status.unwrap_or(StatusCode::BAD_GATEWAY.as_u16());
            self.cloud.requests.add(crate::request_log::Entry { status: Some(status), fault: Some(fault.id), ..entry });
            let mut refused = Response::new(Body::from(fault.fault.body.unwrap_or_default()));
            *refused.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            return if fault.fault.cut == Some(0) { Err(Broken) } else { Ok(refused) };
        }
        let mut response = Response::new(Body::empty());
        match Destination::of(host, "") {
            Destination::Vault(name) if !self.cloud.vaults.resolves(&name, self.cloud.clock.now()) => {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                *response.body_mut() = Body::from(format!("host {host} does not resolve: no vault is called {name}\n"));
            }
            _ => {
                let upgrade = hyper::upgrade::on(&mut request);
                *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
            }
        }
        self.cloud.requests.add(crate::request_log::Entry { status: Some(response.status().as_u16()), ..entry });
        Ok(response)
    }
}

fn trace_end(client: IpAddr, served: Result<(), hyper::Error>) {
    if let Err(error) = served {
        tracing::debug!(%client, %error, "connection ended early");
    }
}
