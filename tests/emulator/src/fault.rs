//! Scripted faults: what goes wrong, for which requests, and how often.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pattern;

/// One fault. What it does not change stays as the emulator would answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// The only method it strikes. `CONNECT` is struck only where it is named here.
    pub method: Option<String>,
    /// The hosts it strikes; `*` stands for anything.
    pub host: String,
    /// The paths it strikes, without their query; `*` stands for anything.
    pub path: String,
    /// The status of the answer that takes the place of the emulator's.
    pub status: Option<u16>,
    /// Headers that are added to the answer.
    pub headers: Vec<(String, String)>,
    /// The body that takes the place of the answer's.
    pub body: Option<String>,
    /// How long the answer is held back, in real time.
    pub delay: Duration,
    /// Whether no answer comes at all, while the connection stays open; with `cut` it comes so far and no further.
    pub hang: bool,
    /// After how many bytes of the body the connection breaks; with 0 it breaks before the status line.
    pub cut: Option<u64>,
    /// Whether TLS shows a certificate of an authority that nobody trusts; host and count alone matter then.
    pub wrong_certificate: bool,
    /// Whether TLS shows a certificate whose time is over; host and count alone matter then.
    pub expired_certificate: bool,
    /// How many requests it strikes; without it, all until it is cleared.
    pub count: Option<u32>,
}

impl Default for Fault {
    fn default() -> Fault {
        Fault {
            method: None,
            host: "*".into(),
            path: "*".into(),
            status: None,
            headers: Vec::new(),
            body: None,
            delay: Duration::ZERO,
            hang: false,
            cut: None,
            wrong_certificate: false,
            expired_certificate: false,
            count: None,
        }
    }
}

/// Which certificate a connection is to see instead of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadCertificate {
    /// One of an authority that nobody trusts.
    Wrong,
    /// One of the right authority, whose time is over.
    Expired,
}

/// Why a fault is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FaultError {
    /// A status outside of 200 to 599: the others are no final answers.
    #[error("{0} is no status of an answer: 200 to 599")]
    Status(u16),
    /// A header that HTTP does not allow.
    #[error("\"{0}\" is no header")]
    Header(String),
    /// It would do nothing.
    #[error("a fault needs one of status, header, body, delay, hang, cut, wrong and expired certificate")]
    Nothing,
    /// It could never strike.
    #[error("a count of 0 strikes nothing")]
    Never,
}

impl Fault {
    fn check(&self) -> Result<(), FaultError> {
        let changes = self.status.is_some() || self.body.is_some() || !self.headers.is_empty();
        let disturbs = self.hang || self.cut.is_some() || self.certificate().is_some() || !self.delay.is_zero();
        if !changes && !disturbs {
            return Err(FaultError::Nothing);
        }
        if self.count == Some(0) {
            return Err(FaultError::Never);
        }
        if let Some(status) = self.status.filter(|status| !(200..600).contains(status)) {
            return Err(FaultError::Status(status));
        }
        let valid = |(name, value): &&(String, String)| {
            hyper::header::HeaderName::try_from(name).is_ok() && hyper::header::HeaderValue::try_from(value).is_ok()
        };
        match self.headers.iter().find(|header| !valid(header)) {
            Some((name, _)) => Err(FaultError::Header(name.clone())),
            None => Ok(()),
        }
    }

    /// Holds the answer back. Without a delay it does not wait at all: the shortest sleep of the runtime's timer is a
    /// millisecond, which everybody who measures a client would measure with it.
    pub(crate) async fn hold_back(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    fn certificate(&self) -> Option<BadCertificate> {
        match (self.wrong_certificate, self.expired_certificate) {
            (true, _) => Some(BadCertificate::Wrong),
            (false, true) => Some(BadCertificate::Expired),
            (false, false) => None,
        }
    }

    fn strikes(&self, method: &str, host: &str, path: &str) -> bool {
        let method_fits = match &self.method {
            None => method != "CONNECT",
            Some(wanted) => wanted.eq_ignore_ascii_case(method),
        };
        self.certificate().is_none()
            && method_fits
            && pattern::matches(&self.host, host)
            && pattern::matches(&self.path, path)
    }
}

/// A fault in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scripted {
    /// Which one, counted from 1 over the emulator's life.
    pub id: u64,
    /// What it does; its count is what is left of it.
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Script {
    last_id: u64,
    faults: Vec<Scripted>,
}

/// The faults in force, oldest first; the first that fits a request strikes it. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    // A std Mutex, because no section that holds it waits for anything.
    script: Arc<Mutex<Script>>,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fault in force and tells its id.
    ///
    /// # Errors
    /// The fault would do nothing, or cannot be.
    pub fn add(&self, fault: Fault) -> Result<u64, FaultError> {
        fault.check()?;
        let mut script = self.lock();
        script.last_id += 1;
        let id = script.last_id;
        script.faults.push(Scripted { id, fault });
        Ok(id)
    }

