//! An emulator of one's own, and the way to it that production clients take: its proxy, then TLS to Azure's names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::service::Service;
use hyper::{Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use keyside_emulator::seed::Seed;
use keyside_emulator::{Emulator, Options};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::form_urlencoded;
use uuid::Uuid;

use crate::json::Json;
use crate::seed::{CLIENT_ID, CLIENT_SECRET};

/// How long one call may take on a busy machine before it counts as hanging.
const DEADLINE: Duration = Duration::from_secs(30);

/// The host that issues tokens.
pub(crate) const AUTHORITY: &str = "login.microsoftonline.com";

/// A request as it goes over the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: Option<&'a str>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<Json>,
}

/// A running emulator with a client of it.
#[derive(Debug)]
pub(crate) struct Emulated {
    emulator: Emulator,
    proxy: Uri,
    tls: Arc<ClientConfig>,
}

impl Emulated {
    /// Starts an emulator from the text of a seed.
    pub(crate) async fn start(seed: &str) -> Result<Emulated> {
        let options = Options { seed: Seed::parse(seed).context("the seed is refused")?, ..Options::default() };
        let emulator = Emulator::start(options).await?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(emulator.ca_pem().as_bytes())?)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let proxy = format!("http://{}", emulator.proxy()).parse()?;
        Ok(Emulated { emulator, proxy, tls: Arc::new(tls) })
    }

    /// Lets `time` pass for the emulator.
    pub(crate) fn advance(&self, time: Duration) {
        self.emulator.clock().advance(time);
    }

    pub(crate) fn tenant(&self) -> Uuid {
        self.emulator.directory().tenant()
    }

    /// Makes `call` over a connection of its own.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Answer> {
        let Call { method, host, target, .. } = call;
        let problem = || format!("{method} https://{host}{target}");
        timeout(DEADLINE, self.exchange(call)).await.with_context(problem)?.with_context(problem)
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Answer> {
        let destination = format!("https://{}:443", call.host).parse::<Uri>()?;
        let mut connector = HttpConnector::new();
        // The end of the TLS handshake and the request are two writes: the second would wait for the first's receipt.
        connector.set_nodelay(true);
        let tunnel = Tunnel::new(self.proxy.clone(), connector);
        let stream = TowerToHyperService::new(tunnel).call(destination).await?.into_inner();
        let name = ServerName::try_from(call.host.to_owned())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = request(call)?;
        let answered = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
            let body = if body.is_empty() { None } else { Some(Json::parse(&body).context("the answer is no JSON")?) };
            Ok(Answer { status: head.status.as_u16(), headers, body })
        };
        // The connection ends when the sender, which the other future owns, is gone.
        let (answer, _closed) = tokio::join!(answered, connection);
        answer
    }

    /// A token of the test's application for `scope`, as the client credentials grant gives it.
    pub(crate) async fn token(&self, scope: &str) -> Result<String> {
        let answer = self.ask_token(&[("client_secret", CLIENT_SECRET), ("scope", scope)]).await?;
        let token = answer.body.as_ref().and_then(|body| body.member("access_token")?.text());
        match token {
            Some(token) if answer.status == 200 => Ok(token.to_owned()),
            _ => bail!("no token for {scope}: {}", answer.status),
        }
    }

    /// Asks for a token with `credential`, whatever comes of it.
    pub(crate) async fn ask_token(&self, credential: &[(&str, &str)]) -> Result<Answer> {
        let fixed = [("client_id", CLIENT_ID), ("grant_type", "client_credentials")];
        let form =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(fixed).extend_pairs(credential).finish();
        self.call(&Call {
            method: "POST",
            host: AUTHORITY,
            target: &format!("/{}/oauth2/v2.0/token", self.tenant()),
            content_type: Some("application/x-www-form-urlencoded"),
            body: Some(&form),
            ..Call::default()
        })
        .await
    }
}

fn request(call: &Call<'_>) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(call.method).uri(call.target).header(HOST, call.host);
    if let Some(token) = call.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(content_type) = call.content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    Ok(request.body(Full::from(call.body.unwrap_or_default().to_owned()))?)
}
