//! A certificate's secret in another form than it is stored in: PEM of a PFX.
//!
//! Source: the operation `GetSecret` of the Key Vault REST specification, from 2025-07-01 on. No recorded traffic shows it; that a
//! secret of no certificate comes as it is, and that the answer names the form it is in, is assumed.

use std::borrow::Cow;

use base64ct::{Base64, Encoding as _};
use p12_keystore::{CertificateBag, Pkcs12Archive};

use super::refusal::Refusal;
use super::secret::Version;

const PFX: &str = "application/x-pkcs12";
const PEM: &str = "application/x-pem-file";

/// How long the lines of a PEM text are (RFC 7468, section 2).
const LINE: usize = 64;

/// The version in the form that a caller asks for.
///
/// # Errors
/// A 400 for any form but PEM, and for a PFX that cannot be read without a password.
pub(super) fn convert<'a>(version: &'a Version, wanted: Option<&str>) -> Result<Cow<'a, Version>, Refusal> {
    match (wanted, version.content_type.as_deref()) {
        (Some(PEM), Some(PFX)) => {
            let value = to_pem(version.value.expose()).ok_or_else(|| refused(PEM))?;
            Ok(Cow::Owned(Version { value: value.into(), content_type: Some(PEM.to_owned()), ..version.clone() }))
        }
        (None | Some(PEM), _) => Ok(Cow::Borrowed(version)),
        (Some(other), _) => Err(refused(other)),
    }
}

fn refused(wanted: &str) -> Refusal {
    Refusal::bad_parameter(format!("The secret cannot be converted to outContentType {wanted}"))
}

/// The private key, then the certificate that belongs to it, then those that vouch for it.
fn to_pem(pfx: &str) -> Option<String> {
    let archive = Pkcs12Archive::from_pkcs12(&Base64::decode_vec(pfx).ok()?, "").ok()?;
    let key = archive.keys.first()?;
    let own = key.local_key_id.as_ref().map(AsRef::<[u8]>::as_ref);
    let is_own = |bag: &&CertificateBag| bag.local_key_id.as_deref() == own;
    let (leaf, issuers): (Vec<_>, Vec<_>) = archive.certs.iter().partition(is_own);
    let certificates = leaf.into_iter().chain(issuers).map(|bag| block("CERTIFICATE", bag.cert.as_der()));
    Some(block("PRIVATE KEY", key.key.as_der()) + &certificates.collect::<String>())
}

fn block(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE));
        lines.push_str(line);
        lines.push('\n');
        rest = behind;
    }
    lines + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::vault::secret::{Draft, Secret};

    /// A PFX without a password, and what it was made of in PEM.
    fn pfx() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["db.example.com".to_owned()]).unwrap().self_signed(&key).unwrap();
        let chain = PrivateKeyChain::new(
            b"own".to_vec(),
            PrivateKey::from_der(key.serialized_der()).unwrap(),
            [Certificate::from_der(certificate.der()).unwrap()],
        );
        let mut store = KeyStore::new();
        store.add_entry("db", KeyStoreEntry::PrivateKeyChain(chain));
        (Base64::encode_string(&store.writer("").write().unwrap()), key.serialize_pem() + &certificate.pem())
    }

    fn version(value: &str, content_type: Option<&str>) -> Version {
        let draft = Draft { content_type: content_type.map(Into::into), ..Draft::plain(value) };
        Secret::first("db", draft, 1).latest().clone()
    }

    #[test]
    fn a_pfx_becomes_pem_with_the_key_first() {
        let (pfx, pem) = pfx();
        let stored = version(&pfx, Some(PFX));
        let converted = convert(&stored, Some(PEM)).unwrap();
        assert_eq!(converted.value.expose(), pem.replace("\r\n", "\n"));
        assert_eq!(converted.content_type.as_deref(), Some(PEM));
        assert_eq!(convert(&stored, None).unwrap().value.expose(), pfx);
    }

    #[test]
    fn what_is_no_pfx_stays_as_it_is_and_no_other_form_can_be_had() {
        for content_type in [None, Some("text/plain"), Some(PEM)] {
            assert_eq!(convert(&version("x", content_type), Some(PEM)).unwrap().value.expose(), "x");
        }
        for (value, wanted) in [("x", "application/json"), ("x", PFX), ("hunter2", PEM)] {
            let refusal = convert(&version(value, Some(PFX)), Some(wanted)).map(drop).unwrap_err();
            assert!(refusal.status.as_u16() == 400 && !refusal.message().contains("hunter2"), "{wanted}");
        }
    }
}
