//! How an application proves itself: by a secret, by a certificate, or by the token of an issuer that it trusts.

use aws_lc_rs::digest;
use base64ct::{Base64UrlUnpadded, Encoding};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use rcgen::{CertificateParams, DnType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use uuid::Uuid;

use super::DirectoryError;
use super::key::{Keyring, SigningKey, open};
use super::seed::{Application, CertificateSource, ClientSecret, FederatedCredential};

/// How much the clocks of Entra and its clients may differ before an assertion counts as not yet valid.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// An application whose keys have been read.
pub(crate) struct Registration {
    pub(crate) app_id: Uuid,
    pub(crate) object_id: Uuid,
    secrets: Vec<ClientSecret>,
    certificate: Option<Certificate>,
    trusts: Vec<Trust>,
}

/// A certificate of an application, with its key where the emulator made it.
struct Certificate {
    der: Vec<u8>,
    public_key: DecodingKey,
    key_and_certificate_pem: Option<String>,
}

/// A federated credential whose key has been read.
struct Trust {
    issuer: String,
    subject: String,
    audience: String,
    keys: IssuerKeys,
}

enum IssuerKeys {
    /// The key with which the emulator plays an issuer.
    Emulator,
    One(DecodingKey),
    Set(JwkSet),
}

/// Why a client assertion proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AssertionProblem {
    /// It is no JSON Web Token with `iss`, `sub`, `aud` and `exp`.
    Malformed,
    /// The application has no certificate of this thumbprint.
    UnknownCertificate { thumbprint: String },
    /// The key is known, and has not signed this.
    Signature { thumbprint: Option<String> },
    /// It speaks for another client.
    Subject,
    /// It was made for another endpoint.
    Audience,
    /// It has expired or is not valid yet.
    Time { not_before: Timestamp, expires: Timestamp },
    /// No federated credential names this issuer, subject and audience.
    NoTrust { issuer: String, subject: String, audience: String },
}

/// The claims of a client assertion (RFC 7523 section 3).
#[derive(Debug, Clone, Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    #[serde(default)]
    nbf: NumericDate,
}

/// Seconds since 1970, which MSAL for Python writes with a fraction (RFC 7519 section 2 permits it).
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "f64")]
struct NumericDate(Timestamp);

impl TryFrom<f64> for NumericDate {
    type Error = jiff::Error;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        SignedDuration::try_from_secs_f64(seconds).and_then(Timestamp::from_duration).map(Self)
    }
}

/// `aud` is one string or several (RFC 7519 section 4.1.3); Kubernetes writes a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl Registration {
    /// Reads the keys of `application`; `keys` holds those that the emulator plays with.
    pub(crate) fn read(application: Application, keys: &Keyring) -> Result<Self, DirectoryError> {
        let Application { app_id, object_id, secrets, certificate, federated_credentials } = application;
        let certificate = match certificate {
            None => None,
            Some(CertificateSource::Generate) => Some(Certificate::make(app_id, keys.client())?),
            Some(CertificateSource::Pem(pem)) => Some(Certificate::read(app_id, &pem)?),
        };
        let trusts = federated_credentials.into_iter().map(Trust::read).collect::<Result<_, _>>()?;
        Ok(Self { app_id, object_id, secrets, certificate, trusts })
    }

    pub(crate) fn accepts_secret(&self, secret: &str) -> bool {
        self.secrets.iter().any(|registered| registered.0 == secret)
    }

    /// The key and the certificate, where the emulator made them.
    pub(crate) fn certificate_pem(&self) -> Option<&str> {
        self.certificate.as_ref()?.key_and_certificate_pem.as_deref()
    }

    /// Checks a client assertion that was sent to an endpoint which goes by any of `endpoints`.
    ///
    /// One that names the client itself as its issuer is signed by the client's certificate; any other comes from
    /// a trusted issuer.
    pub(crate) fn check_assertion(
        &self,
        assertion: &str,
        endpoints: &[String],
        (issuer_key, now): (&SigningKey, Timestamp),
    ) -> Result<(), AssertionProblem> {
        let malformed = |_| AssertionProblem::Malformed;
        let header = jsonwebtoken::decode_header(assertion).map_err(malformed)?;
        let claims: AssertionClaims = jsonwebtoken::dangerous::insecure_decode_claims(assertion).map_err(malformed)?;
        if claims.iss == self.app_id.to_string() {
            self.check_certificate(assertion, (&header, &claims))?;
            claims.check_time(now)?;
            claims.check_audience(endpoints)
        } else {
            self.check_trust(assertion, (&header, &claims), issuer_key)?;
            claims.check_time(now)
        }
    }

    fn check_certificate(
        &self,
        assertion: &str,
        (header, claims): (&Header, &AssertionClaims),
    ) -> Result<(), AssertionProblem> {
        if claims.sub != claims.iss {
            return Err(AssertionProblem::Subject);
        }
        let thumbprint = header.x5t_s256.as_deref().or(header.x5t.as_deref()).map(hexadecimal).unwrap_or_default();
        let Some(certificate) = self.certificate.as_ref().filter(|known| known.is_named_by(header)) else {
            return Err(AssertionProblem::UnknownCertificate { thumbprint });
        };
        let signed = matches!(header.alg, Algorithm::RS256 | Algorithm::PS256)
            && open::<AssertionClaims>(assertion, &certificate.public_key, header.alg).is_some();
        signed.then_some(()).ok_or(AssertionProblem::Signature { thumbprint: Some(thumbprint) })
    }

    fn check_trust(
        &self,
        assertion: &str,
        (header, claims): (&Header, &AssertionClaims),
        issuer_key: &SigningKey,
    ) -> Result<(), AssertionProblem> {
        let Some(trust) = self.trusts.iter().find(|trust| trust.covers(claims)) else {
            return Err(AssertionProblem::NoTrust {
                issuer: claims.iss.clone(),
                subject: claims.sub.clone(),
                audience: claims.aud.names().join(","),
            });
        };
        let signed = match &trust.keys {
            IssuerKeys::Emulator => issuer_key.open::<AssertionClaims>(assertion),
            IssuerKeys::One(key) => open(assertion, key, Algorithm::RS256),
            IssuerKeys::Set(set) => header
                .kid
                .as_deref()
                .and_then(|kid| DecodingKey::from_jwk(set.find(kid)?).ok())
                .and_then(|key| open(assertion, &key, Algorithm::RS256)),
        };
        signed.map(drop).ok_or(AssertionProblem::Signature { thumbprint: None })
    }
}

