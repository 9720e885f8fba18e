//! Names of environment variables, and the values that a variable can hold.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::secret::SecretName;

/// Longest string that the kernel takes as one element of a program's environment: name, `=`, value and the NUL at its end.
/// Source: `MAX_ARG_STRLEN` of execve(2), 32 pages, of 4 KiB where they are smallest.
const ELEMENT_BYTES_MAX: usize = 128 * 1024;

/// Longest name, in bytes; more would only make a log unreadable. A secret's own name has at most 127.
const NAME_BYTES_MAX: usize = 255;

/// Beginnings of names that a secret must not have: the first decide what code the dynamic loader loads (ld.so(8)), the
/// others are what `keyside run` tells its command.
const RESERVED_BEGINNINGS: [&str; 2] = ["LD_", "KEYSIDE_"];

/// Variables that decide what code a shell, an interpreter or the C library loads. A secret there would let whoever may
/// write it in the vault run code in the program.
/// Source: the variables that sudo never keeps (`initial_badenv_table` in its plugins/sudoers/env.c) as far as they load code,
/// those that glibc ignores in privileged programs (sysdeps/generic/unsecvars.h), and the documentation of Node.js, the Java
/// virtual machine, .NET, OpenSSL (openssl-env(7)), Python ("Environment variables"), Git (git(1)) and Spark.
const LOADS_CODE: [&str; 45] = [
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "CLASSPATH",
    "DOTNET_STARTUP_HOOKS",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GIT_ASKPASS",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PROMPT_COMMAND",
    "PS4",
    "PYSPARK_DRIVER_PYTHON",
    "PYSPARK_PYTHON",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// The name of an environment variable that every shell can write, and that a secret may have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariableName(Arc<str>);

/// Says why a text is no [`VariableName`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{name}' is no name for a secret's variable: {rule}")]
pub struct InvalidVariable {
    name: String,
    rule: &'static str,
}

/// Why a variable cannot hold a value. It names no part of the value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// The value has a byte 0, which would end the variable there.
    #[error("its value holds a NUL byte, which no variable can: read it from a file or from the socket")]
    Nul,
    /// The value is not UTF-8, and most programs cannot read such a variable.
    #[error("its value is not UTF-8 text, which a variable should be: read it from a file or from the socket")]
    NotText,
    /// Name and value together are longer than the kernel takes.
    #[error("its value is too long for a variable, which holds 128 KiB: read it from a file or from the socket")]
    TooLong,
}

impl VariableName {
    /// The variable of a secret that names none: upper case, with `_` for `-`, so that `wandb-api-key` is `WANDB_API_KEY`.
    ///
    /// # Errors
    /// [`InvalidVariable`] for a secret whose name starts with a digit, or would become a variable that loads code.
    pub fn of(secret: &SecretName) -> Result<Self, InvalidVariable> {
        secret.as_str().to_ascii_uppercase().replace('-', "_").parse()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether this variable can hold `value`.
    ///
    /// # Errors
    /// [`Unfit`], with the remedy.
    pub fn fits(&self, value: &[u8]) -> Result<(), Unfit> {
        let element_bytes = self.0.len() + "=".len() + value.len() + "\0".len();
        if value.contains(&0) {
            Err(Unfit::Nul)
        } else if std::str::from_utf8(value).is_err() {
            Err(Unfit::NotText)
        } else if element_bytes > ELEMENT_BYTES_MAX {
            Err(Unfit::TooLong)
        } else {
            Ok(())
        }
    }
}

impl FromStr for VariableName {
    type Err = InvalidVariable;

