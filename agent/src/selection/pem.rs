//! Takes blocks out of a PEM text (RFC 7468): a certificate, those that vouch for it, or its private key.
//!
//! No part of the text is in an error.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::chain;
use crate::memory::{Arena, Locked, MemoryExhausted};

/// Which blocks of a certificate's secret readers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them, as the vault gives them: the private key too.
    All,
    /// The certificate alone.
    Certificate,
    /// The certificates that vouch for it.
    Chain,
    /// The certificate and those that vouch for it, as a server sends them.
    FullChain,
    /// The private key.
    PrivateKey,
}

/// Says that a word is no [`Part`].
#[derive(Debug, Error)]
#[error("'{0}' is unknown: use all, certificate, chain, full-chain or private-key")]
pub struct UnknownPart(String);

/// Why a part cannot be had.
#[derive(Debug, Error)]
pub(super) enum NoPart {
    /// There is no block of any kind, or one without its beginning or its end.
    #[error("the value is no PEM text: pem is for the secret of a certificate")]
    NotPem,
    /// The blocks are of other kinds.
    #[error("the value has no {0}{1}")]
    Absent(&'static str, &'static str),
    /// Nobody can say which one is meant.
    #[error("the value has more than one private key")]
    ManyKeys,
    /// No memory of the demanded protection is left.
    #[error("no memory for the part")]
    Memory(#[from] MemoryExhausted),
}

/// A block with its first and its last line.
struct Block<'a> {
    label: &'a [u8],
    text: &'a [u8],
}

impl Part {
    /// Copies the blocks of this part into memory of `arena`, each with a line break behind it. What stands between blocks
    /// is left out, except in [`Part::All`].
    pub(super) fn take_from(self, text: &[u8], arena: &Arena) -> Result<Locked, NoPart> {
        let blocks = blocks(text).filter(|blocks| !blocks.is_empty()).ok_or(NoPart::NotPem)?;
        if self == Self::All {
            return Ok(arena.store(text)?);
        }
        let chosen = self.choose(&blocks)?;
        let length = chosen.iter().map(|block| block.text.len() + 1).sum();
        let mut buffer = arena.buffer(length)?;
        for block in chosen {
            buffer.extend(block.text)?;
            buffer.extend(b"\n")?;
        }
        Ok(buffer.freeze())
    }

    fn choose<'b, 'a>(self, blocks: &'b [Block<'a>]) -> Result<Vec<&'b Block<'a>>, NoPart> {
        let certificates = || {
            let found = blocks.iter().filter(|block| block.label == b"CERTIFICATE").collect();
            chain::in_order(found, |block: &&Block<'_>| block.text).into_iter()
        };
        let keys = || blocks.iter().filter(|block| block.label.ends_with(b"PRIVATE KEY"));
        let (chosen, missing): (Vec<_>, _) = match self {
            Self::All => (blocks.iter().collect(), NoPart::NotPem),
            Self::PrivateKey if keys().count() > 1 => return Err(NoPart::ManyKeys),
            Self::PrivateKey => {
                let remedy = ": the vault gives one only where the certificate's key may be exported";
                (keys().collect(), NoPart::Absent("private key", remedy))
            }
            Self::Certificate => (certificates().take(1).collect(), NoPart::Absent("certificate", "")),
            Self::FullChain => (certificates().collect(), NoPart::Absent("certificate", "")),
            Self::Chain => {
                (certificates().skip(1).collect(), NoPart::Absent("chain", ": it has one certificate alone"))
            }
        };
        if chosen.is_empty() { Err(missing) } else { Ok(chosen) }
    }
}

