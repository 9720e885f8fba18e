//! Values of new secrets: drawn at random or read, kept in locked memory, never shown.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use keyside::environment::Environment;
use keyside::memory::Arena;
use keyside::secret::SecretValue;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::{Recipe, Source};

/// Longest value that Key Vault keeps, in bytes.
/// Source: <https://learn.microsoft.com/azure/key-vault/secrets/about-secrets>.
const VALUE_BYTES_MAX: usize = 25 * 1024;

/// Where values come from.
pub struct Values {
    arena: Arena,
    environment: Environment,
}

impl Values {
    /// Values in `arena`; those of variables from `environment`.
    #[must_use]
    pub fn new(arena: Arena, environment: Environment) -> Self {
        Self { arena, environment }
    }

    /// A value from `source`.
    ///
    /// # Errors
    /// When it cannot be read, is empty, too long or no text. No error quotes it.
    pub fn take(&self, source: &Source) -> Result<SecretValue> {
        match source {
            Source::Generated(recipe) => self.draw(recipe),
            Source::File(path) => self.read(path),
            Source::Stdin => {
                self.keep(read_all(&mut std::io::stdin().lock()).context("could not read standard input")?)
            }
            Source::Variable(name) => {
                let value = self.environment.get(name);
                let value = value.with_context(|| format!("the variable {name} is not set, or empty"))?;
                self.keep(value.as_bytes().to_vec())
            }
        }
    }

    fn read(&self, path: &Path) -> Result<SecretValue> {
        let file = std::fs::File::open(path).with_context(|| format!("could not open {}", path.display()))?;
        let bytes = read_all(&mut &file).with_context(|| format!("could not read {}", path.display()))?;
        self.keep(bytes).with_context(|| format!("{} holds no value for a secret", path.display()))
    }

    fn keep(&self, mut bytes: Vec<u8>) -> Result<SecretValue> {
        if bytes.ends_with(b"\n") {
            bytes.truncate(bytes.len() - if bytes.ends_with(b"\r\n") { 2 } else { 1 });
        }
        if bytes.is_empty() {
            bail!("the value is empty, which Key Vault does not keep");
        }
        if bytes.len() > VALUE_BYTES_MAX {
            bail!("the value is longer than the {VALUE_BYTES_MAX} bytes that Key Vault keeps");
        }
        if std::str::from_utf8(&bytes).is_err() {
            bail!("the value is no text in UTF-8: encode it, in base64 for instance");
        }
        Ok(SecretValue::new(self.arena.store(&bytes)?))
    }

    /// Draws each character evenly, by throwing away what would favour the first ones.
    fn draw(&self, recipe: &Recipe) -> Result<SecretValue> {
        let alphabet = recipe.alphabet.as_bytes();
        let fair = 256 - 256 % alphabet.len();
        let mut value = self.arena.buffer(recipe.length)?;
        let mut dice = [0_u8; 64];
        while value.len() < recipe.length {
            let thrown = getrandom(&mut dice[..], GetRandomFlags::empty()).context("the kernel gives no dice")?;
            let left = recipe.length - value.len();
            let even = dice[..thrown].iter().filter(|&&die| usize::from(die) < fair).take(left);
            for &die in even {
                value.extend(&[alphabet[usize::from(die) % alphabet.len()]])?;
            }
        }
        // The dice tell the value as well as itself does.
        dice.fill(0);
        std::hint::black_box(&dice);
        Ok(SecretValue::new(value.freeze()))
    }
}

/// Reads one byte more than a value may have, so that a longer one is noticed and not kept whole.
fn read_all(reader: &mut dyn std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(VALUE_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Values(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values::new(Arena::unlocked(), Environment::from([("TOKEN", "from-a-variable")]))
    }

    #[test]
    fn drawn_values_have_their_length_and_use_the_whole_alphabet() {
        let recipe = Recipe { length: 5_000, alphabet: "abcdefghijk".to_owned() };
        let value = values().take(&Source::Generated(recipe)).expect("dice");
        let counts = value.as_bytes().iter().fold([0_u32; 11], |mut counts, byte| {
            counts[usize::from(byte - b'a')] += 1;
            counts
        });
        assert_eq!(value.as_bytes().len(), 5_000);
        // Each is drawn 455 times on average with a deviation of 20: nine deviations do not happen by chance.
        assert!(counts.iter().all(|count| (270..=640).contains(count)), "{counts:?}");
        let other = values().take(&Source::Generated(Recipe::default())).expect("dice");
        assert!(!other.same_as(&values().take(&Source::Generated(Recipe::default())).expect("dice")));
    }

    #[test]
    fn files_and_variables_give_their_text_without_the_last_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("value");
        for (content, expected) in [("x y\n", "x y"), ("x\r\n", "x"), ("x\n\n", "x\n"), ("x", "x")] {
            std::fs::write(&path, content).expect("written");
            let value = values().take(&Source::File(path.clone())).expect("a value");
            assert_eq!(value.as_bytes(), expected.as_bytes(), "{content:?}");
        }
        let value = values().take(&Source::Variable("TOKEN".to_owned())).expect("a value");
        assert_eq!(value.as_bytes(), b"from-a-variable");
    }

    #[test]
    fn what_key_vault_would_not_keep_is_refused_without_being_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("value");
        let long = vec![b'k'; VALUE_BYTES_MAX + 1];
        for (content, reason) in [(&b"\n"[..], "empty"), (&[b'h', 0xff, b'k'], "UTF-8"), (&long, "longer")] {
            std::fs::write(&path, content).expect("written");
            let error = format!("{:#}", values().take(&Source::File(path.clone())).expect_err("refused"));
            assert!(error.contains(reason) && !error.contains("kkk"), "{error}");
        }
        let missing = values().take(&Source::Variable("NOT_SET".to_owned())).expect_err("refused");
        assert!(missing.to_string().contains("NOT_SET"));
    }
}
