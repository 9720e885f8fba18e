//! Values of new secrets: drawn at random or read, kept in locked memory, never shown.

use std::fmt;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use keyside::environment::Environment;
use keyside::memory::Arena;
use keyside::secret::SecretValue;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::{Recipe, Source, VALUE_BYTES_MAX};

/// Where values come from. Whatever buffer one passes through is wiped when it is freed, by the program's allocator.
pub struct Values {
    arena: Arena,
    environment: Environment,
    input: Input,
}

/// Whose standard input a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// That of this run.
    Own,
    /// That of a later run, of which nothing is known.
    Later,
}

impl Values {
    /// Values in `arena`; those of variables from `environment`.
    #[must_use]
    pub fn new(arena: Arena, environment: Environment, input: Input) -> Self {
        Self { arena, environment, input }
    }

    /// Looks whether a value can be had from `source`. None is kept, and nothing is taken out of what can be read once
    /// only, as standard input and pipes.
    ///
    /// # Errors
    /// What [`Values::take`] would say.
    pub fn look(&self, source: &Source) -> Result<()> {
        match source {
            Source::Variable(name) => check(self.variable(name)?.as_bytes()),
            Source::File(path) => match std::fs::metadata(path) {
                Ok(found) if !found.is_file() && !found.is_dir() => Ok(()),
                _ => read(path).map(drop),
            },
            Source::Stdin if self.input == Input::Own && std::io::stdin().is_terminal() => {
                bail!("standard input is a terminal, which would show the value: let a file or a program give it")
            }
            Source::Stdin | Source::Generated(_) | Source::Others => Ok(()),
        }
    }

    /// A value from `source`.
    ///
    /// # Errors
    /// When it cannot be read, is empty, too long or no text. No error quotes it.
    pub fn take(&self, source: &Source) -> Result<SecretValue> {
        match source {
            Source::Generated(recipe) => self.draw(recipe),
            Source::File(path) => self.keep(&read(path)?),
            Source::Stdin => {
                self.look(source)?;
                let input = read_all(&mut std::io::stdin().lock()).context("could not read standard input")?;
                check(&input).context("standard input holds no value for a secret")?;
                self.keep(&input)
            }
            Source::Variable(name) => self.keep(self.variable(name)?.as_bytes()),
            Source::Others => bail!("the value is set by others"),
        }
    }

    fn variable(&self, name: &str) -> Result<&str> {
        self.environment.get(name).with_context(|| format!("the variable {name} is not set, or empty"))
    }

    fn keep(&self, value: &[u8]) -> Result<SecretValue> {
        Ok(SecretValue::new(self.arena.store(value)?))
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

/// The value in a file.
fn read(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let value = read_all(&mut &file).with_context(|| format!("could not read {}", path.display()))?;
    check(&value).with_context(|| format!("{} holds no value for a secret", path.display()))?;
    Ok(value)
}

/// Reads a value without the line break at its end. What is longer than a value may be is noticed and not kept whole.
fn read_all(reader: &mut dyn std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(VALUE_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
    if bytes.ends_with(b"\n") {
        bytes.truncate(bytes.len() - if bytes.ends_with(b"\r\n") { 2 } else { 1 });
    }
    Ok(bytes)
}

/// Whether Key Vault keeps this as a value.
fn check(value: &[u8]) -> Result<()> {
    if value.is_empty() {
        bail!("the value is empty, which Key Vault does not keep");
    }
    if value.len() > VALUE_BYTES_MAX {
        bail!("the value is longer than the {VALUE_BYTES_MAX} bytes that Key Vault keeps");
    }
    if std::str::from_utf8(value).is_err() {
        bail!("the value is no text in UTF-8: encode it, in base64 for instance");
    }
    Ok(())
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
        Values::new(Arena::unlocked(), Environment::from([("TOKEN", "from-a-variable")]), Input::Own)
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
    fn what_key_vault_would_not_keep_is_refused_at_the_first_look_without_being_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("value");
        let long = vec![b'k'; VALUE_BYTES_MAX + 1];
        for (content, reason) in [(&b"\n"[..], "empty"), (&[b'h', 0xff, b'k'], "UTF-8"), (&long, "longer")] {
            std::fs::write(&path, content).expect("written");
            let source = Source::File(path.clone());
            let seen = format!("{:#}", values().look(&source).expect_err("refused"));
            assert!(seen.contains(reason) && !seen.contains("kkk"), "{seen}");
            let taken = format!("{:#}", values().take(&source).expect_err("refused"));
            assert_eq!(taken, seen);
        }
        let missing = values().look(&Source::Variable("NOT_SET".to_owned())).expect_err("refused");
        assert!(missing.to_string().contains("NOT_SET"));
        let absent = values().look(&Source::File(folder.path().join("absent"))).expect_err("refused");
        assert!(absent.to_string().contains("could not open"), "{absent}");
        let of_a_folder = values().look(&Source::File(folder.path().to_owned())).expect_err("refused");
        assert!(of_a_folder.to_string().contains("could not read"), "{of_a_folder}");
    }

    #[test]
    fn a_look_takes_nothing_out_of_a_pipe() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let source = Source::File(path.clone());
        values().look(&source).expect("it is there, and not opened");
        let writer = std::thread::spawn(move || std::fs::write(path, "from-a-pipe\n"));
        assert_eq!(values().take(&source).expect("a value").as_bytes(), b"from-a-pipe");
        writer.join().expect("it ends").expect("written");
    }
}