impl AssertionClaims {
    fn check_time(&self, now: Timestamp) -> Result<(), AssertionProblem> {
        let (not_before, expires) = (self.nbf.0, self.exp.0);
        let latest_start = now.saturating_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX);
        if now < expires && not_before <= latest_start {
            return Ok(());
        }
        Err(AssertionProblem::Time { not_before, expires })
    }

    fn check_audience(&self, endpoints: &[String]) -> Result<(), AssertionProblem> {
        let named = self
            .aud
            .names()
            .iter()
            .any(|name| endpoints.iter().any(|endpoint| endpoint.eq_ignore_ascii_case(name.trim_end_matches('/'))));
        named.then_some(()).ok_or(AssertionProblem::Audience)
    }
}

impl Certificate {
    fn read(app_id: Uuid, pem: &str) -> Result<Self, DirectoryError> {
        let unreadable = || DirectoryError::Certificate { app_id };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
        let public_key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| unreadable())?;
        Ok(Self { der: der.to_vec(), public_key, key_and_certificate_pem: None })
    }

    /// Makes a self-signed certificate: the same one each time for the same key, so that it outlives a restart.
    fn make(app_id: Uuid, key: &SigningKey) -> Result<Self, DirectoryError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, app_id.to_string());
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let made = params.self_signed(key.pair()).map_err(DirectoryError::KeyNotMade)?;
        let certificate = Self::read(app_id, &made.pem())?;
        let pem = key.pair().serialize_pem() + &made.pem();
        Ok(Self { key_and_certificate_pem: Some(pem), ..certificate })
    }

    /// Whether a header's thumbprint is this certificate's: `x5t#S256` where there is one, else `x5t`.
    fn is_named_by(&self, header: &Header) -> bool {
        let (named, algorithm) = match (&header.x5t_s256, &header.x5t) {
            (Some(sha256), _) => (sha256, &digest::SHA256),
            (None, Some(sha1)) => (sha1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
            (None, None) => return false,
        };
        decode(named).is_some_and(|thumbprint| thumbprint == digest::digest(algorithm, &self.der).as_ref())
    }
}

impl Trust {
    fn read(credential: FederatedCredential) -> Result<Self, DirectoryError> {
        let FederatedCredential { issuer, subject, audience, public_key, jwks } = credential;
        let keys = match (public_key, jwks) {
            (Some(pem), None) => DecodingKey::from_rsa_pem(pem.as_bytes()).ok().map(IssuerKeys::One),
            (None, Some(json)) => serde_json::from_str(&json).ok().map(IssuerKeys::Set),
            (None, None) => Some(IssuerKeys::Emulator),
            (Some(_), Some(_)) => None,
        };
        match keys {
            Some(keys) => Ok(Self { issuer, subject, audience, keys }),
            None => Err(DirectoryError::IssuerKey { issuer }),
        }
    }

    /// Byte by byte, as Entra compares since 2024.
    fn covers(&self, claims: &AssertionClaims) -> bool {
        self.issuer == claims.iss && self.subject == claims.sub && claims.aud.names().contains(&self.audience)
    }
}

/// Thumbprints are written in either alphabet of base 64, padded (by MSAL) or not.
fn decode(thumbprint: &str) -> Option<Vec<u8>> {
    let plain = thumbprint.trim_end_matches('=').replace('+', "-").replace('/', "_");
    Base64UrlUnpadded::decode_vec(&plain).ok()
}

fn hexadecimal(thumbprint: &str) -> String {
    decode(thumbprint).unwrap_or_default().iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}
