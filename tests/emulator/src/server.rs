//! The network side: two listeners, TLS, and the proxy that leads every tunnel to this same server.

mod connection;
mod destination;
mod dispatch;
mod disturb;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::{admin, app_service, azure_ml, certificates, entra, imds, on_behalf_of};

/// How long to leave a listener alone that cannot accept, for example for want of file descriptors.
const PAUSE_AFTER_REFUSED_ACCEPT: Duration = Duration::from_millis(50);

/// What answers on every connection.
pub(crate) struct Server {
    cloud: Arc<Cloud>,
    tls: TlsAcceptor,
    entra: Router,
    imds: Router,
    app_service: Router,
    azure_ml: Router,
    on_behalf_of: Router,
    admin: Router,
}

impl Server {
    pub(crate) fn new(cloud: Arc<Cloud>, admin_token: &str) -> Result<Server, certificates::CertificateError> {
        let tls = certificates::server_config(&cloud.authority, cloud.faults.clone())?;
        let parts = || (Arc::clone(&cloud.directory), cloud.clock.clone());
        let route = |router: fn(_, _) -> Router| {
            let (directory, clock) = parts();
            router(directory, clock)
        };
        Ok(Server {
            tls: TlsAcceptor::from(Arc::new(tls)),
            entra: route(entra::router),
            imds: route(imds::router),
            app_service: route(app_service::router),
            azure_ml: route(azure_ml::router),
            on_behalf_of: route(on_behalf_of::router),
            admin: admin::router(Arc::clone(&cloud), admin_token),
            cloud,
        })
    }

    /// Serves the connections of one listener until `stop`, and ends them then.
    pub(crate) async fn accept(self: Arc<Server>, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    connections.spawn(Arc::clone(&self).serve(stream, client.ip()));
                }
                Err(error) => {
                    tracing::warn!(%error, "connection could not be accepted");
                    tokio::time::sleep(PAUSE_AFTER_REFUSED_ACCEPT).await;
                }
            }
        }
        connections.shutdown().await;
    }
}
