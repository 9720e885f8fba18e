//! An application's certificate as proof of its identity: a signed assertion instead of a secret.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::clock::Clock;

/// How long an assertion holds; it is used at once. Entra accepts up to a day and advises five to ten minutes
/// (<https://learn.microsoft.com/entra/identity-platform/certificate-credentials>).
const ASSERTION_SECONDS: i64 = 600;

/// Why a certificate file cannot be used. Nothing of the key is in it.
#[derive(Debug, Error)]
pub(super) enum CertificateError {
    #[error("could not read the certificate {path}")]
    Read {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error(
        "{path} is a PFX file; make a PEM file of it: openssl pkcs12 -in {path} -out certificate.pem -nodes (then chmod 600)"
    )]
    Pfx { path: PathBuf },
    #[error("{path} holds no PEM certificate")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no PEM private key")]
    NoKey { path: PathBuf },
    #[error(
        "the private key in {path} is encrypted; decrypt it: openssl pkey -in {path} -out key.pem (then chmod 600)"
    )]
    Encrypted { path: PathBuf },
    #[error("the private key in {path} is not an RSA key, the only kind that Entra accepts")]
    NotRsa { path: PathBuf },
}

/// Signs assertions with one certificate's key.
pub(super) struct CertificateAssertion {
    client_id: String,
    audience: String,
    thumbprint: String,
    key: EncodingKey,
    clock: Arc<dyn Clock>,
}

impl CertificateAssertion {
    /// Reads certificate and key from the PEM file at `path`.
    pub(super) fn read(
        path: &Path,
        client_id: &str,
        audience: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CertificateError> {
        let shown = path.to_owned();
        let bytes = std::fs::read(path).map_err(|cause| CertificateError::Read { path: shown.clone(), cause })?;
        let Ok(text) = String::from_utf8(bytes) else { return Err(CertificateError::Pfx { path: shown }) };
        let Some(Ok(certificate)) = CertificateDer::pem_slice_iter(text.as_bytes()).next() else {
            return Err(CertificateError::NoCertificate { path: shown });
        };
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(CertificateError::Encrypted { path: shown });
        }
        let Some(key) = key_section(&text) else { return Err(CertificateError::NoKey { path: shown }) };
        let key = EncodingKey::from_rsa_pem(key.as_bytes()).map_err(|_| CertificateError::NotRsa { path: shown })?;
        let thumbprint = Base64UrlUnpadded::encode_string(&Sha256::digest(&certificate));
        Ok(Self { client_id: client_id.to_owned(), audience, thumbprint, key, clock })
    }

    fn sign(&self) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(Algorithm::RS256);
        header.x5t_s256 = Some(self.thumbprint.clone());
        let now = self.clock.now().as_second();
        let claims = Claims {
            aud: &self.audience,
            iss: &self.client_id,
            sub: &self.client_id,
            jti: uuid::Uuid::new_v4().to_string(),
            iat: now,
            nbf: now,
            exp: now + ASSERTION_SECONDS,
        };
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

#[async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.sign().map_err(|error| azure_core::Error::new(ErrorKind::Credential, error))
    }
}

impl fmt::Debug for CertificateAssertion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CertificateAssertion").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The section of a PEM file that holds its first private key.
fn key_section(text: &str) -> Option<&str> {
    let starts = ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"];
    let start = starts.iter().filter_map(|mark| text.find(mark)).min()?;
    let end = start + text[start..].find("-----END ")?;
    let line = text[end..].find('\n').map_or(text.len(), |length| end + length + 1);
    Some(&text[start..line])
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;
    use crate::clock::SystemClock;

    const AUDIENCE: &str = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token";

    fn read(contents: impl AsRef<[u8]>) -> Result<CertificateAssertion, CertificateError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), contents).expect("written");
        CertificateAssertion::read(file.path(), "client", AUDIENCE.to_owned(), Arc::new(SystemClock))
    }

    fn rsa() -> (KeyPair, rcgen::Certificate) {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let certificate = CertificateParams::new([]).expect("no names").self_signed(&key).expect("a certificate");
        (key, certificate)
    }

    #[test]
    fn an_assertion_names_the_client_and_is_signed_by_the_certificate() {
        let (key, certificate) = rsa();
        for contents in [certificate.pem() + &key.serialize_pem(), key.serialize_pem() + &certificate.pem()] {
            let assertion = read(contents).expect("a certificate").sign().expect("signed");
            let mut validation = Validation::new(Algorithm::RS256);
            validation.set_audience(&[AUDIENCE]);
            validation.set_issuer(&["client"]);
            let public = DecodingKey::from_rsa_der(key.public_key_raw());
            let token = jsonwebtoken::decode::<serde_json::Value>(&assertion, &public, &validation).expect("valid");
            let claims = &token.claims;
            assert_eq!(claims["sub"], "client");
            assert_eq!(claims["exp"].as_i64().expect("a time") - claims["nbf"].as_i64().expect("a time"), 600);
            assert_eq!(claims["jti"].as_str().expect("text").len(), 36);
            let thumbprint = Base64UrlUnpadded::encode_string(&Sha256::digest(certificate.der()));
            assert_eq!(token.header.x5t_s256, Some(thumbprint));
        }
    }

    #[test]
    fn each_unusable_file_is_refused_with_its_remedy() {
        let (key, certificate) = rsa();
        let elliptic = KeyPair::generate().expect("a key");
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let rows: [(Vec<u8>, &str); 6] = [
            (vec![0x30, 0x82, 0x0a, 0xff], "openssl pkcs12"),
            (Vec::new(), "no PEM certificate"),
            (key.serialize_pem().into_bytes(), "no PEM certificate"),
            (certificate.pem().into_bytes(), "no PEM private key"),
            ((certificate.pem() + encrypted).into_bytes(), "openssl pkey"),
            ((certificate.pem() + &elliptic.serialize_pem()).into_bytes(), "not an RSA key"),
        ];
        for (contents, expected) in rows {
            let error = read(contents).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn formatting_shows_no_key() {
        let (key, certificate) = rsa();
        let assertion = read(certificate.pem() + &key.serialize_pem()).expect("a certificate");
        assert!(format!("{assertion:?}").ends_with("{ client_id: \"client\", .. }"));
    }
}
