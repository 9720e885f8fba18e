//! What a caller says that it is: the unit and the credential in the address that it calls from.

use super::unit::UnitName;

/// A unit that wants a credential, by its caller's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) unit: UnitName,
    pub(super) credential: String,
}

impl Claim {
    /// Reads the name of an abstract address: a random number, `unit`, the unit and the credential, each with a slash in front
    /// but the first.
    /// Source: `systemd.exec(5)`, `LoadCredential=`.
    pub(super) fn read(address: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(address).ok()?.split('/');
        let (random, word) = (parts.next()?, parts.next()?);
        let (unit, credential) = (parts.next()?, parts.next()?);
        let is_random = !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = is_random && word == "unit" && !credential.is_empty() && parts.next().is_none();
        Some(Self { unit: unit.parse().ok().filter(|_| fits)?, credential: credential.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_unit_and_a_credential_or_nothing() {
        let claim = Claim::read(b"adf9d86b6eda275e/unit/foobar.service/credx").expect("the form of the manual");
        assert_eq!((claim.unit.as_str(), claim.credential.as_str()), ("foobar.service", "credx"));
        let rows: [&[u8]; 10] = [
            b"",
            b"/unit/a.service/db",
            b"x/unit/a.service/db",
            b"1/other/a.service/db",
            b"1/unit//db",
            b"1/unit/../db",
            b"1/unit/a.slice/db",
            b"1/unit/a.service/",
            b"1/unit/a.service/db/more",
            b"1/unit/a.service/\xff",
        ];
        for address in rows {
            assert_eq!(Claim::read(address), None, "{address:?}");
        }
    }
}
