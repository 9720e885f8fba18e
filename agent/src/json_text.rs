//! Decodes one JSON string that arrives in pieces (RFC 8259, section 7).

use std::fmt;

/// Why the bytes are no JSON string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadText {
    /// A control character, or an escape that JSON does not know.
    Invalid,
    /// Half of a surrogate pair, which stands for no character (RFC 8259, section 8.2).
    LoneSurrogate,
}

/// Where in the string the last piece ended.
#[derive(Default)]
pub(crate) struct TextDecoder {
    place: Place,
    /// The first half of a surrogate pair, whose second half must follow at once.
    high_surrogate: Option<u16>,
}

#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Plain,
    /// After a backslash.
    Escape,
    /// After `\u` and that many of its four digits.
    Unicode { digits: u8, unit: u16 },
}

/// A half-read escape is a part of the value.
impl fmt::Debug for TextDecoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TextDecoder(redacted)")
    }
}

impl TextDecoder {
    /// Decodes `chunk` up to the closing quotation mark and hands what it decodes to `write`, plain bytes in whole runs.
    /// Answers how many bytes it used, and whether the mark was among them.
    ///
    /// # Errors
    /// [`BadText`], or whatever `write` ends with.
    pub(crate) fn push<E: From<BadText>>(
        &mut self,
        chunk: &[u8],
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(usize, bool), E> {
        let mut index = 0;
        while let Some(&byte) = chunk.get(index) {
            match self.place {
                Place::Plain if byte == b'\\' => self.place = Place::Escape,
                Place::Plain if self.high_surrogate.is_some() => return Err(BadText::LoneSurrogate.into()),
                Place::Plain if byte == b'"' => return Ok((index + 1, true)),
                Place::Plain => {
                    let run = plain_run(&chunk[index..])?;
                    write(&chunk[index..index + run])?;
                    index += run;
                    continue;
                }
                Place::Escape if byte == b'u' => self.place = Place::Unicode { digits: 0, unit: 0 },
                Place::Escape if self.high_surrogate.is_some() => return Err(BadText::LoneSurrogate.into()),
                Place::Escape => {
                    write(&[short_escape(byte)?])?;
                    self.place = Place::Plain;
                }
                Place::Unicode { digits, unit } => self.digit(byte, digits, unit, &mut write)?,
            }
            index += 1;
        }
        Ok((index, false))
    }

    fn digit<E: From<BadText>>(
        &mut self,
        byte: u8,
        digits: u8,
        unit: u16,
        write: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let value = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
        let unit = unit << 4 | value.ok_or(BadText::Invalid)?;
        if digits < 3 {
            self.place = Place::Unicode { digits: digits + 1, unit };
            return Ok(());
        }
        self.place = Place::Plain;
        if self.high_surrogate.is_none() && (0xD800..0xDC00).contains(&unit) {
            self.high_surrogate = Some(unit);
            return Ok(());
        }
        let units = self.high_surrogate.take().into_iter().chain([unit]);
        let character = char::decode_utf16(units).next().expect("there is a unit");
        let character = character.map_err(|_| BadText::LoneSurrogate)?;
        write(character.encode_utf8(&mut [0; 4]).as_bytes())
    }
}

/// How many bytes come before the next quotation mark or backslash.
fn plain_run(bytes: &[u8]) -> Result<usize, BadText> {
    let end = bytes.iter().position(|&byte| matches!(byte, b'"' | b'\\' | ..b' ')).unwrap_or(bytes.len());
    // A control character must be escaped; only these two end a run rightly.
    match bytes.get(end) {
        None | Some(b'"' | b'\\') => Ok(end),
        Some(_) => Err(BadText::Invalid),
    }
}

fn short_escape(byte: u8) -> Result<u8, BadText> {
    Ok(match byte {
        b'"' | b'\\' | b'/' => byte,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return Err(BadText::Invalid),
    })
}