/// Every block; none where one lacks its first or its last line, for then another could be taken for it.
fn blocks(text: &[u8]) -> Option<Vec<Block<'_>>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &[u8])> = None;
    let mut at = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let start = at;
        at += line.len();
        let line = line.trim_ascii_end();
        match (open, label(line, b"-----BEGIN "), label(line, b"-----END ")) {
            (None, Some(label), _) => open = Some((start, label)),
            (Some((begin, opened)), None, Some(label)) if label == opened => {
                found.push(Block { label, text: &text[begin..start + line.len()] });
                open = None;
            }
            (_, None, None) => {}
            _ => return None,
        }
    }
    open.is_none().then_some(found)
}

fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

impl FromStr for Part {
    type Err = UnknownPart;

    fn from_str(word: &str) -> Result<Self, UnknownPart> {
        let parts = [Self::All, Self::Certificate, Self::Chain, Self::FullChain, Self::PrivateKey];
        parts.into_iter().find(|part| part.to_string() == word).ok_or_else(|| UnknownPart(word.to_owned()))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::All => "all",
            Self::Certificate => "certificate",
            Self::Chain => "chain",
            Self::FullChain => "full-chain",
            Self::PrivateKey => "private-key",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str, content: &str) -> String {
        format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
    }

    fn part(word: &str, text: &str) -> Result<String, String> {
        let part: Part = word.parse().expect("a part");
        let taken = part.take_from(text.as_bytes(), &Arena::unlocked()).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(taken.as_ref().to_vec()).expect("text"))
    }

    #[test]
    fn each_part_has_its_blocks_and_nothing_between_them() {
        let (key, leaf, issuer) =
            (block("PRIVATE KEY", "a2V5"), block("CERTIFICATE", "bGVhZg=="), block("CERTIFICATE", "Y2E="));
        let whole = format!("Bag Attributes\n    localKeyID: 01\n{key}subject=CN = leaf\n{leaf}{issuer}");
        let rows = [
            ("all", whole.clone()),
            ("certificate", leaf.clone()),
            ("chain", issuer.clone()),
            ("full-chain", format!("{leaf}{issuer}")),
            ("private-key", key.clone()),
        ];
        for (word, expected) in rows {
            assert_eq!(part(word, &whole), Ok(expected.clone()), "{word}");
            let crlf = whole.replace('\n', "\r\n");
            if word != "all" {
                assert_eq!(part(word, &crlf).map(|text| text.replace('\r', "")), Ok(expected), "{word} with CRLF");
            }
        }
        assert_eq!(part("private-key", key.trim_end()), Ok(key), "a last line without an end");
        let rsa = block("RSA PRIVATE KEY", "cnNh");
        assert_eq!(part("private-key", &format!("{leaf}{rsa}")), Ok(rsa));
    }

    #[test]
    fn what_is_not_there_is_named_and_nothing_is_quoted() {
        let (key, leaf) = (block("PRIVATE KEY", "hunter2"), block("CERTIFICATE", "bGVhZg=="));
        let rows = [
            ("private-key", leaf.clone(), "the value has no private key: the vault gives one only where"),
            ("certificate", key.clone(), "the value has no certificate"),
            ("full-chain", key.clone(), "the value has no certificate"),
            ("chain", leaf.clone(), "the value has no chain: it has one certificate alone"),
            ("private-key", format!("{key}{key}"), "the value has more than one private key"),
            ("all", "hunter2".to_owned(), "the value is no PEM text"),
            ("all", "-----BEGIN PRIVATE KEY-----\nhunter2\n".to_owned(), "the value is no PEM text"),
            ("all", "-----BEGIN A-----\nhunter2\n-----END B-----\n".to_owned(), "the value is no PEM text"),
            ("all", String::new(), "the value is no PEM text"),
            ("certificate", format!("\u{feff}{leaf}{leaf}"), "the value is no PEM text"),
            ("certificate", format!("-----BEGIN CERTIFICATE-----\nhunter2\n{leaf}"), "the value is no PEM text"),
        ];
        for (word, text, expected) in rows {
            let told = part(word, &text).expect_err(expected);
            assert!(told.starts_with(expected) && !told.contains("hunter2"), "{word}: {told}");
        }
    }
}
