//! How characters become bytes. A character that the encoding lacks is refused by name: never `?`, never `&#...;`.
//!
//! windows-874 as browsers know it gives the bytes that the code page leaves undefined to the control characters of the same number
//! (U+0081 is 0x81). An accounting package reads such a byte as anything or nothing, so here they are refused like any other character
//! that the code page lacks.

use std::str::FromStr;

use encoding_rs::{EncoderResult, WINDOWS_874};

use crate::plausible::shown_word;

/// The encodings of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a mark.
    Utf8,
    /// UTF-8 behind a byte order mark, without which Excel takes a file for the machine's code page.
    Utf8Bom,
    /// The Thai code page, one byte per character.
    Windows874,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf8Bom, Encoding::Windows874];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf8Bom => "utf-8-bom",
            Encoding::Windows874 => "windows-874",
        }
    }

    /// The bytes before the header.
    pub(super) fn mark(self) -> &'static [u8] {
        match self {
            Encoding::Utf8 | Encoding::Windows874 => b"",
            Encoding::Utf8Bom => BYTE_ORDER_MARK,
        }
    }

    /// Whether these bytes are text in this encoding.
    pub(super) fn is_valid(self, bytes: &[u8]) -> bool {
        match self {
            Encoding::Utf8 | Encoding::Utf8Bom => str::from_utf8(bytes).is_ok(),
            Encoding::Windows874 => !bytes.iter().any(|&byte| is_undefined(byte)),
        }
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Encoding, String> {
        let names = || Encoding::ALL.map(Encoding::name).join(" or ");
        let found = Encoding::ALL.into_iter().find(|encoding| encoding.name() == text);
        found.ok_or_else(|| format!("{} is not an encoding; write {}", shown_word(text), names()))
    }
}

/// U+FEFF in UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The bytes to which code page 874 gives no character.
fn is_undefined(byte: u8) -> bool {
    matches!(byte, 0x81..=0x84 | 0x86..=0x90 | 0x98..=0x9F | 0xDB..=0xDE | 0xFC..=0xFF)
}

/// Encodes cells into a buffer of its own.
pub(super) struct Encoder {
    encoding: Encoding,
    buffer: Vec<u8>,
}

impl Encoder {
    pub(super) fn new(encoding: Encoding) -> Encoder {
        Encoder { encoding, buffer: Vec::new() }
    }

    /// The bytes of a cell, until the next call; or what cannot be encoded, as the end of a sentence: `U+1F600, which windows-874 lacks`.
    pub(super) fn encode<'a>(&'a mut self, text: &'a str) -> Result<&'a [u8], String> {
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => Ok(text.as_bytes()),
            // Account codes, and descriptions in English.
            Encoding::Windows874 if text.is_ascii() => Ok(text.as_bytes()),
            Encoding::Windows874 => self.windows_874(text),
        }
    }

    fn windows_874(&mut self, text: &str) -> Result<&[u8], String> {
        let lacks = |character: u32| Err(format!("U+{character:04X}, which windows-874 lacks"));
        self.buffer.clear();
        // One byte per character at most.
        self.buffer.resize(text.len(), 0);
        let mut encoder = WINDOWS_874.new_encoder();
        let (result, _, written) = encoder.encode_from_utf8_without_replacement(text, &mut self.buffer, true);
        let bytes = &self.buffer[..written];
        // The control characters that encoding_rs lets through. They come before a character at which it stopped.
        if let Some(&byte) = bytes.iter().find(|&&byte| is_undefined(byte)) {
            return lacks(byte.into());
        }
        match result {
            EncoderResult::InputEmpty => Ok(bytes),
            EncoderResult::Unmappable(character) => lacks(character.into()),
            EncoderResult::OutputFull => Err("more bytes than characters".to_owned()),
        }
    }
}