    fn from_str(text: &str) -> Result<Self, InvalidVariable> {
        match broken_rule(text) {
            None => Ok(Self(text.into())),
            Some(rule) => Err(InvalidVariable { name: text.escape_debug().take(NAME_BYTES_MAX).collect(), rule }),
        }
    }
}

/// The rule that a text breaks. A name is made of letters, digits and underscores, and starts with no digit.
/// Source: IEEE Std 1003.1-2024 (POSIX), Base Definitions, 3.216 "Name".
fn broken_rule(text: &str) -> Option<&'static str> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        Some("it starts with a digit; name another with env = \"NAME\"")
    } else if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Some("use letters, digits and underscores")
    } else if text.len() > NAME_BYTES_MAX {
        Some("use at most 255 characters")
    } else if LOADS_CODE.contains(&text) || text.starts_with(RESERVED_BEGINNINGS[0]) {
        Some("it decides what code programs load; name another with env = \"NAME\"")
    } else if text.starts_with(RESERVED_BEGINNINGS[1]) {
        Some("names that start with KEYSIDE_ are Keyside's own; name another with env = \"NAME\"")
    } else {
        None
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for VariableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::name;

    #[test]
    fn names_follow_the_rule_of_posix_and_load_no_code() {
        let (longest, too_long) = ("A".repeat(NAME_BYTES_MAX), "A".repeat(NAME_BYTES_MAX + 1));
        let rows = [
            ("WANDB_API_KEY", true),
            ("lower_case", true),
            ("_", true),
            ("A1", true),
            (&longest, true),
            (&too_long, false),
            ("", false),
            ("1A", false),
            ("A-B", false),
            ("A=B", false),
            ("A\0B", false),
            ("A B", false),
            ("GRÜN", false),
            ("LD_PRELOAD", false),
            ("LD_", false),
            ("LDAP_PASSWORD", true),
            ("PATH", false),
            ("DATA_PATH", true),
            ("PYTHONPATH", false),
            ("PYTHONWARNINGS", false),
            ("PYTHONANYWHERE_TOKEN", true),
            ("_JAVA_OPTIONS", false),
            ("GIT_SSH_COMMAND", false),
            ("GIT_TOKEN", true),
            ("KEYSIDE_SOCKET", false),
            ("AZURE_CLIENT_SECRET", true),
        ];
        for (text, valid) in rows {
            assert_eq!(text.parse::<VariableName>().is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn a_secret_has_a_variable_of_its_own_name() {
        let rows = [
            ("wandb-api-key", Ok("WANDB_API_KEY")),
            ("dbPassword", Ok("DBPASSWORD")),
            ("-", Ok("_")),
            ("2fa-seed", Err("env = \"NAME\"")),
            ("ld-preload", Err("what code programs load")),
            ("path", Err("what code programs load")),
            ("keyside-socket", Err("Keyside's own")),
        ];
        for (secret, expected) in rows {
            let found = VariableName::of(&name(secret)).map(|name| name.to_string()).map_err(|error| error.to_string());
            match expected {
                Ok(variable) => assert_eq!(found.as_deref(), Ok(variable), "{secret}"),
                Err(text) => assert!(found.expect_err(secret).contains(text), "{secret}"),
            }
        }
    }

    #[test]
    fn a_variable_holds_text_without_nul_as_long_as_the_kernel_takes() {
        let variable: VariableName = "TOKEN".parse().expect("a name");
        let longest = vec![b'a'; ELEMENT_BYTES_MAX - "TOKEN=\0".len()];
        let too_long = vec![b'a'; longest.len() + 1];
        let rows: [(&[u8], _); 7] = [
            (b"hunter2", Ok(())),
            (b"", Ok(())),
            ("grüße\n".as_bytes(), Ok(())),
            (b"a\0b", Err(Unfit::Nul)),
            (b"\xff", Err(Unfit::NotText)),
            (&longest, Ok(())),
            (&too_long, Err(Unfit::TooLong)),
        ];
        for (value, expected) in rows {
            assert_eq!(variable.fits(value), expected, "{} bytes", value.len());
        }
    }

    #[test]
    fn the_kernel_takes_what_fits_and_no_more() {
        let longest = "a".repeat(ELEMENT_BYTES_MAX - "TOKEN=\0".len());
        let start = |value: &str| std::process::Command::new("/bin/true").env_clear().env("TOKEN", value).status();
        assert!(start(&longest).expect("it starts").success());
        assert!(start(&format!("{longest}a")).is_err(), "one more is refused by execve(2)");
    }
}
