//! What Key Vault accepts as names and versions.

const LONGEST_SECRET_NAME: usize = 127;
const VERSION_LENGTH: usize = 32;

/// Whether `name` can name a secret: 1 to 127 letters, digits and hyphens.
pub(crate) fn is_secret_name(name: &str) -> bool {
    (1..=LONGEST_SECRET_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether `version` has the form of a secret's version: 32 hexadecimal digits.
pub(crate) fn is_version(version: &str) -> bool {
    version.len() == VERSION_LENGTH && version.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `name` can name a vault: 3 to 24 letters, digits and hyphens, a letter first, no hyphen last, and no
/// two hyphens together.
pub(crate) fn is_vault_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_follow_the_service() {
        let longest = "a".repeat(LONGEST_SECRET_NAME);
        for name in ["a", "0", "db-password", "-", longest.as_str()] {
            assert!(is_secret_name(name), "{name}");
        }
        let too_long = "a".repeat(LONGEST_SECRET_NAME + 1);
        for name in ["", "a_b", "a.b", "a/b", "..", "ä", "a b", too_long.as_str()] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn vault_names_follow_the_service() {
        for name in ["abc", "kv-demo-1", "KeyVault"] {
            assert!(is_vault_name(name), "{name}");
        }
        for name in ["ab", "1kv", "kv-", "k--v", "kv_demo", "a23456789012345678901234x"] {
            assert!(!is_vault_name(name), "{name}");
        }
    }

    #[test]
    fn versions_are_32_hexadecimal_digits() {
        assert!(is_version("d673228733a64a7c98d997c0b8a1c769"));
        assert!(!is_version("d673228733a64a7c98d997c0b8a1c76"));
        assert!(!is_version("versions"));
    }
}
