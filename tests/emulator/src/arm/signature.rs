//! Poll addresses: as long as the real ones, and signed, so that a client which rebuilds one is found out.

use std::fmt;

use aws_lc_rs::hmac;
use base64ct::{Base64UrlUnpadded, Encoding};
use jiff::Timestamp;
use uuid::Uuid;

use super::call::Query;

/// The sizes, in bytes, of what recorded addresses carry: a certificate, an RSA signature and a SHA-256 hash.
const CERTIFICATE: usize = 1950;
const SIGNATURE: usize = 256;
const HASH: usize = 32;

/// The .NET ticks of 1970: tenths of a microsecond since the year 1.
const TICKS_OF_1970: i128 = 621_355_968_000_000_000;

/// The key that signs poll addresses.
pub(crate) struct Signer {
    text: String,
    key: hmac::Key,
}

impl Signer {
    /// The signer of a stored text, or a new one.
    pub(crate) fn new(text: Option<String>) -> Signer {
        let text = text.unwrap_or_else(|| format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
        Signer { key: hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), text }
    }

    /// What `new` takes to make the same again.
    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }

    /// The parameters with which `path?query` becomes a whole address.
    pub(crate) fn sign(&self, path: &str, query: &str, now: Timestamp) -> String {
        let ticks = TICKS_OF_1970 + now.as_nanosecond() / 100;
        let message = format!("{}?{query}&t={ticks}", path.to_ascii_lowercase());
        let [c, s, h] = self.marks(&message);
        format!("{path}?{query}&t={ticks}&c={c}&s={s}&h={h}")
    }

    /// Whether `path` and `query` are together as [`Signer::sign`] has left them.
    pub(crate) fn signed(&self, path: &str, query: &str) -> bool {
        let Some((signed, _)) = query.split_once("&c=") else {
            return false;
        };
        let message = format!("{}?{signed}", path.to_ascii_lowercase());
        let query = Query::parse(query);
        let marks = ["c", "s", "h"].map(|name| query.value(name).unwrap_or_default());
        self.marks(&message).iter().zip(marks).all(|(expected, given)| expected == given)
    }

    fn marks(&self, message: &str) -> [String; 3] {
        [("certificate", CERTIFICATE), (message, SIGNATURE), ("hash", HASH)].map(|(seed, length)| {
            let blocks = (0..length.div_ceil(HASH)).map(|number| format!("{number}|{seed}|{message}"));
            let bytes: Vec<u8> =
                blocks.flat_map(|block| hmac::sign(&self.key, block.as_bytes()).as_ref().to_vec()).collect();
            Base64UrlUnpadded::encode_string(&bytes[..length])
        })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/subscriptions/s/providers/P/locations/eastus/operations/Ul6m";

    #[test]
    fn an_address_is_good_only_as_it_was_given() {
        let signer = Signer::new(None);
        let address = signer.sign(PATH, "api-version=2024-04-01&type=async", Timestamp::UNIX_EPOCH);
        let (path, query) = address.split_once('?').unwrap();
        assert!(address.len() > 3_000, "{} characters", address.len());
        assert!(query.contains("&t=621355968000000000&"));
        let rows = [
            (path.to_string(), query.to_string(), true),
            (path.to_uppercase(), query.to_string(), true),
            (path.replace("Ul6m", "other"), query.to_string(), false),
            (path.to_string(), query.replace("async", "location"), false),
            (path.to_string(), query.replace("2024", "2025"), false),
            (path.to_string(), query[..query.len() - 1].to_string(), false),
            (path.to_string(), query.split("&s=").next().unwrap().to_string(), false),
            (path.to_string(), "api-version=2024-04-01".to_string(), false),
        ];
        for (path, query, expected) in rows {
            assert_eq!(signer.signed(&path, &query), expected, "{path} {query:.60}");
        }
        assert!(!Signer::new(None).signed(path, query), "another emulator's address");
        assert!(Signer::new(Some(signer.text())).signed(path, query), "after a restart");
    }
}
