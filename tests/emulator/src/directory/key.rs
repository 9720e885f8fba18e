//! RSA keys: the directory's own, and those of the two outsiders that it can play.

use std::sync::OnceLock;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, RsaKeySize};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DirectoryError;

/// One RSA key pair of 2048 bits that signs with RS256.
pub(crate) struct SigningKey {
    pair: KeyPair,
    encoding: EncodingKey,
    decoding: DecodingKey,
    jwk: Jwk,
}

impl SigningKey {
    pub(crate) fn generate() -> Result<Self, DirectoryError> {
        let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)
            .map_err(DirectoryError::KeyNotMade)?;
        Self::from_pair(pair)
    }

    fn from_pkcs8(der: &PrivatePkcs8KeyDer<'_>) -> Result<Self, DirectoryError> {
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(der, &rcgen::PKCS_RSA_SHA256)
            .map_err(|_| DirectoryError::SigningKey)?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, DirectoryError> {
        let unreadable = |_| DirectoryError::SigningKey;
        let encoding = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).map_err(unreadable)?;
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256).map_err(unreadable)?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256).map_err(unreadable)?);
        let decoding = DecodingKey::from_jwk(&jwk).map_err(unreadable)?;
        Ok(Self { pair, encoding, decoding, jwk })
    }

    /// The `kid` of its tokens: the key's thumbprint of RFC 7638.
    pub(crate) fn id(&self) -> &str {
        self.jwk.common.key_id.as_deref().unwrap_or_default()
    }

    pub(crate) fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// Signs claims as an RS256 token whose header names this key.
    pub(crate) fn sign(&self, claims: &impl Serialize) -> String {
        let header = Header { kid: Some(self.id().to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.encoding).expect("an RSA key signs any claims that are JSON")
    }

    /// The claims of a token that this key has signed.
    pub(crate) fn open<T: DeserializeOwned + Clone>(&self, token: &str) -> Option<T> {
        open(token, &self.decoding, Algorithm::RS256)
    }
}

/// The claims of a token if `key` has signed it with `algorithm`; times and names are the caller's to check.
pub(crate) fn open<T: DeserializeOwned + Clone>(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<T> {
    let mut signature_only = Validation::new(algorithm);
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    signature_only.required_spec_claims.clear();
    let opened = jsonwebtoken::decode::<T>(token, key, &signature_only).ok()?;
    Some(opened.claims)
}

/// The directory's key, and the keys of a token issuer and of certificate owners that the emulator plays.
///
/// The latter two are made when first needed: each costs a tenth of a second.
pub(crate) struct Keyring {
    signing: SigningKey,
    issuer: OnceLock<SigningKey>,
    client: OnceLock<SigningKey>,
}

impl Keyring {
    /// Reads up to three PKCS #8 blocks: the directory's key, the issuer's, the certificate owners'.
    pub(crate) fn new(pem: Option<&str>) -> Result<Self, DirectoryError> {
        let mut stored = read_keys(pem.unwrap_or_default())?.into_iter();
        let signing = match stored.next() {
            Some(key) => key,
            None if pem.is_some() => return Err(DirectoryError::SigningKey),
            None => SigningKey::generate()?,
        };
        Ok(Self { signing, issuer: cell(stored.next()), client: cell(stored.next()) })
    }

    pub(crate) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    pub(crate) fn issuer(&self) -> &SigningKey {
        self.issuer.get_or_init(generate_late)
    }

    pub(crate) fn client(&self) -> &SigningKey {
        self.client.get_or_init(generate_late)
    }

    /// All three keys, in the order in which `new` reads them.
    pub(crate) fn pem(&self) -> String {
        [self.signing(), self.issuer(), self.client()].map(|key| key.pair.serialize_pem()).concat()
    }
}

fn cell(key: Option<SigningKey>) -> OnceLock<SigningKey> {
    key.map_or_else(OnceLock::new, OnceLock::from)
}

fn generate_late() -> SigningKey {
    SigningKey::generate().expect("the library makes RSA keys of 2048 bits")
}

fn read_keys(pem: &str) -> Result<Vec<SigningKey>, DirectoryError> {
    PrivatePkcs8KeyDer::pem_slice_iter(pem.as_bytes())
        .map(|block| SigningKey::from_pkcs8(&block.map_err(|_| DirectoryError::SigningKey)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_keyring_is_the_same_after_being_written_and_read() {
        let made = Keyring::new(None).unwrap();
        let read = Keyring::new(Some(&made.pem())).unwrap();
        assert_eq!(read.signing().id(), made.signing().id());
        assert_eq!(read.issuer().id(), made.issuer().id());
        assert_eq!(read.client().id(), made.client().id());
    }

    #[test]
    fn a_key_opens_only_what_it_has_signed() {
        let (ours, theirs) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let token = ours.sign(&json!({"sub": "pipeline"}));
        assert_eq!(ours.open::<Value>(&token), Some(json!({"sub": "pipeline"})));
        assert_eq!(theirs.open::<Value>(&token), None);
        assert_eq!(ours.open::<Value>("no.token.atall"), None);
    }

    #[test]
    fn text_without_a_private_key_makes_no_keyring() {
        for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(Keyring::new(Some(text)).is_err(), "{text:?} was accepted");
        }
    }
}
