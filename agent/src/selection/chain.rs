//! The order of certificates: first the one that vouches for no other, then each after the one that it vouches for.
//!
//! A PFX has no order that one could rely on, and a server must send its certificates in this one (RFC 8446, section 4.4.2).

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use webpki::EndEntityCert;

/// What a certificate says about whose it is and who vouches for it.
struct Names {
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

/// Puts certificates in order, each given as one PEM block with whatever belongs to it. Where one cannot be read, all
/// stay as they were; those that belong to no chain come last.
pub(super) fn in_order<T>(certificates: Vec<T>, pem: impl Fn(&T) -> &[u8]) -> Vec<T> {
    let Some(names) = certificates.iter().map(|one| read(pem(one))).collect::<Option<Vec<_>>>() else {
        return certificates;
    };
    let ranks = ranks(&names);
    let mut ranked: Vec<_> = ranks.into_iter().zip(certificates).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, certificate)| certificate).collect()
}

fn read(pem: &[u8]) -> Option<Names> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let certificate = EndEntityCert::try_from(&der).ok()?;
    Some(Names { subject: certificate.subject().to_vec(), issuer: certificate.issuer().to_vec() })
}

/// The place of each certificate.
fn ranks(names: &[Names]) -> Vec<usize> {
    let vouches = |index: usize| {
        names.iter().enumerate().any(|(other, one)| other != index && one.issuer == names[index].subject)
    };
    let mut ranks = vec![names.len(); names.len()];
    let mut next = (0..names.len()).find(|&index| !vouches(index));
    for rank in 0..names.len() {
        let Some(index) = next else { break };
        ranks[index] = rank;
        let is_issuer = |other: &usize| ranks[*other] == names.len() && names[*other].subject == names[index].issuer;
        next = (0..names.len()).find(is_issuer);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::new([]).expect("no names");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    }

    fn authority(name: &str) -> CertificateParams {
        let mut parameters = parameters(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    }

    /// A root, an authority below it, and a certificate of that one; the last first.
    fn chain() -> [String; 3] {
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(authority("root"), key()).expect("a root");
        let middle = CertifiedIssuer::signed_by(authority("middle"), key(), &root).expect("an authority");
        let leaf = parameters("leaf").signed_by(&key(), &middle).expect("a certificate");
        [leaf.pem(), middle.pem(), root.pem()]
    }

    #[test]
    fn a_chain_is_in_the_order_that_servers_send_however_it_came() {
        let chain = chain();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mixed: Vec<_> = order.map(|index| chain[index].as_str()).into();
            assert_eq!(in_order(mixed, |pem| pem.as_bytes()), chain, "{order:?}");
        }
        let without_middle = in_order(vec![&chain[2], &chain[0]], |pem| pem.as_bytes());
        assert_eq!(without_middle.len(), 2, "a gap loses none");
        assert_eq!(in_order(vec![&chain[2]], |pem| pem.as_bytes()), [&chain[2]], "a root alone vouches for itself");
    }

    #[test]
    fn what_cannot_be_read_stays_where_it_is() {
        let [leaf, middle, _] = chain();
        let odd = "-----BEGIN CERTIFICATE-----\nb2Rk\n-----END CERTIFICATE-----\n".to_owned();
        let given = vec![middle, odd, leaf];
        assert_eq!(in_order(given.clone(), |pem| pem.as_bytes()), given);
    }
}
