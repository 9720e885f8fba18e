//! The emulator's own certificate authority, and the certificates that name Azure's hosts.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use crate::fault::{BadCertificate, Faults};

/// Every host that the emulator plays.
const HOSTS: [&str; 5] =
    ["*.vault.azure.net", "login.microsoftonline.com", "management.azure.com", "localhost", "127.0.0.1"];
/// Azure's own floor is TLS 1.2.
const PROTOCOLS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// The years in which a good and an expired certificate end.
const GOOD_UNTIL: i32 = 2050;
const OVER_SINCE: i32 = 2021;

/// A certificate that could not be made or used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// No key, or no certificate of it, could be made; or a stored key could not be read.
    #[error("certificate of the emulator could not be made")]
    Making(#[from] rcgen::Error),
    /// The TLS library refuses it.
    #[error("certificate of the emulator is not usable for TLS")]
    Using(#[from] rustls::Error),
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authority(..)")
    }
}

impl Authority {
    /// Makes an authority with a new key.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn new() -> Result<Authority, CertificateError> {
        Authority::with_key(KeyPair::generate()?)
    }

    /// Makes the authority of a stored key again. Whoever trusts its former certificate trusts the new one too,
    /// because subject and key are the same.
    ///
    /// # Errors
    /// The text is no PKCS #8 key in PEM.
    pub fn from_key_pem(key_pem: &str) -> Result<Authority, CertificateError> {
        Authority::with_key(KeyPair::from_pem(key_pem)?)
    }

    fn with_key(key: KeyPair) -> Result<Authority, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Keyside emulator");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 12, 31));
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Its certificate: what clients must trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key, for the state file.
    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A new server certificate for all hosts, good up to and without the first day of `end`, a year.
    fn leaf(&self, end: i32) -> Result<CertifiedKey, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(HOSTS.map(String::from))?;
        params.distinguished_name.push(DnType::CommonName, "Azure, emulated");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Python 3.13 verifies strictly, and then wants to be told who issued it.
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(end, 1, 1));
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.issuer)?.into();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(CertifiedKey::from_der(vec![certificate], key, &aws_lc_rs::default_provider())?)
    }
}

/// Shows the right certificate, or a bad one where a fault asks for it.
#[derive(Debug)]
struct Presenter {
    right: Arc<CertifiedKey>,
    wrong: Arc<CertifiedKey>,
    expired: Arc<CertifiedKey>,
    faults: Faults,
}

impl ResolvesServerCert for Presenter {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().unwrap_or("127.0.0.1");
        let shown = match self.faults.take_certificate(host) {
            Some(BadCertificate::Wrong) => &self.wrong,
            Some(BadCertificate::Expired) => &self.expired,
            None => &self.right,
        };
        Some(Arc::clone(shown))
    }
}

/// The TLS side of the emulator, with certificates of `authority`.
///
/// # Errors
/// A certificate could not be made or used.
pub(crate) fn server_config(authority: &Authority, faults: Faults) -> Result<ServerConfig, CertificateError> {
    let presenter = Presenter {
        right: Arc::new(authority.leaf(GOOD_UNTIL)?),
        wrong: Arc::new(Authority::new()?.leaf(GOOD_UNTIL)?),
        expired: Arc::new(authority.leaf(OVER_SINCE)?),
        faults,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&PROTOCOLS)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(presenter));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session shows no certificate, and so would miss the fault of a wrong one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
