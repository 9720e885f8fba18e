//! The certificates of those who may vouch for a server.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_native_certs::CertificateResult;
use thiserror::Error;

use crate::environment::Environment;

/// No trusted certificate was found.
#[derive(Debug, Error)]
#[error("no CA certificate in {places}: mount a CA bundle, or name one in SSL_CERT_FILE{details}")]
pub struct RootsError {
    places: String,
    details: String,
}

/// Who may vouch for a server here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Where the certificates were found: files and directories, or the system's own places.
    pub places: String,
    /// How many there are.
    pub certificates: usize,
}

/// Reads the trusted roots: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` (directories, separated by colons) name, and
/// only where neither is set the system's, as OpenSSL does.
pub(super) fn trusted_roots(environment: &Environment) -> Result<(RootCertStore, Trust), RootsError> {
    let file = environment.get("SSL_CERT_FILE").map(Path::new);
    let directories: Vec<PathBuf> =
        environment.get("SSL_CERT_DIR").map(|list| std::env::split_paths(list).collect()).unwrap_or_default();
    let (found, places) = if file.is_none() && directories.is_empty() {
        (vec![rustls_native_certs::load_native_certs()], "the system's own places".to_owned())
    } else {
        let load = |file, directory| rustls_native_certs::load_certs_from_paths(file, directory);
        let from_file = file.map(|file| load(Some(file), None));
        let found =
            from_file.into_iter().chain(directories.iter().map(|directory| load(None, Some(directory)))).collect();
        let names = file.into_iter().chain(directories.iter().map(PathBuf::as_path));
        (found, names.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))
    };
    match store(found) {
        Ok(roots) => {
            let trust = Trust { places, certificates: roots.len() };
            Ok((roots, trust))
        }
        Err(details) => Err(RootsError { places, details }),
    }
}

/// One store of all certificates, or why there is none.
fn store(found: Vec<CertificateResult>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let mut details = String::new();
    for result in found {
        // Old systems carry certificates that no longer parse; one good one suffices.
        roots.add_parsable_certificates(result.certs);
        for error in result.errors {
            details.push_str("; ");
            details.push_str(&error.to_string());
        }
    }
    if roots.is_empty() {
        return Err(details);
    }
    if !details.is_empty() {
        tracing::warn!(details = details.trim_start_matches("; "), "not every place of trusted CAs could be read");
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_empty_bundles_name_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").expect("written");
        for path in [folder.path().join("absent.pem"), empty] {
            let path = path.to_str().expect("text");
            let error = trusted_roots(&Environment::from([("SSL_CERT_FILE", path)])).expect_err(path).to_string();
            assert!(error.contains(path) && error.contains("mount a CA bundle"), "{error}");
        }
    }

    #[test]
    fn a_bundle_and_a_directory_replace_the_roots_of_the_system() {
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = |name: &str| {
            let issued = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
            std::fs::write(folder.path().join(name), issued.cert.pem()).expect("written");
        };
        certificate("one.pem");
        let directory = folder.path().to_str().expect("text");
        let file = format!("{directory}/one.pem");
        let trust = |environment| trusted_roots(&environment).expect("roots").1;
        let of = |places: &str, certificates| Trust { places: places.to_owned(), certificates };
        assert_eq!(trust(Environment::from([("SSL_CERT_FILE", &*file)])), of(&file, 1));
        certificate("two.pem");
        assert_eq!(trust(Environment::from([("SSL_CERT_DIR", directory)])), of(directory, 2));
    }
}
