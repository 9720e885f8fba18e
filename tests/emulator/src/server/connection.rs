//! One connection: TLS or plain by its first byte, and the tunnels that it opens.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::uri::Authority;
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
use super::dispatch::{Broken, Line, Protection, plain};
use super::disturb;
use crate::request_log::Entry;

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
                    Method::CONNECT => self.open_tunnel(request, &tunnel).await,
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
    async fn open_tunnel(&self, request: Request<Incoming>, tunnel: &PendingTunnel) -> Result<Response<Body>, Broken> {
        let target = request.uri().authority().map_or("", Authority::as_str).to_string();
        let host = host(&target);
        let fault = self.cloud.faults.take("CONNECT", host, "");
        let entry = Entry { fault: fault.as_ref().map(|fault| fault.id), ..self.entry("CONNECT", host, "") };
        let fault = fault.map(|scripted| scripted.fault).unwrap_or_default();
        fault.hold_back().await;
        if fault.hang || fault.cut == Some(0) {
            self.cloud.requests.add(entry);
            return if fault.hang { std::future::pending().await } else { Err(Broken) };
        }
        let now = self.cloud.clock.now();
        let unresolved =
            matches!(Destination::of(host, ""), Destination::Vault(name) if !self.cloud.vaults.resolves(&name, now));
        let response = if fault.status.is_some() {
            disturb::apply(&fault, &Destination::of(host, ""), Response::new(Body::empty())).await
        } else if unresolved {
            plain(StatusCode::BAD_GATEWAY, format!("host {host} does not resolve: no such vault\n"))
        } else {
            *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(hyper::upgrade::on(request));
            Response::new(Body::empty())
        };
        self.cloud.requests.add(Entry { status: Some(response.status().as_u16()), ..entry });
        Ok(response)
    }
}

fn trace_end(client: IpAddr, served: Result<(), hyper::Error>) {
    if let Err(error) = served {
        tracing::debug!(%client, %error, "connection ended early");
    }
}
