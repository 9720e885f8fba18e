//! Files of environment variables: how a value is written for the program that reads them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::variable::{Unfit, VariableName};

/// Longest line that docker reads, in bytes.
/// Source: `bufio.MaxScanTokenSize` of Go's library, which docker's command line reads the file with.
const DOCKER_LINE_BYTES_MAX: usize = 64 * 1024 - 1;

/// The program that a file is for. A value of letters, digits and the like is written in the same way for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A POSIX shell (`set -a; . FILE`), and systemd's `EnvironmentFile=`, which follows its rules of quoting.
    /// Source: IEEE Std 1003.1-2024, Shell Command Language, 2.2 "Quoting"; systemd.exec(5) of systemd 252.
    #[default]
    Shell,
    /// Python's python-dotenv, 0.19 and later: in single quotes `\\` and `\'` are escapes, in no quotes at all is `${` but a
    /// reference. Before 1.2 a value in quotes does not end at a quotation mark behind a backslash, escaped or not.
    Dotenv,
    /// `docker run --env-file`, which takes what is behind `=` as it is.
    Docker,
}

/// Says that a word is no [`Format`].
#[derive(Debug, Error)]
#[error("'{0}' is unknown: use shell, dotenv or docker")]
pub struct UnknownFormat(String);

/// Why a value cannot be written for a program. It names no part of the value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unwritable {
    /// No variable can hold it.
    #[error("{0}")]
    Unfit(Unfit),
    /// The program ends or cuts the value at a line break, or has no quotes.
    #[error("its value has a line break, which the format {0} cannot write: read it from a file of its own")]
    LineBreak(Format),
    /// The program changes or refuses such a value.
    #[error("its value has a control character, which the format {0} cannot write: read it from a file of its own")]
    Control(Format),
    /// The program puts another variable in.
    #[error("its value has '${{', which the format {0} takes for a variable: read it from a file of its own")]
    Reference(Format),
    /// The program, or an earlier version of it, takes the mark that ends the value for a part of it.
    #[error(
        "its value ends with a backslash and has quotes or spaces, which the format {0} cannot write: read it from a file of \
         its own"
    )]
    Backslash(Format),
    /// The program reads no longer line.
    #[error("its value is too long for the format {0}: read it from a file of its own")]
    TooLong(Format),
}

/// A variable of such a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub variable: VariableName,
    /// The program that the file is for.
    pub format: Format,
}

impl Line {
    /// Says whether the program reads `value` back as it is.
    ///
    /// # Errors
    /// [`Unwritable`], with the remedy.
    pub fn check(&self, value: &[u8]) -> Result<(), Unwritable> {
        self.variable.fits(value).map_err(Unwritable::Unfit)?;
        let format = self.format;
        let has = |wanted: &[u8]| value.windows(wanted.len()).any(|window| window == wanted);
        let control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n');
        let line_bytes = self.variable.as_str().len() + 1 + value.len();
        match format {
            Format::Docker if has(b"\n") || has(b"\r") => Err(Unwritable::LineBreak(format)),
            Format::Docker if line_bytes > DOCKER_LINE_BYTES_MAX => Err(Unwritable::TooLong(format)),
            // systemd leaves out a variable with a control character, and Python's text files turn CR into LF.
            Format::Shell | Format::Dotenv if value.iter().any(control) => Err(Unwritable::Control(format)),
            Format::Dotenv if has(b"${") => Err(Unwritable::Reference(format)),
            Format::Dotenv if value.ends_with(b"\\") && !stays_bare(value) => Err(Unwritable::Backslash(format)),
            _ => Ok(()),
        }
    }

    /// The line for `value`, in pieces that are put one behind the other. Those of the value stay where they lie.
    #[must_use]
    pub fn pieces<'a>(&'a self, value: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces: Vec<&[u8]> = vec![self.variable.as_str().as_bytes(), b"="];
        let is_special = |byte: &u8| matches!(byte, b'\'' | b'\\');
        match self.format {
            Format::Docker => pieces.push(value),
            _ if value.iter().copied().all(is_plain) => pieces.push(value),
            Format::Shell if value.iter().any(is_special) => quote(&mut pieces, value, b"\"", b"\"\\$`"),
            Format::Shell => quote(&mut pieces, value, b"'", b""),
            Format::Dotenv if value.ends_with(b"\\") => pieces.push(value),
            Format::Dotenv => quote(&mut pieces, value, b"'", b"'\\"),
        }
        pieces.push(b"\n");
        pieces
    }
}

/// Whether every program takes a character for itself, outside quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-+./:@%,=".contains(&byte)
}

/// Whether python-dotenv takes a value without quotes as it is: it cuts spaces at the end and comments behind spaces.
fn stays_bare(value: &[u8]) -> bool {
    let has_space = std::str::from_utf8(value).is_ok_and(|text| text.contains(char::is_whitespace));
    !has_space && !value.starts_with(b"'") && !value.starts_with(b"\"")
}