    /// Every fault in force.
    #[must_use]
    pub fn list(&self) -> Vec<Scripted> {
        self.lock().faults.clone()
    }

    /// Ends every fault.
    pub fn clear(&self) {
        self.lock().faults.clear();
    }

    /// The fault that strikes this request, which counts as one of its strikes.
    pub(crate) fn take(&self, method: &str, host: &str, path: &str) -> Option<Scripted> {
        self.take_first(|fault| fault.strikes(method, host, path))
    }

    /// The certificate that this connection to `host` is to see, where it is not the right one.
    pub(crate) fn take_certificate(&self, host: &str) -> Option<BadCertificate> {
        let struck = self.take_first(|fault| fault.certificate().is_some() && pattern::matches(&fault.host, host));
        struck.and_then(|scripted| scripted.fault.certificate())
    }

    fn take_first(&self, fits: impl Fn(&Fault) -> bool) -> Option<Scripted> {
        let mut script = self.lock();
        let index = script.faults.iter().position(|scripted| fits(&scripted.fault))?;
        let scripted = &mut script.faults[index];
        if let Some(count) = &mut scripted.fault.count {
            *count -= 1;
        }
        let struck = scripted.clone();
        if struck.fault.count == Some(0) {
            script.faults.remove(index);
        }
        Some(struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Fault {
        Fault { status: Some(status), ..Fault::default() }
    }

    #[test]
    fn a_fault_strikes_what_it_names_and_nothing_else() {
        let vault = Fault { host: "*.vault.azure.net".into(), path: "/secrets/*".into(), ..status(503) };
        let get = Fault { method: Some("get".into()), ..status(503) };
        let connect = Fault { method: Some("CONNECT".into()), ..status(502) };
        let certificate = Fault { wrong_certificate: true, ..Fault::default() };
        let rows = [
            (&vault, "GET", "kv.vault.azure.net", "/secrets/db", true),
            (&vault, "GET", "kv.vault.azure.net", "/deletedsecrets", false),
            (&vault, "GET", "169.254.169.254", "/secrets/db", false),
            (&get, "GET", "any", "/", true),
            (&get, "PUT", "any", "/", false),
            (&status(503), "CONNECT", "any", "", false),
            (&connect, "CONNECT", "any", "", true),
            (&certificate, "GET", "any", "/", false),
        ];
        for (fault, method, host, path, expected) in rows {
            assert_eq!(fault.strikes(method, host, path), expected, "{fault:?} against {method} {host}{path}");
        }
    }

    #[test]
    fn a_counted_fault_ends_itself_and_the_next_takes_over() {
        let faults = Faults::default();
        faults.add(Fault { count: Some(2), ..status(429) }).unwrap();
        faults.add(status(503)).unwrap();
        let struck: Vec<_> = (0..4).map(|_| faults.take("GET", "h", "/").unwrap().fault.status.unwrap()).collect();
        assert_eq!(struck, [429, 429, 503, 503]);
        faults.clear();
        assert_eq!(faults.take("GET", "h", "/"), None);
    }

    #[test]
    fn a_bad_certificate_is_shown_to_its_host() {
        let faults = Faults::default();
        let fault = Fault { wrong_certificate: true, host: "kv.*".into(), count: Some(1), ..Fault::default() };
        faults.add(fault).unwrap();
        faults.add(Fault { expired_certificate: true, ..Fault::default() }).unwrap();
        assert_eq!(faults.take_certificate("login.microsoftonline.com"), Some(BadCertificate::Expired));
        assert_eq!(faults.take_certificate("kv.vault.azure.net"), Some(BadCertificate::Wrong));
        assert_eq!(faults.take_certificate("kv.vault.azure.net"), Some(BadCertificate::Expired));
        faults.clear();
        assert_eq!(faults.take_certificate("kv.vault.azure.net"), None);
    }

    #[test]
    fn what_cannot_be_a_fault_is_refused() {
        let rows = [
            (Fault::default(), FaultError::Nothing),
            (status(99), FaultError::Status(99)),
            (status(600), FaultError::Status(600)),
            (Fault { count: Some(0), ..status(500) }, FaultError::Never),
            (Fault { headers: vec![("a b".into(), "c".into())], ..status(500) }, FaultError::Header("a b".into())),
        ];
        for (fault, expected) in rows {
            assert_eq!(Faults::default().add(fault), Err(expected));
        }
    }
}