/// Puts `value` between quotation marks, with a backslash before each of `escaped`.
fn quote<'a>(pieces: &mut Vec<&'a [u8]>, value: &'a [u8], mark: &'static [u8], escaped: &[u8]) {
    pieces.push(mark);
    let mut rest = value;
    while let Some(next) = rest.iter().skip(1).position(|byte| escaped.contains(byte)) {
        let (run, behind) = rest.split_at(next + 1);
        push_run(pieces, run, escaped);
        rest = behind;
    }
    push_run(pieces, rest, escaped);
    pieces.push(mark);
}

/// Adds characters of which only the first may need a backslash.
fn push_run<'a>(pieces: &mut Vec<&'a [u8]>, run: &'a [u8], escaped: &[u8]) {
    if run.first().is_some_and(|first| escaped.contains(first)) {
        pieces.push(b"\\");
    }
    pieces.push(run);
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        let formats = [Self::Shell, Self::Dotenv, Self::Docker];
        formats.into_iter().find(|format| format.to_string() == word).ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Shell => "shell",
            Self::Dotenv => "dotenv",
            Self::Docker => "docker",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn token(format: Format) -> Line {
        Line { variable: "TOKEN".parse().expect("a name"), format }
    }

    fn line(format: Format, value: &str) -> String {
        String::from_utf8(token(format).pieces(value.as_bytes()).concat()).expect("text")
    }

    #[test]
    fn each_program_has_its_own_quotes_and_none_where_all_agree() {
        use Format::{Docker, Dotenv, Shell};
        let rows = [
            ("abc-123_/+=.:@%,", [Shell, Dotenv, Docker].map(|_| "abc-123_/+=.:@%,")),
            ("", ["", "", ""]),
            ("two words", ["'two words'", "'two words'", "two words"]),
            ("#a", ["'#a'", "'#a'", "#a"]),
            ("$HOME`id`", ["'$HOME`id`'", "'$HOME`id`'", "$HOME`id`"]),
            ("it's", ["\"it's\"", r"'it\'s'", "it's"]),
            (r"a\b", [r#""a\\b""#, r"'a\\b'", r"a\b"]),
            (r"a#'$\", [r#""a#'\$\\""#, r"a#'$\", r"a#'$\"]),
            (r#"'"$`\b"#, [r#""'\"\$\`\\b""#, r#"'\'"$`\\b'"#, r#"'"$`\b"#]),
            ("''", [r#""''""#, r"'\'\''", "''"]),
            ("grüße", ["'grüße'", "'grüße'", "grüße"]),
        ];
        for (value, expected) in rows {
            for (format, expected) in [Shell, Dotenv, Docker].into_iter().zip(expected) {
                assert_eq!(line(format, value), format!("TOKEN={expected}\n"), "{format}");
            }
        }
    }

    #[test]
    fn what_a_program_would_read_differently_is_refused() {
        use Format::{Docker, Dotenv, Shell};
        let long = "a".repeat(DOCKER_LINE_BYTES_MAX - "TOKEN=".len() + 1);
        let rows: [(&str, [Option<&str>; 3]); 11] = [
            ("fine\ttab", [None, None, None]),
            ("two\nlines", [None, None, Some("line break")]),
            ("cr\r", [Some("control character"), Some("control character"), Some("line break")]),
            ("\u{1b}[0m", [Some("control character"), Some("control character"), None]),
            (r"two words\", [None, Some("ends with a backslash"), None]),
            (r#""quoted\"#, [None, Some("ends with a backslash"), None]),
            (r"'\", [None, Some("ends with a backslash"), None]),
            ("a${HOME}", [None, Some("takes for a variable"), None]),
            ("$HOME", [None, None, None]),
            ("a\0b", [Some("NUL"), Some("NUL"), Some("NUL")]),
            (&long, [None, None, Some("too long")]),
        ];
        for (value, expected) in rows {
            for (format, expected) in [Shell, Dotenv, Docker].into_iter().zip(expected) {
                let told = token(format).check(value.as_bytes()).map_err(|error| error.to_string()).err();
                let fits = match (&told, expected) {
                    (None, None) => true,
                    (Some(told), Some(expected)) => told.contains(expected),
                    _ => false,
                };
                assert!(fits, "{format} {:?}: {told:?}", value.chars().take(20).collect::<String>());
            }
        }
        assert_eq!(token(Shell).check(b"\xff"), Err(Unwritable::Unfit(Unfit::NotText)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_shell_reads_every_value_that_is_written_for_it(value in r#"([ -~]|['"\\$`#!\n\t]|é){0,24}"#) {
            prop_assert!(token(Format::Shell).check(value.as_bytes()).is_ok());
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("env");
            std::fs::write(&file, line(Format::Shell, &value)).expect("written");
            let script = "set -a; . \"$1\"; printf %s \"$TOKEN\"";
            let output = Command::new("sh").args(["-c", script, "sh"]).arg(&file).output().expect("a shell");
            prop_assert_eq!(String::from_utf8(output.stdout).expect("text"), value);
            prop_assert!(output.stderr.is_empty());
        }
    }
}
